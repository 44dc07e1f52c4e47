//! Makes a drive safe to unplug.

use super::drive_job::failure;
use super::{Conflict, JobContext, JobRequest, JobRun};
use crate::config::Config;
use crate::drives::DriveManager;
use crate::jobs::class::JobClass;
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::EndRules;
use crate::jobs::outcome::{EndReason, Ending};
use crate::jobs::runner::{Runner, RunnerEvent, other_than};
use crate::types::{Condition, Error, JobKind, Trigger};

/// A drive to be made safe to unplug.
#[derive(Debug)]
pub(crate) struct RemoveJob {
    pub manager: DriveManager,
    pub drive: AboutDrive,
    /// Wait for the job that runs on the drive.
    pub when_idle: bool,
    pub uid: u32,
}

const END: EndRules = EndRules { left: |_, _| "the drive is not safe to unplug yet".to_owned(), ..EndRules::TRANSFER };

impl JobRequest for RemoveJob {
    fn about(&self) -> About {
        About::on_drive(JobKind::Remove, self.drive.clone())
    }

    fn doing(&self) -> String {
        format!("making drive {} safe to unplug", self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.uid)
    }

    fn class(&self) -> JobClass {
        JobClass::Remove
    }

    fn conflict(&self) -> Conflict {
        if self.when_idle {
            return Conflict::Same("the drive is being made safe to unplug already; watch it with butterdock watch");
        }
        Conflict::Any("a job uses the drive; wait until it has ended, or cancel it first")
    }

    fn check(&self, _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn set_accepted(&mut self) {
        self.manager.forget_awaited(&self.drive.id);
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    /// A release cannot be taken back, so that a cancelled job waits for its end; a stopping service does not.
    fn run(self: Box<Self>, mut runner: Runner, _context: &JobContext<'_>) -> JobRun {
        Box::pin(async move {
            let removal = self.manager.safely_remove(&self.drive.id);
            tokio::pin!(removal);
            let mut known = None;
            let ending = loop {
                tokio::select! {
                    done = &mut removal => match done {
                        Ok(condition) => {
                            if condition != Condition::Sound {
                                runner.tell(RunnerEvent::Noted(condition.sentence().to_owned())).await;
                            }
                            break Ending::Reported(None);
                        }
                        Err(error) => break Ending::JobError(failure(error)),
                    },
                    why = other_than(&mut runner.stop, known) => match why {
                        EndReason::Stopping => break Ending::Killed,
                        EndReason::Cancelled
                        | EndReason::Unmounted
                        | EndReason::Unplugged
                        | EndReason::RemovedBefore
                        | EndReason::Removed
                        | EndReason::Exceeded(_) => {
                            known = Some(why);
                            runner.tell(RunnerEvent::Writing).await;
                        }
                    },
                }
            };
            runner.end_without_worker(ending).await;
        })
    }
}
