//! The verbs about snapshots: `snapshots` (of a volume or a drive) and `restore`.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use butterdock_dbus::{RestoreOptions, SnapshotOrigin, SnapshotRow, SubvolumeRow};
use serde::Serialize;

use super::{files, watch};
use crate::args::files::Restore;
use crate::args::snapshots::Snapshots;
use crate::failure::Failure;
use crate::render::{Output, SnapshotObject, SubvolumeObject, Table, escaped, escaped_name, time};
use crate::service::{Destination, Service};

#[derive(Serialize)]
struct OfVolume<'a> {
    volume: &'a str,
    subvolumes: Vec<SubvolumeObject<'a>>,
}

#[derive(Serialize)]
struct OfDrive<'a> {
    drive: &'a str,
    snapshots: Vec<SnapshotObject<'a>>,
}

#[derive(Serialize)]
struct OfSource<'a> {
    source: &'a str,
    snapshots: Vec<SnapshotObject<'a>>,
}

/// Lists the subvolumes of a volume, or the snapshots on a drive or beside a source.
pub(crate) async fn list(service: &Service, out: Output, wanted: &Snapshots) -> Result<ExitCode, Failure> {
    match (&wanted.volume, &wanted.source, &wanted.drive) {
        (Some(volume), ..) => list_of_volume(service, out, volume).await,
        (None, Some(backup), _) => list_of_source(service, out, backup).await,
        // clap requires one of the three.
        (None, None, drive) => list_of_drive(service, out, drive.as_deref().unwrap_or_default()).await,
    }
}

/// Lists the subvolumes of a volume.
async fn list_of_volume(service: &Service, out: Output, volume: &str) -> Result<ExitCode, Failure> {
    service.known_volume(volume).await?;
    let rows = service.volume(volume).await?.list_subvolumes(HashMap::new()).await?;
    let answer = OfVolume { volume, subvolumes: rows.iter().map(SubvolumeObject::new).collect() };
    out.answer(&answer, || volume_table(volume, &rows));
    Ok(ExitCode::SUCCESS)
}

/// Lists the snapshots on a destination.
async fn list_of_drive(service: &Service, out: Output, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let Destination { id, path, .. } = objects.destination(wanted)?;
    let rows = service.destination(path).await?.list_snapshots(HashMap::new()).await?;
    let answer = OfDrive { drive: id, snapshots: rows.iter().map(SnapshotObject::new).collect() };
    out.answer(&answer, || drive_table(id, &rows));
    Ok(ExitCode::SUCCESS)
}

/// Lists the snapshots beside the source of a backup.
async fn list_of_source(service: &Service, out: Output, backup: &str) -> Result<ExitCode, Failure> {
    let rows = service.known_backup(backup).await?.list_snapshots(HashMap::new()).await?;
    let answer = OfSource { source: backup, snapshots: rows.iter().map(SnapshotObject::new).collect() };
    out.answer(&answer, || match rows.as_slice() {
        [] => format!("no snapshots beside the source of {}\n", escaped(backup)),
        rows => table(rows),
    });
    Ok(ExitCode::SUCCESS)
}

fn drive_table(id: &str, rows: &[SnapshotRow]) -> String {
    if rows.is_empty() {
        return format!("no snapshots on the drive {}\n", escaped(id));
    }
    table(rows) + &left_over(id, rows) + &incomplete(rows)
}

fn table(rows: &[SnapshotRow]) -> String {
    let mut table = Table::new(&["SNAPSHOT", "BACKUP", "ORIGIN", "MADE", "UUID", "PINNED", "HELD"]);
    for row in rows {
        let indent = if row.run.is_some() { "  " } else { "" };
        table.row([
            format!("{indent}{}", escaped_name(&row.name)),
            row.backup.as_deref().map(escaped).unwrap_or_default(),
            origin(row),
            row.created.map(time).unwrap_or_default(),
            escaped(&row.uuid),
            if row.pinned.unwrap_or_default() { "yes" } else { "" }.to_owned(),
            held(row),
        ]);
    }
    table.render()
}

/// What a backup that was interrupted left.
fn incomplete(rows: &[SnapshotRow]) -> String {
    let left = rows.iter().filter(|row| row.nested_path.is_some() && row.run.is_none());
    let names: Vec<String> = left.map(|row| format!("  {}\n", escaped_name(&row.name))).collect();
    if names.is_empty() {
        return String::new();
    }
    let text =
        "incomplete, because their backup was interrupted, or is running; the next backup deletes what is left of one:";
    format!("{text}\n{}", names.concat())
}

/// The snapshots that no backup prunes, and how to delete them.
fn left_over(id: &str, rows: &[SnapshotRow]) -> String {
    let paths: Vec<&[u8]> =
        rows.iter().filter(|row| row.left_over == Some(true)).filter_map(|row| row.path.as_deref()).collect();
    if paths.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "left over, because the backup is not configured any more or has another source now; no rule deletes them, `butterdock \
         snapshots delete --drive {}` does:\n",
        escaped(id)
    );
    for path in paths {
        text.push_str(&format!("  {}\n", escaped_name(path)));
    }
    text
}

