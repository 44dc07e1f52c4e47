//! Reads or restores files in a snapshot: one on a drive, or one beside the source of a backup.
//!
//! Such a job takes no [target](crate::jobs::queue::JobTarget): a person who opens a file does not wait for a backup to the same
//! drive. The lease keeps the drive mounted meanwhile. A request to make the drive safe ends the job.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, mounts};
use butterdock_receive::ErrorKind;
use butterdock_worker::caller::Caller;
use butterdock_worker::files::{Conflict, FileCause, FilePath, FilesOrder, FilesTask, RestoreTo};

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::{check, no_descriptor, open as open_volume};
use super::{JobContext, JobRequest, JobRun};
use crate::backups::{self, Backups, Identity, SnapshotOnDrive};
use crate::blocking::BlockingQueues;
use crate::config::{BackupRule, Config};
use crate::destinations::{BackupFolder, Destination, Space};
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveReservation, Lease, Need};
use crate::jobs::class::JobClass;
use crate::jobs::job::{About, AboutDrive, JobError};
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::queue::JobTarget;
use crate::jobs::runner::{Outcome, Runner, RunnerEvent, other_than};
use crate::types::{Error, ErrorCode, JobKind, Trigger};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::{Order, WorkerError, WorkerFds, public_of_files};

/// Timeout for opening a source.
const OPENING: Duration = Duration::from_secs(30);

/// The threads that open a source, by the name of its backup.
static OPENINGS: BlockingQueues<String> = BlockingQueues::new("open source", 1);

const END: EndRules = EndRules {
    left: |_, _| "nothing incomplete has its final name".to_owned(),
    public: public_of_files,
    ..EndRules::TRANSFER
};

/// What is done with files in a snapshot.
#[derive(Debug)]
pub(crate) struct FilesWork {
    /// The snapshot's own uuid.
    pub snapshot: Identity,
    /// The user whose rights decide; root's if none.
    pub caller: Option<Caller>,
    pub uid: u32,
    pub target: Target,
}

/// Where files go.
#[derive(Debug)]
pub(crate) enum Target {
    /// One file into a pipe; none when the worker has it.
    Pipe { path: FilePath, pipe: Option<OwnedFd> },
    /// To their places below the source of this backup.
    Source { rule: Box<BackupRule>, paths: Vec<FilePath>, conflict: Conflict, day: Vec<u8> },
    /// Into a new folder in a volume, whose directory is the one of the request.
    Volume { volume: Arc<Volume>, place: DirIdentity, paths: Vec<FilePath>, folder: FilePath, day: Vec<u8> },
}

/// Files in a snapshot on a drive.
#[derive(Debug)]
pub(crate) struct DriveFiles {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    pub work: FilesWork,
}

/// Files in a snapshot beside the source of a backup.
#[derive(Debug)]
pub(crate) struct SourceFiles {
    pub rule: BackupRule,
    pub work: FilesWork,
}

impl FilesWork {
    fn kind(&self) -> JobKind {
        match self.target {
            Target::Pipe { .. } => JobKind::Read,
            Target::Source { .. } | Target::Volume { .. } => JobKind::RestoreFiles,
        }
    }

    fn about(&self, about: About) -> About {
        let volume = self.volume().map(|volume| volume.rule.name.clone());
        About { kind: self.kind(), volume, ..about }
    }

