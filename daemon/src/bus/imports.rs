//! What a drive's methods have done with the stream files on it.

use std::path::PathBuf;
use std::sync::Arc;

use butterdock_dbus::{Error, ErrorName, ImportOptions, StreamRow};
use uuid::Uuid;
use zbus::OwnedObjectPath;

use super::errands::{about, place, show};
use super::hall::Hall;
use super::stay::Stay;
use crate::drives::DriveId;
use crate::jobs::ImportWish;
use crate::volumes::Volume;
use butterdock_worker::streams::Row;

/// The stream files on it.
pub(super) async fn list_streams(hall: &Arc<Hall>, drive: DriveId) -> Result<Vec<StreamRow>, Error> {
    let folder = hall.dock.folder(&drive)?;
    let stay = Stay::begin(&hall.dock, &drive);
    let rows = look(hall, &drive, folder).await;
    stay.end().await;
    Ok(rows?.into_iter().map(row).collect())
}

async fn look(hall: &Hall, drive: &DriveId, folder: PathBuf) -> Result<Vec<Row>, Error> {
    let lease = hall.dock.read(drive).await?;
    let rows = hall.jobs.streams(&lease, folder).await;
    lease.close().await;
    rows
}

/// Receives them into a volume.
pub(super) async fn import(
    hall: &Arc<Hall>,
    drive: DriveId,
    volume: Arc<Volume>,
    wish: ImportOptions,
    uid: u32,
) -> Result<OwnedObjectPath, Error> {
    let folder = hall.dock.folder(&drive)?;
    let (about, place) = (about(hall, drive.clone())?, place(&volume).await?);
    let ImportOptions { name, verify } = wish;
    let stay = Stay::begin(&hall.dock, &drive);
    let rows = look(hall, &drive, folder.clone()).await;
    let wanted = |row: &Row| name.as_ref().is_none_or(|name| *name == row.name);
    if !rows.as_ref().is_ok_and(|rows| rows.iter().any(wanted)) {
        stay.end().await;
        rows?;
        let text = match name {
            Some(_) => {
                "there is no stream file of that name on the drive; butterdock import --list shows what there is"
            }
            None => "there is no stream file on the drive, so nothing is to be imported; copy *.btrfs or *.send there",
        };
        return Err(Error::new(ErrorName::NotFound, text));
    }
    // The job that follows lets the drive go.
    let dock = hall.dock.clone();
    // As for streams that are handed in: what others bring is looked through.
    let verify = verify || uid != 0;
    let wish = ImportWish { dock, drive: about, folder, volume, place, only: name, verify, uid };
    match hall.jobs.import(wish).await {
        Ok(ticket) => show(hall, ticket).await,
        Err(error) => {
            stay.end().await;
            Err(error)
        }
    }
}

fn row(row: Row) -> StreamRow {
    let text = |uuid: [u8; 16]| Uuid::from_bytes(uuid).to_string();
    let Row { name, size, subvolume, uuid, parent, problem } = row;
    let (uuid, parent_uuid) = (uuid.map(text).unwrap_or_default(), parent.map(text));
    StreamRow { name, size, subvolume, uuid, parent_uuid, problem }
}
