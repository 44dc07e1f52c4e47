//! Backs up a source to a drive.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::no_descriptor;
use super::{Conflict, JobContext, JobRequest, JobRun};
use crate::backups::{self, Identity, MOST_PINS, Mark, Task, TaskTime, choose};
use crate::catalogue;
use crate::config::{BackupRule, Config};
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveManager, DriveReservation, Lease};
use crate::jobs::about::{About, AboutDrive};
use crate::jobs::entry::Ending;
use crate::jobs::job::JobError;
use crate::jobs::outcome::EndRules;
use crate::jobs::retention::{Retention, Sides};
use crate::jobs::runner::{Heard, Outcome, Runner, RunnerEvent, other_than};
use crate::jobs::sources::Sources;
use crate::source_locks::SourceLocks;
use crate::types::{Error, ErrorCode, JobKind};
use crate::worker::{Order, public_of_backup};

/// Timeout for opening the source and the drive.
const OPENING: Duration = Duration::from_secs(30);

/// A configured backup, and the drive that it goes to.
#[derive(Debug)]
pub(crate) struct BackupJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// Its name in the configuration.
    pub backup: String,
    pub uid: u32,
}

impl BackupJob {
    pub(in crate::jobs) const END: EndRules = EndRules {
        public: |error| public_of_backup(error.kind, error.command, error.byte, error.cause),
        has_cause: true,
        succeeded: catalogue::BACKUP_DONE,
        failed: catalogue::BACKUP_FAILED,
        has_hooks: true,
        ..EndRules::TRANSFER
    };
}

impl JobRequest for BackupJob {
    fn about(&self) -> About {
        About { backup: Some(self.backup.clone()), ..About::on_drive(JobKind::Backup, self.drive.clone()) }
    }

    fn doing(&self) -> String {
        format!("backing up \"{}\" to drive {}", self.backup, self.drive.id)
    }

    fn uid(&self) -> u32 {
        self.uid
    }

    fn conflict(&self) -> Conflict {
        Conflict::Same("this backup to this drive is running already; watch it with butterdock watch")
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        config.backup(&self.backup).map(drop).ok_or_else(|| Error::new(ErrorCode::NotFound, NO_SUCH_BACKUP))
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn end_rules(&self) -> &'static EndRules {
        &Self::END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let Some(rule) = context.config.backup(&self.backup).cloned() else {
            let failure = JobError::plain(ErrorCode::NotFound, NO_SUCH_BACKUP);
            return Box::pin(runner.over(Ending::JobError(failure)));
        };
        let (sources, source_locks) = (context.sources.clone(), context.source_locks.clone());
        let retention = context.retention.clone();
        let manager = self.reservation.manager().clone();
        let task = Backup { job: *self, rule, sources, source_locks, retention };
        Box::pin(drive_job::run(task, runner, manager, context.writer_threads()))
    }
}

const NO_SUCH_BACKUP: &str = "this backup no longer exists; butterdock backups lists the backups";

/// A backup that runs.
#[derive(Debug)]
struct Backup {
    job: BackupJob,
    rule: BackupRule,
    sources: Sources,
    source_locks: SourceLocks,
    retention: Retention,
}

/// What the worker is handed.
#[derive(Debug)]
pub(in crate::jobs) struct Open {
    /// What the source has to be, where that is known.
    pub(in crate::jobs) source: Option<Identity>,
    /// The source, the folder for its snapshots, the destination on the drive.
    pub(in crate::jobs) places: Vec<DirHandle>,
    /// The filesystems of the last two.
    pub(in crate::jobs) sides: Sides,
    /// The folder once more, to thin it,
    folder: DirHandle,
    /// and the destination, to sweep it.
    destination: DirHandle,
}

