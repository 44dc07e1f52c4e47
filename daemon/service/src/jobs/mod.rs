//! This room owns the jobs: their queue, their steps, their end and their memory.
//!
//! ```text
//! Jobs        a handle: cloned, held by whoever asks for jobs            clone freely, send orders
//! desk        one task that owns everything; it never waits for a drive
//! runner      one task a running job: opens its places, follows the worker, ends it, sweeps after it
//! keeper      one task that writes the history; what it holds is in memory too
//! ```
//!
//! What is known of a job is a [`Job`] in a `watch` channel: the desk changes it in place, whoever shows it follows at
//! their own pace. The channel closes when the job leaves the desk for the history.
//!
//! `report` is what a worker's words change; `state` says which steps are lawful, `class` how many jobs of which kind there may
//! be, `queue` what runs next, `pace` how fast it goes, `stream_limit` whether a stream comes too slowly, `patience` how long a
//! worker is waited for, `left` what can be said of what it left, `verdict` what its end means; all nine are pure.

mod about;
mod class;
mod drive_requests;
mod entry;
mod estimate;
mod handle;
mod history;
mod history_cache;
mod history_writer;
mod job;
mod lacking;
mod leftovers;
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
mod state;
mod stream_limit;
mod work;

pub use about::{About, AboutDrive};
pub use butterdock_worker::streams::Row as StreamFile;
pub(crate) use drive_requests::{ImportJobRequest, VerifyJobRequest};
pub(crate) use estimate::Estimated;
pub(crate) use handle::{BackupJobRequest, ReceiveJobRequest, RemoveJobRequest, RestoreJobRequest, no_such_volume};
pub use handle::{JobHandle, Jobs};
pub(crate) use history::History;
pub use job::{Job, JobError, Total};
pub use record::Record;
pub(crate) use runner::sweep;
pub(crate) use scheduler::Scheduler;
