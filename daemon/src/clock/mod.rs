//! This room tells the time, and whether the clock may be believed.
//!
//! ```text
//! reading      what the clocks say now: wall time, boot time, the boot, whether the kernel says "synchronised"; injected
//! sync_source  asks another program for "synchronised" where the kernel refuses to say it; injected
//! record       what the state keeps of them, and the decision (pure)
//! keeper       reads, decides, writes down; held by whoever has to know
//! ```
//!
//! # Why
//! Retention judges snapshots by their dates. A wall clock that is wrong by weeks makes young snapshots look old. Boot time
//! (`CLOCK_BOOTTIME`) cannot be set, counts sleep too, and begins anew with each boot. So the two are compared at each backup
//! and every hour, and nothing is deleted while wall time has run ahead:
//!
//! * by over a day more than boot time, within one boot;
//! * by over thirty days more than boot time, across boots, where a machine may have been off.
//!
//! It is believed again when it is synchronised, after 24 hours of boot time, or when root says so
//! (`butterdock trust-clock`). A machine that no time service ever synchronises deletes as always, as long as its clock runs.
//! A clock that is behind stops nothing, because it makes snapshots look younger; it is not believed before 24 hours either,
//! so that a clock that stood in 1970 for a while and is right again does not count as one that ran ahead.
//!
//! Whether it is synchronised the kernel says. Where a filter of system calls keeps that from the service, systemd is asked: at
//! the start, every hour, before each backup, and before the service reports that pruning has stopped; an answer is not kept
//! for later. Where neither answers, the clock is not synchronised.
//!
//! How long ago a snapshot was seen first is counted in *elapsed* seconds: boot time within boots, and what wall time says was
//! spent switched off. Setting the clock does not change that count.

mod keeper;
mod reading;
mod record;
mod sync_source;

pub(crate) use keeper::ClockKeeper;
pub(crate) use reading::{Clock, Reading, boot_time};
pub(crate) use record::{Elapsed, Stop};
#[cfg(test)]
pub(crate) use record::{Record, StopReason};
