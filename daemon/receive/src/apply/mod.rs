//! This room performs steps on a [`Volume`](crate::volume::Volume).
//!
//! Everything that has to do with names happens in order on the calling thread ([`Applier`]). Data and
//! attributes of regular files go to writer threads: threads that own the files handed to them ([`writer_threads`]). A file is
//! handed over as an open inode, so a later rename or unlink does not touch it; an inode always goes to the same
//! writer thread, so its changes stay in order. Large work is done by the calling thread when that writer thread has nothing to do, and
//! a large file whose payloads are decoded goes to all writer threads in turn ([`spread`]). What crosses writer threads otherwise is a
//! clone: the applier waits for the source first, and for those who read before it lets a source change ([`readers`]).
//!
//! Directory times, and flags that would be in the way, are kept back until the end ([`deferred`]).

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
