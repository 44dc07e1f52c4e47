//! Which subvolumes are below a source, and the order in which a backup includes them. Pure: from the list of all subvolumes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use butterdock_btrfs::roots::RootRef;
use butterdock_btrfs::subvolume::Subvolume;

use super::snapshot::Identity;

/// The transaction of the last snapshot of each nested subvolume that an earlier run made, by their ids. One that has another in it
/// has the rank of that one, too, because a restore puts the other into it.
pub(super) fn ranks(
    all: &[Subvolume],
    nested: &BTreeMap<u64, RootRef>,
    is_earlier: impl Fn(&Subvolume) -> bool,
) -> BTreeMap<u64, u64> {
    let ids: BTreeMap<Identity, u64> = all
        .iter()
        .filter(|one| nested.contains_key(&one.id))
        .filter_map(|one| Some((Identity(one.item.uuid).known()?, one.id)))
        .collect();
    let mut ranks: BTreeMap<u64, u64> = BTreeMap::new();
    for snapshot in all.iter().filter(|one| is_earlier(one)) {
        let mut at = ids.get(&Identity(snapshot.item.parent_uuid)).copied();
        while let Some(id) = at {
            let rank = ranks.entry(id).or_default();
            if *rank >= snapshot.item.otransid {
                break;
            }
            *rank = snapshot.item.otransid;
            at = nested.get(&id).map(|place| place.parent_id).filter(|above| nested.contains_key(above));
        }
    }
    ranks
}

/// The order in which subvolumes are included, from the order of their paths: those of the last run, those of earlier runs, and the
/// others in turn for each directory. Any user can make subvolumes: many in one directory take no places of others.
pub(super) fn in_order<'o>(
    placed: Vec<(Vec<u8>, &'o Subvolume)>,
    ranks: &BTreeMap<u64, u64>,
) -> Vec<(Vec<u8>, &'o Subvolume)> {
    let rank = |one: &Subvolume| ranks.get(&one.id).copied().unwrap_or_default();
    let (mut earlier, new): (Vec<_>, Vec<_>) = placed.into_iter().partition(|(_, one)| rank(one) > 0);
    earlier.sort_by_key(|(_, one)| Reverse(rank(one)));
    let turns = in_turn(new.iter().enumerate().map(|(index, (path, _))| (index, &path[..])).collect(), MOST_TURNS);
    let mut new: Vec<_> = new.into_iter().map(Some).collect();
    let new = turns.into_iter().filter_map(|index| new.get_mut(index)?.take());
    earlier.into_iter().chain(new).collect()
}

/// Paths with their indexes.
type IndexedPaths<'p> = Vec<(usize, &'p [u8])>;

/// Below so many directories, the order is that of the paths.
const MOST_TURNS: usize = 8;

