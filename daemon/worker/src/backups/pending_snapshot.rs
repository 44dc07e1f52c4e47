//! The new snapshots of a run, while they are being sent.
//!
//! They have hidden names until the drive has all of them completely; then they get their final names, the source's last. So every
//! visible run is on a drive. A killed worker leaves hidden names whose lock is free.
//!
//! The lock is on the name of the run, not on the folder or a snapshot: other users, such as the source's owner, may be able to open
//! these, and a user who can open a directory can lock it and keep the lock. So a private directory beside the snapshot is locked
//! instead, from before the snapshots are made until they are published, kept or deleted. Only the process with the lock makes,
//! publishes and sweeps the names of that run.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem, names, roots, subvolume};
use butterdock_receive::ErrorKind;

use super::error::{BackupCause, BackupError};
use super::name;
use super::nested::NestedSubvolume;
use super::snapshot::{Identity, Snapshot};
use super::source::Source;

/// The number of later seconds that are tried for a free name.
const SECONDS: i64 = 3600;

/// The new snapshots of a run, which are deleted if they are dropped before [`keep`](Self::keep); or a source that is a snapshot
/// itself, and stays.
#[derive(Debug)]
pub(crate) struct PendingRun<'f> {
    folder: BorrowedFd<'f>,
    /// That of the source.
    pub top: PendingSnapshot<'f>,
    /// Those of the subvolumes below the source.
    pub nested: Vec<PendingNested<'f>>,
    /// The lock on its name, released last; `None` if it is the source itself.
    _held: Option<LockDirectory<'f>>,
}

/// The new snapshot of a subvolume below the source.
#[derive(Debug)]
pub(crate) struct PendingNested<'f> {
    /// Which one it is, of those that were found.
    pub index: usize,
    pub pending: PendingSnapshot<'f>,
}

/// A new snapshot of one subvolume.
#[derive(Debug)]
pub(crate) struct PendingSnapshot<'f> {
    folder: BorrowedFd<'f>,
    /// Its root directory.
    fd: OwnedFd,
    name: CString,
    visible: AtomicBool,
    kept: AtomicBool,
    pub snapshot: Snapshot,
}

impl<'f> PendingRun<'f> {
    /// Makes the snapshots with hidden names. The run gets no name that is `taken` on the drive. A subvolume below the source that
    /// was deleted meanwhile, or has an active swapfile, gets no snapshot.
    pub(crate) fn make(
        folder: BorrowedFd<'f>,
        source: &Source<'_>,
        nested: &[NestedSubvolume],
        backup: &[u8],
        now: i64,
        taken: impl Fn(&[u8]) -> bool,
        swapfiles: &[Vec<u8>],
    ) -> Result<Self, BackupError> {
        let making = BackupError::source("make a snapshot");
        let (held, run) = lock_free_name(folder, backup, now, taken)?;
        if !nested.is_empty() {
            // Each snapshot first writes out what its subvolume has in memory: done before, they are made in quick succession.
            best_effort(filesystem::sync(folder));
        }
        let top = PendingSnapshot::make(folder, source.fd, run.clone())
            .map_err(|fault| if fault.errno == Errno::ETXTBSY { swapfile(swapfiles) } else { making(fault) })?;
        let mut made = Self { folder, top, nested: Vec::new(), _held: Some(held) };
        for (index, one) in nested.iter().enumerate() {
            let name = name::make_nested(&run, index.saturating_add(1), &one.path.0);
            match PendingSnapshot::make(folder, one.fd.as_fd(), name) {
                Ok(pending) => made.nested.push(PendingNested { index, pending }),
                Err(Fault { errno: Errno::ETXTBSY, .. }) => {}
                Err(_) if one.is_gone() => {}
                Err(fault) => return Err(making(fault)),
            }
        }
        Ok(made)
    }

