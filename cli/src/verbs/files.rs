//! The verbs about files in snapshots: `ls`, `cat`, `versions`, and `restore --file`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use butterdock_dbus::{
    BackupProxy, DestinationProxy, Error, ErrorName, FileRow, FileVersionRow, FileVersionsOptions, JobResult,
    ListFilesOptions, ListSnapshotsOptions, OpenFileOptions, RestoreFilesOptions, SnapshotOrigin, SnapshotRow,
};
use serde::Serialize;
use zbus::OwnedObjectPath;

use super::file_tables::{file_table, snapshot_table, version_table};
use super::{snapshots, watch};
use crate::args::files::{Cat, FilesVerb, Ls, Restore, Versions};
use crate::failure::Failure;
use crate::render::{FileObject, FileVersionObject, Output, SnapshotObject, short_label};
use crate::service::{JobSignal, JobSignals, Service};

/// The snapshot that needs no name.
const LATEST: &[u8] = b"latest";

#[derive(Serialize)]
struct ListedSnapshots<'a> {
    snapshots: Vec<SnapshotObject<'a>>,
}

#[derive(Serialize)]
struct Files<'a> {
    snapshot: &'a str,
    files: Vec<FileObject<'a>>,
}

#[derive(Serialize)]
struct FoundVersions<'a> {
    versions: Vec<FileVersionObject<'a>>,
}

/// Runs a verb about files.
pub(crate) async fn run(service: &Service, out: Output, verb: &FilesVerb) -> Result<ExitCode, Failure> {
    match verb {
        FilesVerb::Ls(wanted) => ls(service, out, wanted).await,
        FilesVerb::Cat(wanted) => cat(service, wanted).await,
        FilesVerb::Versions(wanted) => versions(service, out, wanted).await,
    }
}

/// Lists the snapshots, or a directory in one.
async fn ls(service: &Service, out: Output, wanted: &Ls) -> Result<ExitCode, Failure> {
    let place = Snapshots::find(service, &wanted.place).await?;
    let rows = place.snapshots(wanted.as_root).await?;
    let Some(snapshot) = &wanted.snapshot else {
        let answer = ListedSnapshots { snapshots: rows.iter().map(SnapshotObject::new).collect() };
        out.answer(&answer, || snapshot_table(&rows));
        return Ok(ExitCode::SUCCESS);
    };
    let snapshot = find(&rows, snapshot)?;
    let path = wanted.path.as_deref().map(path_in_snapshot).unwrap_or_default();
    let (mut files, mut after) = (Vec::new(), None);
    loop {
        let options = ListFilesOptions { after, limit: None, as_root: wanted.as_root };
        let (page, more) = place.list(&snapshot.uuid, path, &options).await?;
        after = page.last().map(|row| row.name.clone());
        files.extend(page);
        // A page without names would be read again and again.
        if !more || after.is_none() {
            break;
        }
    }
    let answer = Files { snapshot: &snapshot.uuid, files: files.iter().map(FileObject::new).collect() };
    out.answer(&answer, || file_table(&files));
    Ok(ExitCode::SUCCESS)
}

/// Copies a file to standard output.
async fn cat(service: &Service, wanted: &Cat) -> Result<ExitCode, Failure> {
    let place = Snapshots::find(service, &wanted.place).await?;
    let rows = place.snapshots(wanted.as_root).await?;
    let snapshot = find(&rows, &wanted.snapshot)?;
    let options = OpenFileOptions { as_root: wanted.as_root };
    let mut signals = JobSignals::subscribe(service).await?;
    let opening = place.open(&snapshot.uuid, path_in_snapshot(&wanted.path), &options);
    let (file, job) = signals.during(opening).await?;
    let copying = async {
        let copied = tokio::task::spawn_blocking(move || copy(file)).await;
        copied.map_err(|error| Failure::own(error.to_string()))
    };
    let copied = match signals.during(copying).await? {
        Ok(copied) => copied,
        // The reader has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(Failure::own(format!("cannot write to standard output: {error}"))),
    };
    // A content that ends early looks like a complete one.
    loop {
        match signals.next().await? {
            JobSignal::Completed(path, JobResult::Succeeded) if path == job.as_str() => return Ok(ExitCode::SUCCESS),
            JobSignal::Completed(path, _) if path == job.as_str() => break,
            JobSignal::ServiceLost => return Err(Failure::gone()),
            JobSignal::Completed(..) | JobSignal::Changed(..) | JobSignal::Added(_) => {}
        }
    }
    let details = signals.during(service.details(job.as_str())).await?;
    let name = details.error_name.parse().unwrap_or(ErrorName::Failed);
    let cut = if copied == 0 { "" } else { "only the beginning of the file was printed: " };
    Err(Error::new(name, format!("{cut}{}", details.message)).into())
}

