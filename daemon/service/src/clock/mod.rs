//! The clocks of this machine, and their record in the state directory. [`butterdock_worker::clock`] decides whether
//! the wall clock is trusted.
//!
//! The kernel says whether the wall clock is synchronised. If a system call filter refuses that question, the service
//! asks systemd (`sync_source`): at the start, every hour, before each backup, and before it reports that pruning has
//! stopped. Answers are not cached. Without an answer from either, the clock counts as not synchronised.

mod sync_source;
mod trust;
mod wait;

use std::fmt;
use std::io;
use std::sync::Arc;

use butterdock_btrfs::system::clock_is_synchronised;
use butterdock_worker::clock::boot_time;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use uuid::Uuid;
use wait::Wait;

#[cfg(test)]
pub use butterdock_worker::clock::StopReason;
pub use butterdock_worker::clock::{Elapsed, Reading, Record, Stop};
pub use trust::ClockTrust;

/// The clocks: the only place where the service reads wall time. Cheap to clone; tests inject their own.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Reading + Send + Sync>,
    micros: Arc<dyn Fn() -> u64 + Send + Sync>,
    zone: Arc<dyn Fn() -> TimeZone + Send + Sync>,
    wait: Wait,
}

impl Clock {
    /// The clocks of this machine.
    ///
    /// # Errors
    /// The kernel does not give the id of the boot.
    pub fn system() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot_id = Uuid::try_parse(text.trim()).map_err(io::Error::other)?;
        let read = move || Reading {
            wall: clock_gettime(ClockId::Realtime).tv_sec,
            boot: boot_time(),
            boot_id,
            synchronised: clock_is_synchronised().ok(),
        };
        let micros = || {
            let now = clock_gettime(ClockId::Realtime);
            since_1970(now.tv_sec).saturating_add(u64::try_from(now.tv_nsec / 1000).unwrap_or(0))
        };
        // Read again when the system has another zone: jiff looks every few minutes.
        let zone = Arc::new(TimeZone::system);
        Ok(Self { read: Arc::new(read), micros: Arc::new(micros), zone, wait: Wait::Timer })
    }

    /// Clocks that this function reads, in universal time.
    pub fn of(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let read = Arc::new(read);
        let same = Arc::clone(&read);
        let micros = Arc::new(move || since_1970(same().wall));
        Self {
            read,
            micros,
            zone: Arc::new(|| TimeZone::UTC),
            wait: Wait::Simulated(watch::Sender::new(()).subscribe()),
        }
    }

    /// The same clocks in another zone; the channel changes when they are set, or the machine resumes.
    #[cfg(test)]
    pub(crate) fn settable(self, zone: TimeZone, set: watch::Receiver<()>) -> Self {
        Self { zone: Arc::new(move || zone.clone()), wait: Wait::Simulated(set), ..self }
    }

    /// The zone of local times.
    pub(crate) fn zone(&self) -> TimeZone {
        (self.zone)()
    }

    /// Waits until wall time is `instant`, in seconds since 1970, or the wall clock is set, or the machine resumes.
    pub(crate) async fn reach(&self, instant: Option<i64>) {
        self.wait.reach(instant, || self.read().wall).await;
    }

    /// The current readings.
    pub fn read(&self) -> Reading {
        (self.read)()
    }

    /// Whether the kernel says that wall time is synchronised.
    pub(crate) fn is_synchronised(&self) -> bool {
        self.read().synchronised == Some(true)
    }

    /// Wall time, in microseconds since 1970: the times of jobs and of the records of drives.
    pub fn micros(&self) -> u64 {
        (self.micros)()
    }
}

/// In microseconds; 0 for a clock that is set before 1970.
fn since_1970(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000)
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
        assert_eq!(clock.micros() / 60_000_000, u64::try_from(clock.read().wall).expect("after 1970") / 60);
    }

    #[test]
    fn injected_clocks_have_one_wall_time() {
        let at = |wall| Clock::of(move || Reading { wall, boot: 1, boot_id: Uuid::nil(), synchronised: None }).micros();
        assert_eq!((at(7), at(-7)), (7_000_000, 0));
    }
}
