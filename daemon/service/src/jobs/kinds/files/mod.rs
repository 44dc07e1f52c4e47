//! Reads or restores files in a snapshot: one on a drive, or one beside the source of a backup.
//!
//! Such a job takes no [target](crate::jobs::queue::JobTarget): a person who opens a file does not wait for a backup to the same
//! drive. The lease keeps the drive mounted meanwhile. A request to make the drive safe ends the job.

mod beside_source;
mod on_drive;
mod pipe;
mod place;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use butterdock_receive::ErrorKind;
use butterdock_worker::caller::Caller;
use butterdock_worker::files::{Conflict, FileCause, FilePath, FilesOrder, FilesTask, RestoreTo};
use tokio::time::Instant;

pub(crate) use self::beside_source::SourceFiles;
pub(crate) use self::on_drive::DriveFiles;
pub(crate) use self::place::open_snapshots_folder;
use self::place::{FilesPlace, open_source, reach_volume};
use super::receive::check;
use crate::backups::Identity;
use crate::config::{BackupRule, Config};
use crate::destinations::Destination;
use crate::dir_handle::DirHandle;
use crate::jobs::files_limit::FilesLimit;
use crate::jobs::job::{About, JobError};
use crate::jobs::limit::Limit;
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::runner::{Outcome, Runner};
use crate::types::{Error, ErrorCode, JobKind};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::{Order, WorkerError, WorkerFds, public_of_files};

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
        let (snapshot, mut caller) = (self.snapshot, self.caller.clone());
        let mut kept = None;
        let (task, handed, directory, swept) = match &mut self.target {
            Target::Pipe { path, pipe } => {
                // The reader gets no end of the pipe before the job ends, and the worker learns when the reader leaves.
                kept = pipe.as_ref().and_then(|pipe| pipe.try_clone().ok());
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
                if let Some(caller) = &mut caller {
                    caller.target = Some(volume.rule.path.as_os_str().as_bytes().to_vec());
                }
                let (to, conflict, day) = (RestoreTo::Folder(folder.clone()), Conflict::Fail, day.clone());
                let task = FilesTask::Restore { snapshot, paths: paths.clone(), to, conflict, day };
                (task, [place].into(), directory, vec![folder.clone()])
            }
        };
        runner.limit = Some(Limit::Files(match self.target {
            Target::Pipe { .. } => FilesLimit::reading(self.uid, Instant::now()),
            Target::Source { .. } | Target::Volume { .. } => FilesLimit::restoring(self.uid, Instant::now()),
        }));
        let sweep = FilesOrder { caller: caller.clone(), task: FilesTask::Sweep { paths: swept } };
        // Only what is read there can be on the drive: files are restored to places of this machine.
        let is_on_drive = matches!(self.target, Target::Pipe { .. });
        let directory = FilesPlace { directory, is_on_drive, sweep };
        let mut outcome = runner.work(Order::Files(FilesOrder { caller, task }), handed, &directory).await;
        if let Some(pipe) = kept {
            pipe::discard(pipe).await;
        }
        if let Ending::Reported(Some(error)) = &outcome.ending
            && error.kind != ErrorKind::Cancelled
        {
            outcome.ending = Ending::JobError(failure(error));
        }
        Ok((outcome, Box::new(directory)))
    }
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

pub(super) fn failure(error: &WorkerError) -> JobError {
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
            | FileCause::TargetOutside
            | FileCause::TooDeep,
        )
        | None => crate::jobs::outcome::error_name(error.kind),
    }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::ErrorKind;

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
