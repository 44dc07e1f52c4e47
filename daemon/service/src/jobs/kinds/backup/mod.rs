//! Backs up a source to a drive. `run` does it, for any destination.

mod run;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;

use tokio::sync::watch;

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::no_descriptor;
use super::{Conflict, JobContext, JobRequest, JobRun};
use crate::catalogue;
use crate::config::{BackupRule, Config};
use crate::destinations::{Destination, DriveDestination, DriveRecords};
use crate::drives::{DriveId, DriveManager, DriveReservation, Lease};
use crate::jobs::job::JobError;
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::EndRules;
use crate::jobs::outcome::Ending;
use crate::jobs::retention::Retention;
use crate::jobs::runner::{Outcome, Runner, RunnerEvent, ToScheduler};
use crate::jobs::source_store::SourceStore;
use crate::prune_locks::PruneLocks;
use crate::types::{BackupOptions, Error, ErrorCode, JobKind, Trigger};
use crate::worker::public_of_backup;
use run::BackupRun;

pub(crate) use run::ON_SYSTEM;
pub(in crate::jobs) use run::{Open, is_remembered, open, openings, task};

/// A configured backup, and the drive that it goes to.
#[derive(Debug)]
pub(crate) struct BackupJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// Its name in the configuration.
    pub backup: String,
    pub options: BackupOptions,
    pub trigger: Trigger,
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

    /// The subject of a job that makes this backup to this drive.
    pub(crate) fn subject(drive: AboutDrive, backup: &str) -> About {
        About { backup: Some(backup.to_owned()), ..About::on_drive(JobKind::Backup, drive) }
    }
}

impl JobRequest for BackupJob {
    fn about(&self) -> About {
        Self::subject(self.drive.clone(), &self.backup)
    }

    fn doing(&self) -> String {
        format!("backing up \"{}\" to drive {}", self.backup, self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        self.trigger
    }

    fn conflict(&self) -> Conflict {
        Conflict::Same("this backup to this destination is running already; watch it with butterdock watch")
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        config.backup(&self.backup).map(drop).ok_or_else(|| Error::new(ErrorCode::NotFound, NO_SUCH_BACKUP))
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn problem_of(&self) -> Option<&DriveManager> {
        Some(self.reservation.manager())
    }

    fn end_rules(&self) -> &'static EndRules {
        &Self::END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let Some(rule) = context.config.backup(&self.backup).cloned() else {
            let failure = JobError::plain(ErrorCode::NotFound, NO_SUCH_BACKUP);
            return Box::pin(runner.end_without_worker(Ending::JobError(failure)));
        };
        let (sources, prune_locks) = (context.sources.clone(), context.prune_locks.clone());
        let retention = context.retention.clone();
        let manager = self.reservation.manager().clone();
        let task = Backup { job: *self, rule, sources, prune_locks, retention };
        Box::pin(drive_job::run(task, runner, manager, context.writer_threads()))
    }
}

/// Keeps the rate limit of a backup as the configuration and the time of day have it.
async fn follow_rate(
    manager: &DriveManager,
    drive: &DriveId,
    (rate, scheduler): (watch::Sender<Option<u64>>, ToScheduler),
) -> Infallible {
    let mut changed = manager.reviewed();
    loop {
        changed.mark_unchanged();
        let now = manager.max_rate(drive);
        if rate.send_if_modified(|rate| std::mem::replace(rate, now.rate) != now.rate) {
            scheduler.tell(RunnerEvent::MaxRate(now.rate)).await;
        }
        tokio::select! {
            () = manager.reach(now.until) => {}
            is_there = changed.changed() => if is_there.is_err() {
                // The service ends.
                return pending().await;
            }
        }
    }
}

const NO_SUCH_BACKUP: &str = "this backup no longer exists; butterdock backups lists the backups";

/// A backup that runs.
#[derive(Debug)]
struct Backup {
    job: BackupJob,
    rule: BackupRule,
    sources: SourceStore,
    prune_locks: PruneLocks,
    retention: Retention,
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
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let destination = DriveDestination::of(lease).map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let Self { rule, sources, prune_locks, retention, .. } = self;
        let records = &DriveRecords { manager: &context.manager, drive: &context.drive, lease };
        let (options, writer_threads) = (self.job.options, context.writer_threads);
        let run = BackupRun { rule, options, sources, prune_locks, retention, records, writer_threads };
        let shown = (runner.max_rate.clone(), runner.to_scheduler());
        let rates = follow_rate(&context.manager, &context.drive, shown);
        tokio::select! {
            biased;
            // First: the worker's order has the rate of the beginning.
            never = rates => match never {},
            done = run.run(runner, Box::new(destination)) => done,
        }
    }
}
