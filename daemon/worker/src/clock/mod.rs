//! Whether the wall clock is trusted: a pure function of readings of the clocks, and the record of them in the state
//! directory.
//!
//! # Why
//! Retention uses the dates of snapshots. A wall clock that is wrong by weeks makes young snapshots look old. Boot time
//! (`CLOCK_BOOTTIME`) cannot be set, includes sleep, and starts at 0 with each boot. The service compares the two clocks at
//! each backup and every hour. Nothing is deleted while wall time is ahead:
//!
//! * by more than a day compared with boot time, within one boot;
//! * by more than thirty days compared with boot time, across boots, where a machine may have been off.
//!
//! It is trusted again when the kernel reports that it is synchronised, after 24 hours of boot time, or when root confirms
//! it (`butterdock trust-clock`). A machine without a time service prunes as always while its clock runs normally. A clock
//! that is behind does not stop pruning, because it makes snapshots look younger. It is not trusted before 24 hours either: a
//! clock that showed 1970 for a while and is right again does not count as one that ran ahead.
//!
//! The time since a snapshot was first seen is counted in *elapsed* seconds: boot time within boots, and the difference of
//! wall time between boots. Setting the clock does not change that count.

use std::fmt;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A reading of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Wall time: seconds since 1970.
    pub wall: i64,
    /// Seconds since the boot, including sleep (`CLOCK_BOOTTIME`).
    pub boot: u64,
    /// The id of the boot.
    pub boot_id: Uuid,
    /// Whether a time service synchronises wall time; `None` if the kernel refuses the call.
    pub synchronised: Option<bool>,
}

/// Seconds since the boot, including sleep: `CLOCK_BOOTTIME`.
pub fn boot_time() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}

const DAY: i64 = 24 * 3600;
/// Within one boot, wall time may be ahead of boot time by up to this.
const WITHIN_BOOT: i64 = DAY;
/// Across boots, where the machine may have been off, by up to this.
const ACROSS_BOOTS: i64 = 30 * DAY;
/// A clock that was set back by more than this is not trusted at once.
const BEHIND: i64 = DAY;
/// A clock that ran normally for this many seconds of boot time is trusted again.
const TRUSTED_AFTER: u64 = 24 * 3600;
/// The earliest plausible wall time: the first of January 2025, before this program was written.
const PLAUSIBLE: i64 = 1_735_689_600;
/// The version of the record.
const VERSION: u32 = 1;

/// The record of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The id of the count `elapsed`. A new record has a new id and counts from 0.
    series: Uuid,
    /// Expected wall time: the last trusted wall time plus the boot time since then.
    wall: i64,
    boot: u64,
    boot_id: Uuid,
    /// The machine has booted since wall time was last trusted, and may have been off. False if wall time was ahead before
    /// that boot.
    restarted: bool,
    /// Seconds since the beginning of the record.
    elapsed: u64,
    doubt: Option<Doubt>,
}

/// A period in which wall time is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Doubt {
    why: Distrust,
    /// Wall time at the last reading.
    wall: i64,
    /// Seconds of boot time since the beginning of the doubt.
    lasted: u64,
    /// Seconds that the machine was off, if wall time is right.
    off: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Distrust {
    Ahead,
    Behind,
    /// The earlier record cannot be read.
    Unreadable,
}

/// A point in the count of elapsed seconds, which does not depend on wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elapsed {
    /// The id of the count.
    pub series: Uuid,
    /// The seconds.
    pub seconds: u64,
}

/// Pruning is stopped because of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// Pruning resumes after up to this many seconds of boot time, if the clock is not set again.
    pub remaining: u64,
}

/// Why pruning is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Wall time is ahead of the expected time.
    Ahead {
        /// By this many seconds.
        seconds: u64,
    },
    /// The record of the clocks cannot be read.
    Unreadable,
}

impl Record {
    /// The first record; it trusts the clock.
    pub fn first(now: &Reading, series: Uuid) -> Self {
        let Reading { wall, boot, boot_id, synchronised: _ } = *now;
        Self { version: VERSION, series, wall, boot, boot_id, restarted: false, elapsed: 0, doubt: None }
    }

    /// The first record after one that cannot be read, which may have contained a doubt.
    pub fn after_unreadable(now: &Reading, series: Uuid) -> Self {
        let doubt = Doubt { why: Distrust::Unreadable, wall: now.wall, lasted: 0, off: 0 };
        Self { doubt: (now.synchronised != Some(true)).then_some(doubt), ..Self::first(now, series) }
    }

