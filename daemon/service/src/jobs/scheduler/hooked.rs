//! The hook events of a backup's start and end.

use crate::types::{ErrorCode, JobState};

use crate::hooks::{Event, Hooks, Kind};
use crate::jobs::job::Job;

/// A backup has started.
pub(super) fn begins(hooks: &Hooks, job: &Job) {
    tell(hooks, Kind::BackupStarted, job);
}

/// It is over.
pub(super) fn ends(hooks: &Hooks, job: &Job) {
    tell(hooks, end(job), job);
}

fn tell(hooks: &Hooks, kind: Kind, job: &Job) {
    let Some(drive) = &job.about.drive else { return };
    let event = Event::of(kind, drive.id.as_str(), &drive.label);
    let backup = job.about.backup.clone().unwrap_or_default();
    let failure = job.failure.as_ref();
    let message = failure.map(|failure| failure.public.clone()).unwrap_or_default();
    hooks.tell(Event { job: Some(job.id), backup, error: failure.map(|failure| failure.name), message, ..event });
}

fn end(job: &Job) -> Kind {
    match &job.failure {
        None => Kind::BackupDone,
        Some(_) if job.state == JobState::Cancelled => Kind::BackupCancelled,
        Some(failure) if failure.name == ErrorCode::NoSpace => Kind::Full,
        Some(_) => Kind::BackupFailed,
    }
}
