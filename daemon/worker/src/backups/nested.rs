//! The subvolumes below a source. A snapshot of the source has an empty directory in the place of each, so that a snapshot of the
//! source alone leaves them out. A backup with `nested = "include"` makes a snapshot of each writable one too ([`runs`]).
//!
//! [`runs`]: super::runs

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::roots::RootRef;
use butterdock_btrfs::subvolume::{self, Subvolume};
use butterdock_btrfs::{Errno, Error as Fault, roots};
use butterdock_receive::LONGEST_NESTED;
use serde::{Deserialize, Serialize};

use super::name::{MOST_NESTED, run_of_nested};
use super::nested_tree::{below, in_order, ranks, writable};
use super::snapshot::Identity;
use crate::hex;

/// So many are named; the others are only counted.
const MOST_NAMED: usize = 20;
/// A longer path is cut where it is named, in bytes.
const LONGEST_NAMED: usize = 1000;

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
    /// The others are backed up with the source.
    #[serde(default)]
    pub include: bool,
    /// So many of them could be included, but are more than the limit.
    #[serde(default)]
    pub over_limit: u64,
}

/// The subvolumes below a source.
#[derive(Debug, Default)]
pub(crate) struct NestedSubvolumes {
    /// Those that are backed up with it, sorted by their paths.
    pub included: Vec<NestedSubvolume>,
    pub left_out: LeftOut,
    /// The paths of all that exist, if some are included. The newest run that has one of them is not pruned.
    pub existing: BTreeSet<Vec<u8>>,
}

/// Earlier runs of a backup. The subvolumes that they included have precedence if there are more than [`MOST_NESTED`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EarlierRuns<'e> {
    /// The name of the backup, as in the names of the snapshots in the folder.
    pub backup: &'e [u8],
    /// The uuids of snapshots that the records name.
    pub known: &'e [Identity],
}

/// A subvolume that is backed up with the source.
#[derive(Debug)]
pub(crate) struct NestedSubvolume {
    /// Its path from the root of the source.
    pub path: NestedPath,
    /// Its root directory.
    pub fd: OwnedFd,
    pub uuid: Identity,
    pub parent_uuid: Identity,
}

impl NestedSubvolumes {
    /// Those below `source`. The folder for snapshots is none of them, and neither are snapshots of the source.
    ///
    /// With `include` the writable ones are included, up to [`MOST_NESTED`] (see [`in_order`]): read-only ones are taken for the
    /// snapshots of another program. One below a subvolume that is left out is left out too.
    ///
    /// # Errors
    /// As for [`subvolume::all`]: the kernel lists subvolumes for root alone. With `include`, also if one that exists cannot be
    /// opened.
    pub(crate) fn find(
        source: BorrowedFd<'_>,
        folder: Option<BorrowedFd<'_>>,
        include: bool,
        earlier: EarlierRuns<'_>,
    ) -> Result<Self, Fault> {
        let snapshots = folder.map(|folder| Ok((subvolume::info(folder)?.id, file::stat(folder)?.ino))).transpose()?;
        let info = subvolume::info(source)?;
        let (root, uuid) = (info.id, Identity(info.uuid));
        let folder = folder.map(subvolume::info).transpose()?.map(|info| info.id).filter(|id| *id != root);
        let all = subvolume::all(source)?;
        let nested = below(root, uuid, folder, &all);
        let writable = if include { writable(root, &all) } else { BTreeSet::new() };
        let mut found = Self { left_out: LeftOut { include, ..LeftOut::default() }, ..Self::default() };
        let mut placed = Vec::new();
        for one in all.iter().filter(|one| nested.contains_key(&one.id)) {
            let place = one.place.as_ref().map(|place| path(source, root, place, &nested)).transpose()?.flatten();
            placed.extend(place.map(|path| (path, one)));
        }
        placed.sort_unstable_by(|(path, _), (other, _)| path.cmp(other));
        if include {
            found.existing = placed.iter().map(|(path, _)| path.clone()).collect();
            let ranks = ranks(&all, &nested, |one| earlier.have(one, snapshots));
            placed = in_order(placed, &ranks);
        }
        let mut left_out = Vec::new();
        for (path, one) in placed {
            let is_writable = writable.contains(&one.id);
            let is_wanted = is_writable && found.included.len() < MOST_NESTED;
            if is_writable && !is_wanted {
                found.left_out.over_limit = found.left_out.over_limit.saturating_add(1);
            }
            match if is_wanted { open(source, &path, one)? } else { None } {
                Some(one) => found.included.push(one),
                None => left_out.push(path),
            }
        }
        found.included.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        left_out.sort_unstable();
        left_out.into_iter().for_each(|path| found.left_out.add(path));
        Ok(found)
    }
}

