//! Limits the rate at which the input of a run is read.
//!
//! The reader waits before it reads on, never in the middle of a write, so that a limit delays neither a commit nor a cancel. What
//! the sender could not send in time is not made up for: a burst is as long as [`BURST`] at most.

use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much unused time is kept: the bytes of this time may be read at once.
const BURST: Duration = Duration::from_millis(100);
/// A read is so much shorter than a second of the rate, so that the progress is even, and a new rate counts soon.
const READS_PER_SECOND: u64 = 8;
/// A read asks for at least this many bytes.
const SHORTEST_READ: usize = 4096;

/// The limit of all runs with one [`Control`](crate::Control).
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
    /// Up to this time the bytes that were read are within the rate.
    paid_until: Mutex<Duration>,
    time: Box<dyn Time>,
}

/// A clock, and waits on it.
pub(crate) trait Time: Debug + Send + Sync {
    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Waits, until `wake` is readable at most.
    fn wait(&self, time: Duration, wake: BorrowedFd<'_>);
}

impl Throttle {
    /// Without a limit.
    pub(crate) fn new(time: impl Time + 'static) -> Self {
        Self { rate: AtomicU64::new(0), paid_until: Mutex::default(), time: Box::new(time) }
    }

    /// The time of its clock.
    pub(crate) fn now(&self) -> Duration {
        self.time.now()
    }

    /// Sets the limit, in bytes per second; 0 is none.
    pub(crate) fn set(&self, rate: u64) {
        self.rate.store(rate, Ordering::Relaxed);
    }

    /// The largest next read; up to `most` bytes.
    pub(crate) fn read_len(&self, most: usize) -> usize {
        let Some(part) = self.rate().map(|rate| rate / READS_PER_SECOND) else { return most };
        usize::try_from(part).unwrap_or(usize::MAX).max(SHORTEST_READ).min(most)
    }

    /// How long the next read has to wait; zero if it need not.
    pub(crate) fn delay(&self) -> Duration {
        if self.rate().is_none() {
            return Duration::ZERO;
        }
        self.paid_until().saturating_sub(self.time.now())
    }

    /// Waits, until `wake` is readable at most.
    pub(crate) fn wait(&self, delay: Duration, wake: BorrowedFd<'_>) {
        self.time.wait(delay, wake);
    }

    /// These bytes were read.
    pub(crate) fn pass(&self, bytes: u64) {
        let Some(rate) = self.rate() else { return };
        let nanos = u128::from(bytes).saturating_mul(1_000_000_000).checked_div(u128::from(rate)).unwrap_or_default();
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let begin = self.paid_until().max(self.time.now().saturating_sub(BURST));
        *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner) = begin.saturating_add(cost);
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    fn paid_until(&self) -> Duration {
        *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel's monotonic clock.
#[derive(Debug)]
pub(crate) struct Monotonic(pub(crate) Instant);

impl Time for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, time: Duration, wake: BorrowedFd<'_>) {
        // Rounded up: a wait that is too short would only be repeated.
        let time = time.saturating_add(Duration::from_nanos(999_999));
        let limit = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(wake, PollFlags::POLLIN)], limit) {
            // The reader looks again.
            Ok(_) | Err(Errno::EINTR | _) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod simulated {
    use std::sync::Arc;

    use super::*;

    /// A clock that only waits move.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Simulated {
        now: Arc<Mutex<Duration>>,
    }

    impl Simulated {
        pub(crate) fn pass(&self, time: Duration) {
            *self.now.lock().unwrap() += time;
        }
    }

    impl Time for Simulated {
        fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }

        fn wait(&self, time: Duration, wake: BorrowedFd<'_>) {
            let is_woken = poll(&mut [PollFd::new(wake, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0;
            if !is_woken {
                self.pass(time);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::eventfd::EventFd;
    use std::os::fd::AsFd as _;

    use super::simulated::Simulated;
    use super::*;

    /// Reads this many bytes, and returns how long that took.
    fn read(throttle: &Throttle, mut bytes: usize) -> Duration {
        let (wake, since) = (EventFd::new().unwrap(), throttle.time.now());
        while bytes > 0 {
            throttle.wait(throttle.delay(), wake.as_fd());
            let part = throttle.read_len(128 << 10).min(bytes);
            throttle.pass(part as u64);
            bytes -= part;
        }
        throttle.wait(throttle.delay(), wake.as_fd());
        throttle.time.now() - since
    }

    #[test]
    fn the_rate_is_the_configured_one() {
        for rate in [16 << 10, 1 << 20, 20 << 20, 1 << 30_usize] {
            let time = Simulated::default();
            time.pass(Duration::from_secs(100));
            let throttle = Throttle::new(time);
            throttle.set(rate as u64);
            let took = read(&throttle, 10 * rate);
            assert!(took <= Duration::from_secs(10) && took >= Duration::from_millis(9899), "{rate}: {took:?}");
        }
    }

    #[test]
    fn a_sender_that_was_slow_gets_no_longer_burst() {
        let time = Simulated::default();
        let throttle = Throttle::new(time.clone());
        throttle.set(1 << 20);
        read(&throttle, 1 << 20);
        time.pass(Duration::from_secs(3600));
        let took = read(&throttle, 10 << 20);
        assert!(took >= Duration::from_millis(9899), "{took:?}");
    }

    #[test]
    fn another_rate_counts_within_a_quarter_second() {
        let time = Simulated::default();
        let throttle = Throttle::new(time);
        assert_eq!((read(&throttle, 50 << 20), throttle.read_len(1 << 20)), (Duration::ZERO, 1 << 20));
        throttle.set(64 << 10);
        throttle.pass(throttle.read_len(128 << 10) as u64);
        throttle.set(64 << 20);
        let took = read(&throttle, 64 << 20);
        assert!(took <= Duration::from_millis(1250), "{took:?}");
        throttle.set(64 << 10);
        throttle.pass(throttle.read_len(128 << 10) as u64);
        throttle.set(0);
        assert_eq!(throttle.delay(), Duration::ZERO);
    }

    #[test]
    fn a_wait_ends_when_the_run_is_woken() {
        let wake = EventFd::new().unwrap();
        wake.write(1).unwrap();
        let began = Instant::now();
        Monotonic(began).wait(Duration::from_secs(3600), wake.as_fd());
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
