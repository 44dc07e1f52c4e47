//! Workers that answer: each carries out one order that changes nothing and is no job; the caller waits for its reports. Their
//! number is limited, because each is a process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::retention::Retention;
use super::source_store::SourceStore;
use crate::blocking::{BlockingQueue, BlockingQueues, Turn};
use crate::drives::Lease;
use crate::types::{Error, ErrorCode};
use crate::worker::{Order, Priority, Report, Spawner, WorkerError, WorkerFds};

/// No honest answer has more reports.
const LONGEST: usize = 10_000;

/// A worker's reports, and its error.
pub(super) type Answer = (Vec<Report>, Option<WorkerError>);

/// Starts workers that answer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queries {
    spawner: Arc<Spawner>,
    places: QueryPlaces,
    /// The recorded sources of backups.
    pub(super) sources: SourceStore,
    pub(super) retention: Retention,
}

impl Queries {
    pub(super) fn new(spawner: Arc<Spawner>, sources: SourceStore, retention: Retention) -> Self {
        Self { spawner, places: QueryPlaces::new(), sources, retention }
    }

    /// A worker's answer to an order on a drive.
    ///
    /// # Errors
    /// `Busy` if too many queries run, or the drive is being made safe to unplug; `DeviceGone` if the drive is unplugged, or the
    /// answer does not come `within`; `Failed` if the worker has none.
    pub(super) async fn ask(
        &self,
        drive: Option<&Lease>,
        order: Order,
        handed: WorkerFds<'_>,
        priority: Priority,
        within: Duration,
    ) -> Result<Answer, Error> {
        let turns = self.places.take(order.user()).await?;
        // A future that is dropped kills its worker.
        let answered = tokio::select! {
            answered = timeout(within, self.answer(order, handed, priority)) => answered,
            error = ended(drive) => return Err(error),
        };
        drop(turns);
        answered.unwrap_or_else(|_late| Err(gone("the drive does not respond; check it and its cable (dmesg)")))
    }

    pub(super) async fn answer(
        &self,
        order: Order,
        handed: WorkerFds<'_>,
        priority: Priority,
    ) -> Result<Answer, Error> {
        let failed = |text: String| Error::new(ErrorCode::Failed, text);
        let started = self.spawner.worker(order, handed, priority).await;
        let mut worker = started.map_err(|error| failed(format!("cannot start a worker ({error}); try again")))?;
        let mut reports = Vec::new();
        while let Some(report) = worker.next().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "other messages are handled above")]
            match report {
                Report::Ended { error, .. } => {
                    // Its descriptors of the drive are closed when it has ended.
                    worker.gone().await;
                    return Ok((reports, error));
                }
                Report::Warning(text) => tracing::warn!("{text}"),
                report if reports.len() < LONGEST => reports.push(report),
                _too_much => break,
            }
        }
        worker.kill();
        Err(failed("the worker ended without an answer; see the journal, then try again".to_owned()))
    }
}

/// Waits until the drive of a query is made safe to unplug, or is unplugged.
async fn ended(drive: Option<&Lease>) -> Error {
    let Some(drive) = drive else { return std::future::pending().await };
    tokio::select! {
        () = drive.removal() => removed(),
        () = drive.gone() => gone("the drive was unplugged; plug it in again"),
    }
}

fn removed() -> Error {
    Error::new(ErrorCode::Busy, "the drive is being made safe to unplug; try again when it is plugged in again")
}

fn gone(sentence: &str) -> Error {
    Error::new(ErrorCode::DeviceGone, sentence)
}

/// Up to this many queries of root run at the same time,
const MOST: usize = 4;
/// and so many of users,
const MOST_OF_USERS: usize = 4;
/// of which each user has this many.
const MOST_OF_USER: usize = 2;

/// The places of the queries that run. Clones are the same places.
#[derive(Debug, Clone)]
pub(super) struct QueryPlaces {
    root: BlockingQueue,
    users: BlockingQueue,
    user: Arc<BlockingQueues<u32>>,
}

impl QueryPlaces {
    /// All are free.
    pub(super) fn new() -> Self {
        Self {
            root: BlockingQueue::new("query", MOST),
            users: BlockingQueue::new("query of users", MOST_OF_USERS),
            user: Arc::new(BlockingQueues::new("query of a user", MOST_OF_USER)),
        }
    }

    /// Takes the place of a query on behalf of this user, or of root. It is free again when the turns are dropped.
    ///
    /// # Errors
    /// `Busy`: too many queries run.
    pub(super) async fn take(&self, user: Option<u32>) -> Result<Vec<Turn>, Error> {
        let queues = match user {
            Some(uid) => vec![self.user.of(uid), self.users.clone()],
            None => vec![self.root.clone()],
        };
        let mut turns = Vec::new();
        for queue in queues {
            let busy = |_full| Error::new(ErrorCode::Busy, "too many queries at the same time; try again in a moment");
            turns.push(queue.turn(Duration::ZERO).await.map_err(busy)?);
        }
        Ok(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_take_no_place_of_root_or_of_each_other() {
        let places = QueryPlaces::new();
        let mut taken = Vec::new();
        for uid in [1000, 1000, 1001] {
            taken.push(places.take(Some(uid)).await.expect("free"));
        }
        assert_eq!(places.take(Some(1000)).await.map(drop).map_err(|error| error.code()), Err(ErrorCode::Busy));
        taken.push(places.take(Some(1002)).await.expect("another user"));
        assert!(places.take(Some(1003)).await.is_err(), "of all users");
        for _ in 0..MOST {
            taken.push(places.take(None).await.expect("root"));
        }
        assert!(places.take(None).await.is_err());
        taken.clear();
        places.take(Some(1000)).await.expect("free again");
    }
}
