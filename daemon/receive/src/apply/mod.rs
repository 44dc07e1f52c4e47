//! Performs steps on a [`Volume`](crate::volume::Volume).
//!
//! The calling thread changes names in the order of the stream ([`Applier`]). The [`writer_threads`] change data and
//! attributes of regular files. They get a file as an open inode, so a later rename or unlink does not affect them. One
//! writer thread makes all changes of an inode, so they stay in order. There are two exceptions: the calling thread performs
//! a large task itself if the writer thread is idle, and all writer threads in turn decode the payloads of a large file. A
//! clone may concern two writer threads: the applier waits until the source is written, and before it changes a source it
//! waits until earlier clones have read it.
//!
//! Directory times, and flags that would refuse other changes, are set at the end ([`deferred`]).

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

use butterdock_stream::Position;

use crate::control::Control;
use crate::name::StreamPath;
use crate::plan::Change;
use crate::volume::InodeState;

pub(crate) use applier::{Applier, DeferredRoot, Finished};
pub(crate) use attributes::{Ineffective, REFUSING, set_root_access};
pub(crate) use performer::Cloned;
pub(crate) use run_errors::RunErrors;
pub(crate) use written::{Ranges, Written};

/// How steps are applied.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the options are independent of each other")]
pub(crate) struct ApplyOptions {
    /// See [`crate::Options::verify`].
    pub verify: bool,
    /// See [`crate::Options::force_decompress`].
    pub force_decompress: bool,
    /// See [`crate::Options::no_verity`].
    pub no_verity: bool,
    /// Do not merge successive changes of an inode. For tests, which compare both ways.
    pub plain: bool,
}

/// What all performers of a run share.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) options: ApplyOptions,
    pub(crate) control: Control,
    pub(crate) errors: RunErrors,
    pub(crate) ineffective: Ineffective,
    pub(crate) cloned: Cloned,
}

/// Changes of one open inode.
#[derive(Debug)]
pub(crate) struct Task<I> {
    pub(crate) inode: I,
    /// Its path, for messages.
    pub(crate) path: StreamPath,
    /// Its owner and mode, if it was just created.
    pub(crate) known: Option<InodeState>,
    pub(crate) changes: Vec<(Position, Change)>,
    /// The source of each `Clone` among the changes, in their order.
    pub(crate) sources: Vec<I>,
}

impl<I> Task<I> {
    /// How many bytes of the stream it keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        self.changes.iter().fold(0, |sum, (_, change)| sum.saturating_add(change.weight()))
    }
}