impl DriveTask for Backup {
    fn drive(&self) -> &DriveId {
        &self.job.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.job.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, DirHandle), Ending> {
        let root = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let (rule, sources) = (self.rule.clone(), self.sources.clone());
        let here = (context.manager.machine(), is_remembered(lease, &rule));
        let opening = timeout(OPENING, spawn_blocking(move || open(&rule, &sources, &root, here)));
        let opened = tokio::select! {
            opened = opening => opened,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let failed = |name, text: String| Ending::JobError(JobError::plain(name, text));
        let Open { source, places, sides, folder, destination } = match opened {
            Ok(Ok(Ok(open))) => open,
            Ok(Ok(Err(text))) => return Err(failed(ErrorCode::Failed, text)),
            Ok(Err(error)) => return Err(failed(ErrorCode::Failed, format!("{error}; start the job again"))),
            Err(_late) => {
                let text = "the source or the drive does not respond; check both and their cables (dmesg)";
                return Err(failed(ErrorCode::DeviceGone, text.to_owned()));
            }
        };
        // Shared until the drive's pins are recorded: only then is it known which snapshots are needed.
        let share = tokio::select! {
            share = self.source_locks.join(self.rule.name.as_str()) => share,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let task = task(&self.rule, source, (&context.manager, lease), context.writer_threads);
        let (time, stop) = self.retention.time(&self.rule, sides).await;
        let task = Task { time, ..task.map_err(|text| failed(ErrorCode::Failed, text))? };
        let before = task.pins.clone();
        let mut outcome = runner.work(Order::Backup(task), places.into(), &destination).await;
        self.remember(runner, context, &mut outcome, source).await;
        // A worker that the kernel holds may still be at the source.
        let is_done = matches!(outcome.ending, Ending::Reported(None)) && outcome.heard.made && !outcome.is_stuck();
        if let (true, Some(alone)) = (is_done, share.release()) {
            match self.pruning(context, lease, outcome.heard.source, before) {
                Ok(task) => {
                    runner.prune(Task { time, ..task }, folder, alone, &mut outcome.heard.listings).await;
                }
                Err(text) => tracing::warn!(butterdock_job = %runner.id, "old snapshots are not deleted: {text}"),
            }
        }
        self.retention.remember(&self.rule, sides, std::mem::take(&mut outcome.heard.listings)).await;
        if let Some(stop) = stop {
            runner.tell(RunnerEvent::Noted(stop.to_string())).await;
        }
        Ok((outcome, destination))
    }
}

impl Backup {
    /// How to prune the source with this uuid; `before` are the pins at the start of the job.
    fn pruning(
        &self,
        context: &DriveContext,
        lease: &Lease,
        of: Option<Identity>,
        before: Vec<Mark>,
    ) -> Result<Task, String> {
        let task = task(&self.rule, of, (&context.manager, lease), context.writer_threads)?;
        Ok(Task { pins: and_before(task.pins, before), ..task })
    }

    /// What the drive needs for the next increment is durable before the job is said to have succeeded. That snapshots on it
    /// were replaced is so before that, and also where the job failed: the next one does not expect them any more.
    async fn remember(
        &self,
        runner: &Runner,
        context: &DriveContext,
        outcome: &mut Outcome,
        expected: Option<Identity>,
    ) {
        let Heard { source, learned, replaced, has_parent, .. } = outcome.heard.clone();
        let (DriveContext { manager, drive, .. }, name) = (context, self.rule.name.as_str());
        let as_recorded = has_parent && replaced.is_empty();
        if !replaced.is_empty()
            && let Err(error) = manager.replaced(drive, name, replaced).await
        {
            return outcome.fail(drive_job::failure(error));
        }
        let Some(learned) = learned else { return };
        if let Err(error) = manager.backed_up(drive, name, learned, as_recorded).await {
            outcome.fail(drive_job::failure(error));
        }
        if let (None, Some(uuid)) = (expected, source) {
            let (sources, rule) = (self.sources.clone(), self.rule.clone());
            let written = spawn_blocking(move || sources.remember(&rule, uuid)).await;
            if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                tracing::warn!(butterdock_job = %runner.id, "cannot record the identity of the source: {error}");
            }
        }
    }
}

/// What was needed before is kept once more: a drive that was pulled too early may not have all that it has confirmed. Where
/// that is too much for an order, what is needed now comes first.
fn and_before(mut pins: Vec<Mark>, before: Vec<Mark>) -> Vec<Mark> {
    for mark in before {
        if !pins.contains(&mark) {
            pins.push(mark);
        }
    }
    pins.truncate(MOST_PINS);
    pins
}

/// The worker's order.
pub(in crate::jobs) fn task(
    rule: &BackupRule,
    source: Option<Identity>,
    (manager, lease): (&DriveManager, &Lease),
    writer_threads: Option<usize>,
) -> Result<Task, String> {
    let name = rule.name.as_str();
    let (known, adopt) = lease.known(name)?;
    Ok(Task {
        name: name.as_bytes().to_vec(),
        source,
        keep: rule.keep,
        protect: rule.protect.as_secs(),
        pins: manager.pins(name)?,
        last: known.newest().map(|newest| newest.mark().there),
        machine: manager.machine(),
        sources: known.sources,
        shared: lease.shared(name),
        adopt,
        writer_threads,
        dry_run: false,
        time: TaskTime::default(),
    })
}

/// Whether this backup was made on this drive before, as far as that is remembered.
pub(in crate::jobs) fn is_remembered(lease: &Lease, rule: &BackupRule) -> bool {
    // What cannot be read ends the backup before anything is sent.
    lease.known(rule.name.as_str()).is_ok_and(|(known, _)| known.newest().is_some())
}

/// Blocks as long as the source and the drive do.
pub(in crate::jobs) fn open(
    rule: &BackupRule,
    sources: &Sources,
    root: &OwnedFd,
    (machine, remembered): (Identity, bool),
) -> Result<Open, String> {
    let source = sources.of(rule).map_err(|error| {
        format!("cannot read the recorded identity of the source: {error}; check the disk of the state directory")
    })?;
    let folder = choose(root.as_fd(), &rule.folder, rule.name.as_str(), machine, remembered).map_err(|fault| {
        format!("cannot list the snapshots on the drive: {fault}; check the drive and its cable (dmesg)")
    })?;
    let places = backups::open(&rule.source, &rule.snapshots, root.as_fd(), &folder);
    let places: Vec<DirHandle> =
        places.map_err(|closed| closed.to_string())?.into_iter().map(DirHandle::from).collect();
    let [_, folder, destination] = places.as_slice() else {
        return Err("the source and the drive were not opened; start the job again".to_owned());
    };
    let copy = |place: &DirHandle| place.try_clone().map_err(|error| no_descriptor(&error).public);
    let (folder, destination) = (copy(folder)?, copy(destination)?);
    let sides = Sides::of(&folder, &destination);
    Ok(Open { source, places, sides, folder, destination })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pins_are_kept_beside_the_new_ones() {
        let mark = |number: u8| Mark { here: Identity([1; 16]), there: Identity([number; 16]) };
        assert_eq!(and_before(vec![mark(2), mark(3)], vec![mark(1), mark(2)]), [mark(2), mark(3), mark(1)]);
        let now: Vec<Mark> = (100..).take(MOST_PINS).map(mark).collect();
        assert_eq!(and_before(now.clone(), vec![mark(1)]), now);
    }
}