/// Lists the snapshots in which a file exists.
async fn versions(service: &Service, out: Output, wanted: &Versions) -> Result<ExitCode, Failure> {
    let place = Snapshots::find(service, &wanted.place).await?;
    let options = FileVersionsOptions { backup: wanted.backup.clone(), as_root: wanted.as_root };
    let rows = place.versions(path_in_snapshot(&wanted.path), &options).await?;
    let answer = FoundVersions { versions: rows.iter().map(FileVersionObject::new).collect() };
    out.answer(&answer, || version_table(&rows));
    Ok(ExitCode::SUCCESS)
}

/// Restores files and directories, and watches the job.
pub(crate) async fn restore(service: &Service, out: Output, wanted: &Restore) -> Result<ExitCode, Failure> {
    let place = Snapshots::find(service, &wanted.drive).await?;
    if let Some(volume) = &wanted.volume {
        service.known_volume(volume).await?;
    }
    let rows = place.snapshots(wanted.as_root).await?;
    let snapshot = find(&rows, &wanted.snapshot)?;
    let paths: Vec<&[u8]> = wanted.file.iter().map(|path| path_in_snapshot(path)).collect();
    let conflict = wanted.conflict.as_deref().map(str::parse).transpose();
    let conflict = conflict.map_err(|error: butterdock_dbus::UnknownWord| Failure::own(error.to_string()))?;
    let options = RestoreFilesOptions {
        target: wanted.volume.clone(),
        folder: wanted.name.as_ref().map(|name| name.as_bytes().to_vec()),
        conflict,
        as_root: wanted.as_root,
    };
    let call = place.restore(&snapshot.uuid, &paths, &options);
    watch::start(service, out, wanted.detach, "", call).await
}

/// What has snapshots with files.
enum Snapshots<'s> {
    Destination(DestinationProxy<'s>),
    /// Those beside the source of a backup.
    Source(BackupProxy<'s>),
}

impl<'s> Snapshots<'s> {
    /// Those on the destination with this name, else those of the backup with this name.
    async fn find(service: &'s Service, wanted: &str) -> Result<Self, Failure> {
        let objects = service.objects().await?;
        let unknown = match objects.destination(wanted) {
            Ok(destination) => return Ok(Self::Destination(service.destination(&destination.path).await?)),
            Err(unknown) => unknown,
        };
        let backup = service.backup(wanted).await?;
        // The object of an unknown backup does not exist.
        if backup.name().await.is_ok() {
            return Ok(Self::Source(backup));
        }
        if objects.is_known(wanted) {
            return Err(unknown);
        }
        let message = format!("there is no destination and no backup \"{}\"", short_label(wanted));
        Err(Failure::usage(
            message,
            "`butterdock backups` lists the backups and their destinations, `butterdock drives` all drives",
        ))
    }

    /// For a user only those of this machine, which needs less authorization.
    async fn snapshots(&self, as_root: bool) -> Result<Vec<SnapshotRow>, Failure> {
        let options = ListSnapshotsOptions { own: !as_root && !is_root() };
        match self {
            Self::Destination(destination) => Ok(destination.list_snapshots(options.to_options()).await?),
            Self::Source(backup) => Ok(backup.list_snapshots(options.to_options()).await?),
        }
    }

    async fn list(
        &self,
        snapshot: &str,
        path: &[u8],
        options: &ListFilesOptions,
    ) -> Result<(Vec<FileRow>, bool), Failure> {
        match self {
            Self::Destination(destination) => Ok(destination.list_files(snapshot, path, options.to_options()).await?),
            Self::Source(backup) => Ok(backup.list_files(snapshot, path, options.to_options()).await?),
        }
    }

    async fn versions(&self, path: &[u8], options: &FileVersionsOptions) -> Result<Vec<FileVersionRow>, Failure> {
        match self {
            Self::Destination(destination) => Ok(destination.file_versions(path, options.to_options()).await?),
            Self::Source(backup) => Ok(backup.file_versions(path, options.to_options()).await?),
        }
    }

    async fn open(
        &self,
        snapshot: &str,
        path: &[u8],
        options: &OpenFileOptions,
    ) -> Result<(OwnedFd, OwnedObjectPath), Failure> {
        let (file, job) = match self {
            Self::Destination(destination) => destination.open_file(snapshot, path, options.to_options()).await?,
            Self::Source(backup) => backup.open_file(snapshot, path, options.to_options()).await?,
        };
        Ok((file.into(), job))
    }

    async fn restore(
        &self,
        snapshot: &str,
        paths: &[&[u8]],
        options: &RestoreFilesOptions,
    ) -> Result<OwnedObjectPath, Failure> {
        match self {
            Self::Destination(destination) => {
                Ok(destination.restore_files(snapshot, paths, options.to_options()).await?)
            }
            Self::Source(backup) => Ok(backup.restore_files(snapshot, paths, options.to_options()).await?),
        }
    }
}

/// The snapshot with this name or uuid, or the newest one of a source: of this machine, if it made any.
pub(super) fn find<'r>(rows: &'r [SnapshotRow], wanted: &OsStr) -> Result<&'r SnapshotRow, Failure> {
    let wanted = wanted.as_bytes();
    let is_named = |row: &SnapshotRow| row.name == wanted;
    if wanted != LATEST || rows.iter().any(is_named) {
        return snapshots::find(rows, wanted);
    }
    let is_own = |row: &SnapshotRow| row.origin.as_deref() == Some(SnapshotOrigin::ThisMachine.as_str());
    let has_own = rows.iter().any(is_own);
    let sources = rows.iter().filter(|row| row.nested_path.is_none() && (is_own(row) || !has_own));
    sources.max_by_key(|row| row.created).ok_or_else(|| {
        Failure::usage(
            "there is no snapshot there".to_owned(),
            "`butterdock backups` shows when the last backup was made",
        )
    })
}

