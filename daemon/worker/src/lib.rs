//! The confined process of one job, and the protocol between it and the service.
//!
//! ```text
//! the service                                           butterdockd worker, one process for each job
//! spawner   one permanent thread, starts workers   ──▶  run             from the start to the exit status
//! Worker    reads reports, cancels, kills          ◀──  report_writer   the engine's reports
//! ```
//!
//! Both ends speak [`protocol`] over a pair of sockets, in [`packet`]s. A worker gets open descriptors and never a path. A
//! crash of the worker, an endless wait for a drive, or a hostile stream ends one job only.
//!
//! # Exit status of a worker
//! | status | meaning |
//! |---|---|
//! | 0 | the worker has reported the end of the job, successful or not ([`protocol::Report::Ended`]) |
//! | 64 | the service did not start the worker |
//! | 69 | the service exited, or stopped reading, before the end was reported |
//! | 71 | the worker could not confine itself, or the kernel refused a thread or a descriptor |
//! | 76 | the worker did not understand its order |
//!
//! If a signal ends the worker, its reports do not count. The service sweeps the hidden subvolumes that it left.

pub mod backups;
pub mod caller;
pub mod clock;
mod confine;
mod descriptors;
mod file_parts;
pub mod files;
mod hex;
mod job;
pub mod packet;
mod priority;
pub mod protocol;
mod public_sentence;
mod report_writer;
mod run;
pub mod streams;
pub mod verify;
mod worker_error;

pub use priority::{IoPriority, Priority, raise_open_files};
pub use protocol::Subject;
pub use public_sentence::{
    UNCONFIRMED, public_of_backup, public_of_deletion, public_of_files, public_of_import, public_of_restore,
    public_of_transfer, public_sentence,
};
pub use run::{Stop, run};
