//! The objects of jobs: running, watched and finished.

use butterdock_dbus::{HistoryEntry, path};
use serde::Serialize;

use super::{non_empty, non_zero};
use crate::render::progress::JobError;
use crate::service::Job;

/// A job; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct JobObject {
    id: String,
    kind: String,
    volume: Option<String>,
    drive: Option<String>,
    drive_label: Option<String>,
    destination: Option<String>,
    backup: Option<String>,
    trigger: String,
    started_by_uid: u32,
    start_time: u64,
    state: String,
    progress: Option<f64>,
    bytes_received: u64,
    bytes_durable: u64,
    bytes_total: Option<u64>,
    total_source: String,
    rate: u64,
    max_rate: Option<u64>,
    expected_end_time: Option<u64>,
    encoded_writes: u64,
    fallback_writes: u64,
    incremental: bool,
    note: Option<String>,
    cancelable: bool,
    error_name: Option<String>,
    error_message: Option<String>,
}

impl JobObject {
    pub(crate) fn new(job: &Job) -> Self {
        let now = &job.now;
        let text = |text: &str| non_empty(text).map(str::to_owned);
        Self {
            id: job.id.to_string(),
            kind: now.kind.to_string(),
            volume: job.volume(),
            drive: job.drive(),
            drive_label: text(&now.drive_label),
            destination: path::drive_id(&now.destination),
            backup: text(&now.backup_name),
            trigger: now.trigger.to_string(),
            started_by_uid: now.started_by_uid,
            start_time: now.start_time,
            state: now.state.to_string(),
            progress: now.progress_valid.then_some(now.progress),
            bytes_received: now.bytes_received,
            bytes_durable: now.bytes_durable,
            bytes_total: non_zero(now.bytes_total),
            total_source: now.total_source.to_string(),
            rate: now.rate,
            max_rate: non_zero(now.max_rate),
            expected_end_time: non_zero(now.expected_end_time),
            encoded_writes: now.encoded_writes,
            fallback_writes: now.fallback_writes,
            incremental: now.incremental,
            note: text(&now.note),
            cancelable: now.cancelable,
            error_name: text(&now.error_name),
            error_message: text(&now.error_message),
        }
    }
}

/// A line of `--json` while watching.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum WatchEvent {
    /// The job is watched from now on.
    Started { job: JobObject },
    /// Properties of the job changed.
    Progress { job: JobObject },
    /// The job ended.
    Ended(Box<EndedJob>),
    /// The job continues; this program no longer watches it.
    Detached { job: JobObject },
}

/// The end of a job.
#[derive(Debug, Serialize)]
pub(crate) struct EndedJob {
    pub(crate) job: JobObject,
    pub(crate) result: String,
    pub(crate) error: Option<JobError>,
}

/// A job of the history.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryObject<'a> {
    id: &'a str,
    kind: &'a str,
    volume: Option<&'a str>,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    destination: Option<&'a str>,
    backup: Option<&'a str>,
    trigger: Option<&'a str>,
    started_by_uid: u32,
    start_time: u64,
    end_time: u64,
    result: &'a str,
    bytes_received: u64,
    bytes_durable: u64,
    encoded_writes: u64,
    fallback_writes: u64,
    note: Option<&'a str>,
    error_name: Option<&'a str>,
    error_message: Option<&'a str>,
}

impl<'a> HistoryObject<'a> {
    pub(crate) fn new(entry: &'a HistoryEntry) -> Self {
        Self {
            id: &entry.id,
            kind: &entry.kind,
            volume: non_empty(&entry.volume),
            drive: entry.drive.as_deref(),
            drive_label: entry.drive_label.as_deref(),
            destination: entry.destination.as_deref(),
            backup: entry.backup.as_deref(),
            trigger: entry.trigger.as_deref(),
            started_by_uid: entry.started_by_uid,
            start_time: entry.start_time,
            end_time: entry.end_time,
            result: &entry.result,
            bytes_received: entry.bytes_received,
            bytes_durable: entry.bytes_durable,
            encoded_writes: entry.encoded_writes,
            fallback_writes: entry.fallback_writes,
            note: entry.note.as_deref(),
            error_name: entry.error_name.as_deref(),
            error_message: entry.error_message.as_deref(),
        }
    }
}
