//! The verbs `snapshots delete`, `snapshots hold` and `snapshots release`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use butterdock_dbus::{BackupProxy, DeleteOptions, DeletionEstimate, DestinationProxy, Error, SnapshotRow};
use serde::Serialize;
use zbus::OwnedObjectPath;

use super::snapshots::{find, list};
use super::watch;
use crate::args::snapshots::{DeleteSnapshots, HoldSnapshot, ReleaseSnapshot, SnapshotPlace, Snapshots, SnapshotsVerb};
use crate::failure::Failure;
use crate::render::{Output, bytes, escaped, escaped_name, print_error, prompt, short_label};
use crate::service::{Destination, Service};

#[derive(Serialize)]
struct Changed<'a> {
    uuid: &'a str,
    result: &'static str,
}

/// A place with snapshots, and those.
struct SnapshotsAt<'s> {
    proxy: Proxy<'s>,
    rows: Vec<SnapshotRow>,
}

/// The object at a place.
enum Proxy<'s> {
    Destination(DestinationProxy<'s>),
    Backup(BackupProxy<'s>),
}

impl Proxy<'_> {
    async fn estimate(&self, uuids: &[&str]) -> Result<DeletionEstimate, Error> {
        match self {
            Self::Destination(proxy) => proxy.estimate_deletion(uuids, HashMap::new()).await,
            Self::Backup(proxy) => proxy.estimate_deletion(uuids, HashMap::new()).await,
        }
    }

    async fn delete(&self, uuids: &[&str], options: &DeleteOptions) -> Result<OwnedObjectPath, Error> {
        match self {
            Self::Destination(proxy) => proxy.delete_snapshots(uuids, options.to_options()).await,
            Self::Backup(proxy) => proxy.delete_snapshots(uuids, options.to_options()).await,
        }
    }

    async fn hold(&self, uuid: &str, reason: &str) -> Result<(), Error> {
        match self {
            Self::Destination(proxy) => proxy.hold_snapshot(uuid, reason, HashMap::new()).await,
            Self::Backup(proxy) => proxy.hold_snapshot(uuid, reason, HashMap::new()).await,
        }
    }

    async fn release(&self, uuid: &str) -> Result<(), Error> {
        match self {
            Self::Destination(proxy) => proxy.release_snapshot(uuid, HashMap::new()).await,
            Self::Backup(proxy) => proxy.release_snapshot(uuid, HashMap::new()).await,
        }
    }
}

impl<'s> SnapshotsAt<'s> {
    async fn find(service: &'s Service, wanted: &SnapshotPlace) -> Result<Self, Failure> {
        if let Some(backup) = &wanted.source {
            let proxy = service.known_backup(backup).await?;
            let rows = proxy.list_snapshots(HashMap::new()).await?;
            return Ok(Self { proxy: Proxy::Backup(proxy), rows });
        }
        let objects = service.objects().await?;
        // clap requires one of the two.
        let Destination { path, .. } = objects.destination(wanted.drive.as_deref().unwrap_or_default())?;
        let proxy = service.destination(path).await?;
        let rows = proxy.list_snapshots(HashMap::new()).await?;
        Ok(Self { proxy: Proxy::Destination(proxy), rows })
    }

    /// The snapshots with these names or uuids, each once.
    fn snapshots(&self, wanted: &[OsString]) -> Result<Vec<&SnapshotRow>, Failure> {
        let mut found: Vec<&SnapshotRow> = Vec::new();
        for name in wanted {
            let row = find(&self.rows, name.as_bytes())?;
            if !found.iter().any(|known| known.uuid == row.uuid) {
                found.push(row);
            }
        }
        Ok(found)
    }
}

pub(crate) async fn run(service: &Service, out: Output, wanted: &Snapshots) -> Result<ExitCode, Failure> {
    match &wanted.change {
        Some(SnapshotsVerb::Delete(wanted)) => delete(service, out, wanted).await,
        Some(SnapshotsVerb::Hold(wanted)) => hold(service, out, wanted).await,
        Some(SnapshotsVerb::Release(wanted)) => release(service, out, wanted).await,
        None => list(service, out, wanted).await,
    }
}

