//! Who can reach a destination, and who can have created a subvolume that has no record.
//!
//! A directory is closed if it belongs to root and has no permissions for group and others (with an ACL, the group bits limit
//! all entries). Only root can enter directories below it, on every path through it.
//!
//! **Another user can reach a destination** unless every path to it is closed:
//!
//! * If the destination itself is closed, every path is.
//! * A closed directory above it closes those mounts of the filesystem in which it lies on the path from the mount's root to
//!   the destination.
//! * A closed directory above a mount point closes that mount. /run/butterdock closes the drives that the service mounts.
//!
//! So all mounts of the filesystem that show the destination must be closed: in this mount namespace, and in those of all
//! processes. Most of the others are copies of this one, made for a service; a mount there with the same root and the same
//! mount point counts as the same. This does not detect two cases: a mount namespace without a process, and a process that
//! had opened a directory below before root closed the one above. An administrator who wants to exclude them closes the
//! destination itself. If something cannot be determined, the destination counts as reachable, which is slower and safe.
//!
//! **Only root can have created or changed a subvolume** without a record in two cases. The owner of a subvolume's root may
//! make it writable, change it and mark it, and a user who may rename in its parent directory may move the staging directory
//! with its record away. So either only root owns the one and may rename in the other, or a directory above, on the
//! filesystem, is closed on every mount that this process sees.

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

/// The write permissions of the group and of others, and the bit with which a user may rename only their own files.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
/// The limit of directories above a destination; no path has more.
const DEEPEST: usize = 4096;

impl Publication {
    /// How to publish in `destination`: by a rename if only root can reach it. The process must see the mounts and the
    /// directories above, so call this before it is confined.
    #[must_use]
    pub fn of(destination: BorrowedFd<'_>) -> Self {
        if can_others_reach(destination) { Self::Snapshot } else { Self::Rename }
    }
}

/// Whether a user other than root can reach this directory, which is on btrfs.
#[must_use]
pub fn can_others_reach(destination: BorrowedFd<'_>) -> bool {
    match is_closed(destination) {
        Ok(true) => false,
        Ok(false) => !all_paths_are_closed(destination).unwrap_or(false),
        Err(_) => true,
    }
}

fn is_closed(directory: BorrowedFd<'_>) -> Result<bool, Fault> {
    file::stat(directory).map(|stat| is_roots_alone(&stat))
}

/// The destination or a directory above it.
#[derive(Debug, Clone, Copy)]
struct Ancestor {
    closed: bool,
    /// The mount through which it was opened.
    mount: u64,
}

