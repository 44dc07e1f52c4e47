//! The lease of a mounted drive.
//!
//! A drive that is not enrolled, because it has no btrfs, can have stream files. It is touched only on request, if the
//! configuration names it. It is mounted read-only and without a mount point: the mount ends with its last descriptor, also if the
//! service is killed.

use std::fs::File;
use std::future::pending;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::drive_lock::{answer, blocking};
use super::entry::DriveEntry;
use super::manager::DriveManager;
use super::problem::{Unwritable, failed, no_such_drive};
use super::table::DriveTable;
use super::{DriveId, DriveReservation, Need};
use crate::backups::{Identity, SharedRecord, SharedSnapshot};
use crate::blocking::BlockingQueue;
use crate::device::{BlockDevice, ReadOnly, unsupported};
use crate::dir_handle::DirHandle;
use crate::policy::Action;
use crate::types::{Error, ErrorCode};

/// A drive that is mounted and proved. It stays mounted until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    root: DirHandle,
    mount: u64,
    /// None for a volume, which other programs mount and unmount.
    channels: Option<LeaseChannels>,
    counted: CountedLease,
    reservation: DriveReservation,
}

/// They turn true when a drive is pulled out, and when it is being made safe.
#[derive(Debug)]
pub(super) struct LeaseChannels {
    pub(super) gone: watch::Receiver<bool>,
    pub(super) removal: watch::Receiver<bool>,
}

/// Counts as a lease of the drive until it is dropped.
#[derive(Debug)]
struct CountedLease {
    manager: DriveManager,
    id: DriveId,
}

impl Lease {
    /// Of a drive whose leases count it, or of a volume, which has no channels.
    pub(super) fn new(
        manager: DriveManager,
        id: DriveId,
        (root, mount): (File, u64),
        channels: Option<LeaseChannels>,
        reservation: DriveReservation,
    ) -> Self {
        let counted = CountedLease { manager, id };
        Self { root: OwnedFd::from(root).into(), mount, channels, counted, reservation }
    }

    /// Ends the lease when its directory is closed, or closing takes too long. If it was the last reservation, this returns when
    /// the drive is released.
    pub(crate) async fn close(self) {
        let Self { root, counted, reservation, .. } = self;
        root.close().await;
        drop(counted);
        // What goes wrong is the drive's problem, and is in the journal.
        drop(reservation.end().await);
    }

    /// The top of its filesystem.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The threads that may block while they read the drive.
    pub(crate) fn reads(&self) -> BlockingQueue {
        self.counted.manager.0.reads.of(self.counted.id.clone())
    }

    /// Its mount, as `mounts::unique_id` has it; 0 where the kernel does not tell.
    pub(crate) fn mount_id(&self) -> u64 {
        self.mount
    }

    /// What is remembered of a backup on it, and whether version 1 wrote that down.
    ///
    /// # Errors
    /// As for [`DriveManager::pins`].
    pub(crate) fn known(&self, backup: &str) -> Result<(SharedRecord, bool), String> {
        self.counted.manager.known(&self.counted.id, backup)
    }

    /// All that this machine shares with it, what belongs to the backup first; for a restore the name is empty.
    pub(crate) fn shared(&self, backup: &str) -> Vec<SharedSnapshot> {
        self.counted.manager.shared(&self.counted.id, backup)
    }

    /// Which of its devices are missing, for a person; None where none is.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing =
            |entry: &mut DriveEntry| entry.unwritable.as_ref().and_then(Unwritable::missing).map(str::to_owned);
        self.counted.manager.entry(&self.counted.id, missing).flatten()
    }

    /// Why the kernel neither sends nor scrubs it, for a person: it is mounted without the log that a crash left. None where it does.
    pub(crate) fn without_log(&self) -> Option<String> {
        let sentence = |entry: &mut DriveEntry| {
            let unwritable = entry.unwritable.as_ref().filter(|unwritable| unwritable.is_without_log())?;
            Some(unwritable.sentence())
        };
        self.counted.manager.entry(&self.counted.id, sentence).flatten()
    }

    /// The snapshots on it in which a verify found damage.
    pub(crate) fn damaged(&self) -> Vec<Identity> {
        self.counted.manager.damaged(&self.counted.id)
    }

    /// Waits until the drive is being made safe to unplug: listings end then; callers cannot cancel them. A job must be
    /// cancelled before.
    pub(crate) async fn removal(&self) {
        // The channel lives as long as the drive is known.
        let removal = self.channels.as_ref().map(|channels| channels.removal.clone());
        let Some(mut removal) = removal else { return pending().await };
        if removal.wait_for(|is_removed| *is_removed).await.is_err() {
            pending::<()>().await;
        }
    }

    /// Waits until the drive is pulled out; for ever if it is a volume, whatever is configured meanwhile.
    pub(crate) async fn gone(&self) {
        let gone = self.channels.as_ref().map(|channels| channels.gone.clone());
        let Some(mut gone) = gone else { return pending().await };
        // The sender is part of the mount: without it the drive is not mounted any more.
        drop(gone.wait_for(|gone| *gone).await);
    }
}

impl Drop for CountedLease {
    fn drop(&mut self) {
        self.manager.end_use_of_volume(&self.id);
        self.manager.entry(&self.id, |entry| entry.leased = entry.leased.saturating_sub(1));
        self.manager.review();
    }
}

impl DriveManager {
    pub(super) async fn lease_now(
        &self,
        id: &DriveId,
        need: Need,
        reservation: DriveReservation,
    ) -> Result<Lease, Error> {
        let reservation = match self.lease_volume(id, reservation).await {
            Ok(lease) => return lease,
            Err(reservation) => reservation,
        };
        let guard = self.lock_drive(id).await?;
        let lease = self.hold(id, need, reservation).await;
        self.done(guard);
        lease
    }

