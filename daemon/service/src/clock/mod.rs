//! The clocks of this machine, and the record of them in the state directory. The decision whether the wall clock is believed
//! is [`butterdock_worker::clock`].
//!
//! Whether the wall clock is synchronised the kernel says. Where a filter of system calls keeps that from the service, systemd is
//! asked (`sync_source`): at the start, every hour, before each backup, and before the service reports that pruning has stopped;
//! an answer is not kept for later. Where neither answers, the clock is not synchronised.

mod keeper;
mod reading;
mod sync_source;

#[cfg(test)]
pub use butterdock_worker::clock::StopReason;
pub use butterdock_worker::clock::{Elapsed, Reading, Record, Stop};
pub use keeper::ClockKeeper;
pub use reading::Clock;