    fn doing(&self) -> &'static str {
        match self.target {
            Target::Pipe { .. } => "reading a file in a snapshot",
            Target::Source { .. } => "restoring files to their source",
            Target::Volume { .. } => "restoring files into a volume",
        }
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        match &self.target {
            Target::Volume { volume, .. } => Some(volume),
            Target::Pipe { .. } | Target::Source { .. } => None,
        }
    }

    /// Checks that the target is configured as it was.
    fn check(&self, config: &Config) -> Result<(), Error> {
        match &self.target {
            Target::Volume { volume, .. } => check(volume, config),
            Target::Source { rule, .. } => match config.backup(rule.name.as_str()) {
                Some(now) if now.source == rule.source => Ok(()),
                Some(_) | None => Err(no_such_backup(rule.name.as_str())),
            },
            Target::Pipe { .. } => Ok(()),
        }
    }

    /// Has a worker do it. The snapshot is on the filesystem of `place`.
    async fn run(&mut self, runner: &mut Runner, place: DirHandle) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let (snapshot, caller) = (self.snapshot, self.caller.clone());
        let (task, handed, directory, swept) = match &mut self.target {
            Target::Pipe { path, pipe } => {
                let handed = WorkerFds { pipe: pipe.take(), ..WorkerFds::default() };
                (FilesTask::Read { snapshot, path: path.clone() }, handed, place, Vec::new())
            }
            Target::Source { rule, paths, conflict, day } => {
                let directory = open_source(runner, rule).await?;
                let (to, conflict, day) = (RestoreTo::Original, *conflict, day.clone());
                let task = FilesTask::Restore { snapshot, paths: paths.clone(), to, conflict, day };
                (task, [place].into(), directory, paths.clone())
            }
            Target::Volume { volume, place: expected, paths, folder, day } => {
                let directory = reach_volume(runner, volume, *expected).await?;
                let (to, conflict, day) = (RestoreTo::Folder(folder.clone()), Conflict::Fail, day.clone());
                let task = FilesTask::Restore { snapshot, paths: paths.clone(), to, conflict, day };
                (task, [place].into(), directory, vec![folder.clone()])
            }
        };
        let sweep = FilesOrder { caller: caller.clone(), task: FilesTask::Sweep { paths: swept } };
        let directory = FilesPlace { directory, sweep };
        let mut outcome = runner.work(Order::Files(FilesOrder { caller, task }), handed, &directory).await;
        if let Ending::Reported(Some(error)) = &outcome.ending
            && error.kind != ErrorKind::Cancelled
        {
            outcome.ending = Ending::JobError(failure(error));
        }
        Ok((outcome, Box::new(directory)))
    }
}

impl JobRequest for DriveFiles {
    fn about(&self) -> About {
        self.work.about(About::on_drive(self.work.kind(), self.drive.clone()))
    }

    fn doing(&self) -> String {
        format!("{}, from drive {}", self.work.doing(), self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.work.uid)
    }

    fn class(&self) -> JobClass {
        JobClass::of_files(self.work.uid)
    }

    fn places(&self) -> Vec<JobTarget> {
        Vec::new()
    }

