//! Drives that are only read: stream files may lie on a drive that is not enrolled, because it has no btrfs.
//!
//! Such a drive is touched only on request, if the configuration names it. It is mounted read-only and without a mount
//! point: the mount ends with its last descriptor, also if the service is killed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::types::{Error, ErrorCode};
use tokio::sync::watch;

use super::drive_lock::{answer, blocking};
use super::fault::{failed, no_such_drive};
use super::handle::DriveManager;
use super::lease::Lease;
use super::table::DriveTable;
use super::{DriveId, DriveReservation};
use crate::device::{BlockDevice, ReadOnly};
use crate::policy::Action;

impl DriveManager {
    /// Where on the drive stream files are, relative to its top.
    ///
    /// # Errors
    /// `NotFound` where the configuration names no folder on it.
    pub(crate) fn folder(&self, id: &DriveId) -> Result<PathBuf, Error> {
        let table = self.lock();
        let enrolment = table.enrolment(id);
        let known = |name: &str| enrolment.is_some_and(|known| name == id.as_str() || name == known.label);
        let plain = || self.plain(&table, id).ok().map(|(facts, _)| facts);
        let uuid = plain().and_then(|facts| facts.content.map(|content| content.uuid)).unwrap_or_default();
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
            return self.lease(id).await;
        }
        self.folder(id)?;
        let (manager, id, reservation) = (self.clone(), id.clone(), self.reserve(id));
        answer(async move { manager.read_now(&id, reservation).await }).await
    }

    async fn read_now(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let guard = self.lock_drive(id).await?;
        let held = self.mount_to_read(id, reservation).await;
        if let Err(error) = &held {
            self.entry(id, |entry| entry.problem = error.to_string());
        }
        self.done(guard);
        held
    }

    async fn mount_to_read(&self, id: &DriveId, reservation: DriveReservation) -> Result<Lease, Error> {
        let (facts, kind) = self.plain(&self.lock(), id)?;
        let (devices, device) = (Arc::clone(&self.0.devices), facts.clone());
        let root = blocking(id, move || devices.mount_read_only(kind, &device)).await?;
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is mounted read-only to read its stream files");
        let gone = self.watch(facts);
        // Not in the table of mounts, where a number would have to be.
        self.entry(id, |entry| entry.due = true);
        self.held(id, (root, 0), gone, reservation)
    }

    /// The one device of a drive that is not enrolled, and its filesystem, where it is one that is read.
    fn plain(&self, table: &DriveTable, id: &DriveId) -> Result<(BlockDevice, ReadOnly), Error> {
        let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
        let devices = table.behind(&decision.devices);
        let (Action::Show, [device]) = (&decision.order, devices.as_slice()) else {
            return Err(failed("the service does not use the drive; see its problem (butterdock drives)"));
        };
        let kind = device.content.as_ref().map(|content| content.kind.as_str()).unwrap_or_default();
        match ReadOnly::of(kind) {
            Some(kind) => Ok(((*device).clone(), kind)),
            None => Err(failed(
                "stream files are read only from enrolled drives, and from drives with ext4 or exfat; enrol the drive \
                 first",
            )),
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

    /// Counts who holds it.
    pub(super) fn held(
        &self,
        id: &DriveId,
        (root, mount): (File, u64),
        gone: watch::Receiver<bool>,
        reservation: DriveReservation,
    ) -> Result<Lease, Error> {
        let held = self.entry(id, |entry| {
            entry.leased = entry.leased.saturating_add(1);
            entry.take_in_hand();
            entry.removal.subscribe()
        });
        let removal = held.ok_or_else(|| no_such_drive(id))?;
        Ok(Lease::new(self.clone(), id.clone(), root, mount, (gone, removal), reservation))
    }
}
