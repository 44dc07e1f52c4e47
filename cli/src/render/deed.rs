//! Sentences that describe a job.

use butterdock_dbus::JobKind;

use super::{bytes, duration, escaped, now};
use crate::ask::Job;

/// The job's volume, or its backup and drive, or its drive.
pub(crate) fn place(job: &Job) -> String {
    match (job.volume(), drive_of(job)) {
        (Some(volume), _) => escaped(&volume),
        (None, Some(drive)) if job.now.backup.is_empty() => drive,
        (None, Some(drive)) => format!("{} on {drive}", escaped(&job.now.backup)),
        (None, None) => escaped(&job.now.backup),
    }
}

/// `receive into tank`.
pub(super) fn begun(job: &Job) -> String {
    let kind = escaped(job.now.kind.as_str());
    match (job.volume(), drive_of(job)) {
        (Some(volume), None) => format!("{kind} into {}", escaped(&volume)),
        (Some(volume), Some(drive)) => format!("{kind} from {drive} into {}", escaped(&volume)),
        (None, _) => format!("{kind} {}", place(job)),
    }
}

/// `received 5 MiB into tank in 0:05; it is durable`.
pub(super) fn done(job: &Job) -> String {
    let (read, took) = (bytes(job.now.bytes_received), duration(now().saturating_sub(job.now.start_time)));
    let place = place(job);
    match job.now.kind {
        JobKind::Receive => format!("received {read} into {place} in {took}; it is durable"),
        JobKind::Backup => {
            let what = if job.now.incremental { " of changes" } else { "" };
            format!("backed up {place}: {read}{what} in {took}; it is durable")
        }
        JobKind::Restore => format!("restored {read} into {place} in {took}; it is durable"),
        JobKind::Import => format!("imported {read} into {place} in {took}; it is durable"),
        JobKind::Verify if job.now.note.is_empty() => format!("checked {read} on {place} in {took}; no errors"),
        JobKind::Verify => format!("checked {read} on {place} in {took}; {}", escaped(&job.now.note)),
        JobKind::Remove => format!("{place} is safe to unplug"),
        JobKind::Other(_) => format!("{} {place} is done after {took}", escaped(job.now.kind.as_str())),
    }
}

/// The drive's label, model or device if known, otherwise its id.
fn drive_of(job: &Job) -> Option<String> {
    let called = |id: String| job.drive_title.as_deref().map_or_else(|| format!("the drive {}", escaped(&id)), escaped);
    job.drive().map(called)
}
