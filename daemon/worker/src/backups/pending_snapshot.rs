//! The snapshot that is being sent.
//!
//! It has a hidden name until the drive has all of it; then it gets its final name. So a visible snapshot is one that a
//! drive has. A killed worker leaves a hidden name whose lock is free.
//!
//! The lock is on the name, not on the folder or the snapshot: other users, such as the source's owner, may be able to open
//! those, and a user who can open a directory can lock it and keep the lock. A private directory beside the snapshot stands
//! for its name, from before the snapshot exists until it is published, kept or deleted. Only the process that holds it
//! creates, publishes and sweeps that name.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem, names, subvolume};
use butterdock_receive::ErrorKind;

use super::error::BackupError;
use super::name;
use super::snapshot::Identity;
use super::snapshot::Snapshot;
use super::source::Source;

/// Up to this many later seconds are tried for a free name.
const SECONDS: i64 = 3600;

/// A new snapshot of the source. Dropped before it is kept, it is deleted.
#[derive(Debug)]
pub(crate) struct PendingSnapshot<'f> {
    folder: BorrowedFd<'f>,
    /// Its root.
    fd: OwnedFd,
    name: CString,
    /// The lock on its name. It is released last.
    _held: LockDirectory<'f>,
    visible: AtomicBool,
    kept: AtomicBool,
    pub snapshot: Snapshot,
}

impl<'f> PendingSnapshot<'f> {
    /// Makes a snapshot under a hidden name. `taken` are names that it must not get: those on the drive.
    pub(crate) fn make(
        folder: BorrowedFd<'f>,
        source: &Source<'_>,
        backup: &[u8],
        now: i64,
        taken: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, BackupError> {
        let making = BackupError::source("make a snapshot");
        let (held, name) = free(folder, backup, now, taken)?;
        let hidden = c_name(name::hide(&name))?;
        subvolume::snapshot(folder, &hidden, source.fd, true).map_err(&making)?;
        let unmade = |fault| {
            // One that stays has a hidden name: the next backup sweeps it.
            best_effort(subvolume::destroy(folder, &hidden));
            making(fault)
        };
        let (fd, snapshot) = open(folder, &hidden, &name).map_err(unmade)?;
        let (name, visible) = (c_name(name)?, AtomicBool::new(false));
        Ok(Self { folder, fd, name, _held: held, visible, kept: AtomicBool::new(false), snapshot })
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
    pub(crate) fn show(&self) -> Result<(), BackupError> {
        if self.visible.load(Ordering::Acquire) {
            return Ok(());
        }
        let naming = BackupError::source("give the snapshot its name");
        let hidden = c_name(name::hide(self.name()))?;
        names::rename_noreplace(self.folder, &hidden, self.folder, &self.name).map_err(&naming)?;
        self.visible.store(true, Ordering::Release);
        filesystem::sync(self.folder).map_err(naming)
    }

    /// It stays, whatever goes wrong from now on: the drive has it.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }
}

impl Drop for PendingSnapshot<'_> {
    /// Where this fails, the next backup sweeps hidden names, and prunes visible ones.
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            best_effort(subvolume::destroy_by_id(self.folder, self.snapshot.id));
        }
    }
}

/// Deletes what killed workers left hidden of this backup of this source.
pub(super) fn sweep(folder: BorrowedFd<'_>, source: &Source<'_>, backup: &[u8]) -> Result<(), BackupError> {
    let sweeping = BackupError::source("sweep the folder for snapshots");
    let left = |name: &CStr| name_of(backup, name.to_bytes()).is_some();
    for left in names::entries_where(folder, left).map_err(&sweeping)? {
        let Some(name) = name_of(backup, left.to_bytes()) else { continue };
        // One that cannot be held, opened or deleted is no reason not to back up.
        if let Ok(Some(held)) = hold(folder, name) {
            best_effort(sweep_one(folder, source, name));
            drop(held);
        }
    }
    Ok(())
}

/// The name that something hidden gets, or that is held by it, if it is one of this backup.
fn name_of<'n>(backup: &[u8], left: &'n [u8]) -> Option<&'n [u8]> {
    name::hidden(left).or_else(|| name::claimed(left)).filter(|name| name::parse(backup, name).is_some())
}

/// Holds a name that may be in use, and may have been left.
fn hold<'f>(folder: BorrowedFd<'f>, name: &[u8]) -> Result<Option<LockDirectory<'f>>, Fault> {
    let claim = fault_name(name::claim(name))?;
    match LockDirectory::create(folder, &claim)? {
        None => LockDirectory::take(folder, &claim),
        held => Ok(held),
    }
}

fn sweep_one(folder: BorrowedFd<'_>, source: &Source<'_>, name: &[u8]) -> Result<(), Fault> {
    let (_fd, snapshot) = open(folder, &fault_name(name::hide(name))?, name)?;
    if snapshot.parent_uuid == source.origin.uuid {
        subvolume::destroy_by_id(folder, snapshot.id)?;
    }
    Ok(())
}

/// Holds the name of this second, or the first one after it that is free: two drives may be backed up to in one second.
fn free<'f>(
    folder: BorrowedFd<'f>,
    backup: &[u8],
    now: i64,
    taken: impl Fn(&[u8]) -> bool,
) -> Result<(LockDirectory<'f>, Vec<u8>), BackupError> {
    for name in (now..now.saturating_add(SECONDS)).map(|time| name::make(backup, time)).filter(|name| !taken(name)) {
        let held = LockDirectory::create(folder, &c_name(name::claim(&name))?)
            .map_err(BackupError::source("make a snapshot"))?;
        // Checked while it is held: no other process can publish this name now.
        if let Some(held) = held
            && !is_there(folder, name::hide(&name))
            && !is_there(folder, name.clone())
        {
            return Ok((held, name));
        }
    }
    let text = "every name for a snapshot of this hour is taken; check the clock and the folder for snapshots";
    Err(BackupError::said(ErrorKind::Exists, text))
}

/// Whether there may be something of this name.
fn is_there(folder: BorrowedFd<'_>, name: Vec<u8>) -> bool {
    let Ok(name) = CString::new(name) else { return true };
    !matches!(file::stat_at(folder, &name), Err(Fault { errno: Errno::ENOENT, .. }))
}

/// Opens a snapshot and looks at it.
fn open(folder: BorrowedFd<'_>, at: &CStr, name: &[u8]) -> Result<(OwnedFd, Snapshot), Fault> {
    let fd = file::openat_new(folder, at, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    if !subvolume::is_root(&file::stat(&fd)?) || !subvolume::is_read_only(&fd)? {
        return Err(Fault { call: "openat", errno: Errno::EINVAL });
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

fn fault_name(name: Vec<u8>) -> Result<CString, Fault> {
    CString::new(name).map_err(|_nul| Fault { call: "openat", errno: Errno::EINVAL })
}

fn c_name(name: Vec<u8>) -> Result<CString, BackupError> {
    CString::new(name).map_err(|_nul| BackupError::said(ErrorKind::Failed, "the backup's name has a NUL; rename it"))
}
