//! How jobs end, and what an end means: the result, the error and the messages.

use super::job::About;
use super::job::JobError;
use super::leftovers::Leftovers;
use super::limit::Excess;
use crate::catalogue;
use crate::types::{ErrorCode, JobResult};
use crate::worker::{UNCONFIRMED, WorkerError, public_of_transfer};
use butterdock_receive::ErrorKind;

/// Why a job was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    /// Cancelled by a user.
    Cancelled,
    /// The service is being stopped.
    Stopping,
    /// Its volume or drive is no longer mounted.
    Unmounted,
    /// Its drive was unplugged.
    Unplugged,
    /// Its drive was made safe to unplug before it began.
    RemovedBefore,
    /// Its drive is being made safe to unplug, which does not wait for it: a job with files, or a verify that began by itself.
    Removed,
    /// It exceeded a limit, because of its client.
    Exceeded(Excess),
}

/// How a runner ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The worker reported its end.
    Reported(Option<WorkerError>),
    /// There was no worker, or it ended without a report.
    JobError(JobError),
    /// It was killed because it did not end in time, and has ended.
    Killed,
    /// It was killed and does not end: it waits inside the kernel, perhaps for data to be written.
    Stuck { writing: bool },
}

impl Ending {
    /// Whether a failed or unplugged drive can be the reason.
    pub(super) fn is_of_drive(&self) -> bool {
        match self {
            Self::Reported(Some(error)) => matches!(error.kind, ErrorKind::DeviceGone | ErrorKind::ReadOnly),
            Self::JobError(failure) => matches!(failure.name, ErrorCode::DeviceGone | ErrorCode::ReadOnly),
            Self::Reported(None) | Self::Killed | Self::Stuck { .. } => false,
        }
    }
}

/// The meaning of the end of a job of one kind.
#[derive(Debug)]
pub(crate) struct EndRules {
    /// What a job that was ended from outside may have left: a part of a sentence.
    pub(super) left: fn(Leftovers, &About) -> String,
    /// The public sentence for an error of its worker, without the worker's text.
    pub(super) public: fn(&WorkerError) -> String,
    /// Whether the worker may give a cause, on which the service acts.
    pub(super) has_cause: bool,
    /// The message ids of success and failure in the journal.
    pub(super) succeeded: &'static str,
    pub(super) failed: &'static str,
    /// Whether the hooks get its start and end as events.
    pub(super) has_hooks: bool,
}

impl EndRules {
    /// Those of a job that receives into a volume.
    pub(super) const TRANSFER: Self = Self {
        left: Leftovers::words,
        public: |error| public_of_transfer(error.kind, error.command, error.byte, error.space),
        has_cause: false,
        succeeded: catalogue::JOB_SUCCEEDED,
        failed: catalogue::JOB_FAILED,
        has_hooks: false,
    };

    /// The outcome of a job. Its private message names the backup and the drive.
    pub(super) fn outcome(
        &self,
        why: Option<EndReason>,
        ending: Ending,
        left: Leftovers,
        about: &About,
    ) -> (JobResult, Option<JobError>) {
        let (result, failure) = self.plain_outcome(why, ending, left, about);
        (result, failure.map(|failure| JobError { message: about.introduce(&failure.message), ..failure }))
    }

