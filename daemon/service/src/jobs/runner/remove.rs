//! Makes a drive safe to unplug.

use super::stay::{Berth, trouble};
use super::{Runner, Told, other_than};
use crate::drives::{Condition, Letting};
use crate::jobs::entry::{Ending, Why};

/// A drive that somebody wants to unplug.
#[derive(Debug)]
pub(in crate::jobs) struct Remove {
    pub(in crate::jobs) runner: Runner,
    pub(in crate::jobs) berth: Berth,
}

impl Remove {
    /// Runs it to its end. What was begun cannot be taken back, so that only a service that ends does not wait for it.
    pub(in crate::jobs) async fn run(self) {
        let Self { mut runner, berth } = self;
        let letting = berth.dock.let_go(&berth.drive, Letting::Remove);
        tokio::pin!(letting);
        let mut known = None;
        let ending = loop {
            tokio::select! {
                done = &mut letting => match done {
                    Ok(condition) => {
                        if condition != Condition::Sound {
                            runner.tell(Told::Noted(condition.sentence().to_owned())).await;
                        }
                        break Ending::Told(None);
                    }
                    Err(error) => break Ending::Trouble(trouble(error)),
                },
                why = other_than(&mut runner.stop, known) => match why {
                    Why::Stopping => break Ending::Killed,
                    Why::Cancelled | Why::Unmounted | Why::Pulled | Why::Stream(_) => {
                        known = Some(why);
                        runner.tell(Told::Writing).await;
                    }
                },
            }
        };
        runner.over(ending).await;
    }
}
