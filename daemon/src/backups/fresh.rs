//! The snapshot that is being sent.
//!
//! It has a hidden name, and is locked, until the drive has all of it; then it gets its own. So a snapshot that can be seen is
//! one that a drive has, and what a killed worker leaves is known by its name and by its lock, which nobody holds any more.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, directory, filesystem, names, subvolume};
use butterdock_receive::ErrorKind;

use super::identity::Identity;
use super::name;
use super::snapshot::Snapshot;
use super::source::Source;
use super::trouble::Trouble;

/// The lock of the folder is waited for this many times: while another drive's job makes its snapshot, all that was written to
/// the source goes to disk.
const PATIENCE: u32 = 6000;
/// this long each time.
const PAUSE: Duration = Duration::from_millis(50);

/// A new snapshot of the source. Dropped before it is kept, it is deleted.
#[derive(Debug)]
pub(crate) struct Fresh<'f> {
    folder: BorrowedFd<'f>,
    /// Its root. The lock on it tells others that somebody works with it.
    fd: OwnedFd,
    name: CString,
    visible: AtomicBool,
    kept: bool,
    pub(crate) snapshot: Snapshot,
}

impl<'f> Fresh<'f> {
    /// Makes a snapshot under a hidden name. `taken` are names that it must not get: those on the drive.
    pub(crate) fn make(
        folder: BorrowedFd<'f>,
        source: &Source<'_>,
        backup: &[u8],
        now: i64,
        taken: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, Trouble> {
        let making = Trouble::source("make a snapshot");
        let lock = lock(folder)?;
        // Two drives may be backed up to in one second. Another's snapshot may get its name at this very moment: looked for in
        // this order, it is seen under the one or under the other.
        let is_used = |name: &[u8]| is_there(folder, name::hide(name)) || is_there(folder, name.to_vec());
        let mut free = (now..now.saturating_add(3600)).map(|time| name::make(backup, time));
        let free = free.find(|name| !is_used(name) && !taken(name));
        let name = free.ok_or_else(|| {
            let text = "every name for a snapshot of this hour is taken; check the clock and the folder for snapshots";
            Trouble::said(ErrorKind::Exists, text)
        })?;
        let hidden = c_name(name::hide(&name))?;
        subvolume::snapshot(folder, &hidden, source.fd, true).map_err(&making)?;
        let unmade = |fault| {
            subvolume::destroy(folder, &hidden).unwrap_or_default();
            making(fault)
        };
        let (fd, snapshot) = open_locked(folder, &hidden, &name).map_err(unmade)?;
        drop(lock);
        Ok(Self { folder, fd, name: c_name(name)?, visible: AtomicBool::new(false), kept: false, snapshot })
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The name that it gets.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.to_bytes()
    }

    /// Gives it its name, durably. Done already, it does nothing.
    pub(crate) fn show(&self) -> Result<(), Trouble> {
        if self.visible.load(Ordering::Acquire) {
            return Ok(());
        }
        let naming = Trouble::source("give the snapshot its name");
        let hidden = c_name(name::hide(self.name()))?;
        names::rename_noreplace(self.folder, &hidden, self.folder, &self.name).map_err(&naming)?;
        self.visible.store(true, Ordering::Release);
        filesystem::sync(self.folder).map_err(naming)
    }

    /// It stays.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Fresh<'_> {
    /// Where this fails, the next backup sweeps what has a hidden name, and thins what has not.
    fn drop(&mut self) {
        if !self.kept {
            subvolume::destroy_by_id(self.folder, self.snapshot.id).unwrap_or_default();
        }
    }
}

/// Deletes what killed workers left hidden of this backup of this source.
pub(crate) fn sweep(folder: BorrowedFd<'_>, source: &Source<'_>, backup: &[u8]) -> Result<(), Trouble> {
    let sweeping = Trouble::source("sweep the folder for snapshots");
    let guard = lock(folder)?;
    let is_one = |name: &[u8]| name::hidden(name).is_some_and(|name| name::parse(backup, name).is_some());
    for name in directory::entries_where(folder, |name| is_one(name.to_bytes())).map_err(&sweeping)? {
        // One that cannot be opened or deleted is no reason not to back up.
        let Ok((fd, snapshot)) = open_locked(folder, &name, name.to_bytes()) else { continue };
        if snapshot.parent_uuid == source.origin.uuid {
            subvolume::destroy_by_id(folder, snapshot.id).unwrap_or_default();
        }
        drop(fd);
    }
    drop(guard);
    Ok(())
}

/// Whether there may be something of this name.
fn is_there(folder: BorrowedFd<'_>, name: Vec<u8>) -> bool {
    let Ok(name) = CString::new(name) else { return true };
    !matches!(file::stat_at(folder, &name), Err(Fault { errno: Errno::ENOENT, .. }))
}

/// Opens a snapshot and takes its lock; `EWOULDBLOCK` where another holds it.
fn open_locked(folder: BorrowedFd<'_>, at: &CString, name: &[u8]) -> Result<(OwnedFd, Snapshot), Fault> {
    let fd = file::openat_new(folder, at, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    if !subvolume::is_root(&file::stat(&fd)?) || !subvolume::is_read_only(&fd)? {
        return Err(Fault { call: "openat", errno: Errno::EINVAL });
    }
    if !file::lock_exclusive(&fd)? {
        return Err(Fault { call: "flock", errno: Errno::EWOULDBLOCK });
    }
    let info = subvolume::info(&fd)?;
    let snapshot = Snapshot {
        id: info.id,
        uuid: Identity(info.uuid),
        parent_uuid: Identity(info.parent_uuid),
        received_uuid: Identity(info.received_uuid),
        ctransid: info.ctransid,
        otransid: info.otransid,
        stransid: info.stransid,
        name: Some(name.to_vec()),
        ..Snapshot::default()
    };
    Ok((fd, snapshot))
}

/// The lock of the folder, which making and sweeping need; held for moments.
fn lock(folder: BorrowedFd<'_>) -> Result<OwnedFd, Trouble> {
    let locking = Trouble::source("lock the folder for snapshots");
    // A lock belongs to an open file description: one of our own.
    let own =
        file::open_beneath(folder, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(&locking)?;
    for _ in 0..PATIENCE {
        if file::lock_exclusive(&own).map_err(&locking)? {
            return Ok(own);
        }
        sleep(PAUSE);
    }
    Err(Trouble::said(
        ErrorKind::Busy,
        "another program holds the lock of the folder for snapshots; end it (fuser -v FOLDER names it), then \
         unplug the drive and plug it in, or call butterdock backup DRIVE",
    ))
}

fn c_name(name: Vec<u8>) -> Result<CString, Trouble> {
    CString::new(name).map_err(|_nul| Trouble::said(ErrorKind::Failed, "the backup's name has a NUL; rename it"))
}
