//! The subvolumes below a source. A snapshot of the source has an empty directory in the place of each, so that a backup leaves
//! them out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;

use butterdock_btrfs::roots::RootRef;
use butterdock_btrfs::subvolume::{self, Subvolume};
use butterdock_btrfs::{Errno, Error as Fault, roots};
use serde::{Deserialize, Serialize};

use super::snapshot::Identity;
use crate::hex;

/// So many are named; the others are only counted.
const MOST_NAMED: usize = 20;
/// A longer path is cut, in bytes.
const LONGEST: usize = 1000;

/// The path of a subvolume, relative to the source: bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NestedPath(#[serde(with = "hex")] pub Vec<u8>);

/// The subvolumes below a source that a backup leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many.
    pub count: u64,
    /// The paths of the first ones, sorted.
    pub paths: Vec<NestedPath>,
}

impl LeftOut {
    /// Those below `source`. The folder for snapshots is none of them, and neither are snapshots of the source.
    ///
    /// # Errors
    /// As for [`subvolume::all`]: the kernel lists subvolumes for root alone.
    pub fn find(source: BorrowedFd<'_>, folder: Option<BorrowedFd<'_>>) -> Result<Self, Fault> {
        let (root, uuid) = {
            let info = subvolume::info(source)?;
            (info.id, Identity(info.uuid))
        };
        let folder = folder.map(subvolume::info).transpose()?.map(|info| info.id).filter(|id| *id != root);
        let all = subvolume::all(source)?;
        let nested = below(root, uuid, folder, &all);
        let mut paths = Vec::new();
        for place in nested.values().take(MOST_NAMED) {
            paths.extend(path(source, root, place, &nested)?.map(NestedPath));
        }
        paths.sort();
        Ok(Self { count: nested.len() as u64, paths })
    }

    /// Says what is left out; with the paths, which not all users may see. None if it is nothing.
    #[must_use]
    pub fn sentence(&self, with_paths: bool) -> Option<String> {
        let which = match self.count {
            0 => return None,
            1 => "1 subvolume below the source is left out".to_owned(),
            count => format!("{count} subvolumes below the source are left out"),
        };
        let next = "to back them up, make each the source of a backup of its own";
        if !with_paths || self.paths.is_empty() {
            return Some(format!("{which} (butterdock backups --dry-run names them); {next}"));
        }
        let names: Vec<String> = self
            .paths
            .iter()
            .map(|NestedPath(path)| String::from_utf8_lossy(path).escape_debug().to_string())
            .collect();
        let more = self.count.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("{which} ({}{more}); {next}", names.join(", ")))
    }
}

/// The places of the subvolumes below `root`, by their ids: without `folder` and what is below it, and without read-only
/// snapshots of the subvolumes below, or of the root itself, whose uuid is `uuid`.
fn below(root: u64, uuid: Identity, folder: Option<u64>, all: &[Subvolume]) -> BTreeMap<u64, RootRef> {
    let mut inside: BTreeSet<u64> = [root].into();
    // A subvolume may have a lower id than the one that it is in.
    loop {
        let is_new = |one: &&Subvolume| {
            let is_in = one.place.as_ref().is_some_and(|place| inside.contains(&place.parent_id));
            is_in && !inside.contains(&one.id) && Some(one.id) != folder && one.item.refs != 0
        };
        let new: Vec<u64> = all.iter().filter(is_new).map(|one| one.id).collect();
        if new.is_empty() {
            break;
        }
        inside.extend(new);
    }
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

/// The path from the root of the source; `None` if it was deleted or moved meanwhile.
fn path(
    source: BorrowedFd<'_>,
    root: u64,
    place: &RootRef,
    nested: &BTreeMap<u64, RootRef>,
) -> Result<Option<Vec<u8>>, Fault> {
    let (mut path, mut at) = (Vec::new(), place);
    loop {
        let mut part = match roots::path_within(source, at.parent_id, at.dir_id) {
            Ok(Some(part)) => part,
            Ok(None) => return Ok(None),
            Err(Fault { errno: Errno::ENAMETOOLONG, .. }) => b".../".to_vec(),
            Err(fault) => return Err(fault),
        };
        part.extend_from_slice(&at.name);
        if !path.is_empty() {
            part.push(b'/');
        }
        part.append(&mut path);
        path = part;
        if at.parent_id == root || path.len() > LONGEST {
            path.truncate(LONGEST);
            return Ok(Some(path));
        }
        let Some(above) = nested.get(&at.parent_id) else { return Ok(None) };
        at = above;
    }
}

#[cfg(test)]
mod tests {
    use butterdock_btrfs::roots::RootItem;

    use super::*;

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
    fn what_is_left_out_is_counted_and_named() {
        assert_eq!(LeftOut::default().sentence(true), None);
        let paths = vec![NestedPath(b"docker".to_vec()), NestedPath(b"sub/de\nep".to_vec())];
        let two = LeftOut { count: 2, paths: paths.clone() };
        let text = two.sentence(true).expect("a sentence");
        assert!(text.starts_with("2 subvolumes below the source are left out (docker, sub/de\\nep); "), "{text}");
        let public = two.sentence(false).expect("a sentence");
        assert!(!public.contains("docker") && public.contains("--dry-run"), "{public}");
        let many = LeftOut { count: 5, paths }.sentence(true).expect("a sentence");
        assert!(many.contains("and 3 more"), "{many}");
    }
}
