//! Subvolumes that get a place in a received one, so that a tree of several subvolumes is whole.
//!
//! A subvolume has no other subvolume in its stream, and a snapshot of it has none either. So each is received by itself, and when the
//! outer one is complete, snapshots of the others are made at their places in it, before it is read-only. One with another below it
//! is writable until that is in its place. Then it gets its mark again.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::inode::{self, Times};
use butterdock_btrfs::roots::{self, RootRef};
use butterdock_btrfs::subvolume::{self, Received, SubvolumeInfo};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names};

use super::record::SubvolumeState;
use crate::error::{Error, doing};
use crate::name::StreamPath;

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// A read-only subvolume, and its place in the received one.
#[derive(Debug, Clone)]
pub struct NestedSubvolume {
    /// The path from the root of the received one. It may come from a stranger.
    pub path: Vec<u8>,
    /// Its root directory.
    pub root: Arc<OwnedFd>,
}

/// A snapshot in its place.
struct Placed {
    index: usize,
    root: OwnedFd,
    /// Its mark, if it is still writable.
    received: Option<Received>,
}

/// Makes a read-only snapshot of each at its place below `root`. Returns the states of the snapshots, in the order of `nested`; `None`
/// for one that has no place there: a directory of its path is missing, a file has its name, or the path leads out.
pub(super) fn place(root: BorrowedFd<'_>, nested: &[NestedSubvolume]) -> Result<Vec<Option<SubvolumeState>>, Error> {
    let placing = doing("put a subvolume in its place");
    let mut by_path: Vec<usize> = (0..nested.len()).collect();
    by_path.sort_by_key(|&index| nested.get(index).map(|one| &one.path));
    let mut placed: Vec<Placed> = Vec::new();
    for index in by_path {
        let Some(one) = nested.get(index) else { continue };
        let Ok(path) = StreamPath::new(&one.path) else { continue };
        let has_more = nested.iter().any(|other| other.path != one.path && is_below(&other.path, &one.path));
        match place_one(root, one, &path, has_more) {
            Ok((root, received)) => placed.push(Placed { index, root, received }),
            Err(fault) if has_no_place(fault) => {}
            Err(fault) => return Err(placing(fault)),
        }
    }
    let mut states = vec![None; nested.len()];
    // The inner ones first: nothing can be made in a read-only one.
    for Placed { index, root, received } in placed.iter().rev() {
        if let Some(received) = received {
            subvolume::set_received(root, received).map_err(&placing)?;
            subvolume::set_read_only(root, true).map_err(&placing)?;
        }
        let info = subvolume::info(root).map_err(&placing)?;
        if let Some(state) = states.get_mut(*index) {
            *state = Some(SubvolumeState::of_info(&info));
        }
    }
    Ok(states)
}

fn is_below(path: &[u8], other: &[u8]) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn has_no_place(fault: Fault) -> bool {
    matches!(
        fault.errno,
        Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EEXIST
            | Errno::ENOTEMPTY
            | Errno::ELOOP
            | Errno::EXDEV
            | Errno::EINVAL
            | Errno::ENAMETOOLONG
            | Errno::EPERM
            | Errno::EACCES
            | Errno::EROFS
    )
}

/// Returns the root of the snapshot, and its mark if it is writable.
fn place_one(
    root: BorrowedFd<'_>,
    one: &NestedSubvolume,
    path: &StreamPath,
    writable: bool,
) -> Result<(OwnedFd, Option<Received>), Fault> {
    let dir = file::open_beneath(root, &c_path(path.parent())?, DIRECTORY, Mode::empty())?;
    let before = file::stat(&dir)?;
    let make = || subvolume::snapshot(&dir, path.name(), &*one.root, !writable);
    match make() {
        // An empty directory is where the subvolume was.
        Err(Fault { errno: Errno::EEXIST, .. }) => {
            names::remove_dir(&dir, path.name())?;
            make()?;
        }
        made => made?,
    }
    let opened = file::openat_new(&dir, path.name(), DIRECTORY, Mode::empty())?;
    inode::set_times(&dir, Times { atime: before.atime, mtime: before.mtime })?;
    let SubvolumeInfo { received_uuid, stransid, .. } = subvolume::info(&*one.root)?;
    Ok((opened, writable.then_some(Received { uuid: received_uuid, stransid })))
}

/// Removes the empty directories that a snapshot of the subvolume `original` has in place of the subvolumes in that. The sender's
/// snapshot has none of them, so a stream may remove the directory around one, or use its name. One that cannot be removed stays: then
/// a stream that needs its name fails.
pub(super) fn remove_placeholders(root: BorrowedFd<'_>, original: u64) -> Result<(), Fault> {
    for (_, place) in roots::nested_in(root, original)? {
        best_effort(remove_placeholder(root, &place));
    }
    Ok(())
}

fn remove_placeholder(root: BorrowedFd<'_>, place: &RootRef) -> Result<(), Fault> {
    let path = roots::path_within(root, 0, place.dir_id)?.unwrap_or_default();
    let dir = file::open_beneath(root, &c_path(&path)?, DIRECTORY, Mode::empty())?;
    let before = file::stat(&dir)?;
    names::remove_dir(&dir, &c_path(&place.name)?)?;
    inode::set_times(&dir, Times { atime: before.atime, mtime: before.mtime })
}

/// Deletes a subvolume of this crate by its name, with the subvolumes that were put into it.
pub(super) fn destroy(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    match subvolume::destroy(dir, name) {
        Err(Fault { errno: Errno::ENOTEMPTY, .. }) => {}
        other => return other,
    }
    let root = file::openat_new(dir, name, DIRECTORY, Mode::empty())?;
    // Each with its path from the root, the outer ones first.
    let mut inside = vec![(subvolume::info(&root)?.id, Vec::new())];
    let mut next = 0;
    while let Some((id, path)) = inside.get(next).cloned() {
        next = next.saturating_add(1);
        let nested = roots::nested_in(&root, id)?;
        if !nested.is_empty() {
            // Nothing can be deleted in a read-only one.
            let outer = file::open_beneath(&root, &c_path(&path)?, DIRECTORY, Mode::empty())?;
            subvolume::set_read_only(&outer, false)?;
        }
        for (inner, place) in nested {
            let within = roots::path_within(&root, id, place.dir_id)?.unwrap_or_default();
            let above = if path.is_empty() { Vec::new() } else { [path.as_slice(), b"/"].concat() };
            inside.push((inner, [above, within, place.name].concat()));
        }
    }
    for (id, _) in inside.iter().skip(1).rev() {
        subvolume::destroy_by_id(&root, *id)?;
    }
    drop(root);
    subvolume::destroy(dir, name)
}

/// A path for the kernel; the empty one is the root itself.
fn c_path(path: &[u8]) -> Result<CString, Fault> {
    let path = match path.strip_suffix(b"/").unwrap_or(path) {
        [] => b".",
        path => path,
    };
    CString::new(path).map_err(|_nul| Fault { call: "openat2", errno: Errno::EINVAL })
}
