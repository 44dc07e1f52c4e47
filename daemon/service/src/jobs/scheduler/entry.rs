//! One job in the scheduler.

use std::sync::Arc;

use crate::types::{Error, ErrorCode};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::backups::BackupEvent;
use crate::drives::DriveManager;
use crate::jobs::class::JobClass;
use crate::jobs::job::{About, Job};
use crate::jobs::kinds::JobRequest;
use crate::jobs::leftovers::Leftovers;
use crate::jobs::outcome::{EndReason, EndRules};
use crate::jobs::pace::Pace;
use crate::volumes::Volume;
use crate::worker::Report;

/// Up to this many warnings of one job are logged. An honest worker sends up to a hundred.
const WARNINGS: u32 = 300;

/// A job in the scheduler.
#[derive(Debug)]
pub(super) struct Entry {
    /// Dropped when the job is forgotten, which closes the channel of publishers.
    pub(super) job: watch::Sender<Job>,
    /// The volume that it writes to.
    pub(super) volume: Option<Arc<Volume>>,
    /// The drives, where an end without success is a problem of its drive.
    pub(super) drives: Option<DriveManager>,
    /// A request to make its drive safe ends it.
    pub(super) yields_to_removal: bool,
    /// The history has it.
    pub(super) is_recorded: bool,
    /// What it does, for the journal.
    pub(super) doing: String,
    /// The class that it counts against.
    class: JobClass,
    /// The meaning of its end.
    pub(super) end_rules: &'static EndRules,
    /// The request, until it begins.
    pub(super) request: Option<Box<dyn JobRequest>>,
    /// The reason to end, for the runner; None before it begins.
    pub(super) stop: Option<watch::Sender<Option<EndReason>>>,
    /// Why it was ended from outside.
    pub(super) why: Option<EndReason>,
    /// The callers that wait for its end.
    pub(super) waiters: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) pace: Pace,
    /// What it may have left, after its end.
    pub(super) left: Leftovers,
    /// The mounts that it uses.
    pub(super) mounts: Vec<u64>,
    warnings: u32,
}

impl Entry {
    /// A queued job.
    pub(super) fn new(job: Job, request: Box<dyn JobRequest>) -> Self {
        Self {
            job: watch::Sender::new(job),
            volume: request.volume().cloned(),
            drives: request.problem_of().cloned(),
            yields_to_removal: request.yields_to_removal(),
            is_recorded: request.is_recorded(),
            doing: request.doing(),
            class: request.class(),
            end_rules: request.end_rules(),
            request: Some(request),
            stop: None,
            why: None,
            waiters: Vec::new(),
            pace: Pace::new(Instant::now()),
            left: Leftovers::default(),
            mounts: Vec::new(),
            warnings: 0,
        }
    }

    /// The class that it counts against and its user, until it has ended.
    pub(super) fn open(&self) -> Option<(JobClass, u32)> {
        let job = self.job.borrow();
        (!job.has_ended()).then_some((self.class, job.uid()))
    }

    /// Ends the runner, if there is one. The first reason is that of the job; the runner learns of a stopping service and of an
    /// unplugged drive also after another reason.
    pub(super) fn end(&mut self, why: EndReason) {
        self.why.get_or_insert(why);
        if let Some(stop) = &self.stop {
            stop.send_if_modified(|known| {
                let news = known.is_none() || matches!(why, EndReason::Stopping | EndReason::Unplugged);
                if news {
                    *known = Some(why);
                }
                news
            });
        }
        self.job.send_modify(|job| job.ending = true);
    }

    /// Notes how many subvolumes below its source a backup leaves out.
    pub(super) fn note_left_out(&self, report: &Report) {
        let Report::Backup(BackupEvent::LeftOut(left_out)) = report else { return };
        let About { drive, backup, .. } = &self.job.borrow().about;
        if let (Some(drives), Some(drive), Some(backup)) = (&self.drives, drive, backup) {
            drives.set_left_out(&drive.id, backup, left_out.count);
        }
    }

    /// Logs a warning of its worker.
    pub(super) fn warn(&mut self, id: Uuid, text: &str) {
        self.warnings = self.warnings.saturating_add(1);
        if self.warnings <= WARNINGS {
            tracing::warn!(butterdock_job = %id, "{text}");
        }
    }

    /// Answers callers that wait for its end that it takes longer; the job ends without them.
    pub(super) fn report_writing(&mut self) {
        for waiter in self.waiters.drain(..) {
            let text = "the job is being cancelled, but the drive is still writing data; the job ends when that is \
                        done: watch it, or cancel it again to wait for its end";
            // The caller may have disconnected.
            drop(waiter.send(Err(Error::new(ErrorCode::Busy, text))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::Total;
    use crate::jobs::kinds::ReceiveJob;
    use crate::types::Trigger;

    #[test]
    fn service_shutdown_reaches_a_cancelled_runner() {
        let request = ReceiveJob::of_nothing("tank");
        let job = Job::new(Uuid::new_v4(), request.about(), Trigger::User(0), 0, Total::UNKNOWN);
        let (stop, stopped) = watch::channel(None);
        let mut entry = Entry::new(job, Box::new(request));
        entry.stop = Some(stop);
        for (why, heard) in [
            (EndReason::Cancelled, EndReason::Cancelled),
            (EndReason::Unmounted, EndReason::Cancelled),
            (EndReason::Stopping, EndReason::Stopping),
            (EndReason::Cancelled, EndReason::Stopping),
        ] {
            entry.end(why);
            assert_eq!((entry.why, *stopped.borrow()), (Some(EndReason::Cancelled), Some(heard)));
        }
    }
}
