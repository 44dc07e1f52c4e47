//! Requests about files in snapshots: on a destination, or beside the source of a backup.
//!
//! A user without the right to restore reaches only the snapshots that [`own_files`](crate::own_files) names. The worker takes the
//! identity of the user, and the kernel decides which files can be read and written. The user must also be able to enter the source,
//! because a directory above it may keep the user out.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use butterdock_receive::StreamPath;
use butterdock_worker::caller::Caller;
use butterdock_worker::files::{
    Conflict, FileEvent, FilePath, FileRow, FilesOrder, FilesTask, MOST_PATHS, MOST_ROWS, MOST_SNAPSHOTS,
    SELECTION_MAX, day,
};
use uuid::Uuid;

use crate::backups::{Identity, MadeBy, SnapshotOnDrive, list_source_snapshots};
use crate::config::BackupRule;
use crate::drives::{DriveReservation, Need};
use crate::jobs::{DriveFiles, FilesWork, JobHandle, SourceFiles, Target, open_snapshots_folder};
use crate::own_files::{Access, Rights};
use crate::service::Service;
use crate::types::{DestinationId, Error, ErrorCode};
use crate::volumes::Volume;

/// The largest number of snapshots in which a path is looked for: the newest.
const MOST_VERSIONS: usize = 4 * MOST_SNAPSHOTS;
/// The longest name of a file.
const LONGEST_NAME: usize = 255;

/// The snapshots that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotsAt {
    /// Those on this destination.
    Destination(DestinationId),
    /// Those beside the source of this backup.
    Source(String),
}

/// One page of a list of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileList {
    /// The files, in the order of their names as bytes.
    pub rows: Vec<FileRow>,
    /// There are more after the last one.
    pub more: bool,
}

/// A file as it is in one snapshot, and in older ones next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// The newest snapshot that has it.
    pub snapshot: SnapshotOnDrive,
    /// The file.
    pub row: FileRow,
    /// When the oldest of these snapshots was made: seconds since 1970.
    pub oldest: Option<i64>,
    /// The number of these snapshots.
    pub snapshots: u64,
}

/// Files to be restored.
#[derive(Debug)]
pub struct RestoreFilesRequest {
    /// Where the snapshot is.
    pub at: SnapshotsAt,
    /// Its uuid.
    pub snapshot: String,
    /// The files and directories, from the root of the snapshot.
    pub paths: Vec<Vec<u8>>,
    /// Where they go; their original places if none.
    pub volume: Option<Arc<Volume>>,
    /// The name of the new folder in the volume.
    pub folder: Option<Vec<u8>>,
    /// What happens to files that exist at their original places.
    pub conflict: Conflict,
    /// Whose rights decide.
    pub rights: Rights,
    /// The user.
    pub uid: u32,
}

impl Service {
    /// The snapshots beside the source of a backup, the newest first.
    ///
    /// # Errors
    /// `NotFound`: no such backup, or no snapshots; `DeviceGone`.
    async fn list_source_snapshots(&self, backup: &str) -> Result<Vec<SnapshotOnDrive>, Error> {
        let rule = self.backup_rule(backup)?;
        let folder = open_snapshots_folder(&rule).await?;
        let name = backup.to_owned();
        let listed = crate::jobs::on_source(backup, move || {
            let found = list_source_snapshots(folder.as_fd(), &name);
            (folder, found)
        });
        let (folder, found) = listed.await?;
        folder.close().await;
        found
            .map_err(|fault| Error::new(ErrorCode::Failed, format!("cannot list the snapshots of the source: {fault}")))
    }

    /// The snapshots that this machine made, and a user those that [`own_files`](crate::own_files) names, without their paths.
    ///
    /// # Errors
    /// As for [`Service::list_files`].
    pub async fn list_own_snapshots(&self, at: &SnapshotsAt, rights: &Rights) -> Result<Vec<SnapshotOnDrive>, Error> {
        self.leave_safe(at, rights)?;
        let found = self.snapshots_at(at).await?;
        let access = self.access(&found, rights).await;
        Ok(access.shown(found))
    }

