//! The lease of a mounted drive.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::types::Error;
use tokio::sync::watch;

use super::drive_lock::{blocking, reads};
use super::handle::DriveManager;
use super::{DriveId, DriveReservation};
use crate::backups::{Known, SharedSnapshot};
use crate::blocking::BlockingQueue;
use crate::dir_handle::DirHandle;

/// A drive that is mounted and proved. It stays mounted until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    root: DirHandle,
    mount: u64,
    gone: watch::Receiver<bool>,
    removal: watch::Receiver<bool>,
    held: Held,
    reservation: DriveReservation,
}

/// That the drive is held: counted as long as this is there.
#[derive(Debug)]
struct Held {
    manager: DriveManager,
    id: DriveId,
}

impl Lease {
    /// Of a drive that is held; the channels say whether it is pulled out, and whether it is being made safe.
    pub(super) fn new(
        manager: DriveManager,
        id: DriveId,
        root: File,
        mount: u64,
        (gone, removal): (watch::Receiver<bool>, watch::Receiver<bool>),
        reservation: DriveReservation,
    ) -> Self {
        let held = Held { manager, id };
        Self { root: OwnedFd::from(root).into(), mount, gone, removal, held, reservation }
    }

    /// Ends the lease when its directory is closed, or closing takes too long. If it was the last reservation, this returns when
    /// the drive is released.
    pub(crate) async fn close(self) {
        let Self { root, held, reservation, .. } = self;
        root.close().await;
        drop(held);
        // What goes wrong is the drive's problem, and is in the journal.
        drop(reservation.end().await);
    }

    /// The top of its filesystem.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The threads that may block while they read the drive.
    pub(crate) fn reads(&self) -> BlockingQueue {
        reads(&self.held.id)
    }

    /// Its mount, as `mounts::unique_id` has it; 0 where the kernel does not tell.
    pub(crate) fn mount_id(&self) -> u64 {
        self.mount
    }

    /// What is remembered of a backup on it, and whether version 1 wrote that down.
    ///
    /// # Errors
    /// As for [`DriveManager::pins`].
    pub(crate) fn known(&self, backup: &str) -> Result<(Known, bool), String> {
        self.held.manager.known(&self.held.id, backup)
    }

    /// All that this machine shares with it, what belongs to the backup first; for a restore the name is empty.
    pub(crate) fn shared(&self, backup: &str) -> Vec<SharedSnapshot> {
        self.held.manager.shared(&self.held.id, backup)
    }

    /// Waits until the drive is being made safe to unplug: who only looks at it ends then, because no caller can cancel a
    /// look. A job is cancelled first.
    pub(crate) async fn removal(&self) {
        // The channel lives as long as the drive is known.
        if self.removal.clone().wait_for(|is_removed| *is_removed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the drive is pulled out.
    pub(crate) async fn gone(&self) {
        // The sender is part of the mount: without it the drive is not mounted any more.
        drop(self.gone.clone().wait_for(|gone| *gone).await);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.manager.entry(&self.id, |entry| entry.leased = entry.leased.saturating_sub(1));
        self.manager.review();
    }
}

impl DriveManager {
    pub(super) async fn lease_now(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let guard = self.lock_drive(id).await?;
        let lease = self.hold(id, reservation).await;
        self.done(guard);
        lease
    }

    async fn hold(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let was_mounted = self.entry(id, |entry| entry.mount.is_some()) == Some(true);
        let mount = self.ensure_mounted(id).await?;
        if !was_mounted {
            self.entry(id, |entry| entry.due = true);
        }
        let gone = mount.gone.subscribe();
        let devices = std::sync::Arc::clone(&self.0.devices);
        let (root, number) = blocking(id, move || {
            let root = mount.mounted.root()?;
            let mount = devices.mount_id(&root);
            Ok((root, mount))
        })
        .await?;
        self.held(id, (root, number), gone, reservation)
    }
}
