//! Mounts through which no device can be opened.
//!
//! Whether a device's node may be opened is asked of the mount through which it is reached, not of the filesystem: the
//! same node opens through one mount and is refused (`EACCES`) through another.

#![expect(unsafe_code, reason = "neither nix nor rustix has mount_setattr(2)")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::error::{Errno, Result, retry};
use crate::numbers::MOUNT_SETATTR;

/// `open_tree(2)` with `OPEN_TREE_CLONE`, `mount_setattr(2)` (`CAP_SYS_ADMIN`) — the same directory as the root of a mount
/// of its own that is nodev, nosuid and noexec, is attached nowhere, and goes away with the descriptor and those opened
/// below it. It keeps the filesystem alive, but does not make the mount it was cloned from busy.
///
/// # Errors
/// `EINVAL` when the mount of `directory` is not in the caller's mount namespace (any more), `EPERM`, `ENOSYS` before
/// Linux 5.12.
pub fn without_devices(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = retry("open_tree", || open_tree(&directory, c"", flags))?;
    refuse_devices(tree.as_fd(), c"", libc::AT_EMPTY_PATH)?;
    // What open_tree gives is good for look-ups only.
    retry("openat", || openat(&tree, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
}

/// `mount_setattr(2)` with `AT_RECURSIVE` (`CAP_SYS_ADMIN`) — makes every mount that the caller sees nodev, nosuid and
/// noexec: to be called in a mount namespace of one's own.
///
/// # Errors
/// `EPERM`, `EINVAL` when `/` is no mount, `ENOSYS` before Linux 5.12.
pub fn refuse_devices_everywhere() -> Result<()> {
    refuse_devices(CWD, c"/", libc::AT_RECURSIVE)
}

/// `struct mount_attr` (`linux/mount.h`, Linux 5.12).
#[repr(C)]
struct RawAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const _: () = assert!(size_of::<RawAttributes>() == 32);

fn refuse_devices(at: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> Result<()> {
    let set = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let attributes = RawAttributes { set: set.bits().into(), clear: 0, propagation: 0, userns_fd: 0 };
    retry("mount_setattr", || {
        let (at, path, attributes) = (at.as_raw_fd(), path.as_ptr(), std::ptr::from_ref(&attributes));
        // SAFETY: the kernel reads one string and one `RawAttributes`, whose size it is told, and keeps no pointer.
        let answer = unsafe { libc::syscall(MOUNT_SETATTR, at, path, flags, attributes, size_of::<RawAttributes>()) };
        Errno::result(answer)
    })?;
    Ok(())
}
