//! The kinds of jobs. Each is one module with one type, its request, which implements [`JobRequest`].
//!
//! A new kind is such a module, its order in the worker's protocol, and the method that requests it.

mod backup;
mod delete;
mod drive_job;
mod files;
mod into_volume;
mod receive;
mod remove;
mod verify;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::class::JobClass;
use super::job::About;
use super::job::Total;
use super::outcome::EndRules;
use super::queue::JobTarget;
use super::retention::Retention;
use super::runner::Runner;
use super::source_store::SourceStore;
use crate::config::Config;
use crate::drives::DriveManager;
use crate::prune_locks::PruneLocks;
use crate::types::{Error, Trigger};
use crate::volumes::Volume;

pub(crate) use backup::{BackupJob, ON_SYSTEM};
pub(super) use backup::{Open, is_remembered, open as open_directories, openings, task};
pub(crate) use delete::{Chosen, DeleteBesideSource, DeleteJob, Refusal, refusal_of_run, runs};
pub(super) use files::files_error;
pub(crate) use files::{DriveFiles, FilesWork, SourceFiles, Target, open_snapshots_folder};
pub(crate) use into_volume::IntoVolumeJob;
pub(crate) use into_volume::RestoredSnapshot;
pub(crate) use into_volume::StreamFiles;
pub(super) use into_volume::open_folder;
pub(crate) use receive::{ReceiveJob, no_such_volume, sweep};
pub(crate) use remove::RemoveJob;
pub(crate) use verify::VerifyJob;

/// A request for a job, and all that distinguishes its kind from others.
pub(crate) trait JobRequest: fmt::Debug + Send {
    /// Its kind, and its volume, drive or backup.
    fn about(&self) -> About;

    /// What it does, for the journal: "verifying drive …".
    fn doing(&self) -> String;

    /// Why it begins.
    fn trigger(&self) -> Trigger;

    /// The user whose limits it counts against.
    fn uid(&self) -> u32 {
        self.trigger().uid()
    }

    /// The class whose limits it counts against.
    fn class(&self) -> JobClass {
        JobClass::of_drive(self.uid())
    }

    /// The number of bytes to come, as far as it is known before the job begins.
    fn total(&self) -> Total {
        Total::UNKNOWN
    }

    /// The targets on which no other job may work meanwhile.
    fn places(&self) -> Vec<JobTarget> {
        self.about().places()
    }

    /// Whether the history has it.
    fn is_recorded(&self) -> bool {
        true
    }

    /// The volume that it writes to.
    fn volume(&self) -> Option<&Arc<Volume>> {
        None
    }

    /// Whether a request to make its drive safe ends it: then it does not keep a person from taking the drive.
    fn yields_to_removal(&self) -> bool {
        false
    }

    /// The unfinished jobs beside which it is refused.
    fn conflict(&self) -> Conflict {
        Conflict::Never
    }

    /// Checks that its subject is still configured as it was when it was requested.
    ///
    /// # Errors
    /// `NotFound`.
    fn check(&self, config: &Config) -> Result<(), Error>;

    /// It was accepted as a job.
    fn set_accepted(&mut self) {}

    /// The drives, where an end without success is a problem of its drive until the same has run.
    fn problem_of(&self) -> Option<&DriveManager> {
        None
    }

    /// The meaning of its end.
    fn end_rules(&self) -> &'static EndRules {
        &EndRules::TRANSFER
    }

    /// Runs it to its end, which `runner` reports once.
    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun;
}

/// A running job.
pub(crate) type JobRun = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The unfinished jobs beside which a request is refused as `Busy`, with the sentence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// It waits for its turn.
    Never,
    /// A job about the same.
    Same(&'static str),
    /// Any job on the same drive or volume that does not yield to a removal.
    Any(&'static str),
}

/// What the scheduler gives to a job that begins.
#[derive(Debug)]
pub(crate) struct JobContext<'s> {
    pub(in crate::jobs) config: &'s Config,
    pub(in crate::jobs) sources: &'s SourceStore,
    pub(in crate::jobs) prune_locks: &'s PruneLocks,
    pub(in crate::jobs) retention: &'s Retention,
}

impl JobContext<'_> {
    /// The number of threads that write data; the worker's default if None.
    fn writer_threads(&self) -> Option<usize> {
        self.config.worker.writer_threads.map(usize::from)
    }
}