    /// Lists a directory in a snapshot; a file lists itself.
    ///
    /// # Errors
    /// `NotFound`, `NotAuthorized`, `InvalidArgs`; or the drive cannot be used.
    pub async fn list_files(
        &self,
        at: &SnapshotsAt,
        snapshot: &str,
        path: Vec<u8>,
        (after, limit): (Option<Vec<u8>>, Option<u64>),
        rights: &Rights,
    ) -> Result<FileList, Error> {
        let (snapshot, path) = (identity(snapshot)?, checked(path)?);
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(MOST_ROWS).clamp(1, MOST_ROWS);
        self.leave_safe(at, rights)?;
        let reserved = self.reserve_at(at);
        let asked = async {
            let caller = self.caller(at, snapshot, rights).await?;
            let task = FilesTask::List { snapshot, path, after: after.map(FilePath), limit };
            self.ask_files(at, FilesOrder { caller, task }).await
        };
        let mut list = FileList::default();
        for event in released(asked, reserved).await? {
            match event {
                FileEvent::Row(row) => list.rows.push(row),
                FileEvent::Listed { more } => list.more = more,
                FileEvent::Version { .. } | FileEvent::Total { .. } | FileEvent::Restored(_) => {}
            }
        }
        Ok(list)
    }

    /// The versions of a file: the snapshots in which it exists, of one backup or of all, each backup's newest first. Snapshots
    /// next to each other in which it has the same type, size and time are one version.
    ///
    /// # Errors
    /// As for [`Service::list_files`].
    pub async fn file_versions(
        &self,
        at: &SnapshotsAt,
        path: Vec<u8>,
        backup: Option<&str>,
        rights: &Rights,
    ) -> Result<Vec<FileVersion>, Error> {
        let path = checked(path)?;
        self.leave_safe(at, rights)?;
        let reserved = self.reserve_at(at);
        let asked = async {
            let mut snapshots = self.snapshots_at(at).await?;
            snapshots.retain(|snapshot| backup.is_none() || snapshot.backup.as_deref() == backup);
            let access = self.access(&snapshots, rights).await;
            snapshots.retain(|snapshot| access.caller_of(snapshot).is_ok());
            snapshots.truncate(MOST_VERSIONS);
            self.versions(at, &path, snapshots, &access).await
        };
        released(asked, reserved).await
    }

    /// Reads a file: the end of a pipe that has its content, and the job that fills it. The reader learns from the job whether
    /// the content is complete.
    ///
    /// # Errors
    /// As for [`Service::list_files`]; `Busy`.
    pub async fn open_file(
        &self,
        at: &SnapshotsAt,
        snapshot: &str,
        path: Vec<u8>,
        (rights, uid): (&Rights, u32),
    ) -> Result<(OwnedFd, JobHandle), Error> {
        let (snapshot, path) = (identity(snapshot)?, checked(path)?);
        self.leave_safe(at, rights)?;
        let reserved = self.reserve_at(at);
        let begun = async {
            let caller = self.caller(at, snapshot, rights).await?;
            let failed = |error| Error::new(ErrorCode::Failed, format!("cannot make a pipe: {error}; try again"));
            let (reader, writer) = std::io::pipe().map_err(failed)?;
            let target = Target::Pipe { path, pipe: Some(writer.into()) };
            let job = self.start_files(at, FilesWork { snapshot, caller, uid, target }).await?;
            Ok((reader.into(), job))
        };
        released(begun, reserved).await
    }

