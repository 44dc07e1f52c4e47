//! How much a backup would send: the worker makes a snapshot, has the kernel tell what changed, and deletes the snapshot.

use std::time::Duration;

use crate::types::{Error, ErrorCode};

use super::handle::Jobs;
use super::kinds::{Open, is_remembered, open_places, openings, task};
use crate::backups::{BackupEvent, Why};
use crate::blocking::Unanswered;
use crate::config::{BackupRule, WorkerRule};
use crate::destinations::{BackupRecords as _, DriveDestination, DriveRecords, close, no_descriptor};
use crate::drives::{DriveId, DriveManager, Lease};
use crate::worker::{Handed, Order, Report, WorkerError, public_of_backup};

/// The source and the drive have so long to answer when they are opened.
const OPENING: Duration = Duration::from_secs(30);
/// Everything that changed is read of the trees, and no data.
const READING: Duration = Duration::from_secs(15 * 60);

/// What a backup would send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Estimated {
    /// At most so many bytes, where that could be worked out.
    pub bytes: Option<u64>,
    /// Only what changed.
    pub incremental: bool,
    /// Why everything.
    pub why: Option<Why>,
    /// Why it could not be made, such as that there is no room for it. It names nothing.
    pub problem: Option<String>,
    /// How many snapshots are dated in the future, and whether they are on the drive or beside the source.
    pub from_future: Vec<(bool, usize)>,
}

impl Jobs {
    /// What this backup would send to the drive that is held.
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
        let open = move || open_places(&named, &sources, Box::new(destination), here);
        let opening = openings(&records, &rule);
        let opening = opening.run(OPENING, open);
        let Open { source, places, sides, destination, .. } = match opening.await {
            Ok(opened) => opened.map_err(failed)?,
            Err(no_thread @ Unanswered::NoThread) => return Err(failed(no_thread.to_string())),
            Err(Unanswered::Busy | Unanswered::Silent) => {
                let text = "the source or the drive does not answer; check both and their cables (dmesg)";
                return Err(Error::new(ErrorCode::DeviceGone, text));
            }
        };
        let mut task = task(&rule, source, &records, worker.writer_threads.map(usize::from)).map_err(failed)?;
        task.dry_run = true;
        (task.time, _) = self.queries.retention.time(&rule, sides).await;
        let handed = Handed { places, ..Handed::destination(destination.directory()) };
        let priority = super::scheduler::priority(worker);
        let asked = self.queries.ask(lease, Order::Backup(task), handed, priority, READING).await;
        close(destination).await;
        let (told, error) = asked?;
        Ok(estimated(&told, error))
    }
}

fn estimated(told: &[Report], error: Option<WorkerError>) -> Estimated {
    let mut all = Estimated::default();
    for report in told {
        #[expect(clippy::wildcard_enum_match_arm, reason = "what else is told of a backup is no figure")]
        match report {
            Report::Backup(BackupEvent::Estimated { bytes, .. }) => all.bytes = Some(*bytes),
            Report::Backup(BackupEvent::Unchanged { .. }) => (all.bytes, all.incremental) = (Some(0), true),
            Report::Backup(BackupEvent::Parent { uuid, why }) => (all.incremental, all.why) = (uuid.is_some(), *why),
            Report::Backup(BackupEvent::FromFuture { drive, count }) => all.from_future.push((*drive, *count)),
            _other => {}
        }
    }
    // The worker's words are for the journal alone.
    let problem = error.map(|WorkerError { kind, message, command, byte, hidden: _, unconfirmed: _, cause }| {
        tracing::warn!("what a backup would send cannot be worked out: {message}");
        public_of_backup(kind, command, byte, cause)
    });
    Estimated { problem, ..all }
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
            Report::Backup(BackupEvent::Parent { uuid: None, why: Some(Why::EmptyDrive) }),
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
        };
        let all = estimated(&told, Some(full));
        assert_eq!((all.bytes, all.incremental), (Some(7), false));
        assert_eq!(all.from_future, [(true, 3)]);
        assert_eq!(all.why, Some(Why::EmptyDrive));
        let problem = all.problem.expect("told");
        assert!(problem.starts_with("the drive is full") && !problem.contains("secret"), "{problem}");
    }
}
