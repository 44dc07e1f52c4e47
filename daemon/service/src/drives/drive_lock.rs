//! One thing at a time is done with a drive.

use std::sync::Arc;
use std::time::Duration;

use crate::types::{Error, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::DriveId;
use super::problem::{busy, failed, for_caller};
use crate::blocking::{self, BlockingQueues, Unanswered, detached};
use crate::device::Result;

/// Timeout for the operation before.
const TURN: Duration = Duration::from_secs(30);
/// Timeout for a caller; deriving a key alone may take two minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who may do something with a drive.
#[derive(Debug, Clone)]
pub(super) struct DriveLock(Arc<Semaphore>);

/// The lock, until it is dropped.
pub(super) type DriveLockGuard = OwnedSemaphorePermit;

impl DriveLock {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// `Busy` when it does not come.
    pub(super) async fn acquire(&self) -> std::result::Result<DriveLockGuard, Error> {
        // It is never closed.
        match timeout(TURN, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(guard)) => Ok(guard),
            Ok(Err(_)) | Err(_) => {
                Err(busy("something else is being done with the drive; wait for it, then try again"))
            }
        }
    }

    /// Waits for the lock, however long that takes.
    pub(super) async fn wait(&self) -> Option<DriveLockGuard> {
        // It is never closed.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }

    /// Whether something is being done with the drive.
    pub(super) fn taken(&self) -> bool {
        self.0.available_permits() == 0
    }
}

/// The threads for operations on each drive: one at a time, and in their order. The clean-up after a drive was unplugged must not
/// unmount what is mounted at the same place when the drive is plugged in again.
pub(super) fn operations() -> BlockingQueues<DriveId> {
    BlockingQueues::new("drive", 1)
}

/// The threads for reading each drive: listings, and openings for jobs.
pub(super) fn reads() -> BlockingQueues<DriveId> {
    BlockingQueues::new("drive read", 4)
}

/// Waits for an operation, which reaches its end, and is noted, also when the caller has left.
///
/// # Errors
/// Its own; `DeviceGone` when it does not end in time.
pub(super) async fn answer<T, F>(operation: F) -> std::result::Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, Error>> + Send + 'static,
{
    let text = "the drive does not answer; check it and its cable, or unplug it";
    detached(PATIENCE, operation).await.unwrap_or_else(|_late| Err(Error::new(ErrorCode::DeviceGone, text)))
}

/// Does work that can block as long as the drive does, on a thread of its own, and waits for its end. Only the owner of the
/// lock calls it.
///
/// # Errors
/// What went wrong, for a caller.
pub(super) async fn blocking<T, F>(
    operations: &BlockingQueues<DriveId>,
    id: &DriveId,
    work: F,
) -> std::result::Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match operations.of(id.clone()).run_to_end(work).await {
        Ok(done) => done.map_err(|error| for_caller(id, &error)),
        Err(no_thread @ Unanswered::NoThread) => Err(failed(no_thread.to_string())),
        Err(Unanswered::Busy | Unanswered::Silent) => Err(failed(LOST)),
    }
}

/// Reads or writes the records of a drive, on the system disk: it does not wait for the drive.
///
/// # Errors
/// What went wrong, for a caller.
pub(super) async fn local<T, F>(id: &DriveId, work: F) -> std::result::Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    blocking::local(work)
        .await
        .map_or_else(|_lost| Err(failed(LOST)), |done| done.map_err(|error| for_caller(id, &error)))
}

/// Cleans up after a drive that was unplugged, before all later operations on it. No caller waits for it.
pub(super) fn clean_up(operations: &BlockingQueues<DriveId>, id: &DriveId, work: impl FnOnce() + Send + 'static) {
    let (id, cleaning) = (id.clone(), operations.of(id.clone()).spawn(work));
    tokio::spawn(async move {
        if let Ok(Err(error)) = cleaning.await {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "cannot clean up after the drive was unplugged: {error}");
        }
    });
}

const LOST: &str = "the service is ending, or has crashed (see its journal); try again";
