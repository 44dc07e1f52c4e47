//! The events of a job's start and end: in the journal, and for the hooks.

use crate::types::{ErrorCode, JobState};
use uuid::Uuid;

use crate::backups::{BackupCause, BackupEvent, from_future};
use crate::catalogue;
use crate::hooks::{Event, Hooks, Kind};
use crate::jobs::job::{Job, JobError};
use crate::jobs::outcome::EndRules;
use crate::worker::Report;

/// A job starts.
pub(super) fn begins(id: Uuid, doing: &str) {
    tracing::info!(MESSAGE_ID = catalogue::JOB_STARTED, butterdock_job = %id, "{doing} begins");
}

/// A worker's report that the journal has as an event of its own.
pub(super) fn hears(id: Uuid, report: &Report) {
    if let Report::Backup(BackupEvent::FromFuture { drive, count }) = report {
        let (event, text) = (catalogue::SNAPSHOTS_FROM_FUTURE, from_future(*drive, *count));
        tracing::warn!(MESSAGE_ID = event, butterdock_job = %id, BUTTERDOCK_JOB = %id, "{text}");
    }
}

/// A job has ended.
pub(super) fn ends(job: &Job, doing: &str, rules: &EndRules) {
    let id = job.id;
    let event = event(rules, &job.state, job.failure.as_ref());
    match &job.failure {
        None => {
            let bytes = job.bytes_durable;
            tracing::info!(MESSAGE_ID = event, butterdock_job = %id, "{doing} has succeeded: {bytes} bytes are durable");
        }
        Some(failure) if job.state == JobState::Cancelled => {
            tracing::info!(MESSAGE_ID = event, butterdock_job = %id, "{doing} has ended: {}", failure.message);
        }
        Some(failure) => {
            tracing::error!(MESSAGE_ID = event, butterdock_job = %id, "{doing} failed: {}", failure.message);
        }
    }
}

/// The message id of a job's end.
fn event(rules: &EndRules, state: &JobState, failure: Option<&JobError>) -> &'static str {
    match failure {
        None => rules.succeeded,
        Some(_) if *state == JobState::Cancelled => catalogue::JOB_CANCELLED,
        Some(failure) if failure.name == ErrorCode::NoSpace => catalogue::NO_SPACE,
        Some(JobError { cause: Some(BackupCause::SourceRefused(_)), .. }) => catalogue::SOURCE_REFUSED,
        Some(_) => rules.failed,
    }
}

/// A backup has started.
pub(super) fn hook_begins(hooks: &Hooks, job: &Job) {
    tell(hooks, Kind::BackupStarted, job);
}

/// A backup has ended.
pub(super) fn hook_ends(hooks: &Hooks, job: &Job) {
    tell(hooks, hook_of_end(job), job);
}

fn tell(hooks: &Hooks, kind: Kind, job: &Job) {
    let Some(drive) = &job.about.drive else { return };
    let event = Event::of(kind, drive.id.as_str(), &drive.label);
    let backup = job.about.backup.clone().unwrap_or_default();
    let failure = job.failure.as_ref();
    let message = failure.map(|failure| failure.public.clone()).unwrap_or_default();
    hooks.tell(Event { job: Some(job.id), backup, error: failure.map(|failure| failure.name), message, ..event });
}

fn hook_of_end(job: &Job) -> Kind {
    match &job.failure {
        None => Kind::BackupDone,
        Some(_) if job.state == JobState::Cancelled => Kind::BackupCancelled,
        Some(failure) if failure.name == ErrorCode::NoSpace => Kind::Full,
        Some(_) => Kind::BackupFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backups::SourceProblem;
    use crate::jobs::kinds::BackupJob;

    #[test]
    fn each_end_has_its_message_id() {
        let of = |rules: &EndRules, state: &JobState, name, text: &str| {
            event(rules, state, Some(&JobError::plain(name, text.to_owned())))
        };
        let (backup, receive) = (&BackupJob::END, &EndRules::TRANSFER);
        assert_eq!(event(backup, &JobState::Succeeded, None), catalogue::BACKUP_DONE);
        assert_eq!(event(receive, &JobState::Succeeded, None), catalogue::JOB_SUCCEEDED);
        assert_eq!(of(backup, &JobState::Cancelled, ErrorCode::Cancelled, "x"), catalogue::JOB_CANCELLED);
        assert_eq!(of(backup, &JobState::Failed, ErrorCode::NoSpace, "x"), catalogue::NO_SPACE);
        assert_eq!(of(receive, &JobState::Failed, ErrorCode::NoSpace, "x"), catalogue::NO_SPACE);
        let cause = Some(BackupCause::SourceRefused(SourceProblem::Empty));
        let empty = JobError { cause, ..JobError::plain(ErrorCode::Failed, "x") };
        assert_eq!(event(backup, &JobState::Failed, Some(&empty)), catalogue::SOURCE_REFUSED);
        assert_eq!(of(backup, &JobState::Failed, ErrorCode::Failed, "x"), catalogue::BACKUP_FAILED);
        assert_eq!(of(receive, &JobState::Failed, ErrorCode::Failed, "x"), catalogue::JOB_FAILED);
    }

    #[test]
    fn a_file_name_does_not_make_a_failure_a_refused_source() {
        let failure = JobError::plain(ErrorCode::Failed, "cannot write, on \"the source is here.txt\"");
        assert_eq!(event(&BackupJob::END, &JobState::Failed, Some(&failure)), catalogue::BACKUP_FAILED);
    }
}