    /// Restores files and directories from a snapshot.
    ///
    /// # Errors
    /// As for [`Service::list_files`]; `NotFound`: the backup is not configured any more; `Busy`.
    pub async fn restore_files(&self, request: RestoreFilesRequest) -> Result<JobHandle, Error> {
        let RestoreFilesRequest { at, snapshot, paths, volume, folder, conflict, rights, uid } = request;
        let (snapshot, paths) = (identity(&snapshot)?, selection(paths)?);
        let day = day(i64::try_from(self.0.clock.micros() / 1_000_000).unwrap_or_default());
        self.leave_safe(&at, &rights)?;
        let reserved = self.reserve_at(&at);
        let begun = async {
            let caller = self.caller(&at, snapshot, &rights).await?;
            let target = match volume {
                Some(volume) => {
                    let default = || [b"restored-", day.as_slice()].concat();
                    let folder = FilePath(folder_name(folder.unwrap_or_else(default))?);
                    let place = self.volume_place(&volume).await?;
                    Target::Volume { volume, place, paths, folder, day }
                }
                None if folder.is_some() => {
                    let text = "the option folder needs the option target: a new folder is made in a volume";
                    return Err(Error::InvalidArgs(text.to_owned()));
                }
                None => {
                    let rule = Box::new(self.source_of(&at, snapshot).await?);
                    Target::Source { rule, paths, conflict, day }
                }
            };
            self.start_files(&at, FilesWork { snapshot, caller, uid, target }).await
        };
        released(begun, reserved).await
    }

    async fn start_files(&self, at: &SnapshotsAt, work: FilesWork) -> Result<JobHandle, Error> {
        match at {
            SnapshotsAt::Destination(id) => {
                let drive = self.about(self.0.manager.named(id.as_str()))?;
                let reservation = self.0.manager.reserve(&drive.id);
                self.0.jobs.start(DriveFiles { reservation, drive, work }).await
            }
            SnapshotsAt::Source(backup) => {
                let rule = self.backup_rule(backup)?;
                self.0.jobs.start(SourceFiles { rule, work }).await
            }
        }
    }

    /// Looks for a path in these snapshots.
    async fn versions(
        &self,
        at: &SnapshotsAt,
        path: &FilePath,
        snapshots: Vec<SnapshotOnDrive>,
        access: &Access<'_>,
    ) -> Result<Vec<FileVersion>, Error> {
        let mut versions = Vec::new();
        let mut denied = None;
        for group in by_backup(snapshots) {
            let mut found = Vec::new();
            for part in group.chunks(MOST_SNAPSHOTS) {
                let caller = match part.first() {
                    Some(first) => access.caller_of(first)?,
                    None => None,
                };
                let snapshots = part.iter().map(|snapshot| snapshot.uuid).collect();
                let task = FilesTask::Versions { snapshots, path: path.clone() };
                match self.ask_files(at, FilesOrder { caller, task }).await {
                    Ok(events) => found.extend(events),
                    // The source of one backup may be closed to the user, and that of another not.
                    Err(error) if error.code() == ErrorCode::NotAuthorized => denied = Some(error),
                    Err(error) => return Err(error),
                }
            }
            versions.extend(folded(&group, &found));
        }
        match denied {
            Some(error) if versions.is_empty() => Err(error),
            Some(_) | None => Ok(versions),
        }
    }

    /// A worker's answer about files.
    async fn ask_files(&self, at: &SnapshotsAt, order: FilesOrder) -> Result<Vec<FileEvent>, Error> {
        match at {
            SnapshotsAt::Destination(id) => {
                let lease = self.0.manager.lease(&self.0.manager.named(id.as_str()), Need::Read).await?;
                let answer = match lease.root().try_clone_to_owned() {
                    Ok(top) => self.0.jobs.files(Some(&lease), order, top.into()).await,
                    Err(error) => Err(Error::new(ErrorCode::Failed, crate::destinations::no_descriptor(&error))),
                };
                lease.close().await;
                answer
            }
            SnapshotsAt::Source(backup) => {
                let folder = open_snapshots_folder(&self.backup_rule(backup)?).await?;
                self.0.jobs.files(None, order, folder).await
            }
        }
    }

