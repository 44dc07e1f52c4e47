//! A real subvolume, below a descriptor.
//!
//! A path is resolved in two steps: its directory by `openat2` beneath the subvolume's root, without following a symbolic
//! link and without leaving the root's device (a nested subvolume has another one); then its last part, one name, below
//! that directory's descriptor. Directory descriptors are kept. The type of an inode is read before it is opened, and only
//! regular files and directories are opened.

mod directories;
mod inode;
mod volume;

pub(crate) use directories::Directory;
pub(crate) use inode::RealInode;
pub(crate) use inode::open_source;
pub(crate) use volume::{RealVolume, Sources};
