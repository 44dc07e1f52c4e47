//! The receive engine: the commands of a btrfs send stream become a subvolume, confined and durable.
//!
//! [`receive`] reads a stream from a descriptor and makes its subvolumes in a directory of a btrfs filesystem. The way of
//! the data:
//!
//! ```text
//! reader thread        input → decoder → planner        reads ahead of the filesystem, by a bounded pool
//! calling thread       steps → applier                  names: create, rename, link, unlink, open; large data
//! writer threads       work on one file each         data, attributes
//! ```
//!
//! * `plan` is pure: it folds a window of commands into steps, so that a file is created once, under its final name and
//!   with its final mode.
//! * `apply` performs steps on a `Volume`. There are two: `real`, a subvolume below a descriptor, and `memory`, the model
//!   that the tests compare it with.
//! * `payload` checks and decodes the payloads of encoded writes.
//! * `place` finds and makes the hidden subvolume, its lock and its parents, sweeps, and publishes.
//!
//! Every name in a stream is hostile: see `name` for what a path may be, and `real` for how it is resolved. The engine blocks
//! its caller; it uses no async runtime and no bus.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may panic"))]

mod apply;
mod blocks;
mod control;
mod destination;
mod engine;
mod error;
mod name;
mod observer;
mod options;
mod payload;
mod plan;
mod reader;
mod real;
#[cfg(test)]
mod tests;
mod volume;

pub use control::{Control, Counts, Progress};
pub use destination::{LONGEST_BACKUP, Origin, Record, STAGING, Staging, SubvolumeState, can_others_reach};
pub use engine::{Outcome, is_received, receive, sweep};
pub use error::{Cause, Error, ErrorKind, Failure};
pub use name::{NameError, StreamPath};
pub use observer::{Kind, Observer, Phase, Published, Silent};
pub use options::{Candidates, Options, Publication};
