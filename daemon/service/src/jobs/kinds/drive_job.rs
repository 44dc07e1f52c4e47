//! The frame of every job on a drive: the drive is mounted before and released after, and may be unplugged meanwhile.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use crate::types::{Condition, Error, ErrorCode};
use tokio::time::timeout;

use crate::destinations::{Destination, close};
use crate::drives::{DriveId, DriveManager, DriveReservation, Lease, Need};
use crate::jobs::job::JobError;
use crate::jobs::outcome::{EndReason, Ending};
use crate::jobs::runner::{Outcome, Runner, RunnerEvent, ToScheduler, other_than};

/// The kernel fails requests to an unplugged drive; udev's event follows within this time, also under load.
const UDEV_DELAY: Duration = Duration::from_secs(2);

/// A drive in a job, and how the job writes.
#[derive(Debug, Clone)]
pub(crate) struct DriveContext {
    pub(super) manager: DriveManager,
    pub(super) drive: DriveId,
    /// The number of threads that write data; the worker's default if None.
    pub(super) writer_threads: Option<usize>,
}

/// A job on a drive.
pub(super) trait DriveTask: Send {
    /// What it needs the drive for.
    const NEED: Need = Need::Write;
    /// Whether it also reads drives that are not enrolled.
    const READS_FOREIGN: bool = false;
    /// Whether a request to make the drive safe ends it. Such a job takes no target, so that the request does not wait for it.
    const ENDS_BY_REMOVAL: bool = false;

    /// Its drive.
    fn drive(&self) -> &DriveId;

    /// The reservation that keeps the drive mounted for it.
    fn into_reservation(self) -> DriveReservation;

    /// Has a worker do it. Answers with the place that the worker wrote to, which is closed after it.
    fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> impl Future<Output = Result<(Outcome, Box<dyn Destination>), Ending>> + Send;
}

/// Runs it to its end, reported once. The drive is released before.
pub(super) async fn run<T: DriveTask>(
    mut task: T,
    mut runner: Runner,
    manager: DriveManager,
    writer_threads: Option<usize>,
) {
    let context = DriveContext { manager, drive: task.drive().clone(), writer_threads };
    let lease = match context.lease::<T>(&mut runner).await {
        Ok(lease) => lease,
        // If the drive is mounted later, its lease releases it.
        Err(ending) => return runner.end_without_worker(ending).await,
    };
    let gone = unplugged(&lease, runner.to_scheduler());
    let removed = removed::<T>(&lease, runner.to_scheduler());
    let work = async {
        let done = task.work(&mut runner, &context, &lease).await;
        if done.as_ref().map_or_else(Ending::is_of_drive, |(outcome, _)| outcome.ending.is_of_drive()) {
            runner.await_unplug().await;
        }
        done
    };
    let done = tokio::select! {
        done = work => done,
        never = gone => match never {},
        never = removed => match never {},
    };
    let outcome = match done {
        Ok((outcome, place)) if outcome.is_stuck() => {
            // The drive is released when the worker has ended.
            runner.end(outcome, place).await;
            return lease.close().await;
        }
        Ok((outcome, place)) => {
            close(place).await;
            Ok(outcome)
        }
        Err(ending) => Err(ending),
    };
    // All directories of the drive are closed before it is released.
    lease.close().await;
    runner.tell(RunnerEvent::Closed).await;
    end_use(task.into_reservation(), &mut runner).await;
    match outcome {
        Ok(outcome) => runner.end_as(outcome).await,
        Err(ending) => runner.end_without_worker(ending).await,
    }
}

impl Runner {
    /// Waits for udev to report that the drive was unplugged: then that is why the job failed.
    async fn await_unplug(&mut self) {
        let unplugged = self.stop.wait_for(|why| matches!(why, Some(EndReason::Stopping | EndReason::Unplugged)));
        // Without an event the job failed for its own reason.
        drop(timeout(UDEV_DELAY, unplugged).await);
    }
}

impl DriveContext {
    /// The drive, unlocked and mounted; or how the job ended instead.
    async fn lease<T: DriveTask>(&self, runner: &mut Runner) -> Result<Lease, Ending> {
        let leasing = async {
            if T::READS_FOREIGN {
                self.manager.read(&self.drive).await
            } else {
                self.manager.lease(&self.drive, T::NEED).await
            }
        };
        let lease = tokio::select! {
            lease = leasing => lease.map_err(|error| Ending::JobError(failure(self.seen(error))))?,
            // After a cancel, do not wait for a drive that does not respond.
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        runner.tell(RunnerEvent::Opened(lease.mount_id())).await;
        Ok(lease)
    }

    /// A drive that was attached when the job was accepted, and is not now, was unplugged.
    fn seen(&self, error: Error) -> Error {
        let is_volume = self.manager.volume_name(&self.drive).is_some();
        if is_volume || self.manager.drive(&self.drive).is_some_and(|now| !now.device.is_empty()) {
            return error;
        }
        let text = "the drive was unplugged before the job could begin; plug it in again, and start the job if it does not \
                    begin";
        Error::new(ErrorCode::DeviceGone, text)
    }
}

/// Ends the job's use of the drive. The job's result is known: a failed release becomes a note.
async fn end_use(reservation: DriveReservation, runner: &mut Runner) {
    let released = tokio::select! {
        biased;
        _ = runner.stop.wait_for(|why| matches!(why, Some(EndReason::Stopping | EndReason::Unplugged))) => return,
        released = reservation.end() => released,
    };
    match released {
        Ok(None | Some(Condition::Sound)) => {}
        Ok(Some(condition)) => runner.tell(RunnerEvent::Noted(condition.sentence().to_owned())).await,
        Err(error) => {
            let text = failure(error).public;
            runner.tell(RunnerEvent::Noted(format!("the drive is not safe to unplug: {text}"))).await;
        }
    }
}

/// Waits until the drive is unplugged, and tells the scheduler, which ends the job.
async fn unplugged(lease: &Lease, scheduler: ToScheduler) -> Infallible {
    lease.gone().await;
    scheduler.tell(RunnerEvent::Unplugged).await;
    pending().await
}

/// Waits until the drive is being made safe, and has the scheduler end the job where that does not wait for it.
async fn removed<T: DriveTask>(lease: &Lease, scheduler: ToScheduler) -> Infallible {
    if T::ENDS_BY_REMOVAL {
        lease.removal().await;
        scheduler.tell(RunnerEvent::Removed).await;
    }
    pending().await
}

/// An error of the drives as a job's.
pub(super) fn failure(error: Error) -> JobError {
    match error {
        Error::Named(name, text) => JobError::plain(name, text),
        Error::Drive(name, problem) => JobError::plain(name, problem.english),
        Error::InvalidArgs(text) => JobError::plain(ErrorCode::Failed, text),
    }
}
