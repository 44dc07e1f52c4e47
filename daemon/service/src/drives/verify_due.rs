//! The verifies that begin by themselves: `verify_every` of a destination.
//!
//! As with backups, what is due is decided at each look, from the configuration, the record of the destination and the clock. A verify
//! that is due is queued behind the backups of a plug, and on a destination that stays attached as soon as nothing else runs there. One
//! that an unplug interrupts is still due at the next plug, and so is one that a safe removal ends: a person who takes the drive does
//! not wait for it.

use std::time::Duration;

use super::DriveId;
use super::entry::DriveEntry;
use super::entry::VolumeEntry;
use super::manager::DriveManager;
use super::table::DriveTable;
use crate::config::duration_words;
use crate::enrolment::Enrolment;
use crate::policy::Action;
use crate::schedule::{Attempts, Due, is_from_future};
use crate::types::Problem;

/// A destination that was not verified for so many times `verify_every` is a problem.
const LATE: u32 = 2;
/// It is none before this time after the verify became due.
const LATE_LEAST: Duration = Duration::from_secs(30 * 24 * 3600);

impl DriveTable {
    /// The verify of a destination; None if it has none by itself, or if the clock is wrong.
    pub(super) fn due_verify(&self, enrolment: &Enrolment, now: i64) -> Option<Due> {
        let (every, none) = (self.verify_every(enrolment)?, Attempts::default());
        let attempts = self.verify_attempts.get(&enrolment.id).unwrap_or(&none);
        Some(Due::of_verify(every, last_verify(enrolment, now)?, attempts, now))
    }

    /// The destinations whose verify begins now on what is attached.
    pub(super) fn verifies_now(&self, now: i64) -> Vec<DriveId> {
        let begins = |enrolment: &&Enrolment| {
            let id = DriveId::from(enrolment.id);
            let is_there = self.volumes.get(&enrolment.id).is_some_and(VolumeEntry::is_there)
                || self.entries.get(&id).is_some_and(|entry| self.verifies_by_itself(&id, entry));
            is_there && self.due_verify(enrolment, now).is_some_and(|due| due.begins_at(now))
        };
        self.enrolments.iter().filter(begins).map(|enrolment| DriveId::from(enrolment.id)).collect()
    }

    /// When the next verify of a destination begins, in seconds since 1970; not after now where it is away.
    pub(super) fn next_verify(&self, enrolment: &Enrolment) -> Option<i64> {
        self.due_verify(enrolment, self.now())?.begins
    }

    /// When the next verify becomes due, or is tried again, on any destination.
    pub(super) fn next_verify_of_any(&self, now: i64) -> Option<i64> {
        let next = |enrolment: &Enrolment| self.due_verify(enrolment, now)?.begins;
        self.enrolments.iter().filter_map(next).filter(|next| *next > now).min()
    }

    /// What is wrong if a destination was not verified for far too long.
    pub(super) fn verify_overdue(&self, enrolment: &Enrolment) -> Option<Problem> {
        let (every, now) = (self.verify_every(enrolment)?, self.now());
        let limit = every.saturating_mul(LATE).max(every.saturating_add(LATE_LEAST));
        let late = last_verify(enrolment, now)?.saturating_add_unsigned(limit.as_secs());
        (late < now).then(|| {
            let sentence = format!(
                "no verify has read all of its data for more than {}; leave it attached until one has ended: it begins by itself, \
                 or with butterdock verify",
                duration_words(limit)
            );
            Problem::VerifyOverdue { sentence }
        })
    }

    fn verify_every(&self, enrolment: &Enrolment) -> Option<Duration> {
        self.destination_rules(&DriveId::from(enrolment.id)).find_map(|rule| rule.verify_every)
    }

    /// Whether a verify begins by itself on this attached drive: only where it can be read without a person, and whole.
    fn verifies_by_itself(&self, id: &DriveId, entry: &DriveEntry) -> bool {
        self.is_left_to_times(entry)
            && self.decision_after_release(id).is_some_and(|decision| match decision.action {
                Action::Mount(_) | Action::Unlock(_) | Action::Leave => true,
                Action::AwaitSecret(_)
                | Action::Refuse(_)
                | Action::Degraded { .. }
                | Action::Show
                | Action::Backup => false,
            })
    }
}

impl DriveManager {
    /// Whether a verify is due on this destination, which was just plugged in.
    pub(crate) fn is_verify_due(&self, id: &DriveId) -> bool {
        let table = self.lock();
        let due = table.enrolment(id).and_then(|enrolment| table.due_verify(enrolment, table.now()));
        due.is_some_and(|due| due.is_due)
    }

    /// A verify begins by itself. Until its success is recorded it counts as one that failed.
    pub(crate) fn note_verify_begun(&self, id: &DriveId) {
        self.note_verify(id, Attempts::failed);
    }

    /// A person cancelled a verify, or took the drive meanwhile: it is not tried again before the next day or the next plug.
    pub(crate) fn note_verify_cancelled(&self, id: &DriveId) {
        self.note_verify(id, Attempts::cancelled);
    }

    fn note_verify(&self, id: &DriveId, note: impl FnOnce(&mut Attempts, i64)) {
        let Some(enrolled) = id.enrolment() else { return };
        let mut table = self.lock();
        let now = table.now();
        note(table.verify_attempts.entry(enrolled).or_default(), now);
    }
}

/// From when `verify_every` counts, in seconds since 1970: the last verify of all devices, or the enrolment. A time in the future is of
/// a wrong clock.
fn last_verify(enrolment: &Enrolment, now: i64) -> Option<i64> {
    let seconds = |micros: u64| i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    [enrolment.verified, enrolment.enrolled].map(seconds).into_iter().find(|at| *at > 0 && !is_from_future(*at, now))
}
