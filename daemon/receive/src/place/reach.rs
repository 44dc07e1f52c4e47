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
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use butterdock_btrfs::file::{self, OFlag};
use butterdock_btrfs::mounts::{self, Mount};
use butterdock_btrfs::{Errno, Error as Fault, roots, subvolume};

use super::staging::is_roots_alone;
use crate::options::Publication;

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
}
