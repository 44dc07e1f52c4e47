//! Runs the job that makes a drive safe to unplug.

use super::drive_job::{DriveContext, failure};
use super::{Runner, RunnerEvent, other_than};
use crate::drives::Condition;
use crate::jobs::entry::{Ending, Why};

/// A request to make a drive safe to unplug.
#[derive(Debug)]
pub(in crate::jobs) struct Remove {
    pub(in crate::jobs) runner: Runner,
    pub(in crate::jobs) context: DriveContext,
}

impl Remove {
    /// Runs it to its end. What was begun cannot be taken back, so that only a service that ends does not wait for it.
    pub(in crate::jobs) async fn run(self) {
        let Self { mut runner, context } = self;
        let removal = context.manager.safely_remove(&context.drive);
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
                    Why::Stopping => break Ending::Killed,
                    Why::Cancelled | Why::Unmounted | Why::Pulled | Why::Stream(_) => {
                        known = Some(why);
                        runner.tell(RunnerEvent::Writing).await;
                    }
                },
            }
        };
        runner.over(ending).await;
    }
}