    fn plain_outcome(
        &self,
        why: Option<EndReason>,
        ending: Ending,
        left: Leftovers,
        about: &About,
    ) -> (JobResult, Option<JobError>) {
        match (ending, why) {
            (Ending::Reported(None), _) => (JobResult::Succeeded, None),
            (Ending::Stuck { .. }, Some(EndReason::Unplugged)) => self.outside(EndReason::Unplugged, left, about),
            (Ending::Stuck { writing }, _) => (JobResult::Failed, Some(stuck(writing, about))),
            // The reason for ending a worker takes precedence over its last report.
            (Ending::Reported(Some(error)), Some(why)) if error.kind == ErrorKind::Cancelled => {
                self.outside(why, left, about)
            }
            (Ending::Killed | Ending::JobError(_), Some(why)) => self.outside(why, left, about),
            // The worker may have reported a resulting I/O error first.
            (ending @ Ending::Reported(_), Some(EndReason::Unplugged)) if ending.is_of_drive() => {
                self.outside(EndReason::Unplugged, left, about)
            }
            (Ending::Reported(Some(error)), _) => {
                let result = if error.kind == ErrorKind::Cancelled { JobResult::Cancelled } else { JobResult::Failed };
                (result, Some(self.failed_in_worker(error)))
            }
            (Ending::JobError(failure), None) => (JobResult::Failed, Some(failure)),
            (Ending::Killed, None) => (JobResult::Failed, Some(self.killed(left, about))),
        }
    }

    /// The outcome of a job that was ended from outside.
    pub(super) fn outside(&self, why: EndReason, left: Leftovers, about: &About) -> (JobResult, Option<JobError>) {
        let words = (self.left)(left, about);
        let (result, code, text) = match why {
            EndReason::Cancelled => {
                (JobResult::Cancelled, ErrorCode::Cancelled, format!("the job was cancelled; {words}"))
            }
            EndReason::Stopping => {
                let text = format!("the service was stopped; {words}; start the job again when it runs");
                (JobResult::Cancelled, ErrorCode::Cancelled, text)
            }
            EndReason::Unplugged => {
                let text = format!(
                    "the drive was unplugged; {words}; plug it in again, and start the job if it does not start by itself"
                );
                (JobResult::Failed, ErrorCode::DeviceGone, text)
            }
            EndReason::Removed => {
                let text = format!(
                    "the drive is being made safe to unplug; {words}; plug it in again, and start the job if it does not \
                     start by itself"
                );
                (JobResult::Cancelled, ErrorCode::Cancelled, text)
            }
            EndReason::RemovedBefore => {
                let text = "the drive was made safe to unplug before the job began; plug it in again, and start the job if it \
                            does not start by itself";
                (JobResult::Cancelled, ErrorCode::Cancelled, text.to_owned())
            }
            EndReason::Exceeded(excess) => {
                let (what, next) = excess.words();
                (JobResult::Failed, ErrorCode::TooSlow, format!("{what}; {words}; {next}"))
            }
            EndReason::Unmounted => {
                let text = format!("the {} was unmounted; {words}; mount it and start the job again", about.target());
                (JobResult::Failed, ErrorCode::DeviceGone, text)
            }
        };
        (result, Some(JobError::plain(code, text)))
    }

    fn killed(&self, left: Leftovers, about: &About) -> JobError {
        let words = (self.left)(left, about);
        let text = format!("the worker was killed or crashed; {words}; see the journal, then start the job again");
        JobError::plain(ErrorCode::Failed, text)
    }

    fn failed_in_worker(&self, error: WorkerError) -> JobError {
        let public = if error.unconfirmed { UNCONFIRMED.to_owned() } else { (self.public)(&error) };
        let WorkerError { kind, message, command, byte, hidden: _, unconfirmed: _, cause, files: _, file: _, space: _ } =
            error;
        let cause = cause.filter(|_| self.has_cause);
        JobError { name: error_name(kind), public, message, command, byte, cause }
    }
}

fn stuck(writing: bool, about: &About) -> JobError {
    let target = about.target();
    let text = if writing {
        format!(
            "the worker cannot end while the drive is still writing data; the {target} stays busy until then: wait, \
             and if it takes very long check the drive and its cable (dmesg)"
        )
    } else {
        format!(
            "the worker hangs in the kernel and cannot be killed; the {target} stays busy until it ends: check the \
             drive and its cable (dmesg)"
        )
    };
    JobError::plain(ErrorCode::Failed, text)
}

