//! Which snapshots are kept, and why: a pure function of their times.
//!
//! A rule such as `daily = 7` looks at the seven most recent days on which there is a snapshot at all, and keeps the newest
//! of each. So a drive that was away for three months keeps what it has. Days, weeks (from Monday), months and years are
//! those of UTC. A snapshot that one rule keeps is not deleted by another. Whatever the rules say, five kinds stay: the
//! newest, the pinned, those younger than `protect`, those dated in the future, and those that butterdock did not make. The
//! last two are not counted either: three snapshots from the future do not take the places of `last = 3`.
//!
//! A date can be wrong, because the clock was. So a snapshot is old only if it was also *seen* long enough ago, and nothing
//! is deleted while the clock is in doubt.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::snapshot::Identity;
use super::utc::{self, DAY, HOUR};

/// How many snapshots are kept: of each period one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// The newest ones, up to this many.
    pub last: u16,
    /// The newest of each hour that has one, for this many hours.
    pub hourly: u16,
    /// The newest of each day, for this many days.
    pub daily: u16,
    /// The newest of each week, for this many weeks.
    pub weekly: u16,
    /// The newest of each month, for this many months.
    pub monthly: u16,
    /// The newest of each year, for this many years.
    pub yearly: u16,
}

/// A snapshot, as far as its keeping goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Distinguishes two of the same second.
    pub id: Identity,
    /// When it was made: seconds since 1970.
    pub time: i64,
    /// A drive needs it for its next increment.
    pub pinned: bool,
    /// Butterdock made it, for this backup.
    pub ours: bool,
    /// It was seen first at least `protect` ago.
    pub settled: bool,
}

/// What the reasons depend on beside the snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub keep: RetentionRule,
    /// Nothing younger is deleted; in seconds.
    pub protect: u64,
    /// Seconds since 1970.
    pub now: i64,
    /// The clock is in doubt.
    pub stopped: bool,
}

/// Dated later than this from now, a snapshot is from the future. A new one may be dated so much ahead, where the names of
/// earlier seconds are taken.
const AHEAD: i64 = HOUR;

/// Whether a snapshot of this time is dated in the future.
pub(super) fn is_from_future(time: i64, now: i64) -> bool {
    time.saturating_sub(now) > AHEAD
}

/// Why a snapshot is kept: the first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NotOurs,
    Pinned,
    /// It is dated in the future, and takes no place of a rule.
    FromFuture,
    Newest,
    Protected,
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    /// No rule keeps it, but the clock is in doubt.
    ClockInDoubt,
}

/// Says for each snapshot, in the order given, why it is kept; none where it is to be deleted.
pub(super) fn reasons(rule: &Rule, snapshots: &[Candidate]) -> Vec<Option<Reason>> {
    let Rule { keep, protect, now, stopped } = *rule;
    let counts = |snapshot: &&Candidate| snapshot.ours && !is_from_future(snapshot.time, now);
    let mut newest_first: Vec<&Candidate> = snapshots.iter().filter(counts).collect();
    newest_first.sort_unstable_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.id)));
    let kept: Vec<(Reason, HashSet<Identity>)> =
        keep.rules().map(|(reason, count, period)| (reason, newest_of(&newest_first, count, period))).to_vec();
    let newest = newest_first.first().map(|snapshot| snapshot.id);
    let is_young = |time: i64| u64::try_from(now.saturating_sub(time)).map_or(true, |age| age < protect);
    let by_rule = |id: Identity| kept.iter().find(|(_, kept)| kept.contains(&id)).map(|(reason, _)| *reason);
    let reason = |snapshot: &Candidate| match *snapshot {
        Candidate { ours: false, .. } => Some(Reason::NotOurs),
        Candidate { pinned: true, .. } => Some(Reason::Pinned),
        Candidate { time, .. } if is_from_future(time, now) => Some(Reason::FromFuture),
        Candidate { id, .. } if Some(id) == newest => Some(Reason::Newest),
        Candidate { time, settled, .. } if protect > 0 && (is_young(time) || !settled) => Some(Reason::Protected),
        Candidate { id, .. } => by_rule(id).or(stopped.then_some(Reason::ClockInDoubt)),
    };
    snapshots.iter().map(reason).collect()
}

/// Numbers the period that a time is in.
type Period = fn(i64) -> i64;

impl RetentionRule {
    fn rules(&self) -> [(Reason, u16, Period); 6] {
        let Self { last, hourly, daily, weekly, monthly, yearly } = *self;
        [
            (Reason::Last, last, |time| time),
            (Reason::Hourly, hourly, |time| time.div_euclid(HOUR)),
            (Reason::Daily, daily, |time| time.div_euclid(DAY)),
            // The first of January 1970 was a Thursday.
            (Reason::Weekly, weekly, |time| time.div_euclid(DAY).saturating_add(3).div_euclid(7)),
            (Reason::Monthly, monthly, |time| {
                let date = utc::date_time(time);
                i64::from(date.year()) * 12 + i64::from(date.month())
            }),
            (Reason::Yearly, yearly, |time| i64::from(utc::date_time(time).year())),
        ]
    }
}

/// The newest snapshot of each of the `count` most recent periods that have one.
fn newest_of(newest_first: &[&Candidate], count: u16, period: Period) -> HashSet<Identity> {
    let mut kept = HashSet::new();
    let mut before = None;
    for snapshot in newest_first {
        let now = period(snapshot.time);
        if before == Some(now) {
            continue;
        }
        if kept.len() >= usize::from(count) {
            break;
        }
        before = Some(now);
        kept.insert(snapshot.id);
    }
    kept
}

impl Default for RetentionRule {
    /// What most people mean who have not thought about it.
    fn default() -> Self {
        Self { last: 3, hourly: 0, daily: 14, weekly: 8, monthly: 12, yearly: 5 }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