/// Why it is held; empty if it is not.
fn held(row: &SnapshotRow) -> String {
    match row.held_reason.as_deref() {
        _ if row.held != Some(true) => String::new(),
        None | Some("") => "yes".to_owned(),
        Some(reason) => escaped(reason),
    }
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

fn volume_table(volume: &str, rows: &[SubvolumeRow]) -> String {
    if rows.is_empty() {
        return format!("no subvolumes in {}\n", escaped(volume));
    }
    let mut table = Table::new(&["SUBVOLUME", "ID", "MADE", "READ-ONLY", "RECEIVED FROM"]);
    for row in rows {
        table.row([
            escaped_name(&row.name),
            row.id.to_string(),
            row.created.map(time).unwrap_or_default(),
            if row.read_only { "yes" } else { "no" }.to_owned(),
            row.received_uuid.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// Restores a snapshot from a destination into a volume and watches the job.
pub(crate) async fn restore(service: &Service, out: Output, wanted: &Restore) -> Result<ExitCode, Failure> {
    if !wanted.file.is_empty() {
        return files::restore(service, out, wanted).await;
    }
    let objects = service.objects().await?;
    if !objects.is_known(&wanted.drive) && service.known_backup(&wanted.drive).await.is_ok() {
        return Err(Failure::usage(
            format!("{} is a backup, and a whole snapshot is restored from a destination", escaped(&wanted.drive)),
            "name a drive or another destination, or the files to restore with --file",
        ));
    }
    let destination = service.destination(&objects.destination(&wanted.drive)?.path).await?;
    let volume = wanted.volume.as_deref().unwrap_or_default();
    service.known_volume(volume).await?;
    let rows = destination.list_snapshots(HashMap::new()).await?;
    let snapshot = files::find(&rows, &wanted.snapshot)?;
    let options = RestoreOptions { name: wanted.name.as_ref().map(|name| name.as_bytes().to_vec()) };
    let call = async { Ok(destination.restore(&snapshot.uuid, volume, options.to_options()).await?) };
    watch::start(service, out, wanted.detach, "", call).await
}

/// The one snapshot with this name, this UUID, or this beginning of its UUID.
pub(super) fn find<'a>(rows: &'a [SnapshotRow], wanted: &[u8]) -> Result<&'a SnapshotRow, Failure> {
    let named = rows.iter().filter(|row| row.name == wanted).collect::<Vec<_>>();
    let begins = |row: &&SnapshotRow| !wanted.is_empty() && row.uuid.as_bytes().starts_with(wanted);
    let found = if named.is_empty() { rows.iter().filter(begins).collect() } else { named };
    match found.as_slice() {
        [row] => Ok(row),
        [] => Err(Failure::usage(
            format!("there is no snapshot {} there", escaped_name(wanted)),
            "`butterdock snapshots` with --drive or --source lists them; name one by its name or its UUID",
        )),
        several => {
            let uuids = several.iter().map(|row| row.uuid.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(
                format!(
                    "{} is ambiguous, {} snapshots on the drive match: {uuids}",
                    escaped_name(wanted),
                    several.len()
                ),
                "name the snapshot by its UUID; `butterdock snapshots --drive DRIVE` shows when each was made",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_snapshots_are_shown_with_their_run() {
        let row = |name: &str, path: Option<&str>, run: Option<&str>| SnapshotRow {
            name: name.as_bytes().to_vec(),
            nested_path: path.map(|path| path.as_bytes().to_vec()),
            run: run.map(str::to_owned),
            ..SnapshotRow::default()
        };
        let whole = [row("home.1", None, None), row("home.1.1-alice", Some("alice"), Some("aa"))];
        let shown = drive_table("blue", &whole);
        assert!(shown.contains("\nhome.1\n") && shown.contains("\n  home.1.1-alice"), "{shown}");
        assert!(!shown.contains("incomplete"), "{shown}");
        let shown = drive_table("blue", &[row("home.2.1-alice", Some("alice"), None)]);
        assert!(shown.contains("\nhome.2.1-alice") && shown.contains("incomplete, because"), "{shown}");
    }

    #[test]
    fn an_ambiguous_snapshot_name_is_refused() {
        let row = |name: &str, uuid: &str| SnapshotRow {
            name: name.as_bytes().to_vec(),
            uuid: uuid.to_owned(),
            ..SnapshotRow::default()
        };
        let rows = [row("home.1", "aa11"), row("home.2", "aa22"), row("home.2", "bb33")];
        assert_eq!(find(&rows, b"home.1").map(|row| row.uuid.as_str()).ok(), Some("aa11"));
        assert_eq!(find(&rows, b"bb").map(|row| row.uuid.as_str()).ok(), Some("bb33"));
        assert!(find(&rows, b"home.2").is_err_and(|failure| failure.message.contains("aa22, bb33")));
        assert!(find(&rows, b"aa").is_err());
        assert!(find(&rows, b"").is_err());
    }
}
