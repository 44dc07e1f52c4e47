//! The receive engine: the commands of a btrfs send stream become a subvolume, confined and durable.
//!
//! [`receive`] reads a stream from a descriptor and makes its subvolumes in a directory of a btrfs filesystem. The way of
//! the data, by module:
//!
//! 1. `engine` runs it: it starts the threads, and begins and ends each subvolume.
//! 2. `reader`, on a thread of its own, reads the input, decodes it and gives the commands to `plan`. A bounded pool of blocks
//!    limits how far it reads ahead (`blocks`).
//! 3. `plan` folds the commands of a window into steps, without I/O, so that a file is created once, under its final name
//!    and with its final mode.
//! 4. `destination` finds the parent, and creates the hidden subvolume and its lock.
//! 5. `apply` performs the steps on a `volume`: names on the calling thread, data and attributes of files on the writer
//!    threads. `payload` checks and decodes the payloads of encoded writes. `real` is the volume: a subvolume below a
//!    descriptor.
//! 6. `checkpoint` makes a long transfer resumable: a snapshot of what is received so far, and a journal.
//! 7. `destination` makes the subvolume durable, checks it and publishes it under its name.
//!
//! Every name in a stream is hostile: `name` says which paths are allowed, and `real` how they are resolved. The engine
//! blocks its caller; it uses no async runtime and no bus. The tests compare `real` with a model of a volume in memory.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may panic"))]

mod apply;
mod blocks;
mod checkpoint;
mod control;
mod destination;
mod engine;
mod error;
mod hex;
mod name;
mod observer;
mod options;
mod payload;
mod plan;
mod reader;
mod real;
mod space_cause;
#[cfg(test)]
mod tests;
mod throttle;
mod volume;

pub use checkpoint::{CheckpointKey, Checkpoints, discard_checkpoints};
pub use control::{Control, Counts, Progress};
pub use destination::{
    Hold, HoldLock, Holds, LONGEST_BACKUP, LONGEST_NESTED, LONGEST_REASON, NestedOrigin, NestedSubvolume, Origin,
    Record, STAGING, Staging, SubvolumeState, can_others_reach, with_workspace,
};
pub use engine::{Outcome, is_received, receive, sweep};
pub use error::{Cause, Error, ErrorKind, Failure};
pub use name::{NameError, StreamPath};
pub use observer::{Kind, Observer, Phase, Published, Silent, Unapplied};
pub use options::{Candidates, Options, Publication};
pub use space_cause::SpaceCause;
