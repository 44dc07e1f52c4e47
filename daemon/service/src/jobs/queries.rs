//! Queries that a worker answers: the stream files on a drive, and how much a backup would send. They change nothing, are no
//! jobs, and the caller waits for the answer.

use std::path::PathBuf;
use std::time::Duration;

use butterdock_worker::files::{FileEvent, FilesOrder};
use butterdock_worker::streams::{StreamFile, StreamFileEvent};

use super::handle::Jobs;
use super::kinds::{Open, is_remembered, open_directories, open_folder, openings, task};
use crate::backups::{BackupEvent, FullReason, Identity, LeftOut, SourceProblem, lineage_at};
use crate::blocking::{BlockingQueues, Unanswered};
use crate::config::{BackupRule, WorkerRule};
use crate::destinations::{BackupRecords as _, DriveDestination, DriveRecords, close, no_descriptor};
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveManager, Lease};
use crate::types::{Error, ErrorCode};
use crate::worker::{Order, Priority, Report, WorkerError, WorkerFds, public_of_backup, public_sentence};

/// Timeout for listing stream files on a drive.
const LISTING: Duration = Duration::from_secs(30);

/// Timeout for listing files in a snapshot, or finding their versions.
const LOOKING: Duration = Duration::from_secs(60);
/// Timeout for opening the source and the drive.
const OPENING: Duration = Duration::from_secs(30);
/// Timeout for an estimate, which reads trees and no data.
const READING: Duration = Duration::from_secs(15 * 60);

impl Jobs {
    /// The stream files in a folder on a drive, in dependency order.
    ///
    /// # Errors
    /// `NotFound`: there is no such folder; `DeviceGone`, `Busy`.
    pub(crate) async fn streams(&self, lease: &Lease, folder: PathBuf) -> Result<Vec<StreamFile>, Error> {
        let folder = open_folder(lease, folder).await?;
        let (reports, error) =
            self.queries.ask(Some(lease), Order::Streams, [folder].into(), Priority::default(), LISTING).await?;
        if let Some(error) = error {
            tracing::warn!("cannot list the stream files on a drive: {}", error.message);
            return Err(Error::new(ErrorCode::Failed, public_sentence(error.kind, error.command, error.byte)));
        }
        let row = |report| if let Report::Streams(StreamFileEvent::File(row)) = report { Some(row) } else { None };
        Ok(reports.into_iter().filter_map(row).collect())
    }
}

/// The threads that look for a backup's source, by its name.
static LOOKS: BlockingQueues<String> = BlockingQueues::new("look for source", 1);

impl Jobs {
    /// Whether the source of a backup, which was refused with this problem, can be backed up now.
    pub(crate) async fn source_has_appeared(
        &self,
        rule: BackupRule,
        problem: SourceProblem,
        ours: Vec<Identity>,
    ) -> bool {
        let (sources, name) = (self.queries.sources.clone(), rule.name.as_str().to_owned());
        // One that does not answer has not appeared.
        LOOKS.of(name).run(OPENING, move || sources.has_appeared(&rule, problem, &ours)).await.unwrap_or(false)
    }
}

impl Jobs {
    /// The subvolume at the path of a backup's source, and those that it replaced. None if the source does not answer.
    pub(crate) async fn sources_now(&self, rule: BackupRule) -> Vec<Identity> {
        let (sources, name) = (self.queries.sources.clone(), rule.name.as_str().to_owned());
        let look = move || {
            let found = lineage_at(&rule.source)?;
            Some(sources.sources_now(&rule, found))
        };
        LOOKS.of(name).run(OPENING, look).await.ok().flatten().unwrap_or_default()
    }
}

/// What a backup would send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Estimated {
    /// The number of bytes at most, if it could be estimated.
    pub bytes: Option<u64>,
    /// Whether it would be an increment.
    pub incremental: bool,
    /// The reason for a full transfer.
    pub why: Option<FullReason>,
    /// The reason why it would fail, such as too little space, without names.
    pub problem: Option<String>,
    /// How many snapshots are dated in the future, and whether they are on the drive or beside the source.
    pub from_future: Vec<(bool, usize)>,
    /// The subvolumes below the source, with their paths.
    pub left_out: Option<LeftOut>,
    /// How many subvolumes below the source would be part of the run, and for how many of them everything would be sent.
    pub nested: Option<(u64, u64)>,
}