    /// A person who looks at many files would push backups out of the history.
    fn is_recorded(&self) -> bool {
        self.work.kind() != JobKind::Read
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        self.work.volume()
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        self.work.check(config)
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl DriveTask for DriveFiles {
    const NEED: Need = Need::Read;
    const ENDS_BY_REMOVAL: bool = true;

    fn drive(&self) -> &DriveId {
        &self.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        _context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let top = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        self.work.run(runner, top.into()).await
    }
}

impl JobRequest for SourceFiles {
    fn about(&self) -> About {
        let backup = Some(self.rule.name.as_str().to_owned());
        self.work.about(About { kind: self.work.kind(), volume: None, drive: None, backup })
    }

    fn doing(&self) -> String {
        format!("{}, from the snapshots of the source of \"{}\"", self.work.doing(), self.rule.name.as_str())
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.work.uid)
    }

    fn class(&self) -> JobClass {
        JobClass::of_files(self.work.uid)
    }

    fn places(&self) -> Vec<JobTarget> {
        Vec::new()
    }

    fn is_recorded(&self) -> bool {
        self.work.kind() != JobKind::Read
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        self.work.volume()
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        let now = config.backup(self.rule.name.as_str());
        if now.is_none_or(|now| now.source != self.rule.source || now.snapshots != self.rule.snapshots) {
            return Err(no_such_backup(self.rule.name.as_str()));
        }
        self.work.check(config)
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    fn run(self: Box<Self>, mut runner: Runner, _context: &JobContext<'_>) -> JobRun {
        Box::pin(async move {
            let Self { rule, mut work } = *self;
            let done = match open_folder(&mut runner, &rule).await {
                Ok(folder) => work.run(&mut runner, folder).await,
                Err(ending) => Err(ending),
            };
            match done {
                Ok((outcome, place)) => runner.end(outcome, place).await,
                Err(ending) => runner.end_without_worker(ending).await,
            }
        })
    }
}

/// The directory that a worker reads from or restores into.
#[derive(Debug)]
struct FilesPlace {
    directory: DirHandle,
    /// Removes what a killed worker left there.
    sweep: FilesOrder,
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

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        vec![self.directory]
    }
}

/// Opens the directory of a source.
async fn open_source(runner: &mut Runner, rule: &BackupRule) -> Result<DirHandle, Ending> {
    let source = rule.source.clone();
    let open = move || backups::open_to_restore(&source).map_err(|error| (error.sentence, ErrorCode::Failed));
    open_for(runner, rule, open).await
}

/// Opens the folder for the snapshots of a source.
async fn open_folder(runner: &mut Runner, rule: &BackupRule) -> Result<DirHandle, Ending> {
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
pub(crate) async fn on_source<T: Send + 'static>(
    backup: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
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
async fn reach_volume(runner: &mut Runner, volume: &Volume, expected: DirIdentity) -> Result<DirHandle, Ending> {
    let opened = tokio::select! {
        opened = open_volume(volume) => opened.map_err(Ending::JobError)?,
        _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
    };
    if opened.place != expected {
        return Err(Ending::JobError(super::receive::another(volume)));
    }
    runner.tell(RunnerEvent::Opened(opened.mount)).await;
    Ok(opened.directory)
}

fn no_snapshots() -> (String, ErrorCode) {
    let text = "there are no snapshots beside the source: it is not mounted, or no backup was made yet";
    (text.to_owned(), ErrorCode::NotFound)
}

fn no_such_backup(name: &str) -> Error {
    let text = format!(
        "the backup \"{}\" is not configured as before; butterdock backups lists the backups",
        name.escape_debug()
    );
    Error::new(ErrorCode::NotFound, text)
}

/// The error of a query about files.
pub(in crate::jobs) fn files_error(error: &WorkerError) -> Error {
    Error::new(code(error), public_of_files(error))
}

fn failure(error: &WorkerError) -> JobError {
    JobError { message: error.message.clone(), ..JobError::plain(code(error), public_of_files(error)) }
}

/// The name of the error on the bus.
fn code(error: &WorkerError) -> ErrorCode {
    match error.file {
        Some(FileCause::NoSnapshot | FileCause::NotFound) => ErrorCode::NotFound,
        Some(FileCause::Denied | FileCause::SourceDenied | FileCause::TargetDenied | FileCause::Incomplete { .. }) => {
            ErrorCode::NotAuthorized
        }
        Some(
            FileCause::Outside
            | FileCause::NotAFile
            | FileCause::ReaderGone
            | FileCause::ReaderIdle
            | FileCause::Occupied
            | FileCause::OtherType
            | FileCause::TargetOutside,
        )
        | None => crate::jobs::outcome::error_name(error.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_may_not_read_is_not_authorized() {
        let error = |file| WorkerError {
            kind: ErrorKind::Failed,
            message: "/home/secret".to_owned(),
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file,
            space: None,
        };
        for (cause, expected) in [
            (Some(FileCause::Denied), ErrorCode::NotAuthorized),
            (Some(FileCause::NotFound), ErrorCode::NotFound),
            (Some(FileCause::Outside), ErrorCode::Failed),
            (None, ErrorCode::Failed),
        ] {
            let Error::Named(code, text) = files_error(&error(cause)) else { panic!("named") };
            assert!(code == expected && !text.contains("secret"), "{cause:?}: {text}");
        }
    }
}
