//! The backups that should have run on a drive and did not, or not to their end: each until it has run.
//!
//! A client that learns of the end of a job must find its problem. So it is set in memory first. Then it is written to the
//! enrolment, for the next service.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::enrolment::Enrolment;
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
    pub(super) fn time(&self) -> u64 {
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

/// What has the key `to` already stays.
pub(super) fn move_key<V>(map: &mut BTreeMap<String, V>, from: &str, to: &str) {
    if let Some(value) = map.remove(from) {
        map.entry(to.to_owned()).or_insert(value);
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
