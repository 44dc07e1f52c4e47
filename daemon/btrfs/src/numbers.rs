//! The numbers of system calls that libc does not name on every architecture. Calls newer than Linux 5.1 were given the
//! same number everywhere, but for an offset that some architectures add; so they are told by their distance to one that
//! libc knows.

use std::ffi::c_long;

use nix::libc;

use crate::ioctl::GENERIC;

/// `open_tree(2)`, Linux 5.2.
pub(crate) const OPEN_TREE: c_long = OPENAT2 - 9;
/// `fsmount(2)`, Linux 5.2.
pub(crate) const FSMOUNT: c_long = OPENAT2 - 5;
/// `mount_setattr(2)`, Linux 5.12.
pub(crate) const MOUNT_SETATTR: c_long = OPENAT2 + 5;
/// `open_tree_attr(2)`, Linux 6.15.
pub(crate) const OPEN_TREE_ATTR: c_long = OPENAT2 + 30;
/// `fchmodat2(2)`, Linux 6.6.
pub(crate) const FCHMODAT2: c_long = OPENAT2 + 15;
/// `listmount(2)`, Linux 6.8.
pub(crate) const LISTMOUNT: c_long = OPENAT2 + 21;
/// `setxattrat(2)`, Linux 6.13.
pub(crate) const SETXATTRAT: c_long = OPENAT2 + 26;
/// `getxattrat(2)`, Linux 6.13.
pub(crate) const GETXATTRAT: c_long = OPENAT2 + 27;
/// `removexattrat(2)`, Linux 6.13.
pub(crate) const REMOVEXATTRAT: c_long = OPENAT2 + 29;

const OPENAT2: c_long = libc::SYS_openat2;

const _: () = assert!(!GENERIC || FCHMODAT2 == 452 && SETXATTRAT == 463 && GETXATTRAT == 464 && REMOVEXATTRAT == 466);

const _: () = assert!(
    !GENERIC || OPEN_TREE == 428 && FSMOUNT == 432 && MOUNT_SETATTR == 442 && LISTMOUNT == 458 && OPEN_TREE_ATTR == 467
);