fn all_paths_are_closed(destination: BorrowedFd<'_>) -> io::Result<bool> {
    let ancestors = directories_above(destination.try_clone_to_owned()?)?;
    let Some(own) = ancestors.first().map(|step| step.mount) else { return Ok(false) };
    let table = fs::read("/proc/thread-self/mountinfo")?;
    let mounts = mounts::parse(&table);
    let Some(mount) = mounts.iter().find(|mount| mount.id == own) else { return Ok(false) };
    let path = path_from_top(destination)?;
    let within: Vec<Ancestor> = ancestors.iter().copied().take_while(|step| step.mount == own).collect();
    let is_open = |other: &&Mount| {
        other.filesystem == mount.filesystem
            && depth_below(&path, &other.root).is_some_and(|depth| !within.iter().take(depth).any(|step| step.closed))
    };
    let mut closed = HashSet::new();
    for other in mounts.iter().filter(is_open) {
        let above = if other.id == own { ancestors.clone() } else { directories_above(open(&other.mount_point)?)? };
        // Another mount may cover its mount point: then the directories above are not known.
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
fn directories_above(directory: OwnedFd) -> io::Result<Vec<Ancestor>> {
    let (mut at, mut ancestors, mut last) = (directory, Vec::new(), None);
    for _ in 0..DEEPEST {
        let stat = file::stat(&at).map_err(to_io)?;
        let mount = mounts::id_of(&at).map_err(to_io)?.ok_or(io::ErrorKind::Unsupported)?;
        let here = Some((stat.dev, stat.ino, mount));
        if here == last {
            return Ok(ancestors);
        }
        last = here;
        ancestors.push(Ancestor { closed: is_roots_alone(&stat), mount });
        at = mounts::above(&at).map_err(to_io)?;
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// The parts of a directory's path from the top of its filesystem, as in the root of a mount in mountinfo.
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

/// The number of directories from the one with this path up to the `root` of a mount, with both; none if it is not below that
/// root.
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

/// The mount tables of other processes that differ from `own`, each once.
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
            // The process has ended or is ending.
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

/// Whether only root can have created or changed the subvolume at `path` below `top`, the top of the filesystem of `mounted`.
pub(super) fn is_only_roots(top: BorrowedFd<'_>, path: &[u8], mounted: BorrowedFd<'_>) -> Result<bool, Fault> {
    let (Some(root), Some(parent)) = (look(top, path)?, look(top, parent_of(path))?) else { return Ok(false) };
    if root.uid == 0 && is_roots_to_change(&parent) {
        return Ok(true);
    }
    let Some(depth) = deepest_closed(top, path)? else { return Ok(false) };
    Ok(mounts_of(mounted).is_some_and(|mounts| !mounts.iter().any(|mount| bypasses(&mount.root, depth, path))))
}

/// A path below the top as a C string; the empty path is the top itself.
pub(super) fn c_path(path: &[u8]) -> Option<CString> {
    CString::new(if path.is_empty() { b"." } else { path }).ok()
}

/// The path of the directory in which `path` is.
fn parent_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').and_then(|slash| path.get(..slash)).unwrap_or_default()
}

/// Whether only root can rename or delete root's files in a directory.
fn is_roots_to_change(directory: &Stat) -> bool {
    directory.uid == 0 && (directory.mode & OTHERS_WRITE == 0 || directory.mode & STICKY != 0)
}

/// The number of parts in the path of the deepest closed directory above `path`; 0 is the top itself.
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

/// All mounts of the filesystem of `mounted`; none if they cannot be read.
fn mounts_of(mounted: BorrowedFd<'_>) -> Option<Vec<Mount>> {
    let own = mounts::id_of(mounted).ok().flatten()?;
    let mut mounts = mounts::parse(&fs::read("/proc/self/mountinfo").ok()?);
    let filesystem = mounts.iter().find(|mount| mount.id == own)?.filesystem.clone();
    mounts.retain(|mount| mount.filesystem == filesystem);
    Some(mounts)
}

/// Whether a mount with this root shows `path` without its first `depth` parts.
fn bypasses(root: &[u8], depth: usize, path: &[u8]) -> bool {
    let count = parts(root).count();
    count > depth && parts(root).zip(parts(path)).all(|(one, other)| one == other)
}

/// Whether a subvolume is being received, or lies in a staging directory, so that it cannot be a parent.
pub(super) fn is_hidden(path: &[u8], hidden: &[u8], staging: &[u8]) -> bool {
    parts(path).any(|part| part == staging) || parts(path).last().is_some_and(|name| name.starts_with(hidden))
}

/// Opens the directory in which the subvolume at `path` is.
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
    fn the_parent_directory_is_found_in_the_path() {
        for (path, parent) in [(&b"a/b/c"[..], &b"a/b"[..]), (b"a", b""), (b"", b"")] {
            assert_eq!(parent_of(path), parent);
        }
    }

    #[test]
    fn a_mount_below_a_closed_directory_bypasses_it() {
        // "a/closed", of two parts, is closed.
        for (root, bypassed) in [
            (&b"/"[..], false),
            (b"/a", false),
            (b"/a/closed", false),
            (b"/a/closed/b", true),
            (b"/a/closed/b/c", true),
            (b"/a/closed/b/c/inside", true),
            (b"/a/closed/other", false),
        ] {
            assert_eq!(bypasses(root, 2, b"a/closed/b/c"), bypassed, "{}", root.escape_ascii());
        }
    }

    #[test]
    fn a_directory_is_roots_if_others_cannot_rename_in_it() {
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
    fn a_subvolume_that_is_being_received_is_hidden() {
        let hidden = |path: &[u8]| is_hidden(path, b".butterdock-", b".butterdock-staging");
        assert!(hidden(b"a/.butterdock-0") && hidden(b".butterdock-staging/x") && hidden(b"a/.butterdock-staging/b/x"));
        assert!(!hidden(b"a/b") && !hidden(b".butterdock/b"));
    }
}
