//! What is written down of enrolled drives: what a backup, a restore or a check learned.

use crate::types::Error;

use super::drive_lock::{answer, blocking};
use super::fault::{failed, no_such_drive};
use super::handle::DriveManager;
use super::{DriveId, replaced, rows};
use crate::backups::{Identity, Learned, SharedSnapshot, remember};
use crate::drives::Enrolment;

impl DriveManager {
    /// Writes down that a backup to it has succeeded, and what its next increment needs. `as_recorded` says that it built on
    /// a snapshot that was as it was sent, and found none that was not: then none counts as replaced any more.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn backed_up(
        &self,
        id: &DriveId,
        backup: &str,
        learned: Learned,
        as_recorded: bool,
    ) -> Result<(), Error> {
        let (manager, id, backup) = (self.clone(), id.clone(), backup.to_owned());
        answer(async move { manager.backed_up_now(&id, backup, learned, as_recorded).await }).await
    }

    /// Writes down that a backup found snapshots on it that are not what was sent there: what was sent had these uuids.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn replaced(&self, id: &DriveId, backup: &str, there: Vec<Identity>) -> Result<(), Error> {
        let (manager, id, backup) = (self.clone(), id.clone(), backup.to_owned());
        answer(async move { manager.replaced_now(&id, backup, there).await }).await
    }

    /// Writes down that a snapshot of it was restored, on which others may build.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn restored(&self, id: &DriveId, shared: SharedSnapshot) -> Result<(), Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.restored_now(&id, shared).await }).await
    }

    async fn backed_up_now(
        &self,
        id: &DriveId,
        backup: String,
        learned: Learned,
        as_recorded: bool,
    ) -> Result<(), Error> {
        self.write_down(id, move |enrolment| {
            let mut known = rows::known(enrolment, &backup).map_err(failed)?;
            let mut restored = rows::restored(enrolment);
            restored.retain(|shared| !learned.lost.contains(&shared.mark().there));
            known.learn(learned);
            enrolment.restored = value(&restored)?;
            enrolment.shared.insert(backup.clone(), value(&known)?);
            enrolment.pins.remove(&backup);
            enrolment.last_backup = now();
            if as_recorded {
                enrolment.replaced.remove(&backup);
            }
            Ok(())
        })
        .await
    }

    async fn replaced_now(&self, id: &DriveId, backup: String, there: Vec<Identity>) -> Result<(), Error> {
        self.write_down(id, move |enrolment| {
            replaced::note(enrolment, &backup, &there);
            Ok(())
        })
        .await
    }

    async fn restored_now(&self, id: &DriveId, shared: SharedSnapshot) -> Result<(), Error> {
        self.write_down(id, move |enrolment| {
            let mut restored = rows::restored(enrolment);
            remember(&mut restored, shared);
            enrolment.restored = value(&restored)?;
            Ok(())
        })
        .await
    }

    /// Changes what is written down of an enrolled drive.
    async fn write_down(
        &self,
        id: &DriveId,
        change: impl FnOnce(&mut crate::drives::Enrolment) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let guard = self.lock_drive(id).await?;
        let mut enrolment = self.lock().enrolment(id).cloned().ok_or_else(|| no_such_drive(id))?;
        if let Err(error) = change(&mut enrolment) {
            self.done(guard);
            return Err(error);
        }
        let (register, written) = (self.0.register.clone(), enrolment.clone());
        let done = blocking(id, move || register.write(&written)).await;
        if done.is_ok() {
            self.lock().note(enrolment);
        }
        self.done(guard);
        done
    }
}

fn value(known: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(known).map_err(|error| failed(error.to_string()))
}

/// Microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
