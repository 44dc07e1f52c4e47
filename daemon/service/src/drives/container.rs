//! The container of a drive that is enrolled with its secret: makes it, opens it, and gives it a key of the service's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::DriveId;
use super::drive_lock::blocking;
use super::erasing::LABEL;
use super::manager::DriveManager;
use super::problem::{busy, failed};
use super::table::DriveTable;
use crate::device::{BlockDevice, Content, Error as Fault, Secret};
use crate::types::{EnrolOptions, Error};

/// Timeout for udev's event of what is inside a container that was unlocked.
pub(super) const UDEV_TIMEOUT: Duration = Duration::from_secs(20);

/// A container that is open for an enrolment.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenContainer {
    luks: Uuid,
    /// It was open before.
    was_open: bool,
    /// This enrolment made its key file.
    has_new_key: bool,
}

impl DriveManager {
    /// Opens the container on a device that is to be enrolled. With `format` it is made first, erasing everything, and gets a new
    /// filesystem. Where something fails, it is locked again.
    pub(super) async fn open_to_enrol(
        &self,
        id: &DriveId,
        device: BlockDevice,
        secret: &Arc<Secret>,
        options: &EnrolOptions,
    ) -> Result<OpenContainer, Error> {
        let luks = if options.format {
            self.encrypt(id, device.clone(), secret).await?
        } else {
            let luks = encrypted(&device)?;
            only_one(&self.lock(), &device, luks)?;
            luks
        };
        let devices = Arc::clone(&self.0.devices);
        let was_open = blocking(&self.0.operations, id, move || Ok(devices.is_unlocked(luks))).await?;
        let container = OpenContainer { luks, was_open, has_new_key: false };
        let opened = self.open_and_fill(id, &device, container, secret, options).await;
        if opened.is_err() {
            self.lock_container(id, container).await;
        }
        opened.map(|()| OpenContainer { has_new_key: options.keep_key, ..container })
    }

    async fn open_and_fill(
        &self,
        id: &DriveId,
        device: &BlockDevice,
        OpenContainer { luks, was_open, .. }: OpenContainer,
        secret: &Arc<Secret>,
        options: &EnrolOptions,
    ) -> Result<(), Error> {
        let (node, devnum) = (device.node.clone(), device.devnum);
        if was_open {
            let (devices, node, secret) = (Arc::clone(&self.0.devices), node.clone(), Arc::clone(secret));
            blocking(&self.0.operations, id, move || devices.check_secret(&node, devnum, &secret)).await?;
        } else {
            // udev may not have reported yet that it was locked a moment ago.
            self.reported(|table| inside(table, device, luks).is_none().then_some(())).await?;
            let (devices, node, secret) = (Arc::clone(&self.0.devices), node.clone(), Arc::clone(secret));
            blocking(&self.0.operations, id, move || devices.unlock(&node, devnum, luks, &secret)).await?;
        }
        let inside = self.reported(|table| inside(table, device, luks).cloned()).await?;
        if options.format {
            self.erase(id, inside, options.label.as_deref().unwrap_or(LABEL)).await?;
        }
        if options.keep_key {
            self.keep_key(id, (node, devnum), luks, secret).await?;
        }
        Ok(())
    }

    /// Makes it, and takes it in without waiting for udev.
    async fn encrypt(&self, id: &DriveId, device: BlockDevice, secret: &Arc<Secret>) -> Result<Uuid, Error> {
        let luks = Uuid::new_v4();
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "erasing and encrypting {}", device.name());
        let (devices, secret) = (Arc::clone(&self.0.devices), Arc::clone(secret));
        let facts = blocking(&self.0.operations, id, move || {
            devices.encrypt(&device, luks, &secret)?;
            let content = Content {
                kind: "crypto_LUKS".to_owned(),
                uuid: luks.to_string(),
                sub_uuid: String::new(),
                label: String::new(),
            };
            Ok(BlockDevice { content: Some(content), finding: None, filesystem_devices: None, ..device })
        })
        .await?;
        self.lock().devices.insert(facts);
        Ok(luks)
    }

    /// Waits until udev has reported something.
    async fn reported<T>(&self, find: impl Fn(&DriveTable) -> Option<T>) -> Result<T, Error> {
        let until = Instant::now() + UDEV_TIMEOUT;
        let mut reviewed = self.0.reviewed.subscribe();
        loop {
            if let Some(found) = find(&self.lock()) {
                return Ok(found);
            }
            if !matches!(timeout_at(until, reviewed.changed()).await, Ok(Ok(()))) {
                return Err(failed(
                    "udev did not report what is inside the encrypted drive; see the journal of systemd-udevd, and try again",
                ));
            }
        }
    }

    /// A key file for the next plug.
    async fn keep_key(
        &self,
        id: &DriveId,
        (node, devnum): (PathBuf, u64),
        luks: Uuid,
        secret: &Arc<Secret>,
    ) -> Result<(), Error> {
        let (devices, secret, keys) = (Arc::clone(&self.0.devices), Arc::clone(secret), self.0.register.keys().clone());
        blocking(&self.0.operations, id, move || {
            if keys.file(luks).exists() {
                return Err(Fault::refused(
                    "there is a key file for the drive already, of another enrolment; forget that one first \
                     (butterdock forget), or enrol the drive without a key",
                ));
            }
            let file = keys.make(luks)?;
            let added = devices.add_key(&node, devnum, &secret, &file);
            if added.is_err() {
                keys.remove(luks);
            }
            added
        })
        .await
    }

    /// The drive is not enrolled after all.
    pub(super) async fn lock_container(
        &self,
        id: &DriveId,
        OpenContainer { luks, was_open, has_new_key }: OpenContainer,
    ) {
        let (devices, keys) = (Arc::clone(&self.0.devices), self.0.register.keys().clone());
        let locked = blocking(&self.0.operations, id, move || {
            if has_new_key {
                keys.remove(luks);
            }
            if !was_open && devices.is_unlocked(luks) { devices.lock(luks) } else { Ok(()) }
        });
        if let Err(error) = locked.await {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is not locked again: {error}");
        }
    }
}

/// The open side of this container on the device.
fn inside<'t>(table: &'t DriveTable, device: &BlockDevice, luks: Uuid) -> Option<&'t BlockDevice> {
    let is_of_it = |inside: &&BlockDevice| inside.mapping.as_ref().is_some_and(|mapping| mapping.luks == Some(luks));
    table.inside(device).filter(is_of_it)
}

/// Refuses the copy of a container that another drive has: keys and open sides are found by the uuid alone.
fn only_one(table: &DriveTable, device: &BlockDevice, luks: Uuid) -> Result<(), Error> {
    if table.enrolment_of(luks).is_some() {
        return Err(busy(
            "an enrolled drive has a container with the same uuid: one is a copy of the other, or the drive has another \
             filesystem now; forget that drive first (butterdock forget)",
        ));
    }
    let is_elsewhere = |other: &BlockDevice| {
        other.mapping.as_ref().is_some_and(|mapping| mapping.luks == Some(luks)) && other.over() != Some(device.name())
    };
    if table.devices.values().any(is_elsewhere) {
        return Err(busy(
            "another attached drive with the same LUKS UUID is unlocked: one is a copy of the other; unplug the other drive, then try again",
        ));
    }
    Ok(())
}

fn encrypted(device: &BlockDevice) -> Result<Uuid, Error> {
    device.luks().ok_or_else(|| {
        failed("the drive is not encrypted; enrol it without a secret, or let it be erased and encrypted (butterdock enrol --format --encrypt)")
    })
}
