//! The clocks of this machine, and their record in the state directory. [`butterdock_worker::clock`] decides whether
//! the wall clock is trusted.
//!
//! The kernel says whether the wall clock is synchronised. If a system call filter refuses that question, the service
//! asks systemd (`sync_source`): at the start, every hour, before each backup, and before it reports that pruning has
//! stopped. Answers are not cached. Without an answer from either, the clock counts as not synchronised.

mod keeper;
mod sync_source;

use std::fmt;
use std::io;
use std::sync::Arc;

use butterdock_btrfs::system::clock_is_synchronised;
use butterdock_worker::clock::boot_time;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

#[cfg(test)]
pub use butterdock_worker::clock::StopReason;
pub use butterdock_worker::clock::{Elapsed, Reading, Record, Stop};
pub use keeper::ClockKeeper;

/// The clocks: the only place where the service reads wall time. Cheap to clone; tests inject their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Clock {
    /// The clocks of this machine.
    ///
    /// # Errors
    /// The kernel does not give the id of the boot.
    pub fn system() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot_id = Uuid::try_parse(text.trim()).map_err(io::Error::other)?;
        Ok(Self::of(move || Reading {
            wall: clock_gettime(ClockId::Realtime).tv_sec,
            boot: boot_time(),
            boot_id,
            synchronised: clock_is_synchronised().ok(),
        }))
    }

    /// Clocks that this function reads.
    pub fn of(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The current readings.
    pub fn read(&self) -> Reading {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.read()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_this_machine_run_within_one_boot() {
        let clock = Clock::system().expect("a clock");
        let (first, second) = (clock.read(), clock.read());
        assert!(first.boot <= second.boot && first.boot_id == second.boot_id);
        assert!(first.wall > 1_700_000_000, "{first:?}");
    }
}
