//! The order in which streams are received: parents first. Files that are their own ancestors (cycles) are refused. A pure
//! function.

use std::collections::{HashMap, HashSet};

use butterdock_stream::Identity;

use super::{Found, Head};

/// Sorts the files: first full streams and files whose parent precedes them, otherwise in the given order; then files whose
/// parent is in none of the files; last the files that cannot be received, with the reason.
pub(super) fn order(mut files: Vec<Found>) -> Vec<Found> {
    refuse_circles(&mut files);
    let provided: HashSet<Identity> = identities(&files).collect();
    let mut ready: HashSet<Identity> = HashSet::new();
    let (mut first, mut later, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match &file.head {
            Err(_) => last.push(file),
            Ok(_) => later.push(file),
        }
    }
    // A parent that no file begins with may be in the volume, or in the middle of a file.
    let is_orphan = |head: &Head| head.parent.is_some_and(|parent| !provided.contains(&parent));
    for with_orphans in [false, true] {
        loop {
            let before = later.len();
            let mut rest = Vec::new();
            for file in later {
                let is_ready = file.head.as_ref().is_ok_and(|head| {
                    head.parent.is_none_or(|parent| ready.contains(&parent)) || (with_orphans && is_orphan(head))
                });
                if is_ready {
                    ready.extend(file.head.as_ref().ok().map(|head| head.identity));
                    first.push(file);
                } else {
                    rest.push(file);
                }
            }
            later = rest;
            if later.len() == before {
                break;
            }
        }
    }
    first.extend(later);
    first.extend(last);
    first
}

/// Marks files that are their own ancestors; they can never be received.
fn refuse_circles(files: &mut [Found]) {
    let parents: HashMap<Identity, Option<Identity>> =
        files.iter().filter_map(|file| file.head.as_ref().ok()).map(|head| (head.identity, head.parent)).collect();
    let mut good: HashSet<Identity> = HashSet::new();
    for file in files {
        let Ok(head) = &file.head else { continue };
        let mut ancestors = HashSet::new();
        let mut at = Some(head.identity);
        let circle = loop {
            match at {
                Some(one) if good.contains(&one) => break false,
                Some(one) if !ancestors.insert(one) => break true,
                Some(one) => at = parents.get(&one).copied().flatten(),
                None => break false,
            }
        };
        if circle {
            file.head = Err("it is its own ancestor, through other files; btrfs send cannot have made it".to_owned());
        } else {
            good.extend(ancestors);
        }
    }
}

fn identities(files: &[Found]) -> impl Iterator<Item = Identity> {
    files.iter().filter_map(|file| file.head.as_ref().ok()).map(|head| head.identity)
}

#[cfg(test)]
mod tests {
    use butterdock_stream::Uuid;

    use super::*;

    fn identity(number: u8) -> Identity {
        Identity { uuid: Uuid([number; 16]), ctransid: u64::from(number) }
    }

    /// A file with a subvolume and its parent.
    fn file(subvolume: u8, parent: Option<u8>) -> Found {
        let name = vec![b'a' + subvolume];
        let head = Head { name: name.clone(), identity: identity(subvolume), parent: parent.map(identity) };
        Found { name, size: 1, head: Ok(head) }
    }

    fn names(files: &[Found]) -> String {
        files.iter().map(|file| char::from(file.name[0])).collect()
    }

    #[test]
    fn parents_come_first() {
        let files = vec![file(3, Some(2)), file(2, Some(1)), file(5, None), file(1, None), file(4, Some(1))];
        assert_eq!(names(&order(files)), "fbecd");
    }

    #[test]
    fn files_with_unknown_parents_come_last_with_their_children() {
        let files = vec![file(1, Some(9)), file(2, Some(1)), file(3, None)];
        assert_eq!(names(&order(files)), "dbc");
        // Another state of the parent is another subvolume.
        let mut other = file(2, None);
        other.head = other.head.map(|head| Head { parent: Some(Identity { ctransid: 99, ..identity(1) }), ..head });
        assert_eq!(names(&order(vec![other, file(1, None)])), "bc");
    }

    #[test]
    fn a_circle_is_refused_and_other_files_are_not() {
        let ordered =
            order(vec![file(1, Some(2)), file(2, Some(1)), file(3, Some(3)), file(4, Some(1)), file(5, None)]);
        assert_eq!(ordered.iter().filter(|file| file.head.is_err()).count(), 4);
        assert_eq!(names(&ordered[..1]), "f");
    }

    #[test]
    fn a_long_reversed_chain_is_sorted() {
        let long = |number: u32, on: Option<u32>| {
            let of = |number: u32| Identity { uuid: Uuid([7; 16]), ctransid: u64::from(number) };
            let head = Head { name: b"x".to_vec(), identity: of(number), parent: on.map(of) };
            Found { name: number.to_string().into_bytes(), size: 1, head: Ok(head) }
        };
        let files: Vec<Found> = (0..1000).rev().map(|number| long(number, number.checked_sub(1))).collect();
        let ordered = order(files);
        assert!(ordered.iter().enumerate().all(|(at, file)| file.name == at.to_string().as_bytes()));
    }
}