    /// A read-only source, which is sent as it is. On the drive it gets its own name, with a time behind it if that is `taken`;
    /// the top of a filesystem, which has no name, gets that of the backup.
    pub(crate) fn of_source(
        source: &Source<'f>,
        backup: &[u8],
        now: i64,
        taken: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, BackupError> {
        let looking = BackupError::source("look at the source");
        let id = subvolume::info(source.fd).map_err(&looking)?.id;
        let own = roots::root_backref(source.fd, id).map_err(&looking)?.map_or_else(|| backup.to_vec(), |at| at.name);
        let prefix = if own.len() > name::LONGEST { backup } else { &own };
        let later = (now..now.saturating_add(SECONDS)).map(|time| name::make(prefix, time));
        let name = std::iter::once(own.clone()).chain(later).find(|name| !taken(name));
        let none = || BackupError::new(ErrorKind::Exists, "every name for the snapshot is taken on the drive");
        let name = name.ok_or_else(none)?;
        let fd = source.fd.try_clone_to_owned().map_err(|_error| {
            BackupError::new(ErrorKind::Failed, "the worker has no descriptor left; start the job again")
        })?;
        let (snapshot, name) = (read(fd.as_fd(), &name).map_err(&looking)?, c_name(name)?);
        let (visible, kept) = (AtomicBool::new(true), AtomicBool::new(true));
        let top = PendingSnapshot { folder: source.fd, fd, name, visible, kept, snapshot };
        Ok(Self { folder: source.fd, top, nested: Vec::new(), _held: None })
    }

    /// Gives the snapshots their final names, durably, that of the source last. Later calls have no effect.
    pub(crate) fn show(&self) -> Result<(), BackupError> {
        let naming = BackupError::source("give the snapshot its name");
        let nested = self.nested.iter().map(|nested| &nested.pending);
        let mut is_new = false;
        for pending in nested.chain([&self.top]) {
            is_new |= pending.show().map_err(&naming)?;
        }
        if is_new { filesystem::sync(self.folder).map_err(naming) } else { Ok(()) }
    }

    /// The drive has them: they are no longer deleted when they are dropped.
    pub(crate) fn keep(&self) {
        for pending in self.nested.iter().map(|nested| &nested.pending).chain([&self.top]) {
            pending.kept.store(true, Ordering::Release);
        }
    }
}

impl<'f> PendingSnapshot<'f> {
    /// Makes a snapshot of the subvolume whose root is `of`, with the hidden form of its name.
    fn make(folder: BorrowedFd<'f>, of: BorrowedFd<'_>, name: Vec<u8>) -> Result<Self, Fault> {
        let hidden = fault_name(name::hide(&name))?;
        subvolume::snapshot(folder, &hidden, of, true)?;
        let unmade = |fault| {
            // If it cannot be deleted, the next backup sweeps its hidden name.
            best_effort(subvolume::destroy(folder, &hidden));
            fault
        };
        let (fd, snapshot) = open(folder, &hidden, &name).map_err(unmade)?;
        let (name, visible) = (fault_name(name)?, AtomicBool::new(false));
        Ok(Self { folder, fd, name, visible, kept: AtomicBool::new(false), snapshot })
    }

    /// Its root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its final name.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.to_bytes()
    }

    /// Gives it its final name. Returns whether it was hidden.
    fn show(&self) -> Result<bool, Fault> {
        if self.visible.load(Ordering::Acquire) {
            return Ok(false);
        }
        let hidden = fault_name(name::hide(self.name()))?;
        names::rename_noreplace(self.folder, &hidden, self.folder, &self.name)?;
        self.visible.store(true, Ordering::Release);
        Ok(true)
    }
}

impl Drop for PendingSnapshot<'_> {
    /// If this fails, the next backup sweeps a hidden name, and prunes a visible one.
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            best_effort(subvolume::destroy_by_id(self.folder, self.snapshot.id));
        }
    }
}

/// The source has one of these active swapfiles.
fn swapfile(swapfiles: &[Vec<u8>]) -> BackupError {
    match swapfiles {
        [] => BackupError::because(BackupCause::Swapfile),
        [first, ..] => BackupError::about(first, BackupCause::Swapfile),
    }
}

/// Deletes the hidden snapshots of this source, and of subvolumes below it, that killed workers of this backup left.
pub(super) fn sweep(folder: BorrowedFd<'_>, source: &Source<'_>, backup: &[u8]) -> Result<(), BackupError> {
    let sweeping = BackupError::source("sweep the folder for snapshots");
    let is_leftover = |name: &CStr| run_of(backup, name.to_bytes()).is_some();
    for leftover in names::entries_where(folder, is_leftover).map_err(&sweeping)? {
        let Some(run) = run_of(backup, leftover.to_bytes()) else { continue };
        // A leftover that cannot be locked, opened or deleted does not stop the backup.
        if let Ok(Some(held)) = hold(folder, run) {
            if let Some(name) = name::hidden(leftover.to_bytes()) {
                best_effort(sweep_one(folder, source, name, name != run));
            }
            drop(held);
        }
    }
    Ok(())
}

/// The name of the run of a hidden snapshot, or the one that a directory locks, if it is a run of this backup.
fn run_of<'n>(backup: &[u8], leftover: &'n [u8]) -> Option<&'n [u8]> {
    let of_hidden = |name: &'n [u8]| name::run_of_nested(backup, name).unwrap_or(name);
    let run = name::hidden(leftover).map(of_hidden).or_else(|| name::claimed(leftover));
    run.filter(|run| name::parse(backup, run).is_some())
}

/// Locks a name; `None` if another process has the lock.
fn hold<'f>(folder: BorrowedFd<'f>, name: &[u8]) -> Result<Option<LockDirectory<'f>>, Fault> {
    let claim = fault_name(name::claim(name))?;
    match LockDirectory::create(folder, &claim)? {
        None => LockDirectory::take(folder, &claim),
        held => Ok(held),
    }
}

