//! Which backups are due on which drive: at a plug, and by their times.
//!
//! What is due is computed from the configuration, the records of the drives and the clock, so a restart forgets nothing that is due.
//! The pauses between attempts are in memory. The last attempt that failed, or that the end of a service interrupted, is recorded with
//! the drive or in the history: a new service takes it as the first one, and waits 5 minutes from it, so that a service that is
//! restarted again and again does not begin the same backup at each start. One that a person cancelled waits for its next time there
//! too. What is attached when the service starts counts as
//! plugged in for backups on plug, and not for backups by time that wait for their next attempt. A person who plugs the drive in again
//! does not wait.

use uuid::Uuid;

use super::entry::DriveEntry;
use super::entry::VolumeEntry;
use super::manager::DriveManager;
use super::shared_records;
use super::table::{DriveTable, goes};
use super::{DriveId, LastAttempt};
use crate::config::BackupRule;
use crate::enrolment::Enrolment;
use crate::hooks::{Event, Kind};
use crate::policy::Action;
use crate::schedule::{Attempts, Calendar, Due, is_from_future};
use crate::types::{Attempt, LastRun};

/// What the times of backups ask for now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DueNow {
    /// The backups that begin on attached drives, in the order of the configuration.
    pub begin: Vec<(DriveId, String)>,
    /// The destinations that are verified after that.
    pub verify: Vec<DriveId>,
    /// When something changes by itself next, in seconds since 1970.
    pub next: Option<i64>,
    /// Whether a backup with times has a good run in the future: the clock was wrong then, or is now.
    pub is_behind: bool,
}

impl DriveTable {
    /// Wall time, in seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        i64::try_from(self.clock.micros() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Whether the clock may be behind: the last good run of this backup there is dated in the future.
    fn is_behind(&self, rule: &BackupRule, enrolment: &Enrolment, now: i64) -> bool {
        last_good(rule, enrolment).is_some_and(|last| is_from_future(last, now))
    }

    /// A backup on one of its drives, by its times.
    pub(super) fn due(&self, rule: &BackupRule, enrolment: &Enrolment, now: i64) -> Due {
        let none = Attempts::default();
        let attempts = self.attempts.get(&enrolment.id).and_then(|of| of.get(rule.name.as_str())).unwrap_or(&none);
        Due::of(&rule.schedule, &self.calendar(rule), last_good(rule, enrolment), attempts, now)
    }

    /// When the times of a backup to this destination begin one next, in seconds since 1970; not after now where it is away.
    pub(super) fn next_run(&self, enrolment: &Enrolment) -> Option<i64> {
        let now = self.now();
        let rules = self.config.backups.iter().filter(|rule| goes(&self.config, rule, enrolment));
        rules.filter_map(|rule| self.due(rule, enrolment, now).begins).min()
    }

    fn calendar(&self, rule: &BackupRule) -> Calendar {
        Calendar::of(self.clock.zone(), rule.spread, self.machine.into_bytes(), rule.name.as_str())
    }

    /// The names of the backups that begin when this drive is plugged in now, or was when the service started.
    pub(super) fn due_at_plug(&self, id: &DriveId, at_start: bool) -> Vec<String> {
        let Some(enrolment) = self.enrolment(id) else { return Vec::new() };
        let now = self.now();
        let has_come = |rule: &BackupRule| {
            // What waits for the clock begins by its times later.
            let waits = !self.believes_clock && self.is_behind(rule, enrolment, now) && !self.clock.is_synchronised();
            let due = self.due(rule, enrolment, now);
            let has_come = if at_start { due.begins_at(now) } else { due.is_due };
            has_come && !waits
        };
        let is_due =
            |rule: &&BackupRule| goes(&self.config, rule, enrolment) && (rule.schedule.is_on_plug() || has_come(rule));
        self.config.backups.iter().filter(is_due).map(|rule| rule.name.as_str().to_owned()).collect()
    }

