//! This room is a subvolume in memory: the model that the engine is compared with in tests.
//!
//! It does what btrfs does under the calls of [`crate::volume`]: what a directory hands down, what a change of the
//! owner or of the data takes away, what the kernel refuses and with which errno. It knows nothing of how the
//! real volume makes its calls. Two things are simpler than they are on a disk: "now" is one moment, so that views of two
//! runs are equal, and changes of names leave the times of directories alone, for the engine gives each directory
//! the last times of the stream in any case. A payload that does not decode is refused with `EIO`; the kernel
//! would take it, and refuse to read it.

mod attributes;
mod content;
mod inode;
mod names;
mod volume;

pub(crate) use volume::MemoryVolume;
pub(crate) use volume::{Entry, View};