/// The indexes of sorted paths, one of each directory in turn; also in each of the directories. A path comes before those below it.
fn in_turn(paths: IndexedPaths<'_>, turns: usize) -> Vec<usize> {
    if turns == 0 || paths.len() < 2 {
        return paths.into_iter().map(|(index, _)| index).collect();
    }
    let mut directories: BTreeMap<&[u8], (Vec<usize>, IndexedPaths<'_>)> = BTreeMap::new();
    for (index, path) in paths {
        let mut parts = path.splitn(2, |&byte| byte == b'/');
        let (itself, below) = directories.entry(parts.next().unwrap_or_default()).or_default();
        match parts.next() {
            None => itself.push(index),
            Some(rest) => below.push((index, rest)),
        }
    }
    let mut ordered = Vec::new();
    for (number, (itself, below)) in directories.into_values().enumerate() {
        let of_one = itself.into_iter().chain(in_turn(below, turns.saturating_sub(1)));
        ordered.extend(of_one.enumerate().map(|(turn, index)| (turn, number, index)));
    }
    ordered.sort_unstable();
    ordered.into_iter().map(|(_, _, index)| index).collect()
}

/// The ids of the writable subvolumes below `root` that are in no read-only one.
pub(super) fn writable(root: u64, all: &[Subvolume]) -> BTreeSet<u64> {
    let writable: Vec<&Subvolume> = all.iter().filter(|one| !one.item.read_only).collect();
    beneath(root, &writable)
}

/// The ids of the subvolumes among `some` that are in `root`, or in one that is.
fn beneath(root: u64, some: &[&Subvolume]) -> BTreeSet<u64> {
    let mut inside: BTreeSet<u64> = [root].into();
    // A subvolume may have a lower id than the one that it is in.
    loop {
        let is_new = |one: &&&Subvolume| {
            let is_in = one.place.as_ref().is_some_and(|place| inside.contains(&place.parent_id));
            is_in && !inside.contains(&one.id) && one.item.refs != 0
        };
        let new: Vec<u64> = some.iter().filter(is_new).map(|one| one.id).collect();
        if new.is_empty() {
            return inside;
        }
        inside.extend(new);
    }
}

/// The places of the subvolumes below `root`, by their ids: without `folder` and what is below it, and without read-only
/// snapshots of the subvolumes below, or of the root itself, whose uuid is `uuid`.
pub(super) fn below(root: u64, uuid: Identity, folder: Option<u64>, all: &[Subvolume]) -> BTreeMap<u64, RootRef> {
    let others: Vec<&Subvolume> = all.iter().filter(|one| Some(one.id) != folder).collect();
    let inside = beneath(root, &others);
    let uuids: BTreeSet<Identity> = all
        .iter()
        .filter(|one| inside.contains(&one.id))
        .map(|one| Identity(one.item.uuid))
        .chain([uuid])
        .filter_map(Identity::known)
        .collect();
    let is_snapshot = |one: &Subvolume| one.item.read_only && uuids.contains(&Identity(one.item.parent_uuid));
    let nested = all.iter().filter(|one| one.id != root && inside.contains(&one.id) && !is_snapshot(one));
    nested.filter_map(|one| Some((one.id, one.place.clone()?))).collect()
}

#[cfg(test)]
mod tests {
    use butterdock_btrfs::roots::RootItem;

    use super::*;
    use crate::backups::name::MOST_NESTED;

    const ROOT: u64 = 256;

    fn one(id: u64, parent_id: u64, item: impl FnOnce(&mut RootItem)) -> Subvolume {
        let mut one = Subvolume {
            id,
            item: RootItem {
                read_only: false,
                uuid: [u8::try_from(id - 250).expect("small"); 16],
                parent_uuid: [0; 16],
                received_uuid: [0; 16],
                ctransid: 1,
                stransid: 0,
                otransid: 1,
                rtransid: 0,
                rtime: (0, 0),
                otime: 0,
                otime_nanoseconds: 0,
                generation: 1,
                refs: 1,
            },
            place: Some(RootRef { parent_id, dir_id: 256, name: format!("s{id}").into_bytes() }),
        };
        item(&mut one.item);
        one
    }

    #[test]
    fn nested_subvolumes_are_found_but_no_snapshots() {
        let snapshot_of = |of: u64| {
            move |item: &mut RootItem| {
                (item.read_only, item.parent_uuid) = (true, [u8::try_from(of - 250).expect("small"); 16]);
            }
        };
        let all = [
            one(ROOT, 5, |_| ()),
            one(257, 258, |_| ()),
            one(258, ROOT, |_| ()),
            // The folder for snapshots, and a snapshot in it.
            one(259, ROOT, |_| ()),
            one(260, 259, snapshot_of(ROOT)),
            // Snapshots elsewhere below: of the source, and of a nested one; one of another subvolume is no copy.
            one(261, ROOT, snapshot_of(ROOT)),
            one(262, ROOT, snapshot_of(258)),
            one(263, ROOT, snapshot_of(300)),
            one(264, ROOT, |item| item.refs = 0),
            one(265, 5, |_| ()),
        ];
        let found: Vec<u64> = below(ROOT, Identity([6; 16]), Some(259), &all).into_keys().collect();
        assert_eq!(found, [257, 258, 263]);
    }

    #[test]
    fn only_writable_subvolumes_in_writable_ones_are_included() {
        let read_only = |item: &mut RootItem| item.read_only = true;
        let all = [
            one(257, ROOT, |_| ()),
            one(258, 257, |_| ()),
            one(259, ROOT, read_only),
            one(260, 259, |_| ()),
            one(261, 5, |_| ()),
        ];
        assert_eq!(writable(ROOT, &all), [ROOT, 257, 258].into());
    }

    fn path_of(number: u64) -> Vec<u8> {
        let user = if number < 400 { "aaa" } else { "bob" };
        format!("home/{user}/{number}").into_bytes()
    }

    #[test]
    fn many_subvolumes_of_one_user_take_no_places_of_others() {
        let all: Vec<Subvolume> = (257..410).map(|id| one(id, ROOT, |_| ())).collect();
        let www = one(500, ROOT, |_| ());
        let mut placed: Vec<_> = all.iter().map(|one| (path_of(one.id), one)).collect();
        placed.push((b"var/www".to_vec(), &www));
        placed.sort_by(|(path, _), (other, _)| path.cmp(other));
        let first = |ranks: &BTreeMap<u64, u64>, most: usize| -> BTreeSet<u64> {
            in_order(placed.clone(), ranks).into_iter().take(most).map(|(_, one)| one.id).collect()
        };
        let fair = first(&BTreeMap::new(), MOST_NESTED);
        assert!((400..410).chain([500]).all(|id| fair.contains(&id)), "{fair:?}");
        // Those of the last run, and then those of earlier runs.
        let ranks = [(390, 7), (399, 9), (300, 9)].into();
        assert_eq!(first(&ranks, 2), [300, 399].into());
        assert_eq!(first(&ranks, 3), [300, 390, 399].into());
    }

    #[test]
    fn a_subvolume_comes_before_those_in_it() {
        let paths: [&[u8]; 5] = [b"a", b"a/b", b"a/b/c", b"d/e", b"d/f"];
        let all = || paths.into_iter().enumerate().collect();
        assert_eq!(in_turn(all(), MOST_TURNS), [0, 3, 1, 4, 2]);
        assert_eq!(in_turn(all(), 0), [0, 1, 2, 3, 4]);
        // The inner one was in the last run, the outer one is new.
        let inner = one(258, 257, |_| ());
        let snapshot = one(300, 5, |item| (item.read_only, item.parent_uuid, item.otransid) = (true, [8; 16], 9));
        let all = [one(257, ROOT, |_| ()), inner, snapshot, one(259, ROOT, |_| ())];
        let nested = below(ROOT, Identity([6; 16]), None, &all);
        assert_eq!(ranks(&all, &nested, |one| one.id == 300), [(257, 9), (258, 9)].into());
    }
}
