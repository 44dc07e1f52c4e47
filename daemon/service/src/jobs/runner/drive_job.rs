//! What all jobs on a drive have in common: it is theirs alone, it may be pulled, and the last of them lets it go.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use crate::types::{Error, ErrorCode};
use tokio::time::timeout;

use super::{Outcome, Runner, RunnerEvent, ToScheduler, other_than};
use crate::dir_handle::DirHandle;
use crate::drives::{Condition, DriveId, DriveManager, DriveReservation, Lease};
use crate::jobs::entry::{Ending, Why};
use crate::jobs::job::JobError;

/// The kernel fails what is asked of a drive that is pulled out, and udev tells of it a moment later, under load this late.
const WORD: Duration = Duration::from_secs(2);

/// Where a job on a drive is.
#[derive(Debug, Clone)]
pub(in crate::jobs) struct DriveContext {
    pub(in crate::jobs) manager: DriveManager,
    pub(in crate::jobs) drive: DriveId,
}

/// What a job does on a drive.
pub(in crate::jobs) trait DriveTask: Send {
    /// Whether it does no more than read the drive, which need not be enrolled then.
    const READS: bool = false;

    /// Has a worker do it. Answers with the directory that it wrote to, which is swept after it.
    fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> impl Future<Output = Result<(Outcome, DirHandle), Ending>> + Send;
}

/// A job on a drive.
#[derive(Debug)]
pub(in crate::jobs) struct DriveJob<E> {
    pub(in crate::jobs) runner: Runner,
    pub(in crate::jobs) context: DriveContext,
    pub(in crate::jobs) reservation: DriveReservation,
    pub(in crate::jobs) task: E,
}

impl<E: DriveTask> DriveJob<E> {
    /// Runs it to its end; tells of it once.
    pub(in crate::jobs) async fn run(self) {
        let Self { mut runner, context, reservation, mut task } = self;
        let lease = match context.lease(&mut runner, E::READS).await {
            Ok(lease) => lease,
            // A drive that is mounted in a moment, for nobody any more, is released by its lease.
            Err(ending) => return runner.over(ending).await,
        };
        let gone = pulled(&lease, runner.to_desk());
        let work = async {
            let done = task.work(&mut runner, &context, &lease).await;
            if done.as_ref().map_or_else(Ending::is_of_drive, |(outcome, _)| outcome.ending.is_of_drive()) {
                runner.word_of_pull().await;
            }
            done
        };
        let done = tokio::select! {
            done = work => done,
            never = gone => match never {},
        };
        let outcome = match done {
            Ok((outcome, place)) if outcome.is_stuck() => {
                // The drive is released when the worker is gone.
                runner.end(outcome, place).await;
                return lease.close().await;
            }
            Ok((outcome, place)) => {
                place.close().await;
                Ok(outcome)
            }
            Err(ending) => Err(ending),
        };
        // Nothing of the drive is open any more when it is released.
        lease.close().await;
        runner.tell(RunnerEvent::Closed).await;
        end_use(reservation, &mut runner).await;
        match outcome {
            Ok(outcome) => runner.over_as(outcome).await,
            Err(ending) => runner.over(ending).await,
        }
    }
}

impl Runner {
    /// Waits a moment for it to be said that the drive was pulled out: then that is why the job failed.
    async fn word_of_pull(&mut self) {
        let told = self.stop.wait_for(|why| matches!(why, Some(Why::Stopping | Why::Pulled)));
        // It failed by itself where nothing is said.
        drop(timeout(WORD, told).await);
    }
}

impl DriveContext {
    /// The drive, unlocked and mounted; or how the job ended instead.
    async fn lease(&self, runner: &mut Runner, reads: bool) -> Result<Lease, Ending> {
        let leasing =
            async { if reads { self.manager.read(&self.drive).await } else { self.manager.lease(&self.drive).await } };
        let lease = tokio::select! {
            lease = leasing => lease.map_err(|error| Ending::JobError(failure(self.seen(error))))?,
            // A drive that does not answer is not waited for when nobody wants the job any more.
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        runner.tell(RunnerEvent::Opened(lease.mount_id())).await;
        Ok(lease)
    }

    /// A drive that was there when the job was taken on, and is not there any more, was pulled out.
    fn seen(&self, error: Error) -> Error {
        if self.manager.drive(&self.drive).is_some_and(|now| !now.device.is_empty()) {
            return error;
        }
        let text = "the drive was unplugged before the job could begin; plug it in again, and start the job if it does not \
                    begin";
        Error::new(ErrorCode::DeviceGone, text)
    }
}

/// The job needs the drive no more. It has ended already in all but name: that the drive is not safe to unplug is noted, and is
/// no failure of it.
async fn end_use(reservation: DriveReservation, runner: &mut Runner) {
    let released = tokio::select! {
        biased;
        _ = runner.stop.wait_for(|why| matches!(why, Some(Why::Stopping | Why::Pulled))) => return,
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

/// Waits until the drive is pulled, and tells the desk, which ends the job.
async fn pulled(lease: &Lease, scheduler: ToScheduler) -> Infallible {
    lease.gone().await;
    scheduler.tell(RunnerEvent::Pulled).await;
    pending().await
}

/// Why a job failed, in the dock's words.
pub(super) fn failure(error: Error) -> JobError {
    match error {
        Error::Named(name, text) => JobError::plain(name, text),
        Error::InvalidArgs(text) => JobError::plain(ErrorCode::Failed, text),
    }
}
