//! Whether the wall clock is trusted: a pure decision from readings of the clocks.
//!
//! # Why
//! Retention judges snapshots by their dates. A wall clock that is wrong by weeks makes young snapshots look old. Boot time
//! (`CLOCK_BOOTTIME`) cannot be set, counts sleep too, and begins anew with each boot. So the two are compared at each
//! backup and every hour, and nothing is deleted while wall time has run ahead:
//!
//! * by more than a day compared with boot time, within one boot;
//! * by more than thirty days compared with boot time, across boots, where a machine may have been off.
//!
//! It is trusted again when the kernel reports that it is synchronised, after 24 hours of boot time, or when root confirms
//! it (`butterdock trust-clock`). A machine without a time service prunes as always while its clock runs normally. A clock
//! that is behind stops nothing, because it makes snapshots look younger. It is not trusted before 24 hours either, so that
//! a clock that stood in 1970 for a while and is right again does not count as one that ran ahead.
//!
//! The time since a snapshot was seen first is counted in *elapsed* seconds: boot time within boots, and between boots what
//! wall time says. Setting the clock does not change that count.

mod record;

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

pub use record::{Elapsed, Record, Stop, StopReason};

/// What the clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Wall time: seconds since 1970.
    pub wall: i64,
    /// Seconds since the boot, with those asleep (`CLOCK_BOOTTIME`).
    pub boot: u64,
    /// Which boot.
    pub boot_id: Uuid,
    /// Whether a time service synchronises wall time; none where the kernel refuses to say.
    pub synchronised: Option<bool>,
}

/// Seconds since the boot, with those asleep: `CLOCK_BOOTTIME`.
pub fn boot_time() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
}
