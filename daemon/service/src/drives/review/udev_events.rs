//! Follows udev, and takes what happened to devices into the table of drives.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::super::DriveId;
use super::super::manager::DriveManager;
use super::super::other_mounts::UNSEEN_CHECK;
use super::super::problem::{failed, for_caller, no_such_drive};
use crate::device::{BlockDevice, DeviceEvents, Event};
use crate::policy;
use crate::supervisor::Heartbeat;
use crate::types::Error;
/// Follows udev; why that ended.
pub(in crate::drives) async fn follow(
    mut events: Box<dyn DeviceEvents>,
    manager: DriveManager,
    mut heartbeat: Heartbeat,
) -> anyhow::Error {
    let mut reviewed = manager.0.reviewed.subscribe();
    let mut unseen_check = None;
    loop {
        let forget = manager.lock().next_expiry();
        let first_check = || Instant::now() + UNSEEN_CHECK;
        unseen_check = manager.has_unseen_mounts().then(|| unseen_check.unwrap_or_else(first_check));
        let event = tokio::select! {
            event = events.next() => event,
            // Without an entry to expire, no timer runs.
            () = at(forget) => {
                manager.review();
                continue;
            }
            () = at(unseen_check) => {
                unseen_check = None;
                manager.look_at_unseen_mounts().await;
                continue;
            }
            // A drive may have become safe meanwhile.
            _ = reviewed.changed() => continue,
            () = heartbeat.answer() => continue,
        };
        match event {
            Ok(event) => manager.hear(event),
            Err(error) => return anyhow::anyhow!(error),
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl DriveManager {
    /// Takes in what happened to devices.
    pub(in crate::drives) fn hear(&self, event: Event) {
        tracing::debug!("{event:?}");
        // A drive whose disk was replaced was away in between.
        let is_gone = self.lock().devices.remove(&event);
        if is_gone {
            self.review();
        }
        let is_new = self.lock().devices.add(event);
        if is_new {
            self.review();
        }
    }

    /// Reads what is on a device where udev's prober does not say all that has to be known, and takes it in.
    ///
    /// # Errors
    /// It cannot be read.
    pub(in crate::drives) async fn probe(&self, device: &BlockDevice) -> Result<(), Error> {
        let id = DriveId::from(&policy::DriveId::Device(device.name().to_owned(), device.diskseq));
        let reported = self.lock().devices.reported(&device.syspath).cloned().ok_or_else(|| no_such_drive(&id))?;
        let (devices, device) = (Arc::clone(&self.0.devices), reported.clone());
        let found = self.0.reads.of(id.clone()).run_to_end(move || devices.probe(&device)).await;
        let found = found.map_err(|error| failed(error.to_string()))?.map_err(|error| for_caller(&id, &error))?;
        if self.lock().devices.found(&reported, found) {
            self.review();
        }
        Ok(())
    }
}
