//! `butterdock snapshots VOLUME` and `butterdock snapshots --drive DRIVE`.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{SnapshotOrigin, SnapshotRow, SubvolumeRow};
use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, SnapshotObject, SubvolumeObject, Table, escaped, moment, name};

#[derive(Serialize)]
struct Answer<'a> {
    volume: &'a str,
    subvolumes: Vec<SubvolumeObject<'a>>,
}

#[derive(Serialize)]
struct OfDrive<'a> {
    drive: &'a str,
    snapshots: Vec<SnapshotObject<'a>>,
}

/// Lists the subvolumes of a volume.
pub(crate) async fn run(service: &Service, out: Out, volume: &str) -> Result<ExitCode, Failure> {
    service.known_volume(volume).await?;
    let rows = service.volume(volume).await?.list_subvolumes(HashMap::new()).await?;
    let answer = Answer { volume, subvolumes: rows.iter().map(SubvolumeObject::new).collect() };
    out.answer(&answer, || table(volume, &rows));
    Ok(ExitCode::SUCCESS)
}

/// Lists the snapshots on a drive.
pub(crate) async fn of_drive(service: &Service, out: Out, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let rows = service.drive(&drive.path).await?.list_snapshots(HashMap::new()).await?;
    let answer = OfDrive { drive: &drive.id, snapshots: rows.iter().map(SnapshotObject::new).collect() };
    out.answer(&answer, || drive_table(&drive.id, &rows));
    Ok(ExitCode::SUCCESS)
}

fn drive_table(id: &str, rows: &[SnapshotRow]) -> String {
    if rows.is_empty() {
        return format!("no snapshots on the drive {}\n", escaped(id));
    }
    let mut table = Table::new(&["SNAPSHOT", "BACKUP", "ORIGIN", "MADE", "UUID", "PINNED"]);
    for row in rows {
        table.row([
            name(&row.name),
            row.backup.as_deref().map(escaped).unwrap_or_default(),
            origin(row),
            row.created.map(moment).unwrap_or_default(),
            escaped(&row.uuid),
            if row.pinned.unwrap_or_default() { "yes" } else { "" }.to_owned(),
        ]);
    }
    table.render()
}

/// The machine that made it; empty if unknown.
fn origin(row: &SnapshotRow) -> String {
    match row.origin.as_deref().map(str::parse) {
        Some(Ok(SnapshotOrigin::ThisMachine)) => "this machine".to_owned(),
        Some(Ok(SnapshotOrigin::OtherMachine)) => {
            let id = row.machine.as_deref().and_then(|id| id.split('-').next()).unwrap_or_default();
            format!("machine {}", escaped(id))
        }
        Some(Ok(SnapshotOrigin::Other(word))) => escaped(&word),
        Some(Err(_)) | None => String::new(),
    }
}

fn table(volume: &str, rows: &[SubvolumeRow]) -> String {
    if rows.is_empty() {
        return format!("no subvolumes in {}\n", escaped(volume));
    }
    let mut table = Table::new(&["SUBVOLUME", "ID", "MADE", "READ-ONLY", "RECEIVED FROM"]);
    for row in rows {
        table.row([
            name(&row.name),
            row.id.to_string(),
            row.created.map(moment).unwrap_or_default(),
            if row.read_only { "yes" } else { "no" }.to_owned(),
            row.received_uuid.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table.render()
}