impl EarlierRuns<'_> {
    /// Whether a subvolume is a snapshot that one of them made of a subvolume below the source. `folder` is the subvolume and the
    /// inode of the folder for snapshots, where only root gives names.
    fn have(&self, one: &Subvolume, folder: Option<(u64, u64)>) -> bool {
        let is_named = |place: &RootRef| {
            folder == Some((place.parent_id, place.dir_id)) && run_of_nested(self.backup, &place.name).is_some()
        };
        one.item.read_only
            && (self.known.contains(&Identity(one.item.uuid)) || one.place.as_ref().is_some_and(is_named))
    }
}

impl NestedSubvolume {
    /// Whether it was deleted.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(subvolume::info(&self.fd), Err(Fault { errno: Errno::ENOENT, .. }))
    }
}

impl LeftOut {
    /// Counts one more, and names it if it is one of the first.
    pub(super) fn add(&mut self, mut path: Vec<u8>) {
        self.count = self.count.saturating_add(1);
        if self.paths.len() < MOST_NAMED {
            path.truncate(LONGEST_NAMED);
            self.paths.push(NestedPath(path));
            self.paths.sort();
        }
    }

    /// Those below `source` that a backup leaves out; `include` is whether it includes the writable ones.
    ///
    /// # Errors
    /// As for [`subvolume::all`]: the kernel lists subvolumes for root alone.
    pub fn find(source: BorrowedFd<'_>, folder: Option<BorrowedFd<'_>>, include: bool) -> Result<Self, Fault> {
        NestedSubvolumes::find(source, folder, include, EarlierRuns::default()).map(|found| found.left_out)
    }

    /// Says what is left out; with the paths, which not all users may see. None if it is nothing.
    #[must_use]
    pub fn sentence(&self, with_paths: bool) -> Option<String> {
        let (which, verb) = match self.count {
            0 => return None,
            1 => (counted(1), "is"),
            count => (counted(count), "are"),
        };
        let next = if self.over_limit > 0 {
            format!(
                "{} of them because a backup includes up to {MOST_NESTED}; the newest snapshots of those that earlier runs had are \
                 kept; to back up the others, make each the source of a backup of its own",
                self.over_limit
            )
        } else if self.include {
            format!(
                "read-only subvolumes, active swapfiles and more than {MOST_NESTED} are not included: to back them up, make each \
                 the source of a backup of its own"
            )
        } else {
            "to back them up, set nested = \"include\", or make each the source of a backup of its own".to_owned()
        };
        if !with_paths || self.paths.is_empty() {
            return Some(format!("{which} {verb} left out (butterdock backups --dry-run names them); {next}"));
        }
        let names: Vec<String> = self
            .paths
            .iter()
            .map(|NestedPath(path)| String::from_utf8_lossy(path).escape_debug().to_string())
            .collect();
        let more = self.count.saturating_sub(names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("{which} {verb} left out ({}{more}); {next}", names.join(", ")))
    }
}

/// Says how many subvolumes below the source are part of a run; for `full` of them everything is sent.
#[must_use]
pub fn nested_in_run(count: u64, full: u64) -> String {
    let full = match full {
        0 => String::new(),
        full if full == count => ", in full".to_owned(),
        full => format!(", {full} of them in full"),
    };
    format!("with {}{full}", counted(count))
}

