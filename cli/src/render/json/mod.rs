//! The objects of `--json`. The man page describes every key; a test compares the two.

mod backup;
mod destination;
mod drive;
mod job;
mod problem;
mod snapshot;
mod volume;

use butterdock_dbus::NotificationChannel;
use serde::Serialize;

pub(crate) use backup::BackupObject;
pub(crate) use destination::DestinationObject;
pub(crate) use drive::{DriveObject, DriveResult};
pub(crate) use job::{EndedJob, HistoryObject, JobObject, WatchEvent};
pub(crate) use snapshot::{FileObject, FileVersionObject, SnapshotObject};
pub(crate) use volume::{StreamObject, SubvolumeObject, VolumeObject};

use problem::ProblemObject;

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

/// A channel for notifications.
#[derive(Debug, Serialize)]
pub(crate) struct NotificationObject<'a> {
    name: &'a str,
    kind: &'a str,
    queued: u64,
    dropped: u64,
    last_delivered: Option<u64>,
    problems: Vec<ProblemObject<'a>>,
}

impl<'a> NotificationObject<'a> {
    pub(crate) fn new(row: &'a NotificationChannel) -> Self {
        let NotificationChannel { name, kind, queued, dropped, last_delivered, problems } = row;
        let problems = problems.iter().flatten().map(ProblemObject::new).collect();
        Self { name, kind, queued: *queued, dropped: *dropped, last_delivered: *last_delivered, problems }
    }
}
