//! The objects of `--json`. The man page describes every key; a test compares the two.

mod backup;
mod destination;
mod drive;
mod job;
mod notification;
mod problem;
mod snapshot;
mod volume;

pub(crate) use backup::BackupObject;
pub(crate) use destination::DestinationObject;
pub(crate) use drive::{DriveObject, DriveResult};
pub(crate) use job::{EndedJob, HistoryObject, JobObject, WatchEvent};
pub(crate) use notification::NotificationObject;
pub(crate) use snapshot::{FileObject, FileVersionObject, SnapshotObject};
pub(crate) use volume::{StreamObject, SubvolumeObject, VolumeObject};

/// The bytes of a name, which may not be UTF-8.
fn hex(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn non_zero(count: u64) -> Option<u64> {
    (count != 0).then_some(count)
}
