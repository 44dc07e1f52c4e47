//! Requests about files in snapshots: on a destination, or beside the source of a backup.
//!
//! A user without the right to restore reaches only the snapshots that [`own_files`](crate::own_files) names. The worker takes the
//! identity of the user, and the kernel decides which files can be read and written. The user must also be able to enter the source,
//! because a directory above it may keep the user out.

mod arguments;
mod versions;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use butterdock_worker::caller::Caller;
use butterdock_worker::files::{Conflict, FileEvent, FilePath, FileRow, FilesOrder, FilesTask, MOST_ROWS, day};

use self::arguments::{checked, folder_name, identity, no_snapshot, not_of_a_backup, selection};
pub use self::versions::FileVersion;
use crate::backups::{Identity, MadeBy, SnapshotOnDrive};
use crate::config::BackupRule;
use crate::drives::{DriveReservation, Need};
use crate::jobs::{DriveFiles, FilesWork, JobHandle, SourceFiles, Target, open_snapshots_folder};
use crate::own_files::Rights;
use crate::service::Service;
use crate::snapshots::SnapshotPlace;
use crate::types::{Error, ErrorCode};
use crate::volumes::Volume;

/// One page of a list of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileList {
    /// The files, in the order of their names as bytes.
    pub rows: Vec<FileRow>,
    /// There are more after the last one.
    pub more: bool,
}

/// Files to be restored.
#[derive(Debug)]
pub struct RestoreFilesRequest {
    /// Where the snapshot is.
    pub at: SnapshotPlace,
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
    /// The snapshots that this machine made, and a user those that [`own_files`](crate::own_files) names, without their paths.
    ///
    /// # Errors
    /// As for [`Service::list_files`].
    pub async fn list_own_snapshots(&self, at: &SnapshotPlace, rights: &Rights) -> Result<Vec<SnapshotOnDrive>, Error> {
        self.leave_safe(at, rights)?;
        let found = self.list_snapshots_at(at).await?;
        let access = self.access(&found, rights).await;
        Ok(access.shown(found))
    }

    /// Lists a directory in a snapshot; a file lists itself.
    ///
    /// # Errors
    /// `NotFound`, `NotAuthorized`, `InvalidArgs`; or the drive cannot be used.
    pub async fn list_files(
        &self,
        at: &SnapshotPlace,
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

    /// Reads a file: the end of a pipe that has its content, and the job that fills it. The reader learns from the job whether
    /// the content is complete.
    ///
    /// # Errors
    /// As for [`Service::list_files`]; `Busy`.
    pub async fn open_file(
        &self,
        at: &SnapshotPlace,
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

    async fn start_files(&self, at: &SnapshotPlace, work: FilesWork) -> Result<JobHandle, Error> {
        match at {
            SnapshotPlace::Destination(id) => {
                let drive = self.about(self.0.manager.named(id.as_str()))?;
                let reservation = self.0.manager.reserve(&drive.id);
                self.0.jobs.start(DriveFiles { reservation, drive, work }).await
            }
            SnapshotPlace::Source(backup) => {
                let rule = self.rule_of(backup)?;
                self.0.jobs.start(SourceFiles { rule, work }).await
            }
        }
    }

    /// A worker's answer about files.
    async fn ask_files(&self, at: &SnapshotPlace, order: FilesOrder) -> Result<Vec<FileEvent>, Error> {
        match at {
            SnapshotPlace::Destination(id) => {
                let lease = self.0.manager.lease(&self.0.manager.named(id.as_str()), Need::Read).await?;
                let answer = match lease.root().try_clone_to_owned() {
                    Ok(top) => self.0.jobs.files(Some(&lease), order, top.into()).await,
                    Err(error) => Err(Error::new(ErrorCode::Failed, crate::destinations::no_descriptor(&error))),
                };
                lease.close().await;
                answer
            }
            SnapshotPlace::Source(backup) => {
                let folder = open_snapshots_folder(&self.rule_of(backup)?).await?;
                self.0.jobs.files(None, order, folder).await
            }
        }
    }

    /// Refuses a drive that a person made safe to unplug: only those who may make it safe use it again before its next plug.
    fn leave_safe(&self, at: &SnapshotPlace, rights: &Rights) -> Result<(), Error> {
        let SnapshotPlace::Destination(id) = at else { return Ok(()) };
        if *rights == Rights::Root || !self.0.manager.is_made_safe(&self.0.manager.named(id.as_str())) {
            return Ok(());
        }
        let text = "the drive was made safe to unplug; plug it in again, or ask an administrator (--as-root)";
        Err(Error::new(ErrorCode::DeviceGone, text))
    }

    /// Keeps a drive mounted between the steps of one request.
    fn reserve_at(&self, at: &SnapshotPlace) -> Option<DriveReservation> {
        match at {
            SnapshotPlace::Destination(id) => Some(self.0.manager.reserve(&self.0.manager.named(id.as_str()))),
            SnapshotPlace::Source(_) => None,
        }
    }

    async fn snapshot_at(&self, at: &SnapshotPlace, snapshot: Identity) -> Result<SnapshotOnDrive, Error> {
        let found = self.list_snapshots_at(at).await?.into_iter().find(|found| found.uuid == snapshot);
        found.ok_or_else(no_snapshot)
    }

    /// The user whose identity a worker takes to read this snapshot; none for root.
    async fn caller(&self, at: &SnapshotPlace, snapshot: Identity, rights: &Rights) -> Result<Option<Caller>, Error> {
        if *rights == Rights::Root {
            return self.check_of_a_backup(at, snapshot).await.map(|()| None);
        }
        let found = self.snapshot_at(at, snapshot).await?;
        self.access(std::slice::from_ref(&found), rights).await.caller_of(&found)
    }

    /// Refuses a subvolume that is no snapshot of a backup, where there may be others.
    pub(crate) async fn check_of_a_backup(&self, at: &SnapshotPlace, snapshot: Identity) -> Result<(), Error> {
        if self.is_drive(at) || self.snapshot_at(at, snapshot).await?.from != MadeBy::Unknown {
            return Ok(());
        }
        Err(not_of_a_backup())
    }

    /// Whether a place is an enrolled drive, which has backups. The filesystem of a volume or of a source also has read-only
    /// subvolumes of other programs, which the right to restore does not cover.
    pub(super) fn is_drive(&self, at: &SnapshotPlace) -> bool {
        match at {
            SnapshotPlace::Destination(id) => self.0.manager.volume_name(&self.0.manager.named(id.as_str())).is_none(),
            SnapshotPlace::Source(_) => false,
        }
    }

    /// The backup whose source a snapshot is of.
    async fn source_of(&self, at: &SnapshotPlace, snapshot: Identity) -> Result<BackupRule, Error> {
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
        self.rule_of(backup)
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
