//! The kernel calls that butterdock needs for btrfs volumes.
//!
//! This crate is the only one of butterdock with `unsafe` code. Each call is a plain function: it takes descriptors
//! (`impl AsFd`), names as `&CStr` and structs with named fields; it returns what the kernel returned, or an [`Error`] that
//! names the call and its errno. The crate has no process-wide state, makes no decisions, and opens no path that a caller
//! did not give.
//!
//! * [`filesystem`], [`space`], [`scrub`]: a whole filesystem. [`mounts`]: how it is mounted.
//! * [`subvolume`], [`roots`], [`contents`], [`long_paths`], [`send`]: one subvolume. [`search`] reads the trees under them, and
//!   [`disk_ranges`] counts extents once.
//! * [`names`], [`inode`], [`flags`], [`xattr`], [`file`], [`extents`], [`encoded`]: directories and files.
//! * [`lock_directory`]: locks that only root can take. [`system`]: calls that are about no filesystem. [`SecretMemory`]: memory for
//!   secrets.
//!
//! Two words are used strictly. A **name** is one component below a directory descriptor: the crate refuses a name that is
//! empty, is `..` or has a slash with `EINVAL` before the kernel sees it. A **path** may have several components; only
//! [`file::open_beneath`] takes one.
//!
//! The crate makes a call again that a signal interrupted (`EINTR`): on btrfs such a call has had no effect, or one that a
//! repetition has again.

pub mod chunks;
pub mod contents;
pub mod disk_ranges;
pub mod encoded;
mod error;
pub mod extents;
pub mod file;
pub mod filesystem;
pub mod flags;
pub mod inode;
mod ioctl;
pub mod lock_directory;
pub mod long_paths;
pub mod mounts;
pub mod names;
pub mod partitions;
pub mod roots;
pub mod scrub;
pub mod search;
mod secret_memory;
pub mod send;
pub mod space;
pub mod subvolume;
pub mod system;
pub mod xattr;

pub use error::{Errno, Error, Result, best_effort};
pub use secret_memory::SecretMemory;
