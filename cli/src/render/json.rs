//! The objects of `--json`. The man page describes every key; a test compares the two.

use butterdock_dbus::{HistoryEntry, SubvolumeRow, VolumeProperties};
use serde::Serialize;

use super::json_drive::hex;
use super::screen::Wrong;
use crate::ask::Job;

/// A volume.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeObject<'a> {
    name: &'a str,
    mounted: bool,
    size: Option<u64>,
    free: Option<u64>,
}

impl<'a> VolumeObject<'a> {
    pub(crate) fn new(volume: &'a VolumeProperties) -> Self {
        let known = |bytes| volume.mounted.then_some(bytes);
        Self { name: &volume.name, mounted: volume.mounted, size: known(volume.size), free: known(volume.free) }
    }
}

/// A job; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct JobObject {
    id: String,
    kind: String,
    volume: Option<String>,
    drive: Option<String>,
    backup: Option<String>,
    started_by_uid: u32,
    start_time: u64,
    state: String,
    progress: Option<f64>,
    bytes_received: u64,
    bytes_durable: u64,
    bytes_total: Option<u64>,
    total_source: String,
    rate: u64,
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
        let known = |count: u64| (count != 0).then_some(count);
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            id: job.id.to_string(),
            kind: now.kind.to_string(),
            volume: job.volume(),
            drive: job.drive(),
            backup: said(&now.backup),
            started_by_uid: now.started_by_uid,
            start_time: now.start_time,
            state: now.state.to_string(),
            progress: now.progress_valid.then_some(now.progress),
            bytes_received: now.bytes_received,
            bytes_durable: now.bytes_durable,
            bytes_total: known(now.bytes_total),
            total_source: now.total_source.to_string(),
            rate: now.rate,
            expected_end_time: known(now.expected_end_time),
            encoded_writes: now.encoded_writes,
            fallback_writes: now.fallback_writes,
            incremental: now.incremental,
            note: said(&now.note),
            cancelable: now.cancelable,
            error_name: said(&now.error_name),
            error_message: said(&now.error_message),
        }
    }
}

/// A line while watching.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Line {
    /// The job is watched from now on.
    Started { job: JobObject },
    /// Properties of the job changed.
    Progress { job: JobObject },
    /// The job ended.
    Ended(Box<Ended>),
    /// The job continues; this program no longer watches it.
    Detached { job: JobObject },
}

/// How a job ended.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) job: JobObject,
    pub(crate) result: String,
    pub(crate) error: Option<Wrong>,
}

/// A job of the history.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryObject<'a> {
    id: &'a str,
    kind: &'a str,
    volume: Option<&'a str>,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    backup: Option<&'a str>,
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
            volume: Some(entry.volume.as_str()).filter(|name| !name.is_empty()),
            drive: entry.drive.as_deref(),
            drive_label: entry.drive_label.as_deref(),
            backup: entry.backup.as_deref(),
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

/// A subvolume.
#[derive(Debug, Serialize)]
pub(crate) struct SubvolumeObject<'a> {
    name: String,
    name_hex: String,
    id: u64,
    uuid: &'a str,
    received_uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    read_only: bool,
    created: Option<u64>,
}

impl<'a> SubvolumeObject<'a> {
    pub(crate) fn new(row: &'a SubvolumeRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            id: row.id,
            uuid: &row.uuid,
            received_uuid: row.received_uuid.as_deref(),
            parent_uuid: row.parent_uuid.as_deref(),
            read_only: row.read_only,
            created: row.created,
        }
    }
}
