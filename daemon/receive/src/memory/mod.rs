//! A subvolume in memory: the model that tests compare the engine with.
//!
//! It does what btrfs does below the calls of [`crate::volume`]: inheritance from directories, side effects of `chown` and
//! of writes, and the kernel's errnos. It shares no code with the real volume. Two things are simpler than on a disk. "Now"
//! is one moment, so that two runs give equal views. Changes of names do not change directory times, because the engine
//! sets the last times of the stream on each directory in any case. A payload that does not decode is refused with `EIO`;
//! the kernel would accept it, and refuse to read it.

mod attributes;
mod content;
mod inode;
mod names;
mod volume;

pub(crate) use volume::MemoryVolume;
pub(crate) use volume::{Entry, View};
