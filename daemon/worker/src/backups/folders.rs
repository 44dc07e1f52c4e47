//! The folders of snapshots, anywhere on their filesystem, and what lies beside the snapshots there: the records of what was
//! received, and the holds.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, roots, subvolume};
use butterdock_receive::{Cause, Error, Hold, HoldLock, Holds};

use super::drive::{path_below, place_of};
use super::name;
use super::owner::recorded;
use super::snapshot::{Identity, Snapshot};

/// The largest number of folders that are open at the same time.
const OPEN: usize = 64;

/// The folders below the top of a filesystem.
pub(super) struct Folders<'r> {
    root: BorrowedFd<'r>,
    open: HashMap<Vec<u8>, Option<OpenFolder>>,
}

struct OpenFolder {
    fd: OwnedFd,
    /// None if they cannot be read: then each snapshot counts as held.
    holds: Option<Holds>,
}

impl<'r> Folders<'r> {
    /// Below this top; no folder is open yet.
    pub(super) fn below(root: BorrowedFd<'r>) -> Self {
        Self { root, open: HashMap::new() }
    }

    /// Looks up the name, the origin and the hold of a snapshot with this path. A snapshot without a record has no origin.
    pub(super) fn look_up(&mut self, path: &[u8], snapshot: &mut Snapshot) {
        let (folder, name) = split(path);
        snapshot.name = Some(name.to_vec());
        if let Some(open) = self.folder(folder) {
            snapshot.origin = recorded(open.fd.as_fd(), &snapshot.state()).and_then(|record| record.origin);
            snapshot.held = open.hold(snapshot.uuid);
        }
    }

    /// The hold of the snapshot with this id and uuid, wherever its folder is now. If that cannot be found out, it counts as held.
    pub(super) fn hold_of(&mut self, id: u64, uuid: Identity) -> Option<Hold> {
        let path = place_of(self.root).and_then(|place| path_below(self.root, &place, id)).ok().flatten();
        let folder = path.as_deref().and_then(|path| self.folder(split(path).0));
        folder.map_or_else(|| Some(Hold::unknown()), |open| open.hold(uuid))
    }

    /// Deletes the snapshot with this id and uuid under the lock of the holds in its folder, unless it is held. Returns whether it is
    /// gone; false if it is held.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(super) fn destroy(&mut self, place: BorrowedFd<'_>, id: u64, uuid: Identity) -> Result<bool, Fault> {
        let path = place_of(self.root).and_then(|at| path_below(self.root, &at, id)).ok().flatten();
        let folder = path.as_deref().and_then(|path| open_folder(self.root, split(path).0).ok());
        // Without a staging directory no snapshot there is held. Where it is not root's alone, each counts as held.
        let lock = folder.as_ref().map(|folder| HoldLock::take_existing(folder.as_fd()));
        // A folder that is open already may have got its first hold since.
        self.open.clear();
        let is_held = self.hold_of(id, uuid).is_some();
        let destroyed = if is_held { Ok(false) } else { subvolume::destroy_by_id(place, id).map(|()| true) };
        drop(lock);
        destroyed
    }

    fn folder(&mut self, path: &[u8]) -> Option<&OpenFolder> {
        if self.open.len() >= OPEN && !self.open.contains_key(path) {
            self.open.clear();
        }
        let root = self.root;
        self.open.entry(path.to_vec()).or_insert_with(|| OpenFolder::at(root, path)).as_ref()
    }
}

impl OpenFolder {
    fn at(root: BorrowedFd<'_>, path: &[u8]) -> Option<Self> {
        let fd = open_folder(root, path).ok()?;
        let holds = Holds::of(fd.as_fd()).ok();
        Some(Self { fd, holds })
    }

    fn hold(&self, uuid: Identity) -> Option<Hold> {
        let held = self.holds.as_ref().and_then(|holds| holds.get(uuid.0).ok());
        held.unwrap_or(Some(Hold::unknown()))
    }
}