/// Deletes snapshots after a question, and watches the job.
async fn delete(service: &Service, out: Output, wanted: &DeleteSnapshots) -> Result<ExitCode, Failure> {
    let place = SnapshotsAt::find(service, &wanted.place).await?;
    let rows = place.snapshots(&wanted.snapshots)?;
    let uuids: Vec<&str> = rows.iter().map(|row| row.uuid.as_str()).collect();
    if !wanted.yes {
        let estimate = place.proxy.estimate(&uuids).await?;
        // The service refuses it, and says why.
        if estimate.lost.is_empty() || wanted.force {
            confirm(&rows, &estimate)?;
        }
    }
    let options = DeleteOptions { force: wanted.force };
    let call = async { Ok(place.proxy.delete(&uuids, &options).await?) };
    watch::start(service, out, wanted.detach, "", call).await
}

/// Asks before a deletion.
fn confirm(rows: &[&SnapshotRow], estimate: &DeletionEstimate) -> Result<(), Failure> {
    print_error(&question(rows, estimate));
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            "nothing was deleted: this has to be confirmed".to_owned(),
            "run it in a terminal, or add --yes",
        ));
    }
    prompt("Type yes to delete: ");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::own(format!("nothing was deleted: the terminal cannot be read: {error}")))?;
    if line.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::usage("nothing was deleted".to_owned(), "type yes to delete"))
}

fn question(rows: &[&SnapshotRow], estimate: &DeletionEstimate) -> String {
    let mut text = String::new();
    for row in rows {
        let backup = row.backup.as_deref().map(|backup| format!(" of {}", escaped(backup))).unwrap_or_default();
        text.push_str(&format!("  {}{backup}\n", escaped_name(&row.name)));
    }
    let count = rows.len();
    let noun = if count == 1 { "snapshot" } else { "snapshots" };
    text.push_str(&match estimate.bytes {
        Some(most) => format!("Deleting {count} {noun} frees at most {}.", bytes(most)),
        None => format!("How much deleting {count} {noun} frees takes too long to find out."),
    });
    for lost in &estimate.lost {
        let size = lost.bytes.map(|size| format!(" of about {}", bytes(size))).unwrap_or_default();
        let next = if lost.full {
            format!("is a full one{size}")
        } else {
            format!("starts from an older shared snapshot, or is a full one{size} if the other side has none")
        };
        let (backup, place) = (escaped(&lost.backup), short_label(&lost.destination));
        text.push_str(&format!("\nThe next backup of {backup} to {place} {next}."));
    }
    text
}

/// Holds a snapshot.
async fn hold(service: &Service, out: Output, wanted: &HoldSnapshot) -> Result<ExitCode, Failure> {
    let place = SnapshotsAt::find(service, &wanted.place).await?;
    let row = find(&place.rows, wanted.snapshot.as_bytes())?;
    let reason = wanted.reason.as_deref().unwrap_or_default();
    place.proxy.hold(&row.uuid, reason).await?;
    out.answer(&Changed { uuid: &row.uuid, result: "held" }, || {
        format!("the snapshot {} is held: no rule deletes it\n", escaped_name(&row.name))
    });
    Ok(ExitCode::SUCCESS)
}

/// Releases a snapshot.
async fn release(service: &Service, out: Output, wanted: &ReleaseSnapshot) -> Result<ExitCode, Failure> {
    let place = SnapshotsAt::find(service, &wanted.place).await?;
    let row = find(&place.rows, wanted.snapshot.as_bytes())?;
    place.proxy.release(&row.uuid).await?;
    out.answer(&Changed { uuid: &row.uuid, result: "released" }, || {
        format!("the snapshot {} is released: the rules may delete it\n", escaped_name(&row.name))
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::LostIncrement;

    use super::*;

    #[test]
    fn the_question_says_what_a_deletion_frees_and_costs() {
        let row = SnapshotRow { name: b"home.1".to_vec(), backup: Some("home".to_owned()), ..SnapshotRow::default() };
        let lost = LostIncrement {
            backup: "home".to_owned(),
            destination: "Blue".to_owned(),
            full: true,
            bytes: Some(3 << 30),
        };
        let estimate = DeletionEstimate { bytes: Some(5 << 20), lost: vec![lost.clone()] };
        let text = question(&[&row], &estimate);
        assert_eq!(
            text,
            "  home.1 of home\nDeleting 1 snapshot frees at most 5.00 MiB.\nThe next backup of home to Blue is a full one of \
             about 3.00 GiB."
        );
        let older = LostIncrement { full: false, bytes: None, ..lost };
        let text = question(&[&row, &row], &DeletionEstimate { bytes: None, lost: vec![older] });
        assert!(
            text.contains("deleting 2 snapshots frees takes too long") && text.contains("an older shared"),
            "{text}"
        );
    }
}
