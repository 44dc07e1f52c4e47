//! The one thread that may block on a volume's drive.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Lets one thread at a time wait for a drive: threads are few, and a drive that hangs would take all of them, one for each
/// call, until nothing else in the service could be done. Others wait for their turn without a thread, in the order of
/// asking.
#[derive(Debug)]
pub(super) struct VolumeThread {
    free: Arc<Semaphore>,
}

/// Why there was no answer. What it shows has neither name nor path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The turn did not come: others wait for the same drive.
    Busy,
    /// The drive does not answer.
    Silent,
}

impl VolumeThread {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(1)) }
    }

    /// Does `work` on a thread of its own when its turn comes. Past the patience the thread goes on for nobody, and holds
    /// the lane for so long.
    ///
    /// # Errors
    /// Within the patience there was no turn, or no answer.
    pub(super) async fn run<T, F>(&self, patience: Duration, work: F) -> Result<T, Unanswered>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let until = Instant::now() + patience;
        let turn = timeout_at(until, Arc::clone(&self.free).acquire_owned()).await;
        // It is never closed.
        let Ok(Ok(turn)) = turn else { return Err(Unanswered::Busy) };
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        match timeout_at(until, working).await {
            Ok(Ok(done)) => Ok(done),
            // A thread that has panicked has no answer either.
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silent),
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => {
                "other calls wait for its drive already; try again, and check the drive if this persists \
                           (dmesg)"
            }
            Self::Silent => "the drive does not respond; check it and its cable",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn calls_on_a_hung_drive_use_one_thread() {
        let lane = VolumeThread::new();
        let (wake, sleeping) = mpsc::channel::<()>();
        let hangs = lane.run(SHORT, move || sleeping.recv());
        assert_eq!(hangs.await.map(drop), Err(Unanswered::Silent));
        for _ in 0..600 {
            assert_eq!(lane.run(Duration::from_micros(10), || ()).await, Err(Unanswered::Busy));
        }
        wake.send(()).expect("it waits");
        assert_eq!(lane.run(SOON, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_hung_drive_does_not_use_up_threads() {
        let lane = Arc::new(VolumeThread::new());
        let (wake, sleeping) = mpsc::channel::<()>();
        let first = lane.run(SHORT, move || sleeping.recv()).await;
        assert!(first.is_err());
        let waiting: tokio::task::JoinSet<_> =
            (0..1000).map(|_| Arc::clone(&lane)).map(|lane| async move { lane.run(SOON, || ()).await }).collect();
        tokio::task::yield_now().await;
        tokio::time::timeout(SOON, tokio::task::spawn_blocking(|| ())).await.expect("a thread").expect("whole");
        wake.send(()).expect("it waits");
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }
}
