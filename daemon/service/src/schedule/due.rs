//! What is due, when it is tried again, and what is overdue. Times are seconds since 1970.

use std::time::Duration;

use serde::Deserialize;

use super::{Calendar, Schedule};

/// The pauses after a first and a second attempt that failed. After a third one the next instant is awaited.
const RETRIES: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(3600)];
/// After so many seconds a verify that did not succeed is tried again.
const VERIFY_AGAIN: i64 = 24 * 3600;
/// A good run that is dated later than now by more than this was made with a wrong clock.
const WRONG_CLOCK: i64 = 24 * 3600;
/// The least time after which a backup with times is overdue, and the one without times.
const OVERDUE_LEAST: Duration = Duration::from_secs(3 * 24 * 3600);
const OVERDUE_ON_PLUG: Duration = Duration::from_secs(14 * 24 * 3600);

/// The ends of the last attempts that did not succeed, of one backup to one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attempts(Vec<i64>);

/// A backup to one destination, by its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whether the newest instant is later than the last good run.
    pub is_due: bool,
    /// When it begins: up to now where it is due and not tried in vain; else the next attempt or the next instant.
    pub begins: Option<i64>,
}

impl Attempts {
    /// One failed at `now`.
    pub(crate) fn failed(&mut self, now: i64) {
        self.0.push(now);
        // More are never counted.
        if self.0.len() > RETRIES.len() + 1 {
            self.0.remove(0);
        }
    }

    /// A person cancelled one at `now`: it is not tried again before the next instant.
    pub(crate) fn cancelled(&mut self, now: i64) {
        self.0 = vec![now; RETRIES.len() + 1];
    }

    /// One that was started at `started` succeeded. The record of the destination has it; where it lacks it, the backup does not run
    /// again and again. The instants that passed during it are not tried yet.
    pub(crate) fn succeeded(&mut self, started: i64) {
        self.cancelled(started);
    }

    /// When it is tried, for an instant. None: not before the next instant.
    fn next(&self, instant: i64, now: i64) -> Option<i64> {
        // Those of earlier instants do not count, nor those of a wrong clock.
        let counts = |end: &&i64| **end >= instant && !is_from_future(**end, now);
        let ends: Vec<i64> = self.0.iter().filter(counts).copied().collect();
        let Some(last) = ends.last() else { return Some(instant) };
        let pause = RETRIES.get(ends.len().checked_sub(1)?)?;
        last.checked_add_unsigned(pause.as_secs())
    }
}

impl Due {
    /// Level-triggered: it is due where the newest instant is later than the last good run, whatever happened in between.
    pub(crate) fn of(
        schedule: &Schedule,
        calendar: &Calendar,
        last_good: Option<i64>,
        attempts: &Attempts,
        now: i64,
    ) -> Self {
        let Some(newest) = schedule.newest(now, calendar) else { return Self { is_due: false, begins: None } };
        let last_good = last_good.filter(|last| !is_from_future(*last, now));
        let is_due = last_good.is_none_or(|last| last < newest);
        let next = schedule.next(now, calendar);
        let tried = attempts.next(newest, now).filter(|_| is_due);
        Self { is_due, begins: tried.into_iter().chain(next).min() }
    }

    /// A verify of a destination, `every` so long after `last`. One that is due is tried each day.
    pub(crate) fn of_verify(every: Duration, last: i64, attempts: &Attempts, now: i64) -> Self {
        let first = last.saturating_add_unsigned(every.as_secs());
        if now < first {
            return Self { is_due: false, begins: Some(first) };
        }
        let newest = now.saturating_sub(now.saturating_sub(first).checked_rem(VERIFY_AGAIN).unwrap_or_default());
        let tried = attempts.next(newest, now);
        Self { is_due: true, begins: tried.into_iter().chain(newest.checked_add(VERIFY_AGAIN)).min() }
    }

    /// Whether it begins now.
    pub(crate) fn begins_at(self, now: i64) -> bool {
        self.is_due && self.begins.is_some_and(|begins| begins <= now)
    }
}

