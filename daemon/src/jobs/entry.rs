//! One job on the desk, and what its end means.

use std::sync::Arc;

use butterdock_dbus::{Error, ErrorName, JobResult};
use butterdock_receive::ErrorKind;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::handle::Wish;
use super::job::{Job, Trouble};
use super::pace::Pace;
use crate::volumes::Volume;
use crate::worker::{JobError, public_sentence};

/// A job on the desk.
#[derive(Debug)]
pub(super) struct Entry {
    /// Dropped when it is forgotten, by which those who show it know.
    pub(super) job: watch::Sender<Job>,
    pub(super) volume: Arc<Volume>,
    /// What it will do, while it waits.
    pub(super) wish: Option<Box<Wish>>,
    /// Ends the runner.
    pub(super) stop: Option<oneshot::Sender<()>>,
    /// Why it was ended from outside.
    pub(super) why: Option<Why>,
    /// Who waits for its end.
    pub(super) waiters: Vec<oneshot::Sender<Result<(), Error>>>,
    pub(super) pace: Pace,
    /// The mount that it writes through, once it does.
    pub(super) mount: Option<u64>,
}

/// Why a job was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody cancelled it.
    Cancelled,
    /// The service is being stopped.
    Stopping,
    /// Its volume is not mounted any more.
    Unmounted,
}

/// How a runner ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The worker told how.
    Told(Option<JobError>),
    /// There was no worker, or it told nothing.
    Trouble(Trouble),
    /// It was killed because it did not end when it should, and is gone.
    Killed,
    /// It was killed and does not go: the kernel holds it.
    Stuck,
}

impl Entry {
    /// A job that waits.
    pub(super) fn new(job: Job, wish: Box<Wish>) -> Self {
        Self {
            job: watch::Sender::new(job),
            volume: Arc::clone(&wish.volume),
            wish: Some(wish),
            stop: None,
            why: None,
            waiters: Vec::new(),
            pace: Pace::new(Instant::now()),
            mount: None,
        }
    }

    /// Ends the runner, where there is one, for the first reason that there is.
    pub(super) fn end(&mut self, why: Why) {
        self.why.get_or_insert(why);
        if let Some(stop) = self.stop.take() {
            // The runner may have come to its end by itself.
            stop.send(()).unwrap_or_default();
        }
        self.job.send_modify(|job| job.ending = true);
    }
}

/// What an ending means for the job.
pub(super) fn verdict(why: Option<Why>, ending: Ending) -> (JobResult, Option<Trouble>) {
    match (ending, why) {
        (Ending::Told(None), _) => (JobResult::Succeeded, None),
        (Ending::Stuck, _) => (JobResult::Failed, Some(stuck())),
        // Whoever was killed or stopped on demand has that reason, whatever it said last.
        (Ending::Told(Some(error)), Some(why)) if error.kind == ErrorKind::Cancelled => outside(why),
        (Ending::Killed, Some(why)) => outside(why),
        (Ending::Trouble(_), Some(why)) => outside(why),
        (Ending::Told(Some(error)), _) => {
            let result = if error.kind == ErrorKind::Cancelled { JobResult::Cancelled } else { JobResult::Failed };
            (result, Some(from_worker(error)))
        }
        (Ending::Trouble(trouble), None) => (JobResult::Failed, Some(trouble)),
        (Ending::Killed, None) => (JobResult::Failed, Some(killed())),
    }
}

/// What ending a job from outside means for it.
pub(super) fn outside(why: Why) -> (JobResult, Option<Trouble>) {
    match why {
        Why::Cancelled => {
            let text = "the job was cancelled; nothing half-made was left behind";
            (JobResult::Cancelled, Some(Trouble::plain(ErrorName::Cancelled, text)))
        }
        Why::Stopping => {
            let text = "the service was stopped; nothing half-made was left behind, start the job again";
            (JobResult::Cancelled, Some(Trouble::plain(ErrorName::Cancelled, text)))
        }
        Why::Unmounted => {
            let text = "the volume was unmounted; mount it and start the job again";
            (JobResult::Failed, Some(Trouble::plain(ErrorName::DeviceGone, text)))
        }
    }
}

fn killed() -> Trouble {
    let text = "the worker was killed or crashed; nothing half-made was left behind, see the journal and start again";
    Trouble::plain(ErrorName::Failed, text)
}

fn stuck() -> Trouble {
    let text = "the worker hangs in the kernel and cannot be killed; the volume stays busy until it is gone: \
                check the drive and its cable (dmesg)";
    Trouble::plain(ErrorName::Failed, text)
}

fn from_worker(error: JobError) -> Trouble {
    let JobError { kind, message, command, byte } = error;
    Trouble { name: error_name(kind), public: public_sentence(kind, command, byte), message, command, byte }
}

fn error_name(kind: ErrorKind) -> ErrorName {
    match kind {
        ErrorKind::InvalidStream => ErrorName::InvalidStream,
        ErrorKind::TruncatedStream => ErrorName::TruncatedStream,
        ErrorKind::UnsupportedStream => ErrorName::UnsupportedStream,
        ErrorKind::ParentMissing => ErrorName::ParentMissing,
        ErrorKind::NoSpace => ErrorName::NoSpace,
        ErrorKind::ReadOnly => ErrorName::ReadOnly,
        ErrorKind::Exists => ErrorName::Exists,
        ErrorKind::Busy => ErrorName::Busy,
        ErrorKind::DeviceGone => ErrorName::DeviceGone,
        ErrorKind::Cancelled => ErrorName::Cancelled,
        ErrorKind::Failed => ErrorName::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: ErrorKind) -> Ending {
        Ending::Told(Some(JobError { kind, message: "long".to_owned(), command: None, byte: None }))
    }

    fn seen(why: Option<Why>, ending: Ending) -> (JobResult, Option<ErrorName>) {
        let (result, trouble) = verdict(why, ending);
        (result, trouble.map(|trouble| trouble.name))
    }

    #[test]
    fn what_became_durable_has_succeeded_even_when_it_was_cancelled_too_late() {
        assert_eq!(seen(Some(Why::Cancelled), Ending::Told(None)), (JobResult::Succeeded, None));
    }

    #[test]
    fn an_end_from_outside_has_the_reason_from_outside() {
        for ending in [told(ErrorKind::Cancelled), Ending::Killed] {
            assert_eq!(seen(Some(Why::Unmounted), ending), (JobResult::Failed, Some(ErrorName::DeviceGone)));
        }
        let cancelled = (JobResult::Cancelled, Some(ErrorName::Cancelled));
        assert_eq!(seen(Some(Why::Cancelled), Ending::Killed), cancelled);
        assert_eq!(seen(Some(Why::Stopping), told(ErrorKind::Cancelled)), cancelled);
    }

    #[test]
    fn no_word_of_a_worker_reaches_everybody() {
        let (_, trouble) = verdict(None, told(ErrorKind::Exists));
        let trouble = trouble.expect("a reason");
        assert!(trouble.message == "long" && !trouble.public.contains("long"), "{trouble:?}");
    }

    #[test]
    fn an_end_by_itself_has_its_own_reason() {
        assert_eq!(seen(None, Ending::Killed), (JobResult::Failed, Some(ErrorName::Failed)));
        assert_eq!(seen(Some(Why::Cancelled), told(ErrorKind::NoSpace)), (JobResult::Failed, Some(ErrorName::NoSpace)));
        assert_eq!(seen(Some(Why::Cancelled), Ending::Stuck), (JobResult::Failed, Some(ErrorName::Failed)));
    }
}