    async fn hold(&self, id: &DriveId, need: Need, reservation: DriveReservation) -> Result<Lease, Error> {
        let was_mounted = self.entry(id, |entry| entry.mount.is_some()) == Some(true);
        let mount = self.ensure_mounted(id, need).await?;
        let unwritable = self.entry(id, |entry| {
            entry.due |= !was_mounted;
            entry.unwritable.clone()
        });
        if let (Need::Write, Some(unwritable)) = (need, unwritable.flatten()) {
            unwritable.allow_writes()?;
        }
        let gone = mount.gone.subscribe();
        let devices = Arc::clone(&self.0.devices);
        let (root, number) = blocking(&self.0.operations, id, move || {
            let root = mount.mounted.root()?;
            let mount = devices.mount_id(&root);
            Ok((root, mount))
        })
        .await?;
        self.counted_lease(id, (root, number), gone, reservation)
    }
}

impl DriveManager {
    /// Where on the drive stream files are, relative to its top.
    ///
    /// # Errors
    /// `NotFound` where the configuration names no folder on it.
    pub(crate) fn folder(&self, id: &DriveId) -> Result<PathBuf, Error> {
        let table = self.lock();
        let enrolment = table.enrolment(id);
        let known = |name: &str| enrolment.is_some_and(|known| known.is_called(name));
        let content = self.unenrolled(&table, id).ok().and_then(|device| device.content);
        let uuid = content.map(|content| content.uuid).unwrap_or_default();
        let rule = table.config.imports.iter().find(|rule| known(&rule.drive) || rule.drive == uuid);
        rule.map(|rule| rule.folder.clone()).ok_or_else(|| {
            let text = "the configuration has no folder for stream files on this drive; add an [[import]] to \
                        butterdock.toml and reload";
            Error::new(ErrorCode::NotFound, text)
        })
    }

    /// Holds the drive for reading: an enrolled one as for a job, and another read-only, where the configuration names it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) async fn read(&self, id: &DriveId) -> Result<Lease, Error> {
        if id.enrolment().is_some() {
            return self.lease(id, Need::Read).await;
        }
        self.folder(id)?;
        let (manager, id, reservation) = (self.clone(), id.clone(), self.reserve(id));
        answer(async move { manager.read_now(&id, reservation).await }).await
    }

    async fn read_now(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let guard = self.lock_drive(id).await?;
        let lease = self.mount_to_read(id, reservation).await;
        if let Err(error) = &lease {
            self.entry(id, |entry| entry.problem = Some(error.into()));
        }
        self.done(guard);
        lease
    }

    async fn mount_to_read(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let facts = self.unenrolled(&self.lock(), id)?;
        let kind = read_only(&facts)?;
        let (devices, device) = (Arc::clone(&self.0.devices), facts.clone());
        let root = blocking(&self.0.operations, id, move || devices.mount_read_only(kind, &device)).await?;
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is mounted read-only to read its stream files");
        let gone = self.watch(facts);
        // Not in the table of mounts, where a number would have to be.
        self.entry(id, |entry| entry.due = true);
        self.counted_lease(id, (root, 0), gone, reservation)
    }

    /// The one device of a drive that is not enrolled.
    fn unenrolled(&self, table: &DriveTable, id: &DriveId) -> Result<BlockDevice, Error> {
        let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
        let devices = table.behind(&decision.devices);
        match (&decision.action, devices.as_slice()) {
            (Action::Show, [device]) => Ok((*device).clone()),
            _ => Err(failed("the service does not use the drive; see its problem (butterdock drives)")),
        }
    }

    /// Turns true when the device is not attached any more.
    fn watch(&self, facts: BlockDevice) -> watch::Receiver<bool> {
        let (gone, listen) = watch::channel(false);
        let (manager, mut reviewed) = (Arc::clone(&self.0), self.0.reviewed.subscribe());
        tokio::spawn(async move {
            let is_there = || {
                Self(Arc::clone(&manager))
                    .lock()
                    .devices
                    .get(&facts.syspath)
                    .is_some_and(|now| now.diskseq == facts.diskseq)
            };
            while is_there() {
                tokio::select! {
                    () = gone.closed() => return,
                    changed = reviewed.changed() => if changed.is_err() { return },
                }
            }
            gone.send_replace(true);
        });
        listen
    }

    /// Counts the lease, and makes it.
    pub(super) fn counted_lease(
        &self,
        id: &DriveId,
        (root, mount): (File, u64),
        gone: watch::Receiver<bool>,
        reservation: DriveReservation,
    ) -> Result<Lease, Error> {
        let removal = self.entry(id, |entry| {
            entry.leased = entry.leased.saturating_add(1);
            entry.take_in_hand();
            entry.removal.subscribe()
        });
        let removal = removal.ok_or_else(|| no_such_drive(id))?;
        Ok(Lease::new(self.clone(), id.clone(), (root, mount), Some(LeaseChannels { gone, removal }), reservation))
    }
}

/// The filesystem on a drive that is not enrolled, if stream files are read from it.
fn read_only(device: &BlockDevice) -> Result<ReadOnly, Error> {
    let kind = device.content.as_ref().map(|content| content.kind.as_str()).unwrap_or_default();
    match ReadOnly::of(kind) {
        Some(kind) => Ok(kind),
        None if kind == "btrfs" => {
            Err(failed("stream files are read from a drive with btrfs only if it is enrolled; enrol the drive first"))
        }
        None => Err(failed(unsupported(kind).public())),
    }
}
