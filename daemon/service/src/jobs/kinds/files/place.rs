//! The directories that a worker reads files from and restores them into.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, mounts};
use butterdock_worker::files::FilesOrder;

use crate::backups::{self, Backups, SnapshotOnDrive};
use crate::blocking::BlockingQueues;
use crate::config::BackupRule;
use crate::destinations::{BackupFolder, Destination, Space};
use crate::dir_handle::DirHandle;
use crate::jobs::job::JobError;
use crate::jobs::kinds::receive::{another, open as open_volume};
use crate::jobs::outcome::Ending;
use crate::jobs::runner::{Runner, RunnerEvent, other_than};
use crate::types::{Error, ErrorCode};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::{Order, WorkerFds};

/// Timeout for opening a source.
const OPENING: Duration = Duration::from_secs(30);

/// The threads that open a source, by the name of its backup.
static OPENINGS: BlockingQueues<String> = BlockingQueues::new("open source", 1);

/// The directory that a worker reads from or restores into.
#[derive(Debug)]
pub(super) struct FilesPlace {
    pub(super) directory: DirHandle,
    /// Whether it goes away with the drive that the snapshot is on.
    pub(super) is_on_drive: bool,
    /// Removes what a killed worker left there.
    pub(super) sweep: FilesOrder,
}

impl Destination for FilesPlace {
    fn list(&self, remembered: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault> {
        backups::list_snapshots(self.directory.as_fd(), remembered)
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.directory)
    }

    fn receive(&mut self, _backup: &BackupFolder<'_>) -> Result<(), String> {
        Err("files are restored here, and no backups; name a volume or a drive".to_owned())
    }

    fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    fn delete(&self) -> (Order, WorkerFds<'_>) {
        (Order::Files(self.sweep.clone()), WorkerFds::destination(self.directory.as_fd()))
    }

    fn is_on_drive(&self) -> bool {
        self.is_on_drive
    }

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        vec![self.directory]
    }
}

/// Opens the directory of a source.
pub(super) async fn open_source(runner: &mut Runner, rule: &BackupRule) -> Result<DirHandle, Ending> {
    let source = rule.source.clone();
    let open = move || backups::open_to_restore(&source).map_err(|error| (error.sentence, ErrorCode::Failed));
    open_for(runner, rule, open).await
}

/// Opens the folder for the snapshots of a source.
pub(super) async fn open_folder(runner: &mut Runner, rule: &BackupRule) -> Result<DirHandle, Ending> {
    let (source, snapshots) = (rule.source.clone(), rule.snapshots.clone());
    let open = move || backups::open_existing(&source, &snapshots).ok_or_else(no_snapshots);
    open_for(runner, rule, open).await
}

/// The same for a query.
///
/// # Errors
/// `NotFound`, `DeviceGone`.
pub(crate) async fn open_snapshots_folder(rule: &BackupRule) -> Result<DirHandle, Error> {
    let (source, snapshots) = (rule.source.clone(), rule.snapshots.clone());
    let open = move || backups::open_existing(&source, &snapshots).ok_or_else(no_snapshots);
    let opened = on_source(rule.name.as_str(), open).await?;
    opened.map(DirHandle::from).map_err(|(text, code)| Error::new(code, text))
}

/// Runs a call that may block as long as the source of this backup does.
///
/// # Errors
/// `DeviceGone`: it does not answer.
async fn on_source<T: Send + 'static>(backup: &str, call: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let answered = OPENINGS.of(backup.to_owned()).run(OPENING, call).await;
    answered.map_err(|unanswered| Error::new(ErrorCode::DeviceGone, unanswered.to_string()))
}

async fn open_for(
    runner: &mut Runner,
    rule: &BackupRule,
    open: impl FnOnce() -> Result<OwnedFd, (String, ErrorCode)> + Send + 'static,
) -> Result<DirHandle, Ending> {
    let opening = OPENINGS.of(rule.name.as_str().to_owned());
    let opened = tokio::select! {
        opened = opening.run(OPENING, open) => opened,
        // After a cancel, do not wait for a drive that does not respond.
        _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
    };
    match opened {
        Ok(Ok(directory)) => {
            runner.tell(RunnerEvent::Opened(mounts::unique_id(&directory))).await;
            Ok(directory.into())
        }
        Ok(Err((text, code))) => Err(Ending::JobError(JobError::plain(code, text))),
        Err(unanswered) => Err(Ending::JobError(JobError::plain(ErrorCode::DeviceGone, unanswered.to_string()))),
    }
}

/// Opens the volume, if its directory is the one of the request.
pub(super) async fn reach_volume(
    runner: &mut Runner,
    volume: &Volume,
    expected: DirIdentity,
) -> Result<DirHandle, Ending> {
    let opened = tokio::select! {
        opened = open_volume(volume) => opened.map_err(Ending::JobError)?,
        _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
    };
    if opened.place != expected {
        return Err(Ending::JobError(another(volume)));
    }
    runner.tell(RunnerEvent::Opened(opened.mount)).await;
    Ok(opened.directory)
}

fn no_snapshots() -> (String, ErrorCode) {
    let text = "there are no snapshots beside the source: it is not mounted, or no backup was made yet";
    (text.to_owned(), ErrorCode::NotFound)
}