    /// What begins by its times.
    fn due_now(&self, now: i64) -> DueNow {
        let mut found = DueNow::default();
        let mut moments = Vec::new();
        for rule in self.config.backups.iter().filter(|rule| rule.enabled && rule.schedule.has_times()) {
            // Also of drives that are away: what is shown of them changes then.
            moments.extend(rule.schedule.next(now, &self.calendar(rule)));
            for enrolment in self.enrolments.iter().filter(|enrolment| goes(&self.config, rule, enrolment)) {
                let due = self.due(rule, enrolment, now);
                found.is_behind |= self.is_behind(rule, enrolment, now);
                let id = DriveId::from(enrolment.id);
                if due.begins_at(now) {
                    let is_there = self.volumes.get(&enrolment.id).is_some_and(VolumeEntry::is_there);
                    if is_there || self.entries.get(&id).is_some_and(|entry| self.begins_by_itself(&id, entry)) {
                        found.begin.push((id, rule.name.as_str().to_owned()));
                    }
                } else {
                    moments.extend(due.begins);
                }
            }
        }
        found.verify = self.verifies_now(now);
        found.next = moments.into_iter().chain(self.next_verify_of_any(now)).filter(|moment| *moment > now).min();
        found
    }

    /// Whether nothing but the times begins anything on this attached drive, and no person wants it safe.
    pub(super) fn is_left_to_times(&self, entry: &DriveEntry) -> bool {
        // Until the backups of a plug are jobs, the policy begins what is due.
        let is_served = (entry.served || entry.released) && !entry.beginning;
        is_served && !entry.absent && !entry.is_made_safe && !entry.unremoved
    }

    /// Whether backups begin by their times on this attached drive now.
    fn begins_by_itself(&self, id: &DriveId, entry: &DriveEntry) -> bool {
        if !self.is_left_to_times(entry) {
            return false;
        }
        let action = self.decision_after_release(id).map(|decision| decision.action);
        action.is_some_and(|action| match action {
            // One that cannot be used says why, as a problem.
            Action::Mount(_)
            | Action::Unlock(_)
            | Action::AwaitSecret(_)
            | Action::Leave
            | Action::Refuse(_)
            | Action::Degraded { .. } => true,
            Action::Show | Action::Backup => false,
        })
    }
}

impl DriveTable {
    /// The backup did not succeed.
    pub(super) fn note_failed_attempt(&mut self, enrolled: Uuid, backup: &str) {
        self.note_attempt(enrolled, backup, Attempts::failed);
    }

    /// The backup did not succeed at this time, in microseconds since 1970; a service before knew that.
    pub(super) fn recall_failed_attempt(&mut self, enrolled: Uuid, backup: &str, micros: u64) {
        let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        self.note_attempt(enrolled, backup, |attempts, _now| attempts.failed(seconds));
    }

    /// A person cancelled the backup at this time, in microseconds since 1970; a service before knew that.
    pub(super) fn recall_cancelled_attempt(&mut self, enrolled: Uuid, backup: &str, micros: u64) {
        let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        self.note_attempt(enrolled, backup, |attempts, _now| attempts.cancelled(seconds));
    }

    /// No backup to this destination begins before its next time.
    pub(super) fn await_next_times(&mut self, enrolled: Uuid) {
        let names: Vec<String> = self.config.backups.iter().map(|rule| rule.name.as_str().to_owned()).collect();
        names.iter().for_each(|name| self.note_attempt(enrolled, name, Attempts::cancelled));
    }

    fn note_attempt(&mut self, enrolled: Uuid, backup: &str, note: impl FnOnce(&mut Attempts, i64)) {
        let now = self.now();
        note(self.attempts.entry(enrolled).or_default().entry(backup.to_owned()).or_default(), now);
    }
}

impl DriveManager {
    /// What begins by its times now.
    pub(crate) fn due_now(&self) -> DueNow {
        let table = self.lock();
        table.due_now(table.now())
    }

    /// Whether backups with good runs in the future begin by their times.
    pub(crate) fn believe_clock(&self, believed: bool) {
        self.lock().believes_clock = believed;
    }

    /// A moment has come at which backups become due: what is shown of them changes, and what a plug begins.
    pub(crate) fn look_at_times(&self) {
        self.review();
    }

    /// A person cancelled the backup: it is not tried again before its next time.
    pub(crate) fn backup_cancelled(&self, id: &DriveId, backup: &str) {
        self.note_attempt(id, backup, Attempts::cancelled);
    }

    /// A backup that was started at this time, in seconds since 1970, has succeeded.
    pub(crate) fn backup_succeeded(&self, id: &DriveId, backup: &str, started: i64, run: LastRun) {
        self.note_attempt(id, backup, |attempts, _now| attempts.succeeded(started));
        self.set_last_run(id, backup, run);
        // An instant that passed during it is due now.
        self.look_at_times();
    }

