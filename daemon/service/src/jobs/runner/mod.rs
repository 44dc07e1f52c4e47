//! Runs one job: opens its directories, follows its worker, ends it on request, and sweeps after a worker that left
//! incomplete subvolumes. `follow` handles the worker from its first report to its last.

mod follow;

pub(super) use follow::{Heard, other_than};

use std::sync::Arc;
use std::time::Duration;

use crate::types::ErrorCode;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::handle::SchedulerMessage;
use super::job::JobError;
use super::kinds::open_volume;
use super::outcome::Leftovers;
use super::outcome::{Ending, Why};
use super::stream_limit::{StreamExcess, StreamLimit};
use crate::destinations::{Destination, VolumeDestination, close};
use crate::volumes::Volume;
use crate::worker::{self, Handed, Priority, Report, Spawner, Worker};
use follow::Followed;

/// A worker that was killed, or that closed its socket, has so long to be gone;
const GOING: Duration = Duration::from_secs(3);
/// not so long where its drive was pulled, on which nothing can be waited for;
const PULLED: Duration = Duration::from_secs(1);
/// killed then in any case, so long again, after which it counts as stuck.
pub(super) const KILLED: Duration = Duration::from_secs(1);
/// Timeout for a sweep; then its worker is killed, and the next receive sweeps.
const SWEEPING: Duration = Duration::from_secs(3);

/// A runner's messages to the scheduler.
#[derive(Debug)]
pub(super) enum RunnerEvent {
    /// The place is open; it was reached through this mount.
    Opened(u64),
    /// All places are closed again: what becomes of their mounts is no matter to the job any more.
    Closed,
    Report(Report),
    /// Nothing came for a while.
    Stalled,
    /// Its drive was pulled.
    Pulled,
    /// Its stream has not kept to a limit.
    Exceeded(StreamExcess),
    /// A public note.
    Noted(String),
    /// It was asked to end, and cannot before the kernel has written out.
    Writing,
    /// It is over. Where the kernel holds its worker the place is not given back yet.
    Over {
        ending: Ending,
        left: Leftovers,
        held: bool,
    },
    /// The worker that the kernel held is gone.
    Gone,
}

/// What every job needs to run.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(super) id: Uuid,
    /// What its stream has to keep to, where one is handed in.
    pub(super) limit: Option<StreamLimit>,
    pub(super) priority: Priority,
    pub(super) spawner: Arc<Spawner>,
    pub(super) scheduler: mpsc::Sender<SchedulerMessage>,
    /// Why it shall end, once it shall.
    pub(super) stop: watch::Receiver<Option<Why>>,
}

/// What became of a worker.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    left: Leftovers,
    /// The worker, if it hangs in the kernel.
    stuck: Option<Worker>,
    /// Its reports of a backup.
    pub(super) heard: Heard,
}

/// Sends the events of one job to the scheduler.
#[derive(Debug, Clone)]
pub(super) struct ToScheduler {
    id: Uuid,
    scheduler: mpsc::Sender<SchedulerMessage>,
}

