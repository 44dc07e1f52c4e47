//! The clocks of this machine, and their record in the state directory. [`butterdock_worker::clock`] decides whether
//! the wall clock is trusted.
//!
//! The kernel says whether the wall clock is synchronised. If a system call filter refuses that question, the service
//! asks systemd (`sync_source`): at the start, every hour, before each backup, and before it reports that pruning has
//! stopped. Answers are not cached. Without an answer from either, the clock counts as not synchronised.

mod keeper;
mod reading;
mod sync_source;

#[cfg(test)]
pub use butterdock_worker::clock::StopReason;
pub use butterdock_worker::clock::{Elapsed, Reading, Record, Stop};
pub use keeper::ClockKeeper;
pub use reading::Clock;
