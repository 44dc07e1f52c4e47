//! The record of the clocks in the state directory, and whether they are trusted: pure functions.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Reading;

const DAY: i64 = 24 * 3600;
/// Within one boot wall time may run ahead of boot time by so much.
const WITHIN_BOOT: i64 = DAY;
/// Across boots, where the machine may have been off, by so much.
const ACROSS_BOOTS: i64 = 30 * DAY;
/// A clock that went back by so much is not believed at once either.
const BEHIND: i64 = DAY;
/// After this many seconds of boot time in doubt, a clock that ran normally is trusted.
const BELIEVED_AFTER: u64 = 24 * 3600;
/// No clock that is right shows less: the first of January 2025, before this was written.
const PLAUSIBLE: i64 = 1_735_689_600;
/// The version of what is written.
const VERSION: u32 = 1;

/// What the clocks said, and what of it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Which count `elapsed` is: a record that begins anew counts from 0.
    series: Uuid,
    /// Wall time as far as it is believed: what it was when it was believed last, and boot time since.
    wall: i64,
    boot: u64,
    boot_id: Uuid,
    /// There was a boot since wall time was believed last, and before it no doubt that it was ahead: the machine may have been
    /// off.
    restarted: bool,
    /// Seconds that passed since the record began.
    elapsed: u64,
    doubt: Option<Doubt>,
}

/// Wall time is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Doubt {
    why: Why,
    /// What it said.
    wall: i64,
    /// Seconds of boot time since then.
    lasted: u64,
    /// Seconds spent switched off, if it is right.
    off: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    Ahead,
    Behind,
    /// What was recorded before cannot be read.
    Unreadable,
}

/// A point in the count of seconds that passed, whatever wall time said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elapsed {
    /// Which count.
    pub series: Uuid,
    /// How many seconds.
    pub seconds: u64,
}

/// Nothing is deleted, because of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// Pruning resumes after up to this many seconds of boot time, if the clock is not set again.
    pub remaining: u64,
}

/// Why nothing is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Wall time is ahead of where it should be by this many seconds.
    Ahead {
        /// How many seconds.
        seconds: u64,
    },
    /// What was recorded of the clocks cannot be read.
    Unreadable,
}

impl Record {
    /// The first one: nothing is known that could speak against the clock.
    pub fn first(now: &Reading, series: Uuid) -> Self {
        let Reading { wall, boot, boot_id, synchronised: _ } = *now;
        Self { version: VERSION, series, wall, boot, boot_id, restarted: false, elapsed: 0, doubt: None }
    }

    /// The first one after one that could not be read, which may have doubted the clock.
    pub fn after_unreadable(now: &Reading, series: Uuid) -> Self {
        let doubt = Doubt { why: Why::Unreadable, wall: now.wall, lasted: 0, off: 0 };
        Self { doubt: (now.synchronised != Some(true)).then_some(doubt), ..Self::first(now, series) }
    }

    /// Whether this program wrote it.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// The record that follows when the clocks say this.
    pub fn after(&self, now: &Reading) -> Self {
        let same_boot = self.boot_id == now.boot_id && self.boot <= now.boot;
        let passed = if same_boot { now.boot.saturating_sub(self.boot) } else { now.boot };
        let line = plus(self.wall, passed);
        // A clock that ran ahead within a boot is not right because of another boot.
        let was_ahead = self.doubt.is_some_and(|doubt| doubt.why != Why::Behind);
        let next = Self {
            wall: line,
            boot: now.boot,
            boot_id: now.boot_id,
            restarted: self.restarted || (!same_boot && !was_ahead),
            elapsed: self.elapsed.saturating_add(passed),
            doubt: None,
            ..*self
        };
        if now.synchronised == Some(true) {
            return next.believing(now, next.off(now));
        }
        let ahead = now.wall.saturating_sub(line);
        let unreadable = self.doubt.is_some_and(|doubt| doubt.why == Why::Unreadable);
        let limit = if next.restarted { ACROSS_BOOTS } else { WITHIN_BOOT };
        let why = match ahead {
            _ if unreadable => Why::Unreadable,
            // What was believed cannot have been right.
            _ if line < PLAUSIBLE && now.wall >= PLAUSIBLE => return next.believing(now, 0),
            ahead if ahead > limit => Why::Ahead,
            ahead if ahead < -BEHIND => Why::Behind,
            // Small steps within one boot do not add up to a large one.
            _ if !next.restarted => return next,
            _ => return next.believing(now, if same_boot { 0 } else { next.off(now) }),
        };
        next.doubting(now, why, self.doubt, (same_boot, passed))
    }