/// Whether a good run has a time that is not believed: the clock was wrong then, or is now.
pub(crate) fn is_from_future(last_good: i64, now: i64) -> bool {
    last_good > now.saturating_add(WRONG_CLOCK)
}

/// On which destinations a backup must not be overdue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverdueFor {
    /// The one with the newest good run.
    #[default]
    Best,
    /// Each one.
    Each,
}

/// After how long without a good run a backup is overdue. None: never.
pub(crate) fn overdue_after(configured: Option<Duration>, schedule: &Schedule) -> Option<Duration> {
    let by_times = schedule.period().map(|period| period.saturating_mul(3).max(OVERDUE_LEAST));
    let by_plug = schedule.is_on_plug().then_some(OVERDUE_ON_PLUG);
    configured.or(by_times).or(by_plug)
}

/// A backup on one of its destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    last_good: Option<i64>,
    since: i64,
}

impl Expected {
    /// `last_good` is the time of the data of the last good run, `since` the time from which one is expected. A good run that a wrong
    /// clock dated in the future does not count: it would hide for years that there is no other.
    pub(crate) fn new(last_good: Option<i64>, since: i64, now: i64) -> Self {
        Self { last_good: last_good.filter(|last| !is_from_future(*last, now)), since }
    }

    /// From when it counts on this destination alone.
    pub(crate) fn from(self) -> i64 {
        self.last_good.unwrap_or(self.since)
    }
}

/// From when the good runs of a backup count that decide whether it is overdue. None without destinations.
pub(crate) fn counted_from(of: OverdueFor, on: &[Expected]) -> Option<i64> {
    match of {
        // A new destination does not make a good run of an older one.
        OverdueFor::Best => {
            let best = on.iter().filter_map(|expected| expected.last_good).max();
            best.or_else(|| on.iter().map(|expected| expected.since).min())
        }
        OverdueFor::Each => on.iter().map(|expected| expected.from()).min(),
    }
}