    /// Refuses a drive that a person made safe to unplug: only those who may make it safe use it again before its next plug.
    fn leave_safe(&self, at: &SnapshotsAt, rights: &Rights) -> Result<(), Error> {
        let SnapshotsAt::Destination(id) = at else { return Ok(()) };
        if *rights == Rights::Root || !self.0.manager.is_made_safe(&self.0.manager.named(id.as_str())) {
            return Ok(());
        }
        let text = "the drive was made safe to unplug; plug it in again, or ask an administrator (--as-root)";
        Err(Error::new(ErrorCode::DeviceGone, text))
    }

    /// Keeps a drive mounted between the steps of one request.
    fn reserve_at(&self, at: &SnapshotsAt) -> Option<DriveReservation> {
        match at {
            SnapshotsAt::Destination(id) => Some(self.0.manager.reserve(&self.0.manager.named(id.as_str()))),
            SnapshotsAt::Source(_) => None,
        }
    }

    /// The snapshots at a place.
    ///
    /// # Errors
    /// The place is away, cannot be used, or does not answer.
    pub async fn snapshots_at(&self, at: &SnapshotsAt) -> Result<Vec<SnapshotOnDrive>, Error> {
        match at {
            SnapshotsAt::Destination(id) => self.list_snapshots(id).await,
            SnapshotsAt::Source(backup) => self.list_source_snapshots(backup).await,
        }
    }

    async fn snapshot_at(&self, at: &SnapshotsAt, snapshot: Identity) -> Result<SnapshotOnDrive, Error> {
        let found = self.snapshots_at(at).await?.into_iter().find(|found| found.uuid == snapshot);
        found.ok_or_else(no_snapshot)
    }

    /// The user whose identity a worker takes to read this snapshot; none for root.
    async fn caller(&self, at: &SnapshotsAt, snapshot: Identity, rights: &Rights) -> Result<Option<Caller>, Error> {
        match (rights, at) {
            (Rights::Root, SnapshotsAt::Destination(_)) => Ok(None),
            // Beside a source there are read-only subvolumes that are no snapshots of this backup.
            (Rights::Root, SnapshotsAt::Source(_)) => self.snapshot_at(at, snapshot).await.map(|_found| None),
            (Rights::User { .. }, _) => {
                let found = self.snapshot_at(at, snapshot).await?;
                self.access(std::slice::from_ref(&found), rights).await.caller_of(&found)
            }
        }
    }

    /// The backup whose source a snapshot is of.
    async fn source_of(&self, at: &SnapshotsAt, snapshot: Identity) -> Result<BackupRule, Error> {
        let found = self.snapshot_at(at, snapshot).await?;
        if found.nested.is_some() {
            let text =
                "the snapshot is one of a subvolume below the source of its backup; restore its files into a volume";
            return Err(Error::new(ErrorCode::NotFound, text));
        }
        let backup = found.backup.as_deref().filter(|_| found.from == MadeBy::ThisMachine);
        let Some(backup) = backup else {
            let text = "this machine did not make the snapshot, so its files have no original place here; restore them into a \
                        volume";
            return Err(Error::new(ErrorCode::NotFound, text));
        };
        self.backup_rule(backup)
    }

    fn backup_rule(&self, backup: &str) -> Result<BackupRule, Error> {
        let found = self.0.manager.rule(backup).map(|(rule, _)| rule);
        found.ok_or_else(|| {
            let name = backup.escape_debug();
            let text = format!("there is no backup \"{name}\" any more; butterdock backups lists the backups");
            Error::new(ErrorCode::NotFound, text)
        })
    }
}

/// The answer, after the drive is released if this was its last use.
async fn released<T>(
    answer: impl Future<Output = Result<T, Error>>,
    reserved: Option<DriveReservation>,
) -> Result<T, Error> {
    let answer = answer.await;
    if let Some(reserved) = reserved {
        // What goes wrong is the drive's problem, and is in the journal.
        drop(reserved.end().await);
    }
    answer
}

