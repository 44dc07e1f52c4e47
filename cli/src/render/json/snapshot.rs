//! The objects of snapshots and of the files in them.

use butterdock_dbus::{FileRow, FileVersionRow, SnapshotRow};
use serde::Serialize;

use super::hex;

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
    left_over: Option<bool>,
    held: Option<bool>,
    held_reason: Option<&'a str>,
    held_since: Option<u64>,
    path: Option<String>,
    nested_path: Option<String>,
    run: Option<&'a str>,
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
            left_over: row.left_over,
            held: row.held,
            held_reason: row.held_reason.as_deref(),
            held_since: row.held_since,
            path: row.path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned()),
            nested_path: row.nested_path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned()),
            run: row.run.as_deref(),
        }
    }
}

/// A file in a snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct FileObject<'a> {
    name: String,
    name_hex: String,
    r#type: &'a str,
    size: u64,
    modified: i64,
    mode: u32,
    uid: u32,
    gid: u32,
    target: Option<String>,
    target_hex: Option<String>,
}

impl<'a> FileObject<'a> {
    pub(crate) fn new(row: &'a FileRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            r#type: &row.kind,
            size: row.size,
            modified: row.modified,
            mode: row.mode,
            uid: row.uid,
            gid: row.gid,
            target: row.target.as_deref().map(|target| String::from_utf8_lossy(target).into_owned()),
            target_hex: row.target.as_deref().map(hex),
        }
    }
}

/// A version of a file.
#[derive(Debug, Serialize)]
pub(crate) struct FileVersionObject<'a> {
    snapshot: &'a str,
    snapshot_name: String,
    backup: Option<&'a str>,
    machine: Option<&'a str>,
    created: Option<u64>,
    oldest: Option<u64>,
    snapshots: u64,
    r#type: &'a str,
    size: u64,
    modified: i64,
}

impl<'a> FileVersionObject<'a> {
    pub(crate) fn new(row: &'a FileVersionRow) -> Self {
        Self {
            snapshot: &row.snapshot,
            snapshot_name: String::from_utf8_lossy(&row.snapshot_name).into_owned(),
            backup: row.backup.as_deref(),
            machine: row.machine.as_deref(),
            created: row.created,
            oldest: row.oldest,
            snapshots: row.snapshots,
            r#type: &row.kind,
            size: row.size,
            modified: row.modified,
        }
    }
}
