//! The objects of `--json` for drives and backups.

use butterdock_dbus::{BackupRow, SnapshotRow, StreamRow};
use serde::Serialize;

use crate::ask::Drive;

/// The result of a verb on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct Done<'a> {
    pub(crate) id: &'a str,
    pub(crate) result: &'static str,
}

/// A drive; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct DriveObject<'a> {
    id: &'a str,
    label: Option<&'a str>,
    model: Option<&'a str>,
    serial: Option<&'a str>,
    bus: Option<&'a str>,
    device: Option<&'a str>,
    size: u64,
    free: Option<u64>,
    filesystem_type: Option<&'a str>,
    filesystem_uuid: Option<&'a str>,
    encrypted: bool,
    state: &'a str,
    problem: Option<&'a str>,
    enrolled: bool,
    last_backup: Option<u64>,
    backups: &'a [String],
}

impl<'a> DriveObject<'a> {
    pub(crate) fn new(drive: &'a Drive) -> Self {
        let now = &drive.now;
        Self {
            id: &drive.id,
            label: said(&now.label),
            model: said(&now.model),
            serial: said(&now.serial),
            bus: said(&now.bus),
            device: said(&now.device),
            size: now.size,
            free: known(now.free),
            filesystem_type: said(&now.filesystem_type),
            filesystem_uuid: said(&now.filesystem_uuid),
            encrypted: now.encrypted,
            state: now.state.as_str(),
            problem: said(&now.problem),
            enrolled: now.enrolled,
            last_backup: known(now.last_backup),
            backups: &now.backups,
        }
    }
}

/// A backup and one of its drives.
#[derive(Debug, Serialize)]
pub(crate) struct BackupObject<'a> {
    name: &'a str,
    due: bool,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    attached: Option<bool>,
    last_good: Option<u64>,
    problem: Option<&'a str>,
    estimate: Option<u64>,
    incremental: Option<bool>,
    note: Option<&'a str>,
    warnings: Vec<WarningObject<'a>>,
}

/// A warning about a backup.
#[derive(Debug, Serialize)]
struct WarningObject<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> BackupObject<'a> {
    pub(crate) fn new(row: &'a BackupRow) -> Self {
        Self {
            name: &row.name,
            due: row.due,
            drive: row.drive.as_deref(),
            drive_label: row.drive_label.as_deref(),
            attached: row.attached,
            last_good: row.last_good.and_then(known),
            problem: row.problem.as_deref(),
            estimate: row.estimate,
            incremental: row.incremental,
            note: row.note.as_deref(),
            warnings: row
                .warnings
                .iter()
                .flatten()
                .map(|warning| WarningObject { code: &warning.code, message: &warning.english })
                .collect(),
        }
    }
}

/// A snapshot on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotObject<'a> {
    name: String,
    name_hex: String,
    uuid: &'a str,
    backup: Option<&'a str>,
    origin: Option<&'a str>,
    machine: Option<&'a str>,
    created: Option<u64>,
    received_uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    pinned: Option<bool>,
}

impl<'a> SnapshotObject<'a> {
    pub(crate) fn new(row: &'a SnapshotRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            uuid: &row.uuid,
            backup: row.backup.as_deref(),
            origin: row.origin.as_deref(),
            machine: row.machine.as_deref(),
            created: row.created,
            received_uuid: row.received_uuid.as_deref(),
            parent_uuid: row.parent_uuid.as_deref(),
            pinned: row.pinned,
        }
    }
}

/// A stream file on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct StreamObject<'a> {
    name: String,
    name_hex: String,
    size: u64,
    subvolume: String,
    uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    problem: Option<&'a str>,
}

impl<'a> StreamObject<'a> {
    pub(crate) fn new(row: &'a StreamRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            size: row.size,
            subvolume: String::from_utf8_lossy(&row.subvolume).into_owned(),
            uuid: said(&row.uuid),
            parent_uuid: row.parent_uuid.as_deref(),
            problem: row.problem.as_deref(),
        }
    }
}

/// The bytes of a name, which may not be UTF-8.
pub(super) fn hex(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn known(count: u64) -> Option<u64> {
    (count != 0).then_some(count)
}
