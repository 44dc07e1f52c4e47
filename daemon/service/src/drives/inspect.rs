//! What tests see of the table of drives.

use std::collections::BTreeMap;

use super::DriveId;
use super::manager::DriveManager;
use crate::clock::{Clock, Reading};
use crate::device::Secret;
use crate::types::{EnrolOptions, Error};

/// What is going on with one drive.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub leased: usize,
    pub reservations: usize,
    /// Something is being done with it.
    pub is_locked: bool,
    /// A person mounted it.
    pub is_kept: bool,
    pub is_mounted: bool,
}

/// Clocks that stand still.
pub(super) fn clock() -> Clock {
    Clock::of(|| Reading { wall: 1_800_000_000, boot: 1, boot_id: uuid::Uuid::nil(), synchronised: None })
}

impl DriveManager {
    /// Every drive that has an entry.
    pub(crate) fn inspect(&self) -> BTreeMap<DriveId, Inspection> {
        let table = self.lock();
        let inspection = |(id, entry): (&DriveId, &super::entry::DriveEntry)| {
            let inspection = Inspection {
                leased: entry.leased,
                reservations: table.reservations(id),
                is_locked: entry.lock.taken(),
                is_kept: entry.kept,
                is_mounted: entry.mount.is_some(),
            };
            (id.clone(), inspection)
        };
        table.entries.iter().map(inspection).collect()
    }

    /// Enrols it with this secret.
    pub(crate) async fn enrol_with(
        &self,
        id: &DriveId,
        secret: &[u8],
        options: EnrolOptions,
    ) -> Result<DriveId, Error> {
        let secret = Secret::new(butterdock_btrfs::SecretMemory::copy_of(secret).expect("memory"));
        self.enrol_now(id, &options, Some(secret)).await
    }

    /// Unlocks it with this secret.
    pub(crate) async fn unlock_with(&self, id: &DriveId, secret: &[u8]) -> Result<(), Error> {
        self.locked(id)?;
        self.unlock_now(id, Secret::new(butterdock_btrfs::SecretMemory::copy_of(secret).expect("memory"))).await
    }
}