/// Opens the folder at this path from the top.
pub(super) fn open_folder(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Fault> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let path = CString::new(path).map_err(|_nul| Fault { call: "openat2", errno: Errno::EINVAL })?;
    file::open_beneath(root, &path, flags, Mode::empty())
}

/// The path of the folder of a snapshot, and the name there.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at.saturating_add(1)..).unwrap_or_default()),
        None => (&b"."[..], path),
    }
}

/// Looks up the holds of the snapshots in an open folder.
///
/// # Errors
/// It is not known which snapshots are held: then none may be deleted.
pub(super) fn look_up_holds(folder: BorrowedFd<'_>, snapshots: &mut [Snapshot]) -> Result<(), Fault> {
    let holds = Holds::of(folder).map_err(|error| fault_of(&error))?;
    for snapshot in snapshots.iter_mut().filter(|snapshot| snapshot.name.is_some() && !snapshot.former) {
        snapshot.held = holds.get(snapshot.uuid.0).map_err(|error| fault_of(&error))?;
    }
    Ok(())
}

/// Looks up the holds of the snapshots in former folders; `top` is the top of the filesystem. Without it they count as held.
pub(super) fn look_up_former_holds(top: Option<BorrowedFd<'_>>, snapshots: &mut [Snapshot]) {
    let mut folders = top.map(Folders::below);
    for snapshot in snapshots.iter_mut().filter(|snapshot| snapshot.former) {
        match &mut folders {
            Some(folders) => snapshot.held = folders.hold_of(snapshot.id, snapshot.uuid),
            None => snapshot.held = Some(Hold::unknown()),
        }
    }
}

/// Holds the snapshot with this uuid, anywhere below `root`, the top of a filesystem or a directory; without a hold it is released. Returns whether
/// there is such a snapshot.
///
/// # Errors
/// The hold cannot be written: nothing has changed.
pub fn set_hold(root: BorrowedFd<'_>, uuid: Identity, hold: Option<&Hold>) -> Result<bool, Fault> {
    let place = place_of(root)?;
    for id in roots::subvolumes_by_uuid(root, uuid.0)? {
        let Some(item) = roots::root_item(root, id)? else { continue };
        let Some(path) = path_below(root, &place, id)? else { continue };
        let is_hidden = path.split(|&byte| byte == b'/').any(|part| name::hidden(part).is_some());
        if !item.read_only || item.refs == 0 || is_hidden {
            continue;
        }
        let folder = open_folder(root, split(&path).0)?;
        let Some(hold) = hold else {
            Hold::remove(folder.as_fd(), uuid.0).map_err(|error| fault_of(&error))?;
            return Ok(true);
        };
        let _lock = HoldLock::take(folder.as_fd()).map_err(|error| fault_of(&error))?;
        // It may have been deleted before the lock was free. Its item has references until the next commit, but it has no place.
        if path_below(root, &place, id)?.is_none_or(|now| now != path) {
            continue;
        }
        hold.write(folder.as_fd(), uuid.0).map_err(|error| fault_of(&error))?;
        return Ok(true);
    }
    Ok(false)
}

/// Deletes a snapshot in an open folder that can be written to, under the lock of the holds there, unless it is held. Returns whether
/// it is gone; false if it is held.
///
/// # Errors
/// It is not known whether it is held, or the kernel refuses it.
pub(super) fn destroy_in(folder: BorrowedFd<'_>, id: u64, uuid: Identity) -> Result<bool, Fault> {
    // Where the lock cannot be made, for example on a full filesystem, no hold can be written either.
    let lock = HoldLock::take(folder);
    let hold = Holds::of(folder).and_then(|holds| holds.get(uuid.0)).map_err(|error| fault_of(&error))?;
    let destroyed = if hold.is_some() { Ok(false) } else { subvolume::destroy_by_id(folder, id).map(|()| true) };
    drop(lock);
    destroyed
}

/// The failed call behind an error of the engine; a staging directory that is not root's is `EPERM`.
fn fault_of(error: &Error) -> Fault {
    if let Cause::Call { fault, .. } = error.cause {
        return fault;
    }
    Fault { call: "openat2", errno: Errno::EPERM }
}
