//! The jobs: their kinds, queue, states, ends and history.
//!
//! ```text
//! kinds            one module for each kind; its request implements `JobRequest`, and is boxed in the queue
//! Jobs             sends requests to the scheduler; cheap to clone
//! scheduler        one task that owns every job and asks the request what it has to know; never waits for a drive
//! kinds, runner    one task for each running job: the kind opens the directories and orders a worker, `Runner` follows it
//! history_writer   one task that writes the history
//! queries          questions that a worker answers while the caller waits (`worker_queries`); no jobs
//! source_check     looks at the sources while no job does: prunes beside those that are short of space
//! ```
//!
//! The state of a job is a [`Job`] in a `watch` channel, which closes when the job is only in the history. Pure: `job` (the
//! allowed transitions), `class` and `queue` (what runs next), `report` (a worker's reports), `limit`, `worker_deadline`, and
//! `outcome` (the meaning of an end).

mod class;
mod ended_counts;
mod files_limit;
mod handle;
mod history;
mod history_query;
mod history_writer;
mod job;
mod kinds;
mod leftovers;
mod limit;
mod outcome;
mod pace;
mod queries;
mod queue;
mod record;
mod report;
mod retention;
mod runner;
mod scheduler;
mod snapshots;
mod source_check;
mod source_space;
mod source_store;
mod stream_limit;
mod worker_deadline;
mod worker_queries;

pub use butterdock_worker::streams::StreamFile;
pub use ended_counts::EndedCount;
pub use handle::{JobHandle, Jobs};
pub(crate) use history::History;
pub use history_query::HistoryQuery;
pub use job::{About, AboutDrive, Job, JobError, Total};
pub(crate) use kinds::open_snapshots_folder;
pub(crate) use kinds::{
    BackupJob, Chosen, DeleteBesideSource, DeleteJob, DriveFiles, FilesWork, IntoVolumeJob, ON_SYSTEM, ReceiveJob,
    Refusal, RemoveJob, RestoredSnapshot, SourceFiles, StreamFiles, Target, VerifyJob, no_such_volume, refusal_of_run,
    runs, sweep,
};
pub(crate) use queries::Estimated;
pub use record::Record;
pub(crate) use scheduler::Scheduler;
pub(crate) use snapshots::{Measured, hold_result};
pub(crate) use source_space::{FreeableSpace, SourceSpace};
#[cfg(test)]
pub(crate) use source_store::Look;
pub(crate) use source_store::OpenDirectories;
