//! Reads or restores files in a snapshot beside the source of a backup.

use std::sync::Arc;

use super::place::open_folder;
use super::{END, FilesWork, no_such_backup};
use crate::config::{BackupRule, Config};
use crate::jobs::class::JobClass;
use crate::jobs::job::About;
use crate::jobs::kinds::{JobContext, JobRequest, JobRun};
use crate::jobs::outcome::EndRules;
use crate::jobs::queue::JobTarget;
use crate::jobs::runner::Runner;
use crate::types::{Error, JobKind, Trigger};
use crate::volumes::Volume;

/// Files in a snapshot beside the source of a backup.
#[derive(Debug)]
pub(crate) struct SourceFiles {
    pub rule: BackupRule,
    pub work: FilesWork,
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