/// The snapshots of each backup, each group as it was sorted.
fn by_backup(snapshots: Vec<SnapshotOnDrive>) -> Vec<Vec<SnapshotOnDrive>> {
    /// The backup's name, another machine, and a subvolume below the source.
    type Key = (Option<String>, Option<Identity>, Option<Vec<u8>>);
    let mut groups: Vec<(Key, Vec<SnapshotOnDrive>)> = Vec::new();
    for snapshot in snapshots {
        let machine = match snapshot.from {
            MadeBy::OtherMachine(machine) => Some(machine),
            MadeBy::ThisMachine | MadeBy::Unknown => None,
        };
        let nested = snapshot.nested.as_ref().map(|nested| nested.path.clone());
        let key = (snapshot.backup.clone(), machine, nested);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(snapshot),
            None => groups.push((key, vec![snapshot])),
        }
    }
    groups.sort_by(|one, other| one.0.cmp(&other.0));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The versions in the snapshots of one backup, which are sorted from new to old. Equal neighbours are one version.
fn folded(snapshots: &[SnapshotOnDrive], found: &[FileEvent]) -> Vec<FileVersion> {
    let row_of = |snapshot: &SnapshotOnDrive| {
        found.iter().find_map(|event| match event {
            FileEvent::Version { snapshot: uuid, row } if *uuid == snapshot.uuid => Some(row),
            FileEvent::Version { .. }
            | FileEvent::Row(_)
            | FileEvent::Listed { .. }
            | FileEvent::Total { .. }
            | FileEvent::Restored(_) => None,
        })
    };
    let mut versions: Vec<FileVersion> = Vec::new();
    let mut is_next_to = false;
    for snapshot in snapshots {
        let Some(row) = row_of(snapshot) else {
            is_next_to = false;
            continue;
        };
        let is_same = |version: &FileVersion| {
            (version.row.kind, version.row.size, version.row.modified) == (row.kind, row.size, row.modified)
        };
        match versions.last_mut().filter(|last| is_next_to && is_same(last)) {
            Some(last) => {
                last.oldest = snapshot.made;
                last.snapshots = last.snapshots.saturating_add(1);
            }
            None => versions.push(FileVersion {
                snapshot: snapshot.clone(),
                row: row.clone(),
                oldest: snapshot.made,
                snapshots: 1,
            }),
        }
        is_next_to = true;
    }
    versions
}

fn identity(snapshot: &str) -> Result<Identity, Error> {
    Uuid::try_parse(snapshot).map(|uuid| Identity(uuid.into_bytes())).map_err(|_other| no_snapshot())
}

fn no_snapshot() -> Error {
    let text =
        "there is no such snapshot there; a snapshot is named by its uuid, and butterdock ls lists the snapshots";
    Error::new(ErrorCode::NotFound, text)
}

/// A path from the root of a snapshot; empty for the root.
fn checked(path: Vec<u8>) -> Result<FilePath, Error> {
    match StreamPath::new(&path) {
        Ok(_) => Ok(FilePath(path)),
        Err(why) => Err(Error::InvalidArgs(format!(
            "a path is relative to the root of the snapshot, without empty parts, \".\" and \"..\": {why}"
        ))),
    }
}

/// The selected paths.
fn selection(paths: Vec<Vec<u8>>) -> Result<Vec<FilePath>, Error> {
    let length: usize = paths.iter().map(Vec::len).sum();
    let refused = |text: String| Err(Error::InvalidArgs(text));
    if paths.is_empty() {
        return refused("no path is given; name the files to restore".to_owned());
    }
    if paths.len() > MOST_PATHS || length > SELECTION_MAX {
        return refused(format!(
            "up to {MOST_PATHS} paths with {SELECTION_MAX} bytes can be restored at a time; name the directory that they are in"
        ));
    }
    if paths.iter().any(Vec::is_empty) {
        return refused("the root of a snapshot is restored with Restore; name files or directories in it".to_owned());
    }
    paths.into_iter().map(checked).collect()
}

