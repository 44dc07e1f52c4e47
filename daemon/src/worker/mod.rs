//! This room does a job in a process of its own, and starts that process for the daemon.
//!
//! ```text
//! the daemon                                            butterdockd worker, one a job
//! Spawner   one permanent thread, starts workers   ──▶  run        the way from start to exit status
//! Worker    hears reports, cancels, kills          ◀──  teller     what the engine tells, in lines
//! ```
//!
//! Both ends speak `protocol` over a pair of sockets. A worker gets open descriptors and never a path; a crash of it, an
//! endless wait for a drive or a hostile stream costs one job.
//!
//! # Exit status of a worker
//! | status | meaning |
//! |---|---|
//! | 0 | it has told how the job ended, well or not ([`protocol::Report::Ended`]) |
//! | 64 | it was not started by the daemon |
//! | 69 | the daemon went away, or listened no more, before the end could be told |
//! | 71 | it could not lock itself in, or the kernel gave it no thread or descriptor |
//! | 76 | its order was not understood |
//!
//! Ended by a signal it has told nothing, or nothing that counts: what it left hidden is swept.

pub(crate) mod bytes;
mod confine;
mod descriptors;
mod failure;
mod handed;
mod handle;
mod handover;
mod job;
mod line;
mod listener;
mod priority;
mod protocol;
mod run;
mod sentence;
mod spawner;
mod subject;
mod teller;

pub(crate) use handed::Handed;
pub(crate) use handle::Worker;
pub(crate) use priority::{IoPriority, Priority};
pub(crate) use protocol::{JobError, Order, Report};
pub(crate) use run::run;
pub(crate) use sentence::{public as public_sentence, public_of_backup};
pub(crate) use spawner::Spawner;
pub(crate) use subject::Subject;