    /// Whether the record has this program's version.
    pub fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// The record after this reading.
    pub fn after(&self, now: &Reading) -> Self {
        let same_boot = self.boot_id == now.boot_id && self.boot <= now.boot;
        let passed = if same_boot { now.boot.saturating_sub(self.boot) } else { now.boot };
        let line = plus(self.wall, passed);
        // A reboot does not explain a clock that ran ahead before it.
        let was_ahead = self.doubt.is_some_and(|doubt| doubt.why != Distrust::Behind);
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
            return next.trusting(now, next.off(now));
        }
        let ahead = now.wall.saturating_sub(line);
        let unreadable = self.doubt.is_some_and(|doubt| doubt.why == Distrust::Unreadable);
        let limit = if next.restarted { ACROSS_BOOTS } else { WITHIN_BOOT };
        let why = match ahead {
            _ if unreadable => Distrust::Unreadable,
            // The expected time cannot have been right.
            _ if line < PLAUSIBLE && now.wall >= PLAUSIBLE => return next.trusting(now, 0),
            ahead if ahead > limit => Distrust::Ahead,
            ahead if ahead < -BEHIND => Distrust::Behind,
            // Small steps within one boot do not add up to a large one.
            _ if !next.restarted => return next,
            _ => return next.trusting(now, if same_boot { 0 } else { next.off(now) }),
        };
        next.doubting(now, why, self.doubt, (same_boot, passed))
    }

    /// The record after root confirms that the clock is right.
    pub fn trusted(&self, now: &Reading) -> Self {
        self.after(&Reading { synchronised: Some(true), ..*now })
    }

    /// Why nothing may be deleted; `None` if pruning is allowed.
    pub fn stop(&self) -> Option<Stop> {
        let doubt = self.doubt?;
        let reason = match doubt.why {
            Distrust::Behind => return None,
            Distrust::Ahead => StopReason::Ahead { seconds: doubt.wall.saturating_sub(self.wall).unsigned_abs() },
            Distrust::Unreadable => StopReason::Unreadable,
        };
        Some(Stop { reason, remaining: TRUSTED_AFTER.saturating_sub(doubt.lasted) })
    }

    /// The elapsed seconds.
    pub fn elapsed(&self) -> Elapsed {
        Elapsed { series: self.series, seconds: self.elapsed }
    }

    fn trusting(self, now: &Reading, off: u64) -> Self {
        let elapsed = self.elapsed.saturating_add(off);
        Self { wall: now.wall, restarted: false, elapsed, doubt: None, ..self }
    }

    /// Seconds that the machine was off, if wall time is right.
    fn off(&self, now: &Reading) -> u64 {
        let is_known = self.restarted && self.wall >= PLAUSIBLE;
        if is_known { u64::try_from(now.wall.saturating_sub(self.wall)).unwrap_or(0) } else { 0 }
    }

    /// Continues the doubt while the clock runs normally, and trusts it after [`TRUSTED_AFTER`]. If the clock was set again, a new
    /// doubt begins.
    fn doubting(self, now: &Reading, why: Distrust, before: Option<Doubt>, (same_boot, passed): (bool, u64)) -> Self {
        let runs_on = before.filter(|doubt| doubt.why == why && doubt.runs_on(now, (same_boot, passed)));
        let doubt = match runs_on {
            Some(doubt) => {
                let off = if same_boot { 0 } else { u64::try_from(doubt.moved(now, passed)).unwrap_or(0) };
                let (lasted, off) = (doubt.lasted.saturating_add(passed), doubt.off.saturating_add(off));
                Doubt { why, wall: now.wall, lasted, off }
            }
            // A clock that is set later in a boot says nothing about the time before the boot.
            None => Doubt { why, wall: now.wall, lasted: 0, off: if same_boot { 0 } else { self.off(now) } },
        };
        if doubt.lasted >= TRUSTED_AFTER {
            return self.trusting(now, doubt.off);
        }
        Self { doubt: Some(doubt), ..self }
    }
}

impl Doubt {
    /// Whether the clock ran normally since the last reading, and was not set.
    fn runs_on(&self, now: &Reading, (same_boot, passed): (bool, u64)) -> bool {
        let limit = if same_boot { WITHIN_BOOT } else { ACROSS_BOOTS };
        (-BEHIND..=limit).contains(&self.moved(now, passed))
    }

    /// The difference between wall time and the last reading plus the boot time since then.
    fn moved(&self, now: &Reading, passed: u64) -> i64 {
        now.wall.saturating_sub(plus(self.wall, passed))
    }
}

impl StopReason {
    /// The code on the bus.
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
                write!(f, "the clock is {days} {unit} ahead of the time that it should show")?;
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
mod tests;
