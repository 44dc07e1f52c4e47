//! What a drive's methods have the desk do: each orders a job and shows it.

use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::{BackupOptions, Error, ErrorName, RestoreOptions, SnapshotOrigin, SnapshotRow};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use uuid::Uuid;
use zbus::OwnedObjectPath;

use super::hall::{Hall, lost};
use super::stay::Stay;
use crate::backups::{self, From, Identity, OnDrive};
use crate::drives::{DriveId, Plugged};
use crate::jobs::{AboutDrive, BackupWish, RemoveWish, RestoreWish, Ticket, VerifyWish};
use crate::volumes::{Place, Volume};

/// A volume has so long to show that it is there after all.
const LOOK: Duration = Duration::from_secs(2);
/// A drive has so long to list what is on it.
const LISTING: Duration = Duration::from_secs(20);

/// Lets the drive go.
pub(super) async fn safely_remove(hall: &Arc<Hall>, drive: DriveId, uid: u32) -> Result<OwnedObjectPath, Error> {
    let wish = RemoveWish { dock: hall.dock.clone(), drive: about(hall, drive)?, uid };
    show(hall, hall.jobs.remove(wish).await?).await
}

/// Runs its backups, or the one that is asked for: the first job's path.
pub(super) async fn backup(
    hall: &Arc<Hall>,
    drive: DriveId,
    wish: BackupOptions,
    uid: u32,
) -> Result<OwnedObjectPath, Error> {
    let goes_here = hall.dock.drive(&drive).map(|drive| drive.backups.clone()).unwrap_or_default();
    let wanted = |name: &String| wish.backup.as_ref().is_none_or(|only| only == name);
    back_up(hall, drive, goes_here.into_iter().filter(wanted).collect(), uid).await
}

/// The drive was plugged in: makes the backups that begin then.
pub(super) async fn plugged(hall: &Arc<Hall>, plugged: Plugged) {
    let Plugged { drive, backups } = plugged;
    let id = drive.to_string();
    if let Err(error) = back_up(hall, drive, backups, 0).await {
        tracing::warn!("the backups to the drive {id} that was plugged in do not begin: {error}");
    }
}

/// All are taken on, also where one of them is not; the first one's path, or why there is none.
async fn back_up(hall: &Arc<Hall>, drive: DriveId, backups: Vec<String>, uid: u32) -> Result<OwnedObjectPath, Error> {
    let drive = about(hall, drive)?;
    let none = "no such backup goes to this drive; butterdock backups lists what there is";
    let mut first = Err(Error::new(ErrorName::NotFound, none));
    for (at, backup) in backups.into_iter().enumerate() {
        let wish = BackupWish { dock: hall.dock.clone(), drive: drive.clone(), backup, uid };
        let taken = match hall.jobs.back_up(wish).await {
            Ok(ticket) => show(hall, ticket).await,
            Err(error) => Err(error),
        };
        if at == 0 || first.is_err() {
            first = taken;
        }
    }
    first
}

/// Reads everything on it.
pub(super) async fn verify(hall: &Arc<Hall>, drive: DriveId, uid: u32) -> Result<OwnedObjectPath, Error> {
    let wish = VerifyWish { dock: hall.dock.clone(), drive: about(hall, drive)?, uid };
    show(hall, hall.jobs.verify(wish).await?).await
}

/// The snapshots on it. The drive is let go as after a job.
pub(super) async fn list_snapshots(hall: &Arc<Hall>, drive: DriveId) -> Result<Vec<SnapshotRow>, Error> {
    let backups = hall.dock.remembered(&drive);
    let stay = Stay::begin(&hall.dock, &drive);
    let lease = hall.dock.lease(&drive).await?;
    let read = move || {
        let found = backups::on_drive(lease.root(), &backups);
        (lease, found)
    };
    // A task of its own: also a drive that answers when nobody waits any more is let go.
    let listing = tokio::spawn(async move {
        let (lease, found) = spawn_blocking(read).await?;
        lease.close().await;
        stay.end().await;
        Ok(found)
    });
    let listed = timeout(LISTING, listing).await.map(|listed| listed.and_then(|listed| listed));
    let silent = "the drive does not answer; check it and its cable";
    match listed {
        Ok(Ok(Ok(found))) => Ok(found.into_iter().map(row).collect()),
        Ok(Ok(Err(fault))) => Err(Error::new(ErrorName::Failed, format!("cannot list what is on the drive: {fault}"))),
        Ok(Err(_)) | Err(_) => Err(Error::new(ErrorName::DeviceGone, silent)),
    }
}

/// Sends one of them into a volume.
pub(super) async fn restore(
    hall: &Arc<Hall>,
    drive: DriveId,
    snapshot: &str,
    volume: Arc<Volume>,
    wish: RestoreOptions,
    uid: u32,
) -> Result<OwnedObjectPath, Error> {
    let Ok(snapshot) = Uuid::try_parse(snapshot) else {
        let text = "a snapshot is named by its uuid; butterdock snapshots --drive lists what there is";
        return Err(Error::new(ErrorName::NotFound, text));
    };
    let (drive, place) = (about(hall, drive)?, place(&volume).await?);
    let (dock, snapshot, name) = (hall.dock.clone(), Identity(snapshot.into_bytes()), wish.name);
    let ticket = hall.jobs.restore(RestoreWish { dock, drive, snapshot, volume, place, name, uid }).await?;
    show(hall, ticket).await
}

fn row(found: OnDrive) -> SnapshotRow {
    let text = |uuid: Identity| Uuid::from_bytes(uuid.0).to_string();
    let (origin, machine) = match found.from {
        From::ThisMachine => (Some(SnapshotOrigin::ThisMachine), None),
        From::OtherMachine(id) => (Some(SnapshotOrigin::OtherMachine), Some(text(id))),
        From::Unknown => (None, None),
    };
    SnapshotRow {
        name: found.name,
        uuid: text(found.uuid),
        created: found.made.and_then(|time| u64::try_from(time).ok()?.checked_mul(1_000_000)),
        backup: found.backup,
        origin: origin.map(|origin| origin.to_string()),
        machine,
        received_uuid: found.received_uuid.map(text),
        parent_uuid: found.parent_uuid.map(text),
        pinned: Some(found.pinned),
    }
}

/// The volume's directory, where it is there.
pub(super) async fn place(volume: &Arc<Volume>) -> Result<Place, Error> {
    if !volume.seen().mounted() {
        volume.look(LOOK).await;
    }
    volume.seen().place.ok_or_else(|| {
        let text = format!("the volume \"{}\" is not mounted; mount its drive and try again", volume.rule.name);
        Error::new(ErrorName::DeviceGone, text)
    })
}

/// The drive, as the job remembers it.
pub(super) fn about(hall: &Hall, id: DriveId) -> Result<AboutDrive, Error> {
    let Some(drive) = hall.dock.drive(&id) else {
        return Err(Error::new(ErrorName::NotFound, "the drive is not there any more; plug it in again"));
    };
    Ok(AboutDrive { id, label: drive.label.clone() })
}

pub(super) async fn show(hall: &Arc<Hall>, ticket: Ticket) -> Result<OwnedObjectPath, Error> {
    hall.show_job(ticket).await.map_err(|error| lost(&error))
}
