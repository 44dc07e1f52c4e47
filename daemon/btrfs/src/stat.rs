//! What an inode is.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Statx, StatxFlags, makedev, statx};

use crate::error::{Result, one_component, retry};

/// What an inode is. Times are seconds and nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The device: on btrfs one of its own for each subvolume.
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
    /// Blocks of 512 bytes that the file takes, those not yet written out included; inline data too.
    pub blocks: u64,
    /// The device that a device node stands for.
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
    retry("statx", || statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)).map(convert)
}

/// `statx(2)` with `AT_SYMLINK_NOFOLLOW` — the inode under a name.
///
/// # Errors
/// `EINVAL` for more than a name, `ENOENT`, `ENOTDIR`, `EACCES`, `EIO`.
pub fn stat_at(dir: impl AsFd, name: &CStr) -> Result<Stat> {
    let name = one_component("statx", name)?;
    retry("statx", || statx(&dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)).map(convert)
}

/// `S_IFMT`.
const TYPE: u32 = 0o170_000;

// rustix builds the answer and hands it over once; a copy of it here costs less than a reference would say.
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
