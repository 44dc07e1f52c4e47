//! Whether only root can have created or changed a subvolume that has no record.
//!
//! The owner of a subvolume's root may make it writable, change it and mark it. A user who may rename in the directory that
//! holds it may move the staging directory with its record away. So either both belong to root alone, or a directory above,
//! on the filesystem, is closed to all others on every mount that this process sees.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use butterdock_btrfs::Error as Fault;
use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::mounts::{self, Mount};

/// The write permissions of the group and of others, and the bit that keeps them from each other's names.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const OTHERS: u32 = 0o077;

/// Whether root alone can have made what lies at `path` below `top`, the top of a filesystem that `mounted` is on too.
pub(super) fn is_reserved(top: BorrowedFd<'_>, path: &[u8], mounted: BorrowedFd<'_>) -> Result<bool, Fault> {
    let (Some(root), Some(holder)) = (look(top, path)?, look(top, parent_of(path))?) else { return Ok(false) };
    if root.uid == 0 && is_roots_to_change(&holder) {
        return Ok(true);
    }
    let Some(depth) = deepest_closed(top, path)? else { return Ok(false) };
    Ok(mounts_of(mounted).is_some_and(|mounts| !mounts.iter().any(|mount| leads_around(&mount.root, depth, path))))
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
        if look(top, at)?.is_some_and(|stat| stat.uid == 0 && stat.mode & OTHERS == 0) {
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
    let mut mounts = mounts::parse(&std::fs::read("/proc/self/mountinfo").ok()?);
    let filesystem = mounts.iter().find(|mount| mount.id == own)?.filesystem.clone();
    mounts.retain(|mount| mount.filesystem == filesystem);
    Some(mounts)
}

/// Whether a mount with this root reaches what is at `path` without passing its first `depth` parts.
fn leads_around(root: &[u8], depth: usize, path: &[u8]) -> bool {
    let count = parts(root).count();
    count > depth && parts(root).zip(parts(path)).all(|(one, other)| one == other)
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
}

/// Subvolumes that are received, or lie in a staging directory, are nothing to build on.
pub(super) fn is_hidden(path: &[u8], hidden: &[u8], staging: &[u8]) -> bool {
    parts(path).any(|part| part == staging) || parts(path).last().is_some_and(|name| name.starts_with(hidden))
}

/// Opens the directory that holds the subvolume at `path`.
pub(super) fn open_holder(top: BorrowedFd<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Fault> {
    let Some(path) = c_path(parent_of(path)) else { return Ok(None) };
    file::open_beneath(top, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(leads_around(root, 2, b"a/closed/b/c"), around, "{}", root.escape_ascii());
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
