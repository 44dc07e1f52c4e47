//! Attributes of inodes: through a descriptor, or by a name without opening it (symlinks, devices, fifos, sockets).
#![expect(unsafe_code, reason = "neither nix nor rustix has fchmodat2")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};
use nix::unistd::{Gid, Uid, fchown, fchownat};
use rustix::fs::{Statx, StatxFlags, Timespec, Timestamps, futimens, makedev, statx, utimensat};

use crate::error::{Error, Result, one_component, retry};
use crate::ioctl;

/// Last access and last change: seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Last access.
    pub atime: (i64, u32),
    /// Last change of the content.
    pub mtime: (i64, u32),
}

/// `fchmod(2)` — sets the permissions (the lower 12 bits of `mode`).
///
/// # Errors
/// `EPERM`, `EROFS`, `EBADF`, `EIO`, `ENOSPC`.
pub fn set_mode(fd: impl AsFd, mode: u32) -> Result<()> {
    retry("fchmod", || fchmod(&fd, permissions(mode)))
}

/// `fchown(2)` — sets owner and group. The kernel clears set-id bits and capabilities of files, so call this first.
///
/// # Errors
/// `EINVAL` for the id 2^32 - 1, which means "none"; `EPERM`, `EROFS`, `EDQUOT`, `EBADF`.
pub fn set_owner(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = ids("fchown", uid, gid)?;
    retry("fchown", || fchown(&fd, Some(uid), Some(gid)))
}

/// `utimensat(2)` on a descriptor — sets both times.
///
/// # Errors
/// `EINVAL` for 10^9 or more nanoseconds (`UTIME_NOW` and `UTIME_OMIT` are among them); `EPERM`, `EROFS`, `EBADF`.
pub fn set_times(fd: impl AsFd, times: Times) -> Result<()> {
    let times = timestamps("futimens", times)?;
    retry("futimens", || futimens(&fd, &times))
}

/// `fchmodat2(2)` with `AT_SYMLINK_NOFOLLOW` — sets the permissions of the inode under a name. Before Linux 6.6 the inode
/// is opened with `O_PATH`, which opens no device, and its mode is set through `/proc/self/fd`.
///
/// # Errors
/// `EOPNOTSUPP` for a symlink; `ENOENT`, `EPERM`, `EROFS`, `EINVAL` for more than one component.
pub fn set_mode_at(dir: impl AsFd, name: &CStr, mode: u32) -> Result<()> {
    const CALL: &str = "fchmodat2";
    let name = one_component(CALL, name)?;
    let dir = dir.as_fd();
    let answer = retry(CALL, || {
        // SAFETY: the kernel reads a C string that outlives the call.
        let answer = unsafe {
            libc::syscall(ioctl::FCHMODAT2, dir.as_raw_fd(), name.as_ptr(), mode & 0o7777, libc::AT_SYMLINK_NOFOLLOW)
        };
        Errno::result(answer).map(drop)
    });
    match answer {
        Err(Error { errno: Errno::ENOSYS, .. }) => set_mode_through_proc(dir, name, mode),
        other => other,
    }
}

/// `fchownat(2)` with `AT_SYMLINK_NOFOLLOW` — sets owner and group of the inode under a name.
///
/// # Errors
/// As for [`set_owner`]; `ENOENT`, `EINVAL` for more than one component.
pub fn set_owner_at(dir: impl AsFd, name: &CStr, uid: u32, gid: u32) -> Result<()> {
    let name = one_component("fchownat", name)?;
    let (uid, gid) = ids("fchownat", uid, gid)?;
    retry("fchownat", || fchownat(&dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW))
}

/// `utimensat(2)` with `AT_SYMLINK_NOFOLLOW` — sets both times of the inode under a name.
///
/// # Errors
/// As for [`set_times`]; `ENOENT`, `EINVAL` for more than one component.
pub fn set_times_at(dir: impl AsFd, name: &CStr, times: Times) -> Result<()> {
    let name = one_component("utimensat", name)?;
    let times = timestamps("utimensat", times)?;
    retry("utimensat", || utimensat(&dir, name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW))
}

