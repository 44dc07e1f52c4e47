//! Questions that a worker answers and that are no jobs: nothing is changed, and whoever asks waits for the answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::types::{Error, ErrorCode};
use tokio::time::timeout;

use super::handle::Jobs;
use super::kinds::open_folder;
use super::retention::Retention;
use super::sources::Sources;
use crate::blocking::BlockingQueue;
use crate::drives::Lease;
use crate::worker::{Handed, Order, Priority, Report, Spawner, WorkerError, public_sentence};
use butterdock_worker::streams::{StreamFile, StreamFileEvent};

/// So many questions are answered at the same time; each is a process.
const MOST: usize = 4;
/// More reports than any honest answer has.
const LONGEST: usize = 10_000;
/// Timeout for listing stream files on a drive.
const LISTING: Duration = Duration::from_secs(30);

/// What was told, and what went wrong.
pub(super) type Answer = (Vec<Report>, Option<WorkerError>);

/// Who answers.
#[derive(Debug, Clone)]
pub(super) struct Queries {
    spawner: Arc<Spawner>,
    processes: BlockingQueue,
    /// What the sources of backups have to be.
    pub(super) sources: Sources,
    pub(super) retention: Retention,
}

impl Queries {
    pub(super) fn new(spawner: Arc<Spawner>, sources: Sources, retention: Retention) -> Self {
        Self { spawner, processes: BlockingQueue::new("query", MOST), sources, retention }
    }

    /// What a worker tells on this order, and why it could not tell all.
    ///
    /// # Errors
    /// `Busy` where too much is asked, and when the drive is made safe to unplug; `DeviceGone` when the drive is pulled, or the answer does not come `within`; `Failed`
    /// when there is none.
    pub(super) async fn ask(
        &self,
        drive: &Lease,
        order: Order,
        handed: Handed<'_>,
        priority: Priority,
        within: Duration,
    ) -> Result<Answer, Error> {
        let busy = |_full| Error::new(ErrorCode::Busy, "too many queries at the same time; try again in a moment");
        let turn = self.processes.turn(Duration::ZERO).await.map_err(busy)?;
        // What is not waited for any more is dropped, and the worker killed with it.
        let answered = tokio::select! {
            answered = timeout(within, self.answer(order, handed, priority)) => answered,
            () = drive.removal() => return Err(removed()),
            () = drive.gone() => return Err(gone("the drive was unplugged; plug it in again")),
        };
        drop(turn);
        answered.unwrap_or_else(|_late| Err(gone("the drive does not respond; check it and its cable (dmesg)")))
    }

    async fn answer(&self, order: Order, handed: Handed<'_>, priority: Priority) -> Result<Answer, Error> {
        let failed = |text: String| Error::new(ErrorCode::Failed, text);
        let started = self.spawner.worker(order, handed, priority).await;
        let mut worker = started.map_err(|error| failed(format!("cannot start a worker ({error}); try again")))?;
        let mut told = Vec::new();
        while let Some(report) = worker.next().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "other messages are handled above")]
            match report {
                Report::Ended { error, .. } => {
                    // What it has open of the drive is closed when it is gone.
                    worker.gone().await;
                    return Ok((told, error));
                }
                Report::Warning(text) => tracing::warn!("{text}"),
                report if told.len() < LONGEST => told.push(report),
                _too_much => break,
            }
        }
        worker.kill();
        Err(failed("the worker ended without an answer; see the journal, then try again".to_owned()))
    }
}

impl Jobs {
    /// The stream files in a folder on a drive, in the order in which they would be received.
    ///
    /// # Errors
    /// `NotFound` where there is no such folder; and those of a drive that does not answer.
    pub(crate) async fn streams(&self, lease: &Lease, folder: PathBuf) -> Result<Vec<StreamFile>, Error> {
        let folder = open_folder(lease, folder).await?;
        let (told, error) =
            self.queries.ask(lease, Order::Streams, [folder].into(), Priority::default(), LISTING).await?;
        if let Some(error) = error {
            tracing::warn!("cannot list the stream files on a drive: {}", error.message);
            return Err(Error::new(ErrorCode::Failed, public_sentence(error.kind, error.command, error.byte)));
        }
        let row = |report| if let Report::Streams(StreamFileEvent::File(row)) = report { Some(row) } else { None };
        Ok(told.into_iter().filter_map(row).collect())
    }
}

fn removed() -> Error {
    Error::new(ErrorCode::Busy, "the drive is being made safe to unplug; try again when it is plugged in again")
}

fn gone(sentence: &str) -> Error {
    Error::new(ErrorCode::DeviceGone, sentence)
}