    fn note_attempt(&self, id: &DriveId, backup: &str, note: impl FnOnce(&mut Attempts, i64)) {
        if let Some(enrolled) = id.enrolment() {
            self.lock().note_attempt(enrolled, backup, note);
        }
    }

    /// A backup should have run on the drive and did not, or not to its end.
    pub(crate) fn backup_not_done(&self, id: &DriveId, backup: &str, attempt: Attempt) {
        let Some(enrolled) = id.enrolment() else { return };
        {
            let mut table = self.lock();
            if table.enrolment(id).is_none() {
                return;
            }
            table.not_done.set(enrolled, backup, attempt);
            table.note_failed_attempt(enrolled, backup);
            if let Some(entry) = table.entries.get_mut(id) {
                entry.settled.insert(backup.to_owned());
            }
        }
        self.review();
        self.write_soon(id);
    }

    /// Takes over an attempt from the history, where the drive's last good backup and the attempt in its record are older: a service
    /// that is killed records nothing with the drive.
    pub(super) fn recall_attempt(&self, id: &DriveId, backup: &str, attempt: LastAttempt) {
        let mut table = self.lock();
        let Some(enrolment) = table.enrolment(id) else { return };
        let (enrolled, time) = (enrolment.id, attempt.time());
        let last =
            shared_records::known(enrolment, backup).ok().and_then(|known| u64::try_from(known.newest()?.time).ok());
        let known = table.not_done.on(enrolled);
        let is_newer = known.get(backup).is_none_or(|known| known.time < time);
        if last.is_some_and(|last| last > time / 1_000_000) || !is_newer {
            return;
        }
        match attempt {
            LastAttempt::NotDone(attempt) => {
                table.recall_failed_attempt(enrolled, backup, attempt.time);
                table.not_done.set(enrolled, backup, attempt);
            }
            LastAttempt::Cancelled { time } => table.recall_cancelled_attempt(enrolled, backup, time),
        }
    }

    /// A backup that was asked for did not become a job: it is a problem, also for the hooks.
    pub(crate) fn backup_not_begun(&self, id: &DriveId, backup: &str, attempt: Attempt) {
        let reason = attempt.reason.clone();
        tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "the backup \"{backup}\" does not begin: {reason}");
        let label = self.label(id).unwrap_or_default();
        let event = Event::of(Kind::BackupFailed, id.as_str(), &label);
        let error = Some(attempt.error);
        self.0.hooks.tell(Event { backup: backup.to_owned(), error, message: reason, ..event });
        self.backup_not_done(id, backup, attempt);
    }
}

/// The time of the data of the last good run of a backup to this drive, in seconds since 1970. It is asked for at every look, so the rest of
/// the record is not parsed.
pub(super) fn last_good(rule: &BackupRule, enrolment: &Enrolment) -> Option<i64> {
    let name = rule.name.as_str();
    let newest = match (enrolment.shared.get(name), enrolment.pins.get(name)) {
        (Some(record), _) => record.get("shared")?.as_array()?.last()?,
        (None, older) => older?,
    };
    newest.get("time")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backups::{RecordUpdate, SharedRecord, SharedSnapshot};

    #[test]
    fn the_last_good_run_is_that_of_the_newest_shared_snapshot() {
        let text = "name = \"home\"\nsource = \"/home\"\nto = []\n";
        let rule = BackupRule::parse(text);
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        assert_eq!(last_good(&rule, &blue), None);
        blue.pins.insert("home".to_owned(), serde_json::json!({ "sent_as": "x", "time": 5 }));
        assert_eq!(last_good(&rule, &blue), Some(5));
        let mut record = SharedRecord::default();
        for time in [8, 9] {
            let shared = SharedSnapshot { here: Default::default(), there: Default::default(), time };
            record.learn(RecordUpdate { shared, nested: Vec::new(), sources: Vec::new(), lost: Vec::new() });
        }
        blue.shared.insert("home".to_owned(), serde_json::to_value(&record).expect("written"));
        assert_eq!(last_good(&rule, &blue), record.newest().map(|newest| newest.time));
        blue.shared.insert("home".to_owned(), serde_json::json!(7));
        assert_eq!(last_good(&rule, &blue), None);
    }
}
