//! The jobs: their queue, states, ends and history.
//!
//! ```text
//! JobHandle        sends requests to the scheduler; cheap to clone
//! scheduler        one task that owns every job; never waits for a drive
//! runner           one task for each running job: opens its directories, follows the worker, ends it, sweeps afterwards
//! history_writer   one task that writes the history, which is in memory too
//! ```
//!
//! The state of a job is a [`Job`] in a `watch` channel: the scheduler changes it in place, and readers follow at
//! their own pace. The channel closes when the job moves to the history.
//!
//! These modules are pure: `report` applies a worker's reports to a job; `job` defines the allowed transitions,
//! `class` the limits of each class, `queue` what runs next, `pace` the rate, `stream_limit` whether a stream is too
//! slow, `patience` how long to wait for a worker, and `outcome` what its end means for the job and
//! what it may have left.

mod about;
mod class;
mod entry;
mod estimate;
mod handle;
mod history;
mod history_writer;
mod job;
mod live;
mod outcome;
mod pace;
mod patience;
mod queries;
mod queue;
mod record;
mod report;
mod retention;
mod runner;
mod scheduler;
mod seen;
mod sources;
mod stream_limit;
mod work;

pub use about::{About, AboutDrive};
pub use butterdock_worker::streams::Row as StreamFile;
pub(crate) use estimate::Estimated;
pub(crate) use handle::{BackupJobRequest, ReceiveJobRequest, RemoveJobRequest, RestoreJobRequest, no_such_volume};
pub(crate) use handle::{ImportJobRequest, VerifyJobRequest};
pub use handle::{JobHandle, Jobs};
pub(crate) use history::History;
pub use job::{Job, JobError, Total};
pub use record::Record;
pub(crate) use runner::sweep;
pub(crate) use scheduler::Scheduler;