/// Says how many subvolumes below the source were restored; `missing` of them have no place in the restored one.
#[must_use]
pub fn nested_restored(count: u64, missing: u64) -> String {
    if missing == 0 {
        return format!("with {} in place", counted(count));
    }
    format!(
        "{missing} of {} could not be put in place, because a directory of the path is missing, or a file has the name; butterdock \
         snapshots --drive lists their snapshots, and each can be restored by itself",
        counted(count)
    )
}

fn counted(count: u64) -> String {
    if count == 1 { "1 subvolume below the source".to_owned() } else { format!("{count} subvolumes below the source") }
}

/// Opens a subvolume at a path from the root of the source. `None` if it is not there: it was deleted or moved, another filesystem
/// is mounted over it, or its path is too long for a record.
///
/// # Errors
/// All others: a subvolume that exists is not left out because it cannot be opened.
fn open(source: BorrowedFd<'_>, path: &[u8], one: &Subvolume) -> Result<Option<NestedSubvolume>, Fault> {
    if path.len() > LONGEST_NESTED {
        return Ok(None);
    }
    let Ok(at) = CString::new(path) else { return Ok(None) };
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let fd = match file::open_beneath_same_mount(source, &at, how) {
        Ok(fd) => fd,
        // Something is mounted on the path. It may be the subvolume itself; an error of another filesystem means nothing.
        Err(Fault { errno: Errno::EXDEV, .. }) => {
            let opened = file::open_beneath(source, &at, how, Mode::empty()).ok();
            let is_it = |fd: &OwnedFd| subvolume::info(fd).is_ok_and(|info| info.id == one.id);
            let Some(fd) = opened.filter(is_it) else { return Ok(None) };
            fd
        }
        Err(fault) if is_elsewhere(fault) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let info = match subvolume::info(&fd) {
        Err(fault) if is_elsewhere(fault) => return Ok(None),
        info => info?,
    };
    if info.id != one.id || info.uuid != one.item.uuid || !subvolume::is_root(&file::stat(&fd)?) {
        return Ok(None);
    }
    let (path, parent_uuid) = (NestedPath(path.to_vec()), Identity(info.parent_uuid));
    Ok(Identity(info.uuid).known().map(|uuid| NestedSubvolume { path, fd, uuid, parent_uuid }))
}

/// Whether an error means that the subvolume was deleted, or moved away from the path.
fn is_elsewhere(fault: Fault) -> bool {
    matches!(fault.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
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
        // A longer one is only named.
        if at.parent_id == root || path.len() > LONGEST_NESTED {
            return Ok(Some(path));
        }
        let Some(above) = nested.get(&at.parent_id) else { return Ok(None) };
        at = above;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_count_the_subvolumes_of_a_run() {
        assert_eq!(nested_in_run(1, 0), "with 1 subvolume below the source");
        assert_eq!(nested_in_run(3, 2), "with 3 subvolumes below the source, 2 of them in full");
        assert_eq!(nested_in_run(3, 3), "with 3 subvolumes below the source, in full");
        assert_eq!(nested_restored(3, 0), "with 3 subvolumes below the source in place");
        assert!(
            nested_restored(3, 1).starts_with("1 of 3 subvolumes below the source could not be put in place, because")
        );
    }

    #[test]
    fn what_is_left_out_is_counted_and_named() {
        assert_eq!(LeftOut::default().sentence(true), None);
        let paths = vec![NestedPath(b"docker".to_vec()), NestedPath(b"sub/de\nep".to_vec())];
        let two = LeftOut { count: 2, paths: paths.clone(), ..LeftOut::default() };
        let text = two.sentence(true).expect("a sentence");
        assert!(text.starts_with("2 subvolumes below the source are left out (docker, sub/de\\nep); "), "{text}");
        let public = LeftOut { include: true, ..two }.sentence(false).expect("a sentence");
        assert!(!public.contains("docker") && public.contains("--dry-run"), "{public}");
        assert!(text.contains("nested = \"include\"") && public.contains("read-only subvolumes"), "{text} {public}");
        let many = LeftOut { count: 5, paths, include: true, over_limit: 3 }.sentence(true).expect("a sentence");
        assert!(
            many.contains("and 3 more") && many.contains("3 of them because a backup includes up to 100"),
            "{many}"
        );
    }
}