impl Jobs {
    /// What this backup would send to the leased drive.
    ///
    /// # Errors
    /// The source or the drive cannot be opened, or does not answer.
    pub(crate) async fn estimate(
        &self,
        (manager, drive, lease): (&DriveManager, &DriveId, &Lease),
        rule: BackupRule,
        worker: WorkerRule,
    ) -> Result<Estimated, Error> {
        let failed = |text: String| Error::new(ErrorCode::Failed, text);
        let destination = DriveDestination::of(lease).map_err(|error| failed(no_descriptor(&error)))?;
        let records = DriveRecords { manager, drive, lease };
        let (named, sources) = (rule.clone(), self.queries.sources.clone());
        let here = (records.machine(), is_remembered(&records, &rule));
        let open = move || open_directories(&named, false, &sources, Box::new(destination), here);
        let opening = openings(&records, &rule);
        let opening = opening.run(OPENING, open);
        let Open { source, places, sides, destination, .. } = match opening.await {
            Ok(opened) => opened.map_err(|not_opened| failed(not_opened.sentence))?,
            Err(no_thread @ Unanswered::NoThread) => return Err(failed(no_thread.to_string())),
            Err(Unanswered::Busy | Unanswered::Silent) => {
                let text = "the source or the drive does not answer; check both and their cables (dmesg)";
                return Err(Error::new(ErrorCode::DeviceGone, text));
            }
        };
        let mut task = task(&rule, source.unwrap_or_default(), &records, worker.writer_threads.map(usize::from))
            .map_err(failed)?;
        task.dry_run = true;
        (task.time, _) = self.queries.retention.time(&rule, sides).await;
        let handed = WorkerFds { places, ..WorkerFds::destination(destination.directory()) };
        let priority = super::runner::priority(worker);
        let asked = self.queries.ask(Some(lease), Order::Backup(task), handed, priority, READING).await;
        close(destination).await;
        let (reports, error) = asked?;
        Ok(estimated(&reports, error))
    }
}

fn estimated(reports: &[Report], error: Option<WorkerError>) -> Estimated {
    let mut all = Estimated::default();
    for report in reports {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other events have no number")]
        match report {
            Report::Backup(BackupEvent::Estimated { bytes, .. }) => all.bytes = Some(*bytes),
            Report::Backup(BackupEvent::Unchanged { .. }) => (all.bytes, all.incremental) = (Some(0), true),
            Report::Backup(BackupEvent::Parent { uuid, why }) => (all.incremental, all.why) = (uuid.is_some(), *why),
            Report::Backup(BackupEvent::LeftOut(left_out)) => all.left_out = Some(left_out.clone()),
            Report::Backup(BackupEvent::Nested { count, full }) => all.nested = Some((*count, *full)),
            Report::Backup(BackupEvent::FromFuture { drive, count }) => all.from_future.push((*drive, *count)),
            _other => {}
        }
    }
    // The worker's text is for the journal alone.
    let problem = error.map(
        |WorkerError {
             kind,
             message,
             command,
             byte,
             cause,
             hidden: _,
             unconfirmed: _,
             files: _,
             file: _,
             space: _,
         }| {
            tracing::warn!("cannot estimate a backup: {message}");
            public_of_backup(kind, command, byte, cause)
        },
    );
    Estimated { problem, ..all }
}

impl Jobs {
    /// A worker's answer about files in snapshots, which are on the filesystem of `place`; on a drive, its lease.
    ///
    /// # Errors
    /// `Busy`, `DeviceGone`; or why the worker has no answer.
    pub(crate) async fn files(
        &self,
        lease: Option<&Lease>,
        order: FilesOrder,
        place: DirHandle,
    ) -> Result<Vec<FileEvent>, Error> {
        let asked = self.queries.ask(lease, Order::Files(order), [place].into(), Priority::default(), LOOKING);
        let (reports, error) = asked.await?;
        if let Some(error) = error {
            tracing::info!("cannot read a snapshot: {}", error.message);
            return Err(super::kinds::files_error(&error));
        }
        let event = |report| if let Report::Files(event) = report { Some(event) } else { None };
        Ok(reports.into_iter().filter_map(event).collect())
    }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::ErrorKind;

    use super::*;
    use crate::backups::Identity;

    #[test]
    fn estimates_work_without_free_space() {
        let told = [
            Report::Backup(BackupEvent::Source { uuid: Identity([1; 16]) }),
            Report::Backup(BackupEvent::Parent { uuid: None, why: Some(FullReason::EmptyDrive) }),
            Report::Backup(BackupEvent::Estimated { bytes: 7 }),
            Report::Backup(BackupEvent::FromFuture { drive: true, count: 3 }),
        ];
        let full = WorkerError {
            kind: ErrorKind::NoSpace,
            message: "/home/secret".to_owned(),
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file: None,
            space: None,
        };
        let all = estimated(&told, Some(full));
        assert_eq!((all.bytes, all.incremental), (Some(7), false));
        assert_eq!(all.from_future, [(true, 3)]);
        assert_eq!(all.why, Some(FullReason::EmptyDrive));
        let problem = all.problem.expect("a sentence");
        assert!(problem.starts_with("the drive is full") && !problem.contains("secret"), "{problem}");
    }
}