pub(super) fn error_name(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::InvalidStream => ErrorCode::InvalidStream,
        ErrorKind::TruncatedStream => ErrorCode::TruncatedStream,
        ErrorKind::UnsupportedStream => ErrorCode::UnsupportedStream,
        ErrorKind::ParentMissing => ErrorCode::ParentMissing,
        ErrorKind::NoSpace => ErrorCode::NoSpace,
        ErrorKind::ReadOnly => ErrorCode::ReadOnly,
        ErrorKind::Exists => ErrorCode::Exists,
        ErrorKind::Busy => ErrorCode::Busy,
        ErrorKind::DeviceGone => ErrorCode::DeviceGone,
        ErrorKind::Cancelled => ErrorCode::Cancelled,
        ErrorKind::Failed => ErrorCode::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::stream_limit::StreamExcess;
    use crate::types::JobKind;

    fn tank() -> About {
        About::receive(VolumeName::try_from("tank".to_owned()).expect("a name"))
    }

    #[test]
    fn an_unconfirmed_snapshot_has_its_own_message() {
        let Ending::Reported(Some(error)) = reported(ErrorKind::ReadOnly) else { panic!("reported") };
        let failure = EndRules::TRANSFER.failed_in_worker(WorkerError { unconfirmed: true, ..error });
        assert!(failure.name == ErrorCode::ReadOnly && failure.public.contains("did not confirm"), "{failure:?}");
    }

    fn reported(kind: ErrorKind) -> Ending {
        Ending::Reported(Some(WorkerError {
            kind,
            message: "long".to_owned(),
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file: None,
            space: None,
        }))
    }

    fn seen(why: Option<EndReason>, ending: Ending) -> (JobResult, Option<ErrorCode>) {
        let (result, failure) = EndRules::TRANSFER.outcome(why, ending, Leftovers::default(), &tank());
        (result, failure.map(|failure| failure.name))
    }

    #[test]
    fn a_late_cancel_of_a_durable_job_is_a_success() {
        assert_eq!(seen(Some(EndReason::Cancelled), Ending::Reported(None)), (JobResult::Succeeded, None));
    }

    #[test]
    fn an_end_from_outside_has_the_reason_from_outside() {
        for ending in [reported(ErrorKind::Cancelled), Ending::Killed] {
            assert_eq!(seen(Some(EndReason::Unmounted), ending), (JobResult::Failed, Some(ErrorCode::DeviceGone)));
        }
        let gone = (JobResult::Failed, Some(ErrorCode::DeviceGone));
        for ending in [reported(ErrorKind::Cancelled), Ending::Killed, Ending::Stuck { writing: true }] {
            assert_eq!(seen(Some(EndReason::Unplugged), ending), gone);
        }
        let cancelled = (JobResult::Cancelled, Some(ErrorCode::Cancelled));
        assert_eq!(seen(Some(EndReason::Cancelled), Ending::Killed), cancelled);
        assert_eq!(seen(Some(EndReason::Stopping), reported(ErrorKind::Cancelled)), cancelled);
    }

    #[test]
    fn a_removal_says_whether_the_job_had_begun() {
        let sentence = |why| {
            let (_, failure) = EndRules::TRANSFER.outcome(Some(why), Ending::Killed, Leftovers::default(), &tank());
            failure.map(|failure| failure.public).unwrap_or_default()
        };
        assert!(sentence(EndReason::RemovedBefore).contains("before the job began"));
        let running = sentence(EndReason::Removed);
        assert!(running.contains("is being made safe") && !running.contains("before the job began"), "{running}");
    }

    #[test]
    fn a_stream_over_its_limit_fails_with_too_slow() {
        let limit = std::time::Duration::from_secs(60);
        let why = Some(EndReason::Exceeded(Excess::Stream(StreamExcess::Long { limit })));
        let slow = (JobResult::Failed, Some(ErrorCode::TooSlow));
        for ending in [reported(ErrorKind::Cancelled), Ending::Killed] {
            assert_eq!(seen(why, ending), slow);
        }
        // Complete subvolumes stay, and another error is not hidden.
        assert_eq!(seen(why, Ending::Reported(None)), (JobResult::Succeeded, None));
        assert_eq!(seen(why, reported(ErrorKind::NoSpace)), (JobResult::Failed, Some(ErrorCode::NoSpace)));
    }

    #[test]
    fn a_failure_on_an_unplugged_drive_is_device_gone() {
        for kind in [ErrorKind::DeviceGone, ErrorKind::ReadOnly] {
            let (_, failure) =
                EndRules::TRANSFER.outcome(Some(EndReason::Unplugged), reported(kind), Leftovers::default(), &tank());
            let failure = failure.expect("a reason");
            assert_eq!(failure.name, ErrorCode::DeviceGone);
            assert!(failure.public.starts_with("the drive was unplugged"), "{failure:?}");
        }
        let full = seen(Some(EndReason::Unplugged), reported(ErrorKind::NoSpace));
        assert_eq!(full, (JobResult::Failed, Some(ErrorCode::NoSpace)));
    }

    #[test]
    fn a_kill_at_the_last_step_reports_leftovers() {
        for why in [
            None,
            Some(EndReason::Cancelled),
            Some(EndReason::Stopping),
            Some(EndReason::Unmounted),
            Some(EndReason::Unplugged),
        ] {
            for (named, hidden) in [(true, false), (false, true)] {
                let (_, failure) =
                    EndRules::TRANSFER.outcome(why, Ending::Killed, Leftovers { named, hidden }, &tank());
                let text = failure.expect("a trouble").public;
                assert!(!text.contains("no incomplete"), "{text}");
                assert!(text.contains(if named { "complete if it was" } else { "hidden" }), "{text}");
            }
        }
    }

    #[test]
    fn a_drive_that_still_writes_is_not_reported_as_broken() {
        let (_, failure) =
            EndRules::TRANSFER.outcome(None, Ending::Stuck { writing: true }, Leftovers::default(), &tank());
        assert!(failure.is_some_and(|failure| failure.public.contains("the drive is still writing")));
    }

    #[test]
    fn text_of_a_worker_is_not_public() {
        let (_, failure) = EndRules::TRANSFER.outcome(None, reported(ErrorKind::Exists), Leftovers::default(), &tank());
        let failure = failure.expect("a reason");
        assert!(failure.message == "long" && !failure.public.contains("long"), "{failure:?}");
    }

    #[test]
    fn authorized_callers_see_backup_and_drive_names() {
        let id = crate::drives::DriveId::from(uuid::Uuid::from_u128(1));
        let drive = super::super::job::AboutDrive { id, label: "Blue\n".to_owned(), kind: Default::default() };
        let about = About { backup: Some("home".to_owned()), ..About::on_drive(JobKind::Backup, drive) };
        for ending in [reported(ErrorKind::Failed), Ending::Killed] {
            let (_, failure) = EndRules::TRANSFER.outcome(None, ending, Leftovers::default(), &about);
            let failure = failure.expect("a reason");
            assert!(failure.message.starts_with(r#"the backup "home" to the drive "Blue\n": "#), "{failure:?}");
            assert!(!failure.public.contains("Blue"), "{failure:?}");
        }
    }

    #[test]
    fn an_end_by_itself_has_its_own_reason() {
        assert_eq!(seen(None, Ending::Killed), (JobResult::Failed, Some(ErrorCode::Failed)));
        assert_eq!(
            seen(Some(EndReason::Cancelled), reported(ErrorKind::NoSpace)),
            (JobResult::Failed, Some(ErrorCode::NoSpace))
        );
        assert_eq!(
            seen(Some(EndReason::Cancelled), Ending::Stuck { writing: false }),
            (JobResult::Failed, Some(ErrorCode::Failed))
        );
    }
}
