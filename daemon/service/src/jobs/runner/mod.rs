//! Runs the worker of one job: starts it, follows it, ends it on request, and sweeps after one that left incomplete
//! subvolumes. `follow` handles the worker from its first report to its last.

mod follow;
mod worker_results;

pub(super) use follow::other_than;
pub(super) use worker_results::{MOST_DAMAGED_SUBVOLUMES, WorkerResults};

use std::sync::Arc;
use std::time::Duration;

use crate::backups::Lineage;
use crate::types::ErrorCode;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::job::JobError;
use super::leftovers::Leftovers;
use super::limit::{Excess, Limit};
use super::outcome::{EndReason, Ending};
use crate::config::{IoClass, WorkerRule};
use crate::destinations::{Destination, close};
use crate::worker::{self, IoPriority, Priority, Report, Spawner, Worker, WorkerFds};
use worker_results::Followed;

/// Timeout for the exit of a worker that has reported its end or closed its socket;
const GOING: Duration = Duration::from_secs(3);
/// shorter if its drive was unplugged.
const UNPLUGGED: Duration = Duration::from_secs(1);
/// Timeout for the exit of a killed worker; after that it is stuck.
pub(super) const KILLED: Duration = Duration::from_secs(1);
/// Timeout for a sweep; then its worker is killed, and the next receive sweeps.
const SWEEPING: Duration = Duration::from_secs(3);

/// A runner's messages to the scheduler.
#[derive(Debug)]
pub(super) enum RunnerEvent {
    /// A directory of this mount is open.
    Opened(u64),
    /// All directories are closed: an unmount does not affect the job any more.
    Closed,
    Report(Report),
    /// No data arrived for a while.
    Stalled,
    /// Its drive was unplugged.
    Unplugged,
    /// Its drive is being made safe to unplug, which does not wait for it.
    Removed,
    /// It exceeded a limit, because of its client.
    Exceeded(Excess),
    /// It writes up to this many bytes per second from now on.
    MaxRate(Option<u64>),
    /// A public note.
    Noted(String),
    /// It was asked to end, and cannot until the kernel has written its data.
    Writing,
    /// It has ended. With `held` its worker has not: its volume or drive stays busy.
    Ended {
        ending: Ending,
        left: Leftovers,
        stuck: bool,
    },
    /// The worker that was stuck has ended.
    WorkerGone,
}

/// What every job needs to run.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(super) id: Uuid,
    /// The limits of a job whose client can make it wait.
    pub(super) limit: Option<Limit>,
    pub(super) priority: Priority,
    pub(super) spawner: Arc<Spawner>,
    pub(super) scheduler: mpsc::Sender<(Uuid, RunnerEvent)>,
    /// The reason to end, once there is one.
    pub(super) stop: watch::Receiver<Option<EndReason>>,
    /// The lineage of a backup's source, as soon as the worker reports it.
    pub(super) lineage: watch::Sender<Option<Lineage>>,
    /// The rate limit of a backup, in bytes per second, as it is now.
    pub(super) max_rate: watch::Sender<Option<u64>>,
}

/// How a worker ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    left: Leftovers,
    /// The worker, if it hangs in the kernel.
    stuck: Option<Worker>,
    /// The results in its reports.
    pub(super) heard: WorkerResults,
}

/// Sends the events of one job to the scheduler.
#[derive(Debug, Clone)]
pub(super) struct ToScheduler {
    id: Uuid,
    scheduler: mpsc::Sender<(Uuid, RunnerEvent)>,
}

impl Runner {
    /// Has a worker carry out the order to its end; it gets the directory of the destination `place` as its last descriptor.
    /// If it does not reach the end, deletes what it left there.
    pub(super) async fn work(
        &mut self,
        order: worker::Order,
        handed: WorkerFds<'_>,
        place: &dyn Destination,
    ) -> Outcome {
        // The descriptors are the worker's alone from here: the writer of a pipe must get EPIPE when the worker ends.
        let (subject, max_rate) = (order.subject(), order.max_rate());
        let handed = WorkerFds { destination: Some(place.directory()), ..handed };
        let mut worker = match self.spawner.worker(order, handed, self.priority).await {
            Ok(worker) => worker,
            Err(error) => {
                let text = format!("cannot start a worker ({error}); see the journal and start the job again");
                return Outcome::failure(JobError::plain(ErrorCode::Failed, text));
            }
        };
        tracing::info!(butterdock_job = %self.id, "worker {} started", worker.pid());
        let followed = self.follow(&mut worker, subject, max_rate).await;
        let going = if self.is_unplugged() { UNPLUGGED } else { GOING };
        let Ok(status) = timeout(going, worker.gone()).await else {
            return self.outlast(worker, place, followed).await;
        };
        let heard = followed.heard;
        match followed.result {
            // It has cleaned up, unless it was killed meanwhile.
            Some(error) => {
                let unclean = !status.success() || error.as_ref().is_some_and(|error| error.hidden);
                let hidden = unclean && !self.sweep(place).await;
                Outcome {
                    ending: Ending::Reported(error),
                    left: Leftovers { named: false, hidden },
                    stuck: None,
                    heard,
                }
            }
            None => {
                tracing::warn!(butterdock_job = %self.id, "the worker ended without a result ({status})");
                let hidden = !self.sweep(place).await;
                Outcome {
                    ending: Ending::Killed,
                    left: Leftovers { named: followed.naming, hidden },
                    stuck: None,
                    heard,
                }
            }
        }
    }

