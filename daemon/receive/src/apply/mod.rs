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
#[cfg(test)]
mod apply_steps;
mod attributes;
mod clone;
mod deferred;
mod encoded;
mod faults;
mod names;
mod perform;
#[cfg(test)]
mod tests;
mod writer_thread;
mod writer_threads;

pub(crate) use applier::Way;
pub(crate) use applier::{Applier, Finished};
#[cfg(test)]
pub(crate) use apply_steps::apply_steps;
pub(crate) use attributes::open_up;
pub(crate) use attributes::{Ineffective, REFUSING};
pub(crate) use clone::Cloned;
pub(crate) use encoded::Written;
pub(crate) use faults::Faults;
pub(crate) use perform::Rules;