/// The name of a new folder in a volume.
fn folder_name(name: Vec<u8>) -> Result<Vec<u8>, Error> {
    let is_name = !name.is_empty() && !name.starts_with(b".") && !name.contains(&b'/') && name.len() <= LONGEST_NAME;
    if is_name && !name.contains(&0) {
        return Ok(name);
    }
    let text = "the option folder is one name of up to 255 bytes that does not begin with a dot";
    Err(Error::InvalidArgs(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use butterdock_worker::files::FileKind;

    use super::*;

    fn snapshot(number: u8, backup: Option<&str>) -> SnapshotOnDrive {
        SnapshotOnDrive {
            name: vec![number],
            uuid: Identity([number; 16]),
            received_uuid: None,
            parent_uuid: None,
            source: None,
            backup: backup.map(str::to_owned),
            made: Some(i64::from(number)),
            from: MadeBy::ThisMachine,
            pinned: false,
            left_over: false,
            held: None,
            path: Vec::new(),
            nested: None,
        }
    }

    fn version(number: u8, size: u64) -> FileEvent {
        let row = FileRow {
            name: b"a".to_vec(),
            kind: FileKind::File,
            size,
            modified: 7,
            mode: 0o644,
            uid: 0,
            gid: 0,
            target: None,
        };
        FileEvent::Version { snapshot: Identity([number; 16]), row }
    }

    #[test]
    fn equal_neighbours_are_one_version() {
        let snapshots: Vec<_> = [9, 8, 7, 6, 5, 4].map(|number| snapshot(number, Some("home"))).into();
        // It is missing in 6, and has another size in 9.
        let found = [version(9, 2), version(8, 1), version(7, 1), version(5, 1), version(4, 1)];
        let versions = folded(&snapshots, &found);
        let rows: Vec<_> = versions
            .iter()
            .map(|version| (version.snapshot.made, version.oldest, version.row.size, version.snapshots))
            .collect();
        assert_eq!(rows, [(Some(9), Some(9), 2, 1), (Some(8), Some(7), 1, 2), (Some(5), Some(4), 1, 2)]);
    }

    #[test]
    fn versions_of_different_backups_stay_apart() {
        let groups =
            by_backup(vec![snapshot(3, Some("b")), snapshot(2, None), snapshot(1, Some("a")), snapshot(0, Some("b"))]);
        let names: Vec<Vec<u8>> =
            groups.iter().map(|group| group.iter().flat_map(|snapshot| snapshot.name.clone()).collect()).collect();
        assert_eq!(names, [vec![2], vec![1], vec![3, 0]]);
    }

    #[test]
    fn paths_that_could_lead_outside_are_refused() {
        for path in [&b"/etc"[..], b"..", b"a/../b", b"a//b", b"a/", b"a\0b", &[b'x'; 300], b"./a"] {
            assert!(matches!(checked(path.to_vec()), Err(Error::InvalidArgs(_))), "{}", path.escape_ascii());
        }
        assert_eq!(checked(b"a\n\xff/b".to_vec()), Ok(FilePath(b"a\n\xff/b".to_vec())));
        assert!(selection(Vec::new()).is_err() && selection(vec![Vec::new()]).is_err());
        assert!(selection(vec![b"a".to_vec(); MOST_PATHS + 1]).is_err());
        assert!(selection(vec![vec![b'x'; 200]; SELECTION_MAX / 200 + 1]).is_err());
        for name in [&b""[..], b".", b"..", b"a/b", b".hidden", b"a\0"] {
            assert!(folder_name(name.to_vec()).is_err(), "{}", name.escape_ascii());
        }
    }
}
