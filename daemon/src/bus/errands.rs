//! What a drive's methods have the desk do: each orders a job and shows it.

#![expect(clippy::unused_async, reason = "the desk that they order jobs of is made beside them")]

use std::sync::Arc;

use butterdock_dbus::{BackupOptions, Error, ErrorName, ImportOptions, RestoreOptions, SnapshotRow, StreamRow};
use zbus::OwnedObjectPath;

use super::hall::Hall;
use crate::drives::DriveId;
use crate::volumes::Volume;

/// Lets the drive go.
pub(super) async fn safely_remove(_hall: &Arc<Hall>, _drive: DriveId, _uid: u32) -> Result<OwnedObjectPath, Error> {
    Err(missing())
}

/// Runs its backups.
pub(super) async fn backup(
    _hall: &Arc<Hall>,
    _drive: DriveId,
    _wish: BackupOptions,
    _uid: u32,
) -> Result<OwnedObjectPath, Error> {
    Err(missing())
}

/// Reads everything on it.
pub(super) async fn verify(_hall: &Arc<Hall>, _drive: DriveId, _uid: u32) -> Result<OwnedObjectPath, Error> {
    Err(missing())
}

/// The snapshots on it.
pub(super) async fn list_snapshots(_hall: &Arc<Hall>, _drive: DriveId) -> Result<Vec<SnapshotRow>, Error> {
    Err(missing())
}

/// Sends one of them into a volume.
pub(super) async fn restore(
    _hall: &Arc<Hall>,
    _drive: DriveId,
    _snapshot: &str,
    _volume: Arc<Volume>,
    _wish: RestoreOptions,
    _uid: u32,
) -> Result<OwnedObjectPath, Error> {
    Err(missing())
}

/// The stream files on it.
pub(super) async fn list_streams(_hall: &Arc<Hall>, _drive: DriveId) -> Result<Vec<StreamRow>, Error> {
    Err(missing())
}

/// Receives them into a volume.
pub(super) async fn import(
    _hall: &Arc<Hall>,
    _drive: DriveId,
    _volume: Arc<Volume>,
    _wish: ImportOptions,
    _uid: u32,
) -> Result<OwnedObjectPath, Error> {
    Err(missing())
}

fn missing() -> Error {
    Error::new(ErrorName::Failed, "this version of butterdockd cannot do that; update it")
}
