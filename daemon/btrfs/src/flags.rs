//! The flags of an inode, as `chattr` knows them.

#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::ffi::c_long;
use std::ops::{BitOr, BitOrAssign};
use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::{Direction, FS, Request, WIDE, ioctl};

/// A set of `FS_*_FL` (`linux/fs.h`); btrfs supports those named here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// `FS_COMPR_FL`: compress. Not together with `NO_COMPRESS` or `NO_COW`.
    pub const COMPRESS: Self = Self(0x4);
    /// `FS_SYNC_FL`: every write waits for the disk.
    pub const SYNC: Self = Self(0x8);
    /// `FS_IMMUTABLE_FL`: the kernel refuses all changes.
    pub const IMMUTABLE: Self = Self(0x10);
    /// `FS_APPEND_FL`: the kernel only appends to it.
    pub const APPEND: Self = Self(0x20);
    /// `FS_NODUMP_FL`: `dump` leaves it out of backups.
    pub const NO_DUMP: Self = Self(0x40);
    /// `FS_NOATIME_FL`: reading does not change the time of access.
    pub const NO_ATIME: Self = Self(0x80);
    /// `FS_NOCOMP_FL`: never compress.
    pub const NO_COMPRESS: Self = Self(0x400);
    /// `FS_DIRSYNC_FL`: changes of the directory wait for the disk.
    pub const DIR_SYNC: Self = Self(0x1_0000);
    /// `FS_VERITY_FL`: has fs-verity; cannot be set.
    pub const VERITY: Self = Self(0x10_0000);
    /// `FS_NOCOW_FL`: written in place, without checksums. On a file with data the kernel accepts and ignores it.
    pub const NO_COW: Self = Self(0x80_0000);

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set with `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

/// `FS_IOC_GETFLAGS` — the flags of an open file or directory.
///
/// # Errors
/// `ENOTTY` if the inode has no flags (a device, another filesystem).
pub fn flags(fd: impl AsFd) -> Result<Flags> {
    let mut flags = 0_u32;
    // SAFETY: the request number names a long, but the kernel writes one int and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &GET_FLAGS, &raw mut flags) }?;
    Ok(Flags(flags))
}

/// `FS_IOC_SETFLAGS` — replaces the flags of an open file or directory.
///
/// # Errors
/// `EOPNOTSUPP` for a flag that btrfs does not support, `EINVAL` for two flags that exclude each other, `EPERM` (immutable and
/// append-only need `CAP_LINUX_IMMUTABLE`; so does any change while they are set), `EROFS`, `ENOTTY`.
pub fn set_flags(fd: impl AsFd, flags: Flags) -> Result<()> {
    let mut flags = flags.0;
    // SAFETY: the request number names a long, but the kernel reads one int and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &SET_FLAGS, &raw mut flags) }?;
    Ok(())
}

/// `FS_IOC_FSSETXATTR` — replaces the immutable and append-only flags of an open file or directory, and no other.
///
/// [`set_flags`] can do this too, but on btrfs it also rewrites the property `btrfs.compression` from the flags.
///
/// # Errors
/// As for [`set_flags`].
pub fn set_refusing(fd: impl AsFd, flags: Flags) -> Result<()> {
    let mut now = RawFsxattr { xflags: 0, others: [0; 6] };
    // SAFETY: the kernel writes one RawFsxattr and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &GET_XFLAGS, &raw mut now) }?;
    now.xflags &= !(XFLAG_IMMUTABLE | XFLAG_APPEND);
    if flags.contains(Flags::IMMUTABLE) {
        now.xflags |= XFLAG_IMMUTABLE;
    }
    if flags.contains(Flags::APPEND) {
        now.xflags |= XFLAG_APPEND;
    }
    // SAFETY: the kernel reads one RawFsxattr and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &SET_XFLAGS, &raw mut now) }?;
    Ok(())
}

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
struct RawFsxattr {
    xflags: u32,
    /// Extent sizes, a count and padding: on btrfs all zero.
    others: [u32; 6],
}

const _: () = assert!(size_of::<RawFsxattr>() == 28);

/// `FS_XFLAG_IMMUTABLE`.
const XFLAG_IMMUTABLE: u32 = 0x8;
/// `FS_XFLAG_APPEND`.
const XFLAG_APPEND: u32 = 0x10;
const GET_XFLAGS: Request =
    Request::new("FS_IOC_FSGETXATTR", Direction::Read, b'X', 31, size_of::<RawFsxattr>(), 0x801c_581f);
const SET_XFLAGS: Request =
    Request::new("FS_IOC_FSSETXATTR", Direction::Write, b'X', 32, size_of::<RawFsxattr>(), 0x401c_5820);
const GET_FLAGS: Request = Request::new(
    "FS_IOC_GETFLAGS",
    Direction::Read,
    FS,
    1,
    size_of::<c_long>(),
    if WIDE { 0x8008_6601 } else { 0x8004_6601 },
);
const SET_FLAGS: Request = Request::new(
    "FS_IOC_SETFLAGS",
    Direction::Write,
    FS,
    2,
    size_of::<c_long>(),
    if WIDE { 0x4008_6602 } else { 0x4004_6602 },
);
