//! Calls that block: the one way to make them from a task.
//!
//! A call on a drive, on a volume, or on a descriptor that a user passed can block as long as that device or user
//! likes, and no signal ends it. The runtime has one pool of threads for everything. So:
//!
//! * such a call runs on a thread of its own, and its owner (a drive, a volume, a user) has a [`BlockingQueue`]: a
//!   limit of threads that block at the same time. Further calls wait for their turn without a thread.
//! * callers wait up to a timeout and get [`Unanswered`] after it; the thread keeps its turn until the call returns;
//! * an operation that must reach its end after its caller has left is [`detached`];
//! * a descriptor whose close(2) can block is closed by a [`Closer`], without a wait;
//! * only short work on local files (configuration, records) uses the runtime's pool: [`local`].
//!
//! No other module starts threads for blocking calls; a test holds this. The long-lived threads (the spawner, the hooks) have
//! reasons of their own.

mod closer;
mod queue;

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use closer::Closer;
pub(crate) use queue::{BlockingQueue, BlockingQueues, Turn};

/// Why a call has no answer. The text has neither name nor path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// All threads of the owner are blocked by other calls.
    Busy,
    /// The call did not return in time.
    Silent,
    /// The system has no thread left.
    NoThread,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => {
                "other calls wait for its drive already; try again, and check the drive if this persists (dmesg)"
            }
            Self::Silent => "the drive does not respond; check it and its cable",
            Self::NoThread => "the system has no thread left; end other programs, then try again",
        })
    }
}

impl std::error::Error for Unanswered {}

/// The thread of local work ended without a result: it panicked, or the service is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadLost;

impl fmt::Display for ThreadLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its thread ended without a result; the service is ending, or has crashed (see its journal)")
    }
}

impl std::error::Error for ThreadLost {}

/// Does short work on files of the system disk: configuration, state, /proc.
///
/// # Errors
/// The thread ended without a result.
pub(crate) async fn local<T, F>(work: F) -> Result<T, ThreadLost>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_panicked_or_cancelled| ThreadLost)
}

/// Waits for an operation up to `limit`. The operation reaches its end also when the caller has left.
///
/// # Errors
/// [`Unanswered::Silent`] where it takes longer.
pub(crate) async fn detached<T, F>(limit: Duration, operation: F) -> Result<T, Unanswered>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    match timeout(limit, tokio::spawn(operation)).await {
        Ok(Ok(done)) => Ok(done),
        // A task that has panicked has no answer either.
        Ok(Err(_)) | Err(_) => Err(Unanswered::Silent),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_detached_operation_ends_after_its_caller_left() {
        let (go_on, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let operation = async move {
            drop(stopped.await);
            end.send(7)
        };
        assert_eq!(detached(Duration::from_secs(1), operation).await, Err(Unanswered::Silent));
        drop(go_on);
        assert_eq!(ended.await, Ok(7));
    }

    #[tokio::test]
    async fn local_work_that_panics_is_an_error() {
        assert_eq!(local(|| 7).await, Ok(7));
        assert_eq!(local(|| assert!(std::hint::black_box(false), "the test wants it")).await, Err(ThreadLost));
    }
}
