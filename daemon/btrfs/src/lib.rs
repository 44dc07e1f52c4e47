//! The kernel calls under a btrfs receiver.
//!
//! This crate is the only place of butterdock that talks to the kernel and the only one with `unsafe` code. Each call is a
//! plain function: it takes descriptors (`impl AsFd`), names as `&CStr` and structs with named fields; it returns what the
//! kernel said, or an [`Error`] that names the call and its errno. There is no process-wide state, no policy and no path
//! that a caller did not give.
//!
//! Two words are used strictly. A **name** is one component below a directory descriptor: a name that is empty, is `..` or
//! holds a slash is refused with `EINVAL` before the kernel sees it. A **path** may hold several components and goes
//! through [`file::open_beneath`] alone.
//!
//! An interrupted call (`EINTR`) is made again: on btrfs it has had no effect, or one that repeating gives again.

pub mod changes;
pub mod clock;
pub mod contents;
pub mod encoded;
mod error;
pub mod extents;
pub mod file;
pub mod filesystem;
pub mod filter;
pub mod flags;
pub mod held;
#[cfg(test)]
mod held_model;
pub mod inode;
mod ioctl;
pub mod mounts;
pub mod names;
pub mod priority;
pub mod random;
pub mod roots;
pub mod scrub;
pub mod search;
pub mod send;
pub mod space;
pub mod subvolume;
pub mod top;
pub mod xattr;

pub use error::{Errno, Error, Result, best_effort};