/// The path from the root of a snapshot. Slashes at its ends mean nothing there.
fn path_in_snapshot(path: &OsStr) -> &[u8] {
    let mut path = path.as_bytes();
    while let [b'/', rest @ ..] = path {
        path = rest;
    }
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    if path == b"." { b"" } else { path }
}

/// Whether the user is root, whom the service asks for no authorization.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0)
}

/// Copies a file to standard output; how many bytes it has.
fn copy(file: OwnedFd) -> io::Result<u64> {
    let mut out = io::stdout().lock();
    let copied = io::copy(&mut File::from(file), &mut out)?;
    out.flush()?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_to_the_snapshot() {
        for (given, path) in [
            ("/alice/report.odt", &b"alice/report.odt"[..]),
            ("alice/", b"alice"),
            ("/", b""),
            (".", b""),
            ("", b""),
            ("..", b".."),
        ] {
            assert_eq!(path_in_snapshot(OsStr::new(given)), path, "{given}");
        }
    }

    #[test]
    fn the_latest_snapshot_needs_no_name() {
        let row = |name: &str, created| SnapshotRow {
            name: name.as_bytes().to_vec(),
            uuid: name.to_owned(),
            created: Some(created),
            ..SnapshotRow::default()
        };
        let rows = [row("a", 1), row("b", 3), row("c", 2)];
        let found = |name: &str| find(&rows, OsStr::new(name)).map(|row| row.uuid.clone()).ok();
        assert_eq!((found("latest").as_deref(), found("c").as_deref(), found("d")), (Some("b"), Some("c"), None));
        assert!(find(&[], OsStr::new("latest")).is_err());
        // A subvolume below the source is not the source, and another machine's snapshot is not this machine's.
        let nested = SnapshotRow { nested_path: Some(b"alice".to_vec()), ..row("e", 5) };
        let of = |origin: &str, row: SnapshotRow| SnapshotRow { origin: Some(origin.to_owned()), ..row };
        let rows = [of("this-machine", row("a", 1)), of("other-machine", row("b", 3)), nested];
        assert_eq!(find(&rows, OsStr::new("latest")).map(|row| row.created).ok(), Some(Some(1)));
        assert_eq!(find(&rows[1..], OsStr::new("latest")).map(|row| row.created).ok(), Some(Some(3)));
        let named = [row("latest", 1), row("b", 3)];
        assert_eq!(find(&named, OsStr::new("latest")).map(|row| row.created).ok(), Some(Some(1)));
    }
}