/// Whether so much time has passed.
pub(crate) fn is_over(limit: Option<Duration>, from: i64, now: i64) -> bool {
    limit.is_some_and(|limit| from.saturating_add_unsigned(limit.as_secs()) < now)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_verify_is_tried_three_times_a_day_until_it_succeeds() {
        let (every, day) = (Duration::from_secs(90 * 24 * 3600), 24 * 3600);
        let due = |attempts: &Attempts, now| Due::of_verify(every, 1000, attempts, now);
        let first = 1000 + 90 * day;
        let mut attempts = Attempts::default();
        assert_eq!(due(&attempts, first - 1), Due { is_due: false, begins: Some(first) });
        assert!(
            due(&attempts, first).begins_at(first) && due(&attempts, first + 400 * day).begins_at(first + 400 * day)
        );
        let mut now = first + 7;
        for next in [now + 300, now + 300 + 3600, first + day] {
            attempts.failed(now);
            assert_eq!(due(&attempts, now), Due { is_due: true, begins: Some(next) });
            now = next;
        }
        assert!(due(&attempts, now).begins_at(now), "the next day");
        attempts.cancelled(now + 60);
        assert_eq!(due(&attempts, now + 61), Due { is_due: true, begins: Some(first + 2 * day) });
    }

    fn due(schedule: &str, last_good: Option<i64>, attempts: &Attempts, now: i64) -> Due {
        let schedule = Schedule::parse(&[schedule]).expect("a schedule");
        Due::of(&schedule, &Calendar { zone: TimeZone::UTC, delay: Duration::ZERO }, last_good, attempts, now)
    }

    const NOON: i64 = 1_800_000_000 / 86_400 * 86_400 + 12 * 3600;

    #[test]
    fn a_backup_is_due_until_a_run_after_the_newest_instant() {
        let none = Attempts::default();
        for (last_good, is_due) in [
            (None, true),
            (Some(NOON - 1), true),
            (Some(NOON), false),
            (Some(NOON + 5), false),
            (Some(NOON + 86_400), false),
        ] {
            assert_eq!(due("daily 12:00", last_good, &none, NOON + 60).is_due, is_due, "{last_good:?}");
        }
        let tomorrow = due("daily 12:00", Some(NOON), &none, NOON + 60);
        assert_eq!((tomorrow.begins, tomorrow.begins_at(NOON + 60)), (Some(NOON + 86_400), false));
        assert!(due("daily 12:00", None, &none, NOON).begins_at(NOON));
        for never in ["on-plug", "manual"] {
            assert_eq!(due(never, None, &none, NOON), Due { is_due: false, begins: None });
        }
    }

    #[test]
    fn a_run_that_a_wrong_clock_dates_in_the_future_does_not_count() {
        let none = Attempts::default();
        assert!(due("daily 12:00", Some(NOON + 3 * 86_400), &none, NOON + 60).is_due);
        // The clock was set back by some hours: these instants have had their run.
        assert!(!due("hourly", Some(NOON + 5 * 3600), &none, NOON).is_due);
    }

    #[test]
    fn a_failed_backup_is_tried_after_5_minutes_an_hour_and_the_next_instant() {
        let mut attempts = Attempts::default();
        let begins = |attempts: &Attempts, now| due("daily 12:00", None, attempts, now).begins;
        attempts.failed(NOON + 10);
        assert_eq!(begins(&attempts, NOON + 10), Some(NOON + 310));
        attempts.failed(NOON + 320);
        assert_eq!(begins(&attempts, NOON + 320), Some(NOON + 3920));
        attempts.failed(NOON + 4000);
        assert_eq!(begins(&attempts, NOON + 4000), Some(NOON + 86_400));
        assert!(due("daily 12:00", None, &attempts, NOON + 86_400).begins_at(NOON + 86_400));
        attempts.cancelled(NOON + 86_410);
        assert_eq!(begins(&attempts, NOON + 86_410), Some(NOON + 2 * 86_400));
    }

    #[test]
    fn overdue_is_by_default_three_periods_and_at_least_three_days() {
        let after = |configured: Option<u64>, words: &[&str]| {
            let schedule = Schedule::parse(words).expect("a schedule");
            overdue_after(configured.map(Duration::from_secs), &schedule).map(|limit| limit.as_secs() / 3600)
        };
        assert_eq!(after(None, &["hourly"]), Some(72));
        assert_eq!(after(None, &["weekly sun 03:00"]), Some(21 * 24));
        assert_eq!(after(None, &["on-plug", "daily 02:00"]), Some(72));
        assert_eq!(after(None, &["on-plug"]), Some(14 * 24));
        assert_eq!((after(None, &["manual"]), after(Some(7200), &["manual"])), (None, Some(2)));
        let limit = Some(Duration::from_secs(100));
        assert_eq!([600, 601].map(|now| is_over(limit, 500, now)), [false, true]);
        assert!(!is_over(None, 0, i64::MAX) && !is_over(limit, i64::MAX, i64::MAX));
    }

    #[test]
    fn overdue_is_counted_on_the_best_destination_or_on_each() {
        let on = |last_good, since| Expected::new(last_good, since, 1000);
        let from = |of, on: &[Expected]| counted_from(of, on);
        let both = [on(Some(100), 0), on(Some(500), 0)];
        assert_eq!((from(OverdueFor::Best, &both), from(OverdueFor::Each, &both)), (Some(500), Some(100)));
        let new = [on(Some(100), 0), on(None, 900)];
        assert_eq!((from(OverdueFor::Best, &new), from(OverdueFor::Each, &new)), (Some(100), Some(100)));
        let none = [on(None, 900), on(None, 700)];
        assert_eq!((from(OverdueFor::Best, &none), from(OverdueFor::Each, &none)), (Some(700), Some(700)));
        assert_eq!(from(OverdueFor::Each, &[]), None);
        let (future, next_day) = (1001 + WRONG_CLOCK, 1000 + WRONG_CLOCK);
        let wrong = [on(Some(100), 0), on(Some(future), 50)];
        assert_eq!((from(OverdueFor::Best, &wrong), from(OverdueFor::Each, &wrong)), (Some(100), Some(50)));
        assert_eq!(from(OverdueFor::Best, &[on(Some(future), 50)]), Some(50), "a wrong clock hides nothing");
        assert_eq!(from(OverdueFor::Best, &[on(Some(next_day), 50)]), Some(next_day));
    }
}
