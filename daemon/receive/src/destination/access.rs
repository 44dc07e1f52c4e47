//! Whether another user can reach a destination.
//!
//! A directory is closed when it belongs to root and has no permission for group and others (with an ACL, the group bits
//! limit all entries). Only root can enter what is below it, on every path through it:
//!
//! * If the destination itself is closed, no other path leads in.
//! * A directory above it closes those mounts of the filesystem in which it lies on the path from the mount's root to the
//!   destination.
//! * A directory above a mount point closes that mount. /run/butterdock closes the drives that the service mounts.
//!
//! So all mounts of the filesystem that hold the destination must be closed: in this mount namespace, and in those of all
//! processes. Most of the others are copies of this one, made for a service; a mount there with the same root and the same
//! mount point counts as the same. Two cases are not seen: a mount namespace without a process, and a process that had a
//! directory below open when root closed the one above. An administrator who wants to be sure closes the destination
//! itself.
//!
//! If a fact cannot be found out, the destination counts as reachable: that costs time and opens nothing.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::mounts::{self, Mount};
use butterdock_btrfs::{Errno, Error as Fault, roots, subvolume};

use super::staging::is_roots_alone;
use crate::options::Publication;

/// The write permissions of the group and of others, and the bit that keeps them from each other's names.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// More directories above each other than a path can name.
const DEEPEST: usize = 4096;

impl Publication {
    /// How to publish in `destination`: by renaming where root alone can reach it. To be asked while the process sees the
    /// mounts and the directories above, so before it is confined.
    #[must_use]
    pub fn of(destination: BorrowedFd<'_>) -> Self {
        if can_others_reach(destination) { Self::Snapshot } else { Self::Rename }
    }
}

/// Whether another user than root can reach this directory, which is on btrfs.
#[must_use]
pub fn can_others_reach(destination: BorrowedFd<'_>) -> bool {
    match is_closed(destination) {
        Ok(true) => false,
        Ok(false) => !all_ways_are_closed(destination).unwrap_or(false),
        Err(_) => true,
    }
}

fn is_closed(directory: BorrowedFd<'_>) -> Result<bool, Fault> {
    file::stat(directory).map(|stat| is_roots_alone(&stat))
}

/// A directory on the way up.
#[derive(Debug, Clone, Copy)]
struct Step {
    closed: bool,
    /// The mount through which it was opened.
    mount: u64,
}