    /// The record that follows when root says that the clock is right.
    pub fn trusted(&self, now: &Reading) -> Self {
        self.after(&Reading { synchronised: Some(true), ..*now })
    }

    /// Why nothing may be deleted; none where it may.
    pub fn stop(&self) -> Option<Stop> {
        let doubt = self.doubt?;
        let reason = match doubt.why {
            Why::Behind => return None,
            Why::Ahead => StopReason::Ahead { seconds: doubt.wall.saturating_sub(self.wall).unsigned_abs() },
            Why::Unreadable => StopReason::Unreadable,
        };
        Some(Stop { reason, remaining: BELIEVED_AFTER.saturating_sub(doubt.lasted) })
    }

    /// How much has passed.
    pub fn elapsed(&self) -> Elapsed {
        Elapsed { series: self.series, seconds: self.elapsed }
    }

    fn believing(self, now: &Reading, off: u64) -> Self {
        let elapsed = self.elapsed.saturating_add(off);
        Self { wall: now.wall, restarted: false, elapsed, doubt: None, ..self }
    }

    /// Seconds that were spent switched off, if wall time is right.
    fn off(&self, now: &Reading) -> u64 {
        let is_known = self.restarted && self.wall >= PLAUSIBLE;
        if is_known { u64::try_from(now.wall.saturating_sub(self.wall)).unwrap_or(0) } else { 0 }
    }

    /// Keeps doubting a clock that ran normally since the doubt began, until that was long enough; one that was set again
    /// is doubted anew.
    fn doubting(self, now: &Reading, why: Why, before: Option<Doubt>, (same_boot, passed): (bool, u64)) -> Self {
        let runs_on = before.filter(|doubt| doubt.why == why && doubt.runs_on(now, (same_boot, passed)));
        let doubt = match runs_on {
            Some(doubt) => {
                let off = if same_boot { 0 } else { u64::try_from(doubt.moved(now, passed)).unwrap_or(0) };
                let (lasted, off) = (doubt.lasted.saturating_add(passed), doubt.off.saturating_add(off));
                Doubt { why, wall: now.wall, lasted, off }
            }
            // What is set later in a boot is not what was off before it.
            None => Doubt { why, wall: now.wall, lasted: 0, off: if same_boot { 0 } else { self.off(now) } },
        };
        if doubt.lasted >= BELIEVED_AFTER {
            return self.believing(now, doubt.off);
        }
        Self { doubt: Some(doubt), ..self }
    }
}

impl Doubt {
    /// Whether the clock ran on since it said what is doubted, and was not set again.
    fn runs_on(&self, now: &Reading, (same_boot, passed): (bool, u64)) -> bool {
        let limit = if same_boot { WITHIN_BOOT } else { ACROSS_BOOTS };
        (-BEHIND..=limit).contains(&self.moved(now, passed))
    }

    /// By how much it is ahead of what it said, and the boot time that passed since.
    fn moved(&self, now: &Reading, passed: u64) -> i64 {
        now.wall.saturating_sub(plus(self.wall, passed))
    }
}

impl StopReason {
    /// The word for it on the bus.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ahead { .. } => "clock-ahead",
            Self::Unreadable => "clock-record-unreadable",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("old snapshots are not deleted, because ")?;
        match self.reason {
            StopReason::Ahead { seconds } => {
                let days = seconds.div_euclid(24 * 3600);
                let unit = if days == 1 { "day" } else { "days" };
                write!(f, "the clock is {days} {unit} ahead of what the time since the last check allows")?;
            }
            StopReason::Unreadable => f.write_str("the record of the clocks cannot be read")?,
        }
        let hours = self.remaining.div_ceil(3600);
        write!(
            f,
            ": check the date, then run butterdock trust-clock as root; else pruning resumes when a time service has \
             synchronised the clock, or after {hours} more hours of running"
        )
    }
}

fn plus(wall: i64, seconds: u64) -> i64 {
    wall.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
