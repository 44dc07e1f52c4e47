//! The confined process of one job, and the protocol between it and the service.
//!
//! ```text
//! the service                                           butterdockd worker, one process for each job
//! spawner   one permanent thread, starts workers   ──▶  run             from the start to the exit status
//! Worker    reads reports, cancels, kills          ◀──  report_writer   what the engine reports
//! ```
//!
//! Both ends speak [`protocol`] over a pair of sockets, in [`packet`]s. A worker gets open descriptors and never a path. A
//! crash of it, an endless wait for a drive or a hostile stream costs one job.
//!
//! # Exit status of a worker
//! | status | meaning |
//! |---|---|
//! | 0 | it has reported how the job ended, well or not ([`protocol::Report::Ended`]) |
//! | 64 | it was not started by the daemon |
//! | 69 | the daemon went away, or listened no more, before the end could be reported |
//! | 71 | it could not confine itself, or the kernel gave it no thread or descriptor |
//! | 76 | its order was not understood |
//!
//! Ended by a signal it has reported nothing, or nothing that counts: what it left hidden is swept.

pub mod backups;
mod bytes;
pub mod clock;
mod confine;
mod descriptors;
mod failure;
mod job;
pub mod packet;
mod priority;
pub mod protocol;
mod report_writer;
mod run;
mod sentence;
pub mod streams;
pub mod verify;

pub use priority::{IoPriority, Priority, raise_open_files};
pub use protocol::Subject;
pub use run::{Stop, run};
pub use sentence::{UNCONFIRMED, public as public_sentence, public_of_backup};
