//! What the clocks say now.

use std::fmt;
use std::io;
use std::sync::Arc;

use butterdock_btrfs::clock;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// What the clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Wall time: seconds since 1970.
    pub(crate) wall: i64,
    /// Seconds since the boot, with those asleep (`CLOCK_BOOTTIME`).
    pub(crate) boot: u64,
    /// Which boot.
    pub(crate) boot_id: Uuid,
    /// Whether a time service synchronises wall time; none where the kernel refuses to say.
    pub(crate) synchronised: Option<bool>,
}

/// Where the clocks are read. Cheap to clone; tests put one of their own in.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> Reading + Send + Sync>);

impl Clock {
    /// Those of this machine.
    ///
    /// # Errors
    /// The kernel does not say which boot this is.
    pub(crate) fn system() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot_id = Uuid::try_parse(text.trim()).map_err(io::Error::other)?;
        Ok(Self::of(move || Reading {
            wall: clock_gettime(ClockId::Realtime).tv_sec,
            boot: boot_time(),
            boot_id,
            synchronised: clock::is_synchronised().ok(),
        }))
    }

    /// Those that this function tells of.
    pub(crate) fn of(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What they say now.
    pub(crate) fn read(&self) -> Reading {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.read()).finish()
    }
}

/// Seconds since the boot, with those asleep: `CLOCK_BOOTTIME`.
pub(crate) fn boot_time() -> u64 {
    clock_gettime(ClockId::Boottime).tv_sec.unsigned_abs()
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
