//! Waits for a moment of wall time.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::sleep;

/// How to wait.
#[derive(Clone)]
pub(super) enum Wait {
    /// With `timerfd_create(2)`.
    Timer,
    /// With tokio's clock; the channel changes when the wall clock is set.
    Simulated(watch::Receiver<()>),
}

/// Without a timer the clock is read so often.
const LOOK: Duration = Duration::from_secs(60);
/// A moment that does not come: the year 2200.
const NEVER: i64 = 7_258_118_400;

impl Wait {
    /// Waits until `read` has reached `instant`, or may have changed otherwise. Cancel-safe.
    pub(super) async fn reach(&self, instant: Option<i64>, read: impl Fn() -> i64) {
        match self {
            Self::Timer => {
                if let Err(error) = timer(instant.unwrap_or(NEVER)).await {
                    tracing::debug!("cannot wait with a timer: {error}");
                    sleep(LOOK).await;
                }
            }
            Self::Simulated(set) => {
                let mut set = set.clone();
                set.mark_unchanged();
                let reached = async {
                    match instant {
                        Some(instant) => {
                            let seconds = u64::try_from(instant.saturating_sub(read())).unwrap_or(0);
                            sleep(Duration::from_secs(seconds)).await;
                        }
                        None => pending().await,
                    }
                };
                let is_set = async {
                    if set.changed().await.is_err() {
                        pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = reached => {}
                    () = is_set => {}
                }
            }
        }
    }
}

/// The kernel cancels the timer when the wall clock is set, also at the end of a suspend: then it is readable too.
async fn timer(instant: i64) -> std::io::Result<()> {
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    // A time of 0 would disarm it.
    timer.set(Expiration::OneShot(TimeSpec::seconds(instant.max(1))), flags)?;
    #[expect(deprecated, reason = "what takes its place is unsafe; the timer is owned here and never replaced")]
    let timer = AsyncFd::with_interest(OwnedFd::from(timer), Interest::READABLE)?;
    drop(timer.readable().await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_moment_of_wall_time_is_reached() {
        let clock = Clock::system().expect("a clock");
        let now = clock.read().wall;
        for past in [now, now - 100, 0, -5] {
            clock.reach(Some(past)).await;
        }
        clock.reach(Some(now + 1)).await;
        assert!(clock.read().wall > now);
        let later = tokio::time::timeout(Duration::from_millis(20), clock.reach(Some(now + 1000))).await;
        assert!(later.is_err(), "it waits");
        assert!(tokio::time::timeout(Duration::from_millis(20), clock.reach(None)).await.is_err(), "it waits");
    }
}