fn sweep_one(folder: BorrowedFd<'_>, source: &Source<'_>, name: &[u8], is_nested: bool) -> Result<(), Fault> {
    let (_fd, snapshot) = open(folder, &fault_name(name::hide(name))?, name)?;
    // Only root can give a name in the folder.
    let is_ours = if is_nested { snapshot.parent_uuid.known().is_some() } else { snapshot.parent_uuid == source.uuid };
    if is_ours {
        subvolume::destroy_by_id(folder, snapshot.id)?;
    }
    Ok(())
}

/// The first second for the name of a new snapshot: after those of the earlier ones that were dated ahead, of which one in between
/// may have been deleted. The newest snapshot has the last name.
pub(crate) fn second_of_next<'s>(backup: &[u8], now: i64, earlier: impl Iterator<Item = &'s Snapshot>) -> i64 {
    let ahead = now..now.saturating_add(SECONDS);
    let times = earlier.filter_map(|snapshot| {
        let name = snapshot.name.as_deref()?;
        name::parse(backup, name::run_of_nested(backup, name).unwrap_or(name))
    });
    times.filter(|time| ahead.contains(time)).max().map_or(now, |last| last.saturating_add(1))
}

/// Locks the name of this second, or the first free name after it: backups to two drives may begin in the same second.
fn lock_free_name<'f>(
    folder: BorrowedFd<'f>,
    backup: &[u8],
    now: i64,
    taken: impl Fn(&[u8]) -> bool,
) -> Result<(LockDirectory<'f>, Vec<u8>), BackupError> {
    for name in (now..now.saturating_add(SECONDS)).map(|time| name::make(backup, time)).filter(|name| !taken(name)) {
        let held = LockDirectory::create(folder, &c_name(name::claim(&name))?)
            .map_err(BackupError::source("make a snapshot"))?;
        // Checked with the lock: no other process can publish this name now.
        if let Some(held) = held
            && !may_exist(folder, name::hide(&name))
            && !may_exist(folder, name.clone())
        {
            return Ok((held, name));
        }
    }
    let text = "every name for a snapshot of this hour is taken; check the clock and the folder for snapshots";
    Err(BackupError::new(ErrorKind::Exists, text))
}

/// Whether something may have this name.
fn may_exist(folder: BorrowedFd<'_>, name: Vec<u8>) -> bool {
    let Ok(name) = CString::new(name) else { return true };
    !matches!(file::stat_at(folder, &name), Err(Fault { errno: Errno::ENOENT, .. }))
}

/// Opens a snapshot and reads its properties.
fn open(folder: BorrowedFd<'_>, at: &CStr, name: &[u8]) -> Result<(OwnedFd, Snapshot), Fault> {
    let fd = file::openat_new(folder, at, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    if !subvolume::is_root(&file::stat(&fd)?) || !subvolume::is_read_only(&fd)? {
        return Err(Fault { call: "openat", errno: Errno::EINVAL });
    }
    let snapshot = read(fd.as_fd(), name)?;
    Ok((fd, snapshot))
}

/// The properties of a snapshot with this name.
fn read(root: BorrowedFd<'_>, name: &[u8]) -> Result<Snapshot, Fault> {
    let info = subvolume::info(root)?;
    Ok(Snapshot {
        id: info.id,
        uuid: Identity(info.uuid),
        parent_uuid: Identity(info.parent_uuid),
        received_uuid: Identity(info.received_uuid),
        ctransid: info.ctransid,
        otransid: info.otransid,
        stransid: info.stransid,
        name: Some(name.to_vec()),
        ..Snapshot::default()
    })
}

fn fault_name(name: Vec<u8>) -> Result<CString, Fault> {
    CString::new(name).map_err(|_nul| Fault { call: "openat", errno: Errno::EINVAL })
}

fn c_name(name: Vec<u8>) -> Result<CString, BackupError> {
    CString::new(name).map_err(|_nul| BackupError::new(ErrorKind::Failed, "the backup's name has a NUL; rename it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_has_the_last_name() {
        let named = |seconds: i64| Snapshot { name: Some(name::make(b"home", seconds)), ..Snapshot::default() };
        let next = |earlier: &[i64]| {
            let earlier: Vec<_> = earlier.iter().copied().map(named).collect();
            second_of_next(b"home", 1000, earlier.iter())
        };
        assert_eq!(next(&[]), 1000);
        assert_eq!(next(&[998, 999]), 1000);
        assert_eq!(next(&[1000, 1002]), 1003, "1001 was deleted");
        assert_eq!(next(&[1000 + SECONDS]), 1000, "one from the future moves no others");
        let other = [named(1005)];
        assert_eq!(second_of_next(b"etc", 1000, other.iter()), 1000);
    }
}