    /// Reports the end. If the worker is stuck the job ends, and its volume or drive stays busy until the worker has ended.
    pub(super) async fn end(self, outcome: Outcome, place: Box<dyn Destination>) {
        let Outcome { ending, left, stuck, heard: _ } = outcome;
        let Some(mut worker) = stuck else {
            close(place).await;
            return self.tell(RunnerEvent::Ended { ending, left, stuck: false }).await;
        };
        self.tell(RunnerEvent::Ended { ending, left, stuck: true }).await;
        worker.gone().await;
        self.sweep(&*place).await;
        close(place).await;
        self.tell(RunnerEvent::WorkerGone).await;
    }

    /// Reports the end of a job whose worker has ended.
    pub(super) async fn end_as(self, outcome: Outcome) {
        self.tell(RunnerEvent::Ended { ending: outcome.ending, left: outcome.left, stuck: false }).await;
    }

    /// Reports the end of a job that had no worker.
    pub(super) async fn end_without_worker(self, ending: Ending) {
        self.tell(RunnerEvent::Ended { ending, left: Leftovers::default(), stuck: false }).await;
    }

    pub(super) async fn tell(&self, event: RunnerEvent) {
        self.to_scheduler().tell(event).await;
    }

    pub(super) fn to_scheduler(&self) -> ToScheduler {
        ToScheduler { id: self.id, scheduler: self.scheduler.clone() }
    }

    fn is_unplugged(&self) -> bool {
        *self.stop.borrow() == Some(EndReason::Unplugged)
    }

    /// The worker does not exit. Its reported result counts: a durable subvolume stays durable.
    async fn outlast(&self, mut worker: Worker, place: &dyn Destination, followed: Followed) -> Outcome {
        worker.kill();
        let Followed { result, writing, naming, heard } = followed;
        let is_gone = timeout(KILLED, worker.gone()).await.is_ok();
        let named = result.is_none() && naming;
        let hidden = match &result {
            _ if is_gone => !self.sweep(place).await,
            Some(error) => error.as_ref().is_some_and(|error| error.hidden),
            None => true,
        };
        if !is_gone {
            let what = if writing { "waits for the drive to write its data" } else { "hangs in the kernel" };
            tracing::error!(butterdock_job = %self.id, "worker {} {what} and cannot be killed", worker.pid());
        }
        let ending = match result {
            Some(error) => Ending::Reported(error),
            None if is_gone => Ending::Killed,
            None => Ending::Stuck { writing },
        };
        Outcome { ending, left: Leftovers { named, hidden }, stuck: (!is_gone).then_some(worker), heard }
    }

    /// Returns whether nothing hidden is left.
    async fn sweep(&self, place: &dyn Destination) -> bool {
        if self.is_unplugged() && place.is_on_drive() {
            return false;
        }
        let swept = sweep_open(&self.spawner, place, self.priority).await;
        if let Err(error) = &swept {
            tracing::warn!(butterdock_job = %self.id, "cannot remove incomplete subvolumes of the worker: {error}; \
                                                       the next job there does");
        }
        swept.is_ok()
    }
}

impl ToScheduler {
    /// If the scheduler has ended, so does the service, and the message is dropped.
    pub(super) async fn tell(&self, event: RunnerEvent) {
        drop(self.scheduler.send((self.id, event)).await);
    }
}

impl Outcome {
    /// No worker was started.
    pub(super) fn failure(failure: JobError) -> Self {
        Self {
            ending: Ending::JobError(failure),
            left: Leftovers::default(),
            stuck: None,
            heard: WorkerResults::default(),
        }
    }

    /// Whether the kernel holds the worker.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// A later part of the job failed.
    pub(super) fn fail(&mut self, failure: JobError) {
        if matches!(self.ending, Ending::Reported(None)) {
            self.ending = Ending::JobError(failure);
        }
    }
}

/// Has a worker delete the incomplete subvolumes in a destination.
///
/// # Errors
/// A sentence for the log.
pub(super) async fn sweep_open(spawner: &Spawner, place: &dyn Destination, priority: Priority) -> Result<(), String> {
    let (order, handed) = place.delete();
    let mut worker = spawner.worker(order, handed, priority).await.map_err(|error| error.to_string())?;
    let sweep = async {
        while let Some(report) = worker.next().await {
            if let Report::Ended { error, .. } = report {
                // When this returns, the process has ended.
                worker.gone().await;
                return error.map_or(Ok(()), |error| Err(error.message));
            }
        }
        Err("the worker ended without a result".to_owned())
    };
    timeout(SWEEPING, sweep).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
}

/// The priorities of workers, as configured.
pub(super) fn priority(rule: WorkerRule) -> Priority {
    let io = match rule.io_class {
        IoClass::Idle => IoPriority::Idle,
        IoClass::BestEffort => IoPriority::BestEffort(rule.io_priority),
    };
    Priority { nice: rule.nice, io }
}

#[cfg(test)]
mod privileged_stuck;
