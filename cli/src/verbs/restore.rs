//! `butterdock restore DRIVE SNAPSHOT VOLUME`.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use butterdock_dbus::{RestoreOptions, SnapshotRow};

use super::work;
use crate::args::Restore;
use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, name};

/// Restores a snapshot from a drive into a volume and watches the job.
pub(crate) async fn run(service: &Service, out: Out, wanted: &Restore) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = service.drive(&objects.drive(&wanted.drive)?.path).await?;
    service.known_volume(&wanted.volume).await?;
    let rows = drive.list_snapshots(HashMap::new()).await?;
    let snapshot = find(&rows, wanted.snapshot.as_bytes())?;
    let options = RestoreOptions { name: wanted.name.as_ref().map(|name| name.as_bytes().to_vec()) };
    let asked = async { Ok(drive.restore(&snapshot.uuid, &wanted.volume, options.to_options()).await?) };
    work::watch(service, out, wanted.detach, asked).await
}

/// The one snapshot with this name, this UUID, or a UUID that begins with it.
fn find<'a>(rows: &'a [SnapshotRow], wanted: &[u8]) -> Result<&'a SnapshotRow, Failure> {
    let named = rows.iter().filter(|row| row.name == wanted).collect::<Vec<_>>();
    let begins = |row: &&SnapshotRow| !wanted.is_empty() && row.uuid.as_bytes().starts_with(wanted);
    let found = if named.is_empty() { rows.iter().filter(begins).collect() } else { named };
    match found.as_slice() {
        [row] => Ok(row),
        [] => Err(Failure::usage(
            format!("there is no snapshot {} on the drive", name(wanted)),
            "`butterdock snapshots --drive DRIVE` lists them; name one by its name or its UUID",
        )),
        several => {
            let uuids = several.iter().map(|row| row.uuid.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(
                format!("{} is ambiguous, {} snapshots on the drive match: {uuids}", name(wanted), several.len()),
                "name the snapshot by its UUID; `butterdock snapshots --drive DRIVE` shows when each was made",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
