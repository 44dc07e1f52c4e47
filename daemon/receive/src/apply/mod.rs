//! Performs steps on a [`Volume`](crate::volume::Volume).
//!
//! Names are changed in order on the calling thread ([`Applier`]). Data and attributes of regular files go to
//! [`writer_threads`]. A file is handed over as an open inode, so a later rename or unlink does not touch it. An inode
//! always goes to the same writer thread, so its changes stay in order. The calling thread does large work itself when that
//! writer thread is idle, and the payloads of a large file are decoded by all writer threads in turn. Clones cross writer
//! threads: the applier waits until the source is written, and before a source changes it waits until earlier clones have
//! read it.
//!
//! Directory times, and flags that would block other changes, are set at the end ([`deferred`]).

mod applier;
mod attributes;
mod deferred;
mod names;
mod performer;
mod run_errors;
#[cfg(test)]
pub(crate) mod tests;
mod writer_thread;
mod writer_threads;
mod written;

use butterdock_stream::Place;

use crate::control::Control;
use crate::name::StreamPath;
use crate::plan::Change;
use crate::volume::InodeState;

pub(crate) use applier::{Applier, Finished};
pub(crate) use attributes::{Ineffective, REFUSING, set_root_access};
pub(crate) use performer::Cloned;
pub(crate) use run_errors::RunErrors;
pub(crate) use written::{Ranges, Written};

/// How steps are applied.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own, see Options")]
pub(crate) struct ApplyOptions {
    /// See [`crate::Options::verify`].
    pub verify: bool,
    /// See [`crate::Options::force_decompress`].
    pub force_decompress: bool,
    /// See [`crate::Options::no_verity`].
    pub no_verity: bool,
    /// Fold nothing; for tests, which compare the two.
    pub plain: bool,
}

/// What all who perform work share.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) options: ApplyOptions,
    pub(crate) control: Control,
    pub(crate) errors: RunErrors,
    pub(crate) ineffective: Ineffective,
    pub(crate) cloned: Cloned,
}

/// Work on one open inode.
#[derive(Debug)]
pub(crate) struct Task<I> {
    pub(crate) inode: I,
    /// Its name, for messages.
    pub(crate) path: StreamPath,
    /// Its owner and mode where it was made just now.
    pub(crate) fresh: Option<InodeState>,
    pub(crate) changes: Vec<(Place, Change)>,
    /// What each `Clone` of the changes reads from, in their order.
    pub(crate) sources: Vec<I>,
}

impl<I> Task<I> {
    /// How many bytes of the stream it keeps alive.
    pub(crate) fn weight(&self) -> usize {
        self.changes.iter().fold(0, |sum, (_, change)| sum.saturating_add(change.weight()))
    }
}
