//! The backups that should have run on a drive and did not, or not to their end: each until it has run.
//!
//! A client that learns of the end of a job must find its problem. So it is set in memory first. Then it is written to the
//! enrolment, for the next service.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::handle::DriveManager;
use super::renamed::move_key;
use super::{DriveId, rows};
use crate::enrolment::Enrolment;
use crate::hooks::{Event, Kind};
use crate::types::{Attempt, Problem};

/// By the enrolment, and the name of the backup.
#[derive(Debug, Default)]
pub(super) struct NotDone(BTreeMap<Uuid, BTreeMap<String, Attempt>>);

/// How the last job of a backup ended, of those that did not succeed.
#[derive(Debug)]
pub(crate) enum LastAttempt {
    NotDone(Attempt),
    /// A person cancelled it at this time, in microseconds since 1970.
    Cancelled {
        time: u64,
    },
}

impl LastAttempt {
    fn time(&self) -> u64 {
        match self {
            Self::NotDone(attempt) => attempt.time,
            Self::Cancelled { time } => *time,
        }
    }
}

impl NotDone {
    /// As the enrolments have it.
    pub(super) fn of(enrolments: &[Enrolment]) -> Self {
        Self(enrolments.iter().map(|enrolment| (enrolment.id, enrolment.not_done.clone())).collect())
    }

    /// An attempt did not succeed.
    pub(super) fn set(&mut self, drive: Uuid, backup: &str, attempt: Attempt) {
        self.0.entry(drive).or_default().insert(backup.to_owned(), attempt);
    }

    /// It has run.
    pub(super) fn clear(&mut self, drive: Uuid, backup: &str) {
        if let Some(backups) = self.0.get_mut(&drive) {
            backups.remove(backup);
        }
    }

    /// A backup has another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.0.values_mut().for_each(|backups| move_key(backups, from, to));
    }

    /// The drive is no longer enrolled.
    pub(super) fn forget(&mut self, drive: Uuid) {
        self.0.remove(&drive);
    }

    /// All backups of a drive, also those that are no longer configured.
    pub(super) fn on(&self, drive: Uuid) -> BTreeMap<String, Attempt> {
        self.0.get(&drive).cloned().unwrap_or_default()
    }

    /// The problems of these backups of a drive.
    pub(super) fn problems<'b>(&self, drive: Uuid, backups: impl IntoIterator<Item = &'b str>) -> Vec<Problem> {
        let attempts = self.0.get(&drive);
        let problem = |backup: &str| {
            let attempt = attempts?.get(backup)?.clone();
            Some(Problem::NotDone { backup: backup.to_owned(), attempt })
        };
        backups.into_iter().filter_map(problem).collect()
    }
}

impl DriveManager {
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
        let last = rows::known(enrolment, backup).ok().and_then(|known| u64::try_from(known.newest()?.time).ok());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AttemptEnd, ErrorCode};

    fn attempt(reason: &str) -> Attempt {
        Attempt { end: AttemptEnd::Failed, error: ErrorCode::Failed, reason: reason.to_owned(), time: 7 }
    }

    #[test]
    fn a_backup_is_a_problem_of_its_drive_until_it_has_run() {
        let (blue, red) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut all = NotDone::default();
        all.set(blue, "home", attempt("a"));
        all.set(blue, "home", attempt("b"));
        all.set(blue, "etc", attempt("c"));
        let reasons = |all: &NotDone, drive| {
            let problems = all.problems(drive, ["home", "etc", "srv"]);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let shown = reasons(&all, blue);
        assert!(shown.len() == 2 && shown[0].ends_with(": b") && shown[1].ends_with(": c"), "{shown:?}");
        assert!(reasons(&all, red).is_empty(), "the other drive has its own");
        assert!(all.problems(blue, ["srv"]).is_empty(), "one that is not configured is not shown");
        all.clear(blue, "home");
        assert_eq!(reasons(&all, blue).len(), 1);
        all.forget(blue);
        assert!(reasons(&all, blue).is_empty());
    }

    #[test]
    fn what_was_written_is_known_to_the_next_service() {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        blue.not_done.insert("home".to_owned(), attempt("a"));
        let bytes = serde_json::to_vec(&blue).expect("written");
        let blue: Enrolment = serde_json::from_slice(&bytes).expect("read");
        assert_eq!(NotDone::of(std::slice::from_ref(&blue)).problems(blue.id, ["home"]).len(), 1);
    }
}
