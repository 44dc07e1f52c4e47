//! Which snapshots are kept, and why: a pure function of their times.
//!
//! A rule such as `daily = 7` keeps the newest snapshot of each of the seven most recent days that have a snapshot. So a drive
//! that was away for three months keeps its snapshots. Days, weeks (from Monday), months and years are those of UTC. A snapshot
//! is kept if any rule keeps it. Six kinds are always kept: held ones, the newest, pinned ones, those younger than `protect`,
//! those dated in the future, and those that butterdock did not make. The last two are not counted either: three snapshots from
//! the future do not use up `last = 3`. A held one is counted as if it were not held, so that a hold changes nothing for others.
//!
//! A snapshot in which a verify found damage takes no place of an undamaged one: the rules count the undamaged ones among
//! themselves, and so the newest undamaged one is always kept. The damaged ones are judged among all, because most of their files
//! may be good: the rules keep one that they would keep if it were not damaged.
//!
//! A date can be wrong because the clock was wrong. So a snapshot is old only if it was also *seen* long enough ago, and
//! nothing is deleted while the clock is not trusted.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::name::{self, DAY, HOUR};
use super::snapshot::Identity;

/// How many snapshots are kept: one of each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    /// The newest ones, up to this many.
    pub last: u16,
    /// The newest of each hour with a snapshot, for this many hours.
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

/// The properties of a snapshot that retention depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Distinguishes snapshots of the same second.
    pub id: Identity,
    /// When it was made: seconds since 1970.
    pub time: i64,
    /// A drive needs it for its next increment.
    pub pinned: bool,
    /// This backup made it.
    pub ours: bool,
    /// A person holds it.
    pub held: bool,
    /// It was first seen at least `protect` ago.
    pub settled: bool,
    /// A drive needed it for its next increment, and it was unpinned.
    pub unpinned: bool,
    /// A verify found damage in it: it is no parent of an increment.
    pub damaged: bool,
}

/// The rule and the time that it is applied at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub keep: RetentionRule,
    /// Nothing younger is deleted; in seconds.
    pub protect: u64,
    /// Seconds since 1970.
    pub now: i64,
    /// The clock is not trusted.
    pub stopped: bool,
}

/// A snapshot whose date is later than this from now is from the future. A new snapshot may be dated up to this far ahead if the
/// names of earlier seconds are taken.
const AHEAD: i64 = HOUR;

/// Whether a snapshot of this time is dated in the future.
pub(super) fn is_from_future(time: i64, now: i64) -> bool {
    time.saturating_sub(now) > AHEAD
}

/// Why a snapshot is kept: the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    NotOurs,
    /// A person holds it.
    Held,
    Pinned,
    /// It is dated in the future; the rules do not count it.
    FromFuture,
    Newest,
    Protected,
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    /// No rule keeps it, but the clock is not trusted.
    ClockInDoubt,
}

/// The reason to keep each snapshot, in the given order; `None` if it is deleted.
pub(super) fn reasons(rule: &Rule, snapshots: &[Candidate]) -> Vec<Option<Reason>> {
    let Rule { keep, protect, now, stopped } = *rule;
    let counts = |snapshot: &&Candidate| snapshot.ours && !is_from_future(snapshot.time, now);
    let mut newest_first: Vec<&Candidate> = snapshots.iter().filter(counts).collect();
    newest_first.sort_unstable_by_key(|snapshot| std::cmp::Reverse((snapshot.time, snapshot.id)));
    let all = Kept::of(&keep, &newest_first);
    newest_first.retain(|snapshot| !snapshot.damaged);
    let undamaged = Kept::of(&keep, &newest_first);
    let is_young = |time: i64| u64::try_from(now.saturating_sub(time)).map_or(true, |age| age < protect);
    let reason = |snapshot: &Candidate| {
        let kept = if snapshot.damaged { &all } else { &undamaged };
        match *snapshot {
            Candidate { ours: false, .. } => Some(Reason::NotOurs),
            Candidate { held: true, .. } => Some(Reason::Held),
            Candidate { pinned: true, damaged: false, .. } => Some(Reason::Pinned),
            Candidate { unpinned: true, .. } => None,
            Candidate { time, .. } if is_from_future(time, now) => Some(Reason::FromFuture),
            Candidate { id, .. } if Some(id) == kept.newest => Some(Reason::Newest),
            Candidate { time, settled, .. } if protect > 0 && (is_young(time) || !settled) => Some(Reason::Protected),
            Candidate { id, .. } => kept.by_rule(id).or(stopped.then_some(Reason::ClockInDoubt)),
        }
    };
    snapshots.iter().map(reason).collect()
}

/// Those of a list of snapshots that are kept if nothing but their times counts.
struct Kept {
    newest: Option<Identity>,
    by_rule: Vec<(Reason, HashSet<Identity>)>,
}

impl Kept {
    fn of(keep: &RetentionRule, newest_first: &[&Candidate]) -> Self {
        let by_rule =
            keep.rules().map(|(reason, count, period)| (reason, newest_of(newest_first, count, period))).to_vec();
        Self { newest: newest_first.first().map(|snapshot| snapshot.id), by_rule }
    }

    fn by_rule(&self, id: Identity) -> Option<Reason> {
        self.by_rule.iter().find(|(_, kept)| kept.contains(&id)).map(|(reason, _)| *reason)
    }
}

/// The number of the period that contains a time.
type Period = fn(i64) -> i64;

impl RetentionRule {
    /// Keeps only the newest.
    pub const NEWEST: Self = Self { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

    fn rules(&self) -> [(Reason, u16, Period); 6] {
        let Self { last, hourly, daily, weekly, monthly, yearly } = *self;
        [
            (Reason::Last, last, |time| time),
            (Reason::Hourly, hourly, |time| time.div_euclid(HOUR)),
            (Reason::Daily, daily, |time| time.div_euclid(DAY)),
            // The first of January 1970 was a Thursday.
            (Reason::Weekly, weekly, |time| time.div_euclid(DAY).saturating_add(3).div_euclid(7)),
            (Reason::Monthly, monthly, |time| {
                let date = name::date_time(time);
                i64::from(date.year()) * 12 + i64::from(date.month())
            }),
            (Reason::Yearly, yearly, |time| i64::from(name::date_time(time).year())),
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
    /// The default of the configuration.
    fn default() -> Self {
        Self { last: 3, hourly: 0, daily: 14, weekly: 8, monthly: 12, yearly: 5 }
    }
}

#[cfg(test)]
mod tests;