/// `set_mode_at` on a kernel without `fchmodat2`.
fn set_mode_through_proc(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let inode = retry("openat", || openat(dir, name, flags, Mode::empty()))?;
    let path = format!("/proc/self/fd/{}", inode.as_raw_fd());
    retry("fchmodat", || fchmodat(dir, path.as_str(), permissions(mode), FchmodatFlags::FollowSymlink))
}

fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

/// The kernel takes the id 2^32 - 1 as "do not change", and returns success.
fn ids(call: &'static str, uid: u32, gid: u32) -> Result<(Uid, Gid)> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Error { call, errno: Errno::EINVAL });
    }
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

/// The kernel takes two numbers above 10^9 as "now" and "do not change"; a stream must not be able to use them.
fn timestamps(call: &'static str, times: Times) -> Result<Timestamps> {
    let Times { atime: (access, access_nsec), mtime: (change, change_nsec) } = times;
    if access_nsec.max(change_nsec) >= 1_000_000_000 {
        return Err(Error { call, errno: Errno::EINVAL });
    }
    Ok(Timestamps {
        last_access: Timespec { tv_sec: access, tv_nsec: access_nsec.into() },
        last_modification: Timespec { tv_sec: change, tv_nsec: change_nsec.into() },
    })
}

/// The attributes of an inode. Times are seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device: each subvolume of btrfs has its own.
    pub dev: u64,
    /// The inode's number, unique in its subvolume.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Hard links.
    pub nlink: u32,
    /// Blocks of 512 bytes that the file takes, with data that is not written out and inline data.
    pub blocks: u64,
    /// The device of a device node.
    pub rdev: u64,
    /// Last access.
    pub atime: (i64, u32),
    /// Last change of the content.
    pub mtime: (i64, u32),
}

impl Stat {
    /// Whether it is a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.mode & TYPE == 0o040_000
    }

    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.mode & TYPE == 0o100_000
    }

    /// Whether it is a symlink.
    #[must_use]
    pub const fn is_symlink(&self) -> bool {
        self.mode & TYPE == 0o120_000
    }
}

/// `statx(2)` with `AT_EMPTY_PATH` — the open inode.
///
/// # Errors
/// `EBADF`, `EIO`.
pub fn stat(fd: impl AsFd) -> Result<Stat> {
    retry("statx", || statx(&fd, c"", rustix::fs::AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)).map(convert)
}

/// `statx(2)` with `AT_SYMLINK_NOFOLLOW` — the inode under a name.
///
/// # Errors
/// `EINVAL` for more than one component, `ENOENT`, `ENOTDIR`, `EACCES`, `EIO`.
pub fn stat_at(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    let name = one_component("statx", name)?;
    retry("statx", || statx(&dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)).map(convert)
}

/// `S_IFMT`.
const TYPE: u32 = 0o170_000;

fn convert(raw: Statx) -> Stat {
    Stat {
        dev: makedev(raw.stx_dev_major, raw.stx_dev_minor),
        ino: raw.stx_ino,
        mode: u32::from(raw.stx_mode),
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        size: raw.stx_size,
        nlink: raw.stx_nlink,
        blocks: raw.stx_blocks,
        rdev: makedev(raw.stx_rdev_major, raw.stx_rdev_minor),
        atime: (raw.stx_atime.tv_sec, raw.stx_atime.tv_nsec),
        mtime: (raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::names::{make_node, make_symlink};

    #[test]
    fn set_mode_at_works_without_fchmodat2() {
        let folder = tempfile::tempdir().unwrap();
        let dir = File::open(folder.path()).unwrap();
        make_node(&dir, c"fifo", 0o010_600, 0).unwrap();
        set_mode_through_proc(dir.as_fd(), c"fifo", 0o4751).unwrap();
        assert_eq!(stat_at(&dir, c"fifo").unwrap().mode, 0o014_751);
        make_symlink(&dir, c"link", c"fifo").unwrap();
        let refused = set_mode_through_proc(dir.as_fd(), c"link", 0o600).unwrap_err();
        assert_eq!(refused.errno, Errno::EOPNOTSUPP);
        assert_eq!(stat_at(&dir, c"fifo").unwrap().mode, 0o014_751);
    }

    #[test]
    fn a_time_that_means_now_is_refused() {
        let times = Times { atime: (0, 0x3fff_ffff), mtime: (0, 0) };
        assert!(timestamps("futimens", times).is_err());
    }
}
