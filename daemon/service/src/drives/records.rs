//! The records of enrolled drives: results of backups, restores and verifications, and what is remembered of them.
//!
//! A record is local and small. [`EnrolmentStore::change`] reads, changes and writes it, one change at a time, and does not
//! wait for the drive: a finished backup is recorded even while another operation runs on the drive, or after it was
//! unplugged.
//!
//! [`EnrolmentStore::change`]: crate::enrolment::EnrolmentStore::change

use uuid::Uuid;

use crate::types::{Error, LastRun};

use super::damage::{self, VerifyResult};
use super::drive_lock::{answer, local};
use super::manager::DriveManager;
use super::problem::{failed, no_such_drive};
use super::{DriveId, micros, pins, replaced, shared_records};
use crate::backups::{Backups, Identity, RecordUpdate, SharedRecord, SharedSnapshot, for_order, remember};
use crate::config::BackupRule;
use crate::enrolment::Enrolment;

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
        learned: RecordUpdate,
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

    /// Notes how many subvolumes below the source a backup to it leaves out. The record of its end includes that.
    pub(crate) fn set_left_out(&self, id: &DriveId, backup: &str, count: u64) {
        if let Some(enrolled) = id.enrolment() {
            self.lock().left_out.entry(enrolled).or_default().insert(backup.to_owned(), count);
        }
    }

    /// Notes how long the last good run of a backup to it took, and what it sent, and writes it down soon.
    pub(super) fn set_last_run(&self, id: &DriveId, backup: &str, run: LastRun) {
        if let Some(enrolled) = id.enrolment() {
            self.lock().last_runs.entry(enrolled).or_default().insert(backup.to_owned(), run);
            self.write_soon(id);
        }
    }

    /// Writes down that snapshots of it were restored, on which others may build.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn restored(&self, id: &DriveId, shared: Vec<SharedSnapshot>) -> Result<(), Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.restored_now(&id, shared).await }).await
    }

    /// Records what a verify found that was not cancelled.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn verified(&self, id: &DriveId, result: VerifyResult) -> Result<(), Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move {
            let now = manager.0.clock.micros();
            let change = move |enrolment: &mut Enrolment| {
                damage::record(enrolment, &result, now);
                Ok(())
            };
            manager.write_down(&id, change).await
        })
        .await
    }

    async fn backed_up_now(
        &self,
        id: &DriveId,
        backup: String,
        learned: RecordUpdate,
        as_recorded: bool,
    ) -> Result<(), Error> {
        let now = self.0.clock.micros();
        let time = micros(learned.shared.time).unwrap_or_default().min(now);
        if let Some(enrolled) = id.enrolment() {
            self.lock().not_done.clear(enrolled, &backup);
            self.entry(id, |entry| {
                entry.awaited.remove(&backup);
                entry.settled.insert(backup.clone());
            });
        }
        self.write_down(id, move |enrolment| {
            let mut known = shared_records::known(enrolment, &backup).map_err(failed)?;
            let mut restored = shared_records::restored(enrolment);
            restored.retain(|shared| !learned.lost.contains(&shared.uuids().there));
            known.learn(learned);
            enrolment.restored = value(&restored)?;
            enrolment.shared.insert(backup.clone(), value(&known)?);
            enrolment.pins.remove(&backup);
            enrolment.unpinned.remove(&backup);
            enrolment.last_backup = time;
            // The run may have begun long ago.
            enrolment.last_seen = enrolment.last_seen.max(now);
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

    async fn restored_now(&self, id: &DriveId, shared: Vec<SharedSnapshot>) -> Result<(), Error> {
        let seconds = i64::try_from(self.0.clock.micros() / 1_000_000).unwrap_or(i64::MAX);
        self.write_down(id, move |enrolment| {
            let mut restored = shared_records::restored(enrolment);
            for one in shared {
                remember(&mut restored, SharedSnapshot { time: seconds, ..one });
            }
            enrolment.restored = value(&restored)?;
            Ok(())
        })
        .await
    }

    /// Writes what was noted in memory of an enrolled drive and is not written yet: which backups did not run, and how its last use
    /// ended. Does not wait for that.
    pub(super) fn write_soon(&self, id: &DriveId) {
        // Without a runtime the service has ended.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (manager, id) = (self.clone(), id.clone());
        runtime.spawn(async move { manager.write_noted(&id).await });
    }

    /// The same, and waits for it.
    pub(super) async fn write_noted(&self, id: &DriveId) {
        // Every change of an enrolment writes it.
        let written: Result<(), Error> = self.write_down(id, |_enrolment| Ok(())).await;
        if let Err(error) = written {
            let text =
                "cannot record what is wrong with the drive and its backups; the record of the next backup includes it";
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "{text}: {error}");
        }
    }

    /// The same of all drives: when the service begins and ends.
    pub(crate) async fn write_all_noted(&self) {
        let unwritten: Vec<Uuid> = {
            let table = self.lock();
            let differs = |enrolment: &&Enrolment| {
                (table.not_done.on(enrolment.id), table.condition(enrolment.id))
                    != (enrolment.not_done.clone(), enrolment.condition)
            };
            table.enrolments.iter().filter(differs).map(|enrolment| enrolment.id).collect()
        };
        for drive in unwritten {
            self.write_noted(&DriveId::from(drive)).await;
        }
    }

    /// Changes what is written down of an enrolled drive. What was noted in memory is always written with it.
    pub(super) async fn write_down(
        &self,
        id: &DriveId,
        change: impl FnOnce(&mut Enrolment) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let enrolled = id.enrolment().ok_or_else(|| no_such_drive(id))?;
        let (register, manager) = (self.0.register.clone(), self.clone());
        let refused = local(id, move || {
            let mut refused = Ok(());
            register.change(enrolled, |enrolment| {
                let mut changed = enrolment.clone();
                refused = change(&mut changed).map(|()| *enrolment = changed);
                // Read here, where changes are made one at a time: the last one writes the newest.
                let table = manager.lock();
                enrolment.not_done = table.not_done.on(enrolled);
                enrolment.condition = table.condition(enrolled);
                enrolment.left_out = table.left_out.get(&enrolled).cloned().unwrap_or_default();
                enrolment.last_runs = table.last_runs.get(&enrolled).cloned().unwrap_or_default();
                enrolment.readings = table.readings.get(&enrolled).copied().unwrap_or_default();
                enrolment.origins = table.origins.get(&enrolled).cloned().unwrap_or_default();
            })?;
            Ok(refused)
        });
        let done = refused.await.flatten();
        self.note_written(enrolled);
        self.review();
        done
    }

    /// Takes over what is written down of an enrolment now.
    pub(super) fn note_written(&self, enrolled: Uuid) {
        let mut table = self.lock();
        // Read while the table is locked, so that the later of two changes is taken over last.
        if let Some(enrolment) = self.0.register.written(enrolled) {
            table.note(enrolment);
        }
    }

    /// What is remembered of a backup on one drive, and whether version 1 wrote that down.
    ///
    /// # Errors
    /// It cannot be read: a sentence for a person.
    pub(super) fn known(&self, id: &DriveId, backup: &str) -> Result<(SharedRecord, bool), String> {
        let table = self.lock();
        let Some(enrolment) = table.enrolment(id) else { return Ok((SharedRecord::default(), false)) };
        let older = !enrolment.shared.contains_key(backup) && enrolment.pins.contains_key(backup);
        shared_records::known(enrolment, backup).map(|known| (known, older))
    }

    /// All that this machine shares with a drive, what belongs to the backup first.
    pub(super) fn shared(&self, id: &DriveId, backup: &str) -> Vec<SharedSnapshot> {
        let table = self.lock();
        let Some(enrolment) = table.enrolment(id) else { return Vec::new() };
        let others = enrolment.shared.keys().chain(enrolment.pins.keys()).filter(|other| *other != backup);
        // What cannot be read of another backup is that backup's problem, and no parent here.
        let known = |name: &str| shared_records::known(enrolment, name).unwrap_or_default();
        let own = known(backup).all();
        let (mut others, nested): (Vec<_>, Vec<_>) =
            others.map(|name| known(name)).map(|known| (known.shared, known.nested)).unzip();
        others.push(shared_records::restored(enrolment));
        for_order(std::iter::once(&own).chain(&others).chain(&nested).map(Vec::as_slice))
    }

    /// The snapshots on a drive in which a verify found damage.
    pub(super) fn damaged(&self, id: &DriveId) -> Vec<Identity> {
        self.lock().enrolment(id).map(damage::damaged).unwrap_or_default()
    }

    /// What is remembered of the backups on a drive, for the list of what is on it. What cannot be read is left out: a list
    /// deletes nothing.
    pub(crate) fn remembered(&self, id: &DriveId) -> Backups {
        let machine = self.machine();
        let table = self.lock();
        let configured = table.config.backups.iter().map(|rule| rule.name.as_str().to_owned()).collect();
        let renamed = |rule: &BackupRule| {
            let now = rule.name.as_str().to_owned();
            rule.former.iter().map(|former| (former.clone(), now.clone())).collect::<Vec<_>>()
        };
        let former = table.config.backups.iter().flat_map(renamed).collect();
        let Some(enrolment) = table.enrolment(id) else {
            return Backups { machine, known: Vec::new(), pins: Vec::new(), configured, former };
        };
        let names: std::collections::BTreeSet<&String> = enrolment.shared.keys().chain(enrolment.pins.keys()).collect();
        let known =
            names.into_iter().filter_map(|name| Some((name.clone(), shared_records::known(enrolment, name).ok()?)));
        let known: Vec<(String, SharedRecord)> = known.collect();
        let needed = known.iter().filter(|(name, _)| pins::is_needed_on(&table, enrolment, name));
        let pins = needed.filter_map(|(_, known)| known.newest()).map(SharedSnapshot::uuids).collect();
        Backups { machine, known, pins, configured, former }
    }
}

pub(super) fn value(known: &impl serde::Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(known).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use butterdock_receive::SubvolumeState;
    use uuid::Uuid;

    use super::*;
    use crate::clock::{Clock, Reading};
    use crate::config::Config;
    use crate::destination_list::DestinationList;
    use crate::drives::entry::DriveEntry;
    use crate::enrolment::{EnrolmentStore, Member};
    use crate::hooks::Hooks;

    fn learned() -> RecordUpdate {
        let shared =
            SharedSnapshot { here: SubvolumeState::default(), there: SubvolumeState::default(), time: 1_795_378_400 };
        RecordUpdate { shared, nested: Vec::new(), sources: Vec::new(), lost: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backup_is_written_down_while_the_drive_is_locked() {
        let state = tempfile::tempdir().expect("a folder");
        let register = EnrolmentStore::open(state.path()).expect("opened");
        let member = Member { device: Uuid::new_v4(), luks: None, serial: "S".to_owned(), size: 1 };
        let enrolment = Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7);
        register.write(&enrolment).expect("written");
        let id = DriveId::from(enrolment.id);
        let (hooks, destinations) = (Hooks::start(None, ()).expect("a thread"), DestinationList::default());
        let devices = std::sync::Arc::new(crate::device::SystemDevices);
        let reading = Reading { wall: 1_795_378_500, boot: 1, boot_id: Uuid::nil(), synchronised: None };
        let clock = Clock::of(move || reading);
        let (manager, _plugged) =
            DriveManager::new(&Config::default(), (devices, clock), (hooks, destinations), register, vec![enrolment]);
        manager.lock().entries.insert(id.clone(), DriveEntry::new());
        let guard = manager.lock_drive(&id).await.expect("free");
        let begun = tokio::time::Instant::now();
        manager.backed_up(&id, "home", learned(), true).await.expect("written down");
        assert_eq!(begun.elapsed(), Duration::ZERO, "it waited for the drive");
        drop(guard);
        let (written, _) = EnrolmentStore::open(state.path()).and_then(|register| register.list()).expect("listed");
        assert_eq!(written[0].last_backup, 1_795_378_400_000_000, "when the snapshot was made");
        assert!(written[0].shared.contains_key("home"), "{written:?}");
        assert_eq!(manager.lock().enrolments, written);
    }
}