impl Runner {
    /// Has a worker carry out the order to its end; it gets the directory of the destination `place` as its last descriptor.
    /// If it does not reach the end, deletes what it left there.
    pub(super) async fn work(&mut self, order: worker::Order, handed: Handed<'_>, place: &dyn Destination) -> Outcome {
        // The descriptors are the worker's alone from here: the writer of a pipe must get EPIPE when the worker ends.
        let subject = order.subject();
        let handed = Handed { destination: Some(place.directory()), ..handed };
        let mut worker = match self.spawner.worker(order, handed, self.priority).await {
            Ok(worker) => worker,
            Err(error) => {
                let text = format!("cannot start a worker ({error}); see the journal and start the job again");
                return Outcome::failure(JobError::plain(ErrorCode::Failed, text));
            }
        };
        tracing::info!(butterdock_job = %self.id, "worker {} started", worker.pid());
        let followed = self.follow(&mut worker, subject).await;
        let going = if self.is_pulled() { PULLED } else { GOING };
        let Ok(status) = timeout(going, worker.gone()).await else {
            return self.outlast(worker, place, followed).await;
        };
        let heard = followed.heard;
        match followed.told {
            // It cleaned up after itself, unless it was killed over it.
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

    /// Tells how it ended. Where the kernel holds the worker the job is over, and its place is given back when the worker
    /// is gone.
    pub(super) async fn end(self, outcome: Outcome, place: Box<dyn Destination>) {
        let Outcome { ending, left, stuck, heard: _ } = outcome;
        let Some(mut worker) = stuck else {
            close(place).await;
            return self.tell(RunnerEvent::Over { ending, left, held: false }).await;
        };
        self.tell(RunnerEvent::Over { ending, left, held: true }).await;
        worker.gone().await;
        self.sweep(&*place).await;
        close(place).await;
        self.tell(RunnerEvent::Gone).await;
    }

    /// Tells how it ended, where nothing of it is left to wait for.
    pub(super) async fn over_as(self, outcome: Outcome) {
        self.tell(RunnerEvent::Over { ending: outcome.ending, left: outcome.left, held: false }).await;
    }

    /// Tells how it ended, where no worker ever was.
    pub(super) async fn over(self, ending: Ending) {
        self.tell(RunnerEvent::Over { ending, left: Leftovers::default(), held: false }).await;
    }

    pub(super) async fn tell(&self, told: RunnerEvent) {
        self.to_scheduler().tell(told).await;
    }

    pub(super) fn to_scheduler(&self) -> ToScheduler {
        ToScheduler { id: self.id, scheduler: self.scheduler.clone() }
    }

    fn is_pulled(&self) -> bool {
        *self.stop.borrow() == Some(Why::Pulled)
    }

    /// The kernel holds the worker. What it told of its end stands: a subvolume that is durable is not made undone by a
    /// process that lingers.
    async fn outlast(&self, mut worker: Worker, place: &dyn Destination, followed: Followed) -> Outcome {
        worker.kill();
        let Followed { told, writing, naming, heard } = followed;
        let is_gone = timeout(KILLED, worker.gone()).await.is_ok();
        let named = told.is_none() && naming;
        let hidden = match &told {
            _ if is_gone => !self.sweep(place).await,
            Some(error) => error.as_ref().is_some_and(|error| error.hidden),
            None => true,
        };
        if !is_gone {
            let what = if writing { "waits for the drive to write its data" } else { "hangs in the kernel" };
            tracing::error!(butterdock_job = %self.id, "worker {} {what} and cannot be killed", worker.pid());
        }
        let ending = match told {
            Some(error) => Ending::Reported(error),
            None if is_gone => Ending::Killed,
            None => Ending::Stuck { writing },
        };
        Outcome { ending, left: Leftovers { named, hidden }, stuck: (!is_gone).then_some(worker), heard }
    }

    /// Answers whether nothing hidden is left.
    async fn sweep(&self, place: &dyn Destination) -> bool {
        if self.is_pulled() {
            // There is nothing to sweep on any more.
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
    pub(super) async fn tell(&self, told: RunnerEvent) {
        drop(self.scheduler.send(SchedulerMessage::Event(self.id, told)).await);
    }
}

impl Outcome {
    /// There was no worker.
    pub(super) fn failure(failure: JobError) -> Self {
        Self { ending: Ending::JobError(failure), left: Leftovers::default(), stuck: None, heard: Heard::default() }
    }

    /// Whether the kernel holds the worker.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Something that belongs to the job failed after the worker.
    pub(super) fn fail(&mut self, failure: JobError) {
        if matches!(self.ending, Ending::Reported(None)) {
            self.ending = Ending::JobError(failure);
        }
    }
}

/// Sweeps what a killed service left in a volume, if it is mounted.
///
/// # Errors
/// A sentence for the log.
pub(crate) async fn sweep(spawner: &Spawner, volume: &Arc<Volume>) -> Result<(), String> {
    let destination = open_volume(volume).await.map_err(|failure| failure.message)?;
    sweep_open(spawner, &VolumeDestination::new(destination), Priority::default()).await
}

async fn sweep_open(spawner: &Spawner, place: &dyn Destination, priority: Priority) -> Result<(), String> {
    let (order, handed) = place.delete();
    let mut worker = spawner.worker(order, handed, priority).await.map_err(|error| error.to_string())?;
    let sweep = async {
        while let Some(report) = worker.next().await {
            if let Report::Ended { error, .. } = report {
                // A caller that gets this answer finds no process either.
                worker.gone().await;
                return error.map_or(Ok(()), |error| Err(error.message));
            }
        }
        Err("the worker ended without a result".to_owned())
    };
    timeout(SWEEPING, sweep).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
}

#[cfg(test)]
mod privileged_stuck;
