//! One thing at a time is done with a drive.

use std::sync::Arc;
use std::time::Duration;

use crate::types::{Error, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::fault::{busy, for_caller};
use super::{DriveId, fault};
use crate::device::Result;

/// What is done with the drive before has so long.
const TURN: Duration = Duration::from_secs(30);
/// Callers wait so long for what is done for them; deriving a key alone may take two minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who may do something with a drive.
#[derive(Debug, Clone)]
pub(super) struct DriveLock(Arc<Semaphore>);

/// The turn, until it is dropped.
pub(super) type DriveLockGuard = OwnedSemaphorePermit;

impl DriveLock {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Waits for the turn.
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

    /// Waits for the turn, however long it takes.
    pub(super) async fn wait(&self) -> Option<DriveLockGuard> {
        // It is never closed.
        Arc::clone(&self.0).acquire_owned().await.ok()
    }

    /// Whether something is being done with the drive.
    pub(super) fn taken(&self) -> bool {
        self.0.available_permits() == 0
    }
}

/// Waits for what goes on by itself: it is brought to its end, and noted, also when nobody waits any more.
///
/// # Errors
/// Its own; `DeviceGone` when it does not come to an end.
pub(super) async fn answer<T, F>(work: F) -> std::result::Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = std::result::Result<T, Error>> + Send + 'static,
{
    match timeout(PATIENCE, tokio::spawn(work)).await {
        Ok(Ok(done)) => done,
        // A task that has panicked has no answer either.
        Ok(Err(_)) | Err(_) => {
            Err(Error::new(ErrorCode::DeviceGone, "the drive does not answer; check it and its cable, or unplug it"))
        }
    }
}

/// Does what may hang as long as a drive does, on a thread of its own.
///
/// # Errors
/// What went wrong, for a caller.
pub(super) async fn blocking<T, F>(id: &DriveId, work: F) -> std::result::Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| for_caller(id, &error)),
        Err(_) => Err(fault::failed("the service is ending, or has a defect that its journal shows; try again")),
    }
}
