//! Deletes snapshots beside the source of a backup, with the source for itself: no backup of it runs meanwhile.

use std::time::Duration;

use tokio::time::sleep;

use super::{Chosen, END, Plan, SAME, unlisted};
use crate::config::{BackupRule, Config};
use crate::destinations::{SourceFolder, close};
use crate::drives::DriveManager;
use crate::jobs::job::{About, JobError};
use crate::jobs::kinds::drive_job::failure;
use crate::jobs::kinds::{Conflict, JobContext, JobRequest, JobRun};
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::runner::{Outcome, Runner, RunnerEvent, ToScheduler, other_than};
use crate::jobs::snapshots::{list_in, open_beside};
use crate::jobs::source_store::SourceStore;
use crate::prune_locks::{Exclusive, PruneLocks};
use crate::types::{Error, ErrorCode, JobKind, Trigger};
use crate::worker::WorkerFds;

/// How often a deletion tries to get the source for itself.
const AGAIN: Duration = Duration::from_secs(1);

/// Snapshots beside the source of a backup to be deleted.
#[derive(Debug)]
pub(crate) struct DeleteBesideSource {
    pub manager: DriveManager,
    /// The name of the backup.
    pub backup: String,
    pub chosen: Chosen,
    pub uid: u32,
}

impl JobRequest for DeleteBesideSource {
    fn about(&self) -> About {
        About { kind: JobKind::Delete, volume: None, drive: None, backup: Some(self.backup.clone()) }
    }

    fn doing(&self) -> String {
        format!("deleting {} snapshots beside the source of \"{}\"", self.chosen.snapshots.len(), self.backup)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.uid)
    }

    fn conflict(&self) -> Conflict {
        Conflict::Same(SAME)
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        let text = "this backup no longer exists; butterdock backups lists the backups";
        config.backup(&self.backup).map(drop).ok_or_else(|| Error::new(ErrorCode::NotFound, text))
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let rule = context.config.backup(&self.backup).cloned();
        let (sources, locks) = (context.sources.clone(), context.prune_locks.clone());
        Box::pin(async move { self.delete(runner, rule, &sources, &locks).await })
    }
}

impl DeleteBesideSource {
    async fn delete(self, mut runner: Runner, rule: Option<BackupRule>, sources: &SourceStore, locks: &PruneLocks) {
        let Some(rule) = rule else {
            let text = "this backup no longer exists; butterdock backups lists the backups";
            return runner.end_without_worker(Ending::JobError(JobError::plain(ErrorCode::NotFound, text))).await;
        };
        let alone = tokio::select! {
            alone = self.alone(runner.to_scheduler(), locks) => alone,
            _why = other_than(&mut runner.stop, None) => return runner.end_without_worker(Ending::Killed).await,
        };
        match self.work(&mut runner, &rule, sources).await {
            Ok((outcome, place)) if outcome.is_stuck() => {
                runner.end(outcome, Box::new(place)).await;
                drop(alone);
            }
            Ok((outcome, place)) => {
                close(Box::new(place)).await;
                drop(alone);
                runner.end_as(outcome).await;
            }
            Err(ending) => {
                drop(alone);
                runner.end_without_worker(ending).await;
            }
        }
    }

    /// Waits until no backup of the source runs.
    async fn alone(&self, scheduler: ToScheduler, locks: &PruneLocks) -> Exclusive {
        let mut is_noted = false;
        loop {
            if let Some(alone) = locks.join(&self.backup).await.release() {
                return alone;
            }
            if !is_noted {
                is_noted = true;
                let text = "it waits until the running backup of this source has ended";
                scheduler.tell(RunnerEvent::Noted(text.to_owned())).await;
            }
            sleep(AGAIN).await;
        }
    }

    async fn work(
        &self,
        runner: &mut Runner,
        rule: &BackupRule,
        sources: &SourceStore,
    ) -> Result<(Outcome, SourceFolder), Ending> {
        let failed = |error| Ending::JobError(failure(error));
        let folder = open_beside(sources, &self.manager, rule).await.map_err(failed)?;
        let (folder, listed) = list_in(sources, rule, folder).await.map_err(failed)?;
        let plan = Plan::of(&self.chosen, &listed.map_err(unlisted)?);
        let mut outcome = runner.work(plan.order(), WorkerFds::default(), &folder).await;
        if let Err(error) = self.manager.deleted_beside_source(&self.backup, plan.gone(&outcome)).await {
            outcome.fail(failure(error));
        }
        plan.conclude(runner, &mut outcome).await;
        Ok((outcome, folder))
    }
}
