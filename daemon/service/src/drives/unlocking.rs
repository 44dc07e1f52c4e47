//! Unlocks a drive, with the configured key or with a caller's secret.

use crate::types::Error;

use super::DriveId;
use super::drive_lock::blocking;
use super::fault::{failed, no_such_drive};
use super::handle::DriveManager;
use crate::device::{Cryptsetup, Secret};
use crate::policy::{Action, Locked};

impl DriveManager {
    /// With a caller's secret. The policy decides what follows.
    pub(super) async fn unlock_now(&self, id: &DriveId, secret: Secret) -> Result<(), Error> {
        let guard = self.lock_drive(id).await?;
        self.entry(id, super::table::DriveEntry::take_in_hand);
        let done = match self.locked(id) {
            Ok(locked) => open(id, locked, secret).await,
            Err(error) => Err(error),
        };
        self.done(guard);
        done
    }

    /// With the configured key. Whoever has the turn calls it.
    pub(super) async fn unlock_by_key(&self, id: &DriveId, locked: Vec<Locked>) -> Result<(), Error> {
        let file = {
            let table = self.lock();
            let key = table.config.drives.keys.iter().find(|key| Some(key.drive) == id.enrolment());
            key.map(|key| key.file.clone())
        };
        let file = file.ok_or_else(|| {
            failed(
                "the configuration no longer has a key for the drive; unlock it with its \
                                       passphrase",
            )
        })?;
        let secret = blocking(id, move || Secret::of_file(&file)).await?;
        open(id, locked, secret).await
    }

    /// What of it is to be unlocked.
    pub(super) fn locked(&self, id: &DriveId) -> Result<Vec<Locked>, Error> {
        let decision = self.lock().decision(id).ok_or_else(|| no_such_drive(id))?;
        match decision.order {
            Action::AwaitSecret(locked) | Action::Unlock(locked) => Ok(locked),
            Action::Refuse(sentence) => Err(failed(sentence.public())),
            Action::Show => Err(failed("the drive is not enrolled; enrol it first (butterdock enrol)")),
            Action::Mount(_) | Action::Leave | Action::Backup => Err(failed("the drive is not locked")),
        }
    }
}

async fn open(id: &DriveId, locked: Vec<Locked>, secret: Secret) -> Result<(), Error> {
    blocking(id, move || {
        let tool = Cryptsetup::find()?;
        locked.iter().try_for_each(|one| tool.open(&one.node, one.devnum, one.luks, &secret))
    })
    .await
}