fn all_ways_are_closed(destination: BorrowedFd<'_>) -> io::Result<bool> {
    let way = way_up(destination.try_clone_to_owned()?)?;
    let Some(own) = way.first().map(|step| step.mount) else { return Ok(false) };
    let table = fs::read("/proc/thread-self/mountinfo")?;
    let mounts = mounts::parse(&table);
    let Some(mount) = mounts.iter().find(|mount| mount.id == own) else { return Ok(false) };
    let path = path_from_top(destination)?;
    let within: Vec<Step> = way.iter().copied().take_while(|step| step.mount == own).collect();
    let is_open = |other: &&Mount| {
        other.filesystem == mount.filesystem
            && depth_below(&path, &other.root).is_some_and(|depth| !within.iter().take(depth).any(|step| step.closed))
    };
    let mut closed = HashSet::new();
    for other in mounts.iter().filter(is_open) {
        let above = if other.id == own { way.clone() } else { way_up(open(&other.mount_point)?)? };
        // Another mount may cover it: then what is above is not known.
        if above.first().map(|step| step.mount) != Some(other.id) {
            return Ok(false);
        }
        if !above.iter().any(|step| step.mount != other.id && step.closed) {
            return Ok(false);
        }
        closed.insert((&other.root, &other.mount_point));
    }
    for theirs in other_tables(&table)? {
        let theirs = mounts::parse(&theirs);
        if theirs.iter().filter(is_open).any(|other| !closed.contains(&(&other.root, &other.mount_point))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The directory and all above it, up to the root directory of this process.
fn way_up(directory: OwnedFd) -> io::Result<Vec<Step>> {
    let (mut at, mut way, mut last) = (directory, Vec::new(), None);
    for _ in 0..DEEPEST {
        let stat = file::stat(&at).map_err(to_io)?;
        let mount = mounts::id_of(&at).map_err(to_io)?.ok_or(io::ErrorKind::Unsupported)?;
        let here = Some((stat.dev, stat.ino, mount));
        if here == last {
            return Ok(way);
        }
        last = here;
        way.push(Step { closed: is_roots_alone(&stat), mount });
        at = mounts::above(&at).map_err(to_io)?;
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The path of a directory from the top of its filesystem, in the form of the roots of mounts in mountinfo.
fn path_from_top(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let id = subvolume::info(directory).map_err(to_io)?.id;
    let subvolume = roots::path_of(directory, id).map_err(to_io)?.ok_or(io::ErrorKind::NotFound)?;
    let number = file::stat(directory).map_err(to_io)?.ino;
    let within = match number {
        subvolume::ROOT_INODE => Vec::new(),
        number => roots::path_within(directory, 0, number).map_err(to_io)?.ok_or(io::ErrorKind::NotFound)?,
    };
    let parts = [&subvolume, &within].into_iter().flat_map(|path| parts(path));
    Ok(parts.map(<[u8]>::to_vec).collect())
}

/// How many directories there are from the one with this path up to the `root` of a mount, both counted; none where it is not
/// below that.
fn depth_below(path: &[Vec<u8>], root: &[u8]) -> Option<usize> {
    let mut left = path.iter();
    for part in parts(root) {
        if left.next().is_none_or(|name| name != part) {
            return None;
        }
    }
    left.len().checked_add(1)
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

fn open(mount_point: &[u8]) -> io::Result<OwnedFd> {
    let path = std::path::Path::new(OsStr::from_bytes(mount_point));
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    fs::File::options().read(true).custom_flags(flags.bits()).open(path).map(OwnedFd::from)
}

/// The mount tables of other processes that are not as `own`, each once.
fn other_tables(own: &[u8]) -> io::Result<HashSet<Vec<u8>>> {
    let mut tables = HashSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        if !entry.file_name().as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        match fs::read(entry.path().join("mountinfo")) {
            Ok(table) if table == own => {}
            Ok(table) => drop(tables.insert(table)),
            // It has ended, or is about to.
            Err(error) if matches!(error.raw_os_error(), Some(ESRCH | EINVAL | ENOENT)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tables)
}

const ENOENT: i32 = Errno::ENOENT as i32;
const ESRCH: i32 = Errno::ESRCH as i32;
const EINVAL: i32 = Errno::EINVAL as i32;

fn to_io(fault: Fault) -> io::Error {
    io::Error::from_raw_os_error(fault.errno as i32)
}

/// Whether root alone can have made what lies at `path` below `top`, the top of a filesystem that `mounted` is on too.
pub(super) fn is_reserved(top: BorrowedFd<'_>, path: &[u8], mounted: BorrowedFd<'_>) -> Result<bool, Fault> {
    let (Some(root), Some(parent)) = (look(top, path)?, look(top, parent_of(path))?) else { return Ok(false) };
    if root.uid == 0 && is_roots_to_change(&parent) {
        return Ok(true);
    }
    let Some(depth) = deepest_closed(top, path)? else { return Ok(false) };
    Ok(mounts_of(mounted).is_some_and(|mounts| !mounts.iter().any(|mount| bypasses(&mount.root, depth, path))))
}

/// A path below the top, as the kernel takes it; the empty one is the top itself.
pub(super) fn c_path(path: &[u8]) -> Option<CString> {
    CString::new(if path.is_empty() { b"." } else { path }).ok()
}

/// The directory that holds what is at `path`.
fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').and_then(|slash| path.get(..slash)).unwrap_or_default()
}

/// Whether no other user can take what is root's out of a directory.
fn is_roots_to_change(directory: &Stat) -> bool {
    directory.uid == 0 && (directory.mode & OTHERS_WRITE == 0 || directory.mode & STICKY != 0)
}

/// How many parts of `path` lie above or are the deepest directory above it that is closed to others: 0 is the top itself.
fn deepest_closed(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<usize>, Fault> {
    let (mut depth, mut at) = (parts(path).count(), path);
    while depth > 0 {
        depth = depth.saturating_sub(1);
        at = parent_of(at);
        if look(top, at)?.is_some_and(|stat| is_roots_alone(&stat)) {
            return Ok(Some(depth));
        }
    }
    Ok(None)
}

fn look(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Stat>, Fault> {
    let Some(path) = c_path(path) else { return Ok(None) };
    let fd = file::open_beneath(top, &path, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
    file::stat(fd).map(Some)
}

/// All mounts of the filesystem that `mounted` is on; none where they cannot be read.
fn mounts_of(mounted: BorrowedFd<'_>) -> Option<Vec<Mount>> {
    let own = mounts::id_of(mounted).ok().flatten()?;
    let mut mounts = mounts::parse(&fs::read("/proc/self/mountinfo").ok()?);
    let filesystem = mounts.iter().find(|mount| mount.id == own)?.filesystem.clone();
    mounts.retain(|mount| mount.filesystem == filesystem);
    Some(mounts)
}

/// Whether a mount with this root reaches what is at `path` without passing its first `depth` parts.
fn bypasses(root: &[u8], depth: usize, path: &[u8]) -> bool {
    let count = parts(root).count();
    count > depth && parts(root).zip(parts(path)).all(|(one, other)| one == other)
}

/// Subvolumes that are received, or lie in a staging directory, are nothing to build on.
pub(super) fn is_hidden(path: &[u8], hidden: &[u8], staging: &[u8]) -> bool {
    parts(path).any(|part| part == staging) || parts(path).last().is_some_and(|name| name.starts_with(hidden))
}

/// Opens the directory that holds the subvolume at `path`.
pub(super) fn open_parent(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Fault> {
    let Some(path) = c_path(parent_of(path)) else { return Ok(None) };
    file::open_beneath(top, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_with_mount_roots_by_components() {
        let path: Vec<Vec<u8>> = parts(b"@/root/snapshots").map(<[u8]>::to_vec).collect();
        for (root, depth) in [
            (&b"/"[..], Some(4)),
            (b"/@", Some(3)),
            (b"/@/root", Some(2)),
            (b"/@/root/snapshots", Some(1)),
            (b"/@/root/snapshots/x", None),
            (b"/@/ro", None),
            (b"/home", None),
        ] {
            assert_eq!(depth_below(&path, root), depth, "{}", root.escape_ascii());
        }
    }

    #[test]
    fn the_directory_above_is_found_by_name() {
        for (path, parent) in [(&b"a/b/c"[..], &b"a/b"[..]), (b"a", b""), (b"", b"")] {
            assert_eq!(parent_of(path), parent);
        }
    }

    #[test]
    fn a_mount_below_the_closed_directory_leads_around_it() {
        // "a" is the top's, "a/closed" is closed, of two parts.
        for (root, around) in [
            (&b"/"[..], false),
            (b"/a", false),
            (b"/a/closed", false),
            (b"/a/closed/b", true),
            (b"/a/closed/b/c", true),
            (b"/a/closed/b/c/inside", true),
            (b"/a/closed/other", false),
        ] {
            assert_eq!(bypasses(root, 2, b"a/closed/b/c"), around, "{}", root.escape_ascii());
        }
    }

    #[test]
    fn where_others_may_rename_a_record_does_not_stay() {
        let directory = |uid, mode| is_roots_to_change(&Stat { uid, mode, ..stat() });
        assert!(directory(0, 0o755) && directory(0, 0o1777) && directory(0, 0o700));
        assert!(!directory(0, 0o777) && !directory(0, 0o775) && !directory(1000, 0o755) && !directory(1000, 0o1755));
    }

    fn stat() -> Stat {
        Stat {
            dev: 0,
            ino: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            nlink: 0,
            blocks: 0,
            rdev: 0,
            atime: (0, 0),
            mtime: (0, 0),
        }
    }

    #[test]
    fn what_is_being_received_is_hidden() {
        let hidden = |path: &[u8]| is_hidden(path, b".butterdock-", b".butterdock-staging");
        assert!(hidden(b"a/.butterdock-0") && hidden(b".butterdock-staging/x") && hidden(b"a/.butterdock-staging/b/x"));
        assert!(!hidden(b"a/b") && !hidden(b".butterdock/b"));
    }
}
