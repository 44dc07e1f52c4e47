//! Asks another program whether the wall clock is synchronised, if the kernel refuses to say (systemd's
//! `ProtectClock=`).

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::{Clock, Reading};

/// Limit for one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Seconds by which wall time and boot time may seem to differ: both are read as whole seconds.
const ROUNDING: u64 = 2;

/// The answer of the program, later; none if it gives none.
pub(super) type Asked = Pin<Box<dyn Future<Output = Option<bool>> + Send>>;

/// The program to ask. Cheap to clone. Until it is set, only the kernel is asked.
#[derive(Clone, Default)]
pub(super) struct SyncSource {
    program: Arc<Mutex<Option<Arc<Program>>>>,
    /// The last logged answer.
    logged: Arc<Mutex<Option<String>>>,
}

struct Program {
    name: &'static str,
    ask: Box<dyn Fn() -> Asked + Send + Sync>,
}

/// An answer. It is valid until the clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyncAnswer {
    /// The clocks before the question.
    before: Reading,
    synchronised: bool,
}

impl SyncSource {
    /// Sets the program to ask.
    pub(super) fn set(&self, name: &'static str, ask: impl Fn() -> Asked + Send + Sync + 'static) {
        *self.lock() = Some(Arc::new(Program { name, ask: Box::new(ask) }));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Program>>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, if the kernel refuses to say. It takes up to 2 seconds, and blocks no thread.
    pub(super) async fn ask(&self, clock: &Clock) -> Option<SyncAnswer> {
        let before = clock.read();
        if before.synchronised.is_some() {
            return None;
        }
        let program = self.lock().clone()?;
        let synchronised = timeout(ANSWER, (program.ask)()).await.unwrap_or(None);
        self.log(program.name, synchronised);
        synchronised.map(|synchronised| SyncAnswer { before, synchronised })
    }

    /// Logs the first answer, and each change.
    fn log(&self, name: &str, synchronised: Option<bool>) {
        let text = match synchronised {
            Some(true) => format!("{name} says that the clock is synchronised"),
            Some(false) => format!("{name} says that the clock is not synchronised"),
            None => format!(
                "neither the kernel nor {name} says whether the clock is synchronised; it counts as not synchronised"
            ),
        };
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.as_ref() != Some(&text) {
            tracing::info!("{text}");
            *logged = Some(text);
        }
    }
}

impl fmt::Debug for SyncSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SyncSource").field(&self.lock().as_ref().map(|program| program.name)).finish()
    }
}

/// The reading, completed by the answer if the kernel refuses to say.
pub(super) fn with_answer(reading: Reading, answer: Option<SyncAnswer>) -> Reading {
    let answer = answer.filter(|answer| !was_set(&answer.before, &reading));
    Reading { synchronised: reading.synchronised.or(answer.map(|answer| answer.synchronised)), ..reading }
}

/// Whether wall time and boot time advanced differently between two readings.
fn was_set(before: &Reading, now: &Reading) -> bool {
    let wall = now.wall.saturating_sub(before.wall);
    let boot = i64::try_from(now.boot.saturating_sub(before.boot)).unwrap_or(i64::MAX);
    now.boot_id != before.boot_id || wall.abs_diff(boot) > ROUNDING
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use uuid::Uuid;

    use super::*;

    const NOW: Reading = Reading { wall: 1_795_378_500, boot: 100, boot_id: Uuid::from_u128(1), synchronised: None };

    fn kernel(synchronised: Option<bool>) -> Reading {
        Reading { synchronised, ..NOW }
    }

    #[test]
    fn an_answer_counts_only_if_the_kernel_refuses() {
        for (kernel_says, answered, expected) in [
            (Some(true), Some(false), Some(true)),
            (Some(false), Some(true), Some(false)),
            (Some(true), None, Some(true)),
            (Some(false), None, Some(false)),
            (None, Some(true), Some(true)),
            (None, Some(false), Some(false)),
            (None, None, None),
        ] {
            let answer = answered.map(|synchronised| SyncAnswer { before: NOW, synchronised });
            assert_eq!(with_answer(kernel(kernel_says), answer), kernel(expected), "{kernel_says:?} {answered:?}");
        }
    }

    #[test]
    fn an_answer_does_not_hold_after_the_clock_was_set() {
        let answer = Some(SyncAnswer { before: NOW, synchronised: true });
        let later = |wall, boot| Reading { wall: NOW.wall + wall, boot: NOW.boot + boot, ..NOW };
        for (now, expected) in [
            (later(2, 2), Some(true)),
            (later(3, 2), Some(true)),
            (later(86_400, 86_400), Some(true)),
            (later(86_400, 2), None),
            (later(-86_400, 2), None),
            (later(6, 2), None),
            (Reading { boot_id: Uuid::from_u128(2), ..NOW }, None),
        ] {
            assert_eq!(with_answer(now, answer).synchronised, expected, "{now:?}");
        }
    }

    #[tokio::test]
    async fn the_program_is_asked_only_if_the_kernel_refuses() {
        let asked = Arc::new(AtomicUsize::new(0));
        let source = SyncSource::default();
        assert_eq!(source.ask(&Clock::of(|| NOW)).await, None, "before there is a program");
        let count = Arc::clone(&asked);
        source.set("a program", move || {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Some(true) })
        });
        assert_eq!(source.ask(&Clock::of(|| kernel(Some(false)))).await, None);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let answer = source.ask(&Clock::of(|| NOW)).await;
        assert_eq!(answer, Some(SyncAnswer { before: NOW, synchronised: true }));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_program_has_two_seconds_to_answer() {
        let source = SyncSource::default();
        source.set("a program", || Box::pin(std::future::pending()));
        let began = tokio::time::Instant::now();
        assert_eq!(source.ask(&Clock::of(|| NOW)).await, None);
        assert_eq!(began.elapsed(), ANSWER);
    }
}
