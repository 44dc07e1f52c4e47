//! The object of a problem.

use butterdock_dbus::{Problem, ProblemParams};
use serde::Serialize;

/// What is wrong with a backup, a destination or a drive.
#[derive(Debug, Serialize)]
pub(super) struct ProblemObject<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formats: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drives: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<u64>,
    message: &'a str,
}

impl<'a> ProblemObject<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let ProblemParams {
            destination,
            label,
            device,
            devices,
            missing,
            count,
            formats,
            drives,
            channel,
            cause,
            backup,
            backups,
            error,
            reason,
            time,
            blocks,
            files,
            snapshots,
        } = &problem.params;
        Self {
            code: &problem.code,
            destination: destination.as_deref(),
            label: label.as_deref(),
            device: device.as_deref(),
            devices: devices.as_deref(),
            missing: *missing,
            count: *count,
            formats: formats.as_deref(),
            drives: drives.as_deref(),
            channel: channel.as_deref(),
            cause: cause.as_deref(),
            backup: backup.as_deref(),
            backups: backups.as_deref(),
            error: error.as_deref(),
            reason: reason.as_deref(),
            time: *time,
            blocks: *blocks,
            files: *files,
            snapshots: *snapshots,
            message: &problem.english,
        }
    }
}
