//! Scrub: the kernel reads all used blocks of a device and verifies their checksums.

#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::ops::Range;
use std::os::fd::AsFd;

use crate::error::{Errno, Error, Result};
use crate::ioctl::{BTRFS, Direction, Request, ioctl, ioctl_once};

/// The result of a scrub of one device (`struct btrfs_scrub_progress`). Errors are counted in sectors, and in nodes for the
/// trees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes read: data and trees, each copy counts.
    pub bytes: u64,
    /// Blocks that the device could not read.
    pub read_errors: u64,
    /// Blocks with a wrong checksum.
    pub csum_errors: u64,
    /// Blocks of the trees with a wrong header.
    pub verify_errors: u64,
    /// Wrong superblocks; the next commit writes them anew.
    pub super_errors: u64,
    /// Wrong blocks that the kernel wrote anew from a good copy.
    pub corrected: u64,
    /// Wrong blocks without a good copy.
    pub uncorrectable: u64,
}

impl Scrubbed {
    /// The sums of two devices.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            read_errors: self.read_errors.saturating_add(other.read_errors),
            csum_errors: self.csum_errors.saturating_add(other.csum_errors),
            verify_errors: self.verify_errors.saturating_add(other.verify_errors),
            super_errors: self.super_errors.saturating_add(other.super_errors),
            corrected: self.corrected.saturating_add(other.corrected),
            uncorrectable: self.uncorrectable.saturating_add(other.uncorrectable),
        }
    }
}

/// What a scrub does with wrong blocks that have a good copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// It writes them anew. The filesystem is mounted writable.
    Writes,
    /// It counts them as corrected, and writes nothing.
    Counts,
}

/// `BTRFS_IOC_SCRUB` (`CAP_SYS_ADMIN`) — scrubs what device `devid` of the filesystem under `fd` has in this range. A chunk that
/// begins before the end of the range and ends after its beginning is read as a whole; superblocks are read whatever the range is.
/// The call returns when it has read everything. Only newer kernels end it when the process is killed; [`cancel`] always ends it.
///
/// # Errors
/// `ECANCELED` after [`cancel`], `EINPROGRESS` while another scrub or a replacement of the device runs, `ENODEV` if there is
/// no such device or it is missing, `EROFS`, `ENOMEM`, `EIO`, `ENOTTY`.
pub fn scrub(fd: impl AsFd, devid: u64, range: Range<u64>, repair: Repair) -> Result<Scrubbed> {
    let flags = if repair == Repair::Counts { READONLY } else { 0 };
    let mut raw = RawScrub { devid, flags, start: range.start, end: range.end, ..RawScrub::EMPTY };
    // SAFETY: the kernel reads and writes one RawScrub and keeps no pointer.
    unsafe { ioctl_once(fd.as_fd(), &SCRUB, &raw mut raw) }?;
    Ok(raw.scrubbed())
}

/// `BTRFS_IOC_SCRUB_PROGRESS` (`CAP_SYS_ADMIN`) — the progress of the scrub of device `devid`; none if no scrub of it runs.
///
/// # Errors
/// `ENODEV` if there is no such device, `ENOTTY`.
pub fn progress(fd: impl AsFd, devid: u64) -> Result<Option<Scrubbed>> {
    let mut raw = RawScrub { devid, ..RawScrub::EMPTY };
    // SAFETY: the kernel reads and writes one RawScrub and keeps no pointer.
    match unsafe { ioctl(fd.as_fd(), &PROGRESS, &raw mut raw) } {
        Ok(_) => Ok(Some(raw.scrubbed())),
        Err(Error { errno: Errno::ENOTCONN, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `BTRFS_IOC_SCRUB_CANCEL` (`CAP_SYS_ADMIN`) — ends the scrubs of all devices of the filesystem under `fd`, of any
/// process, and waits for their end; returns whether there was one.
///
/// # Errors
/// `EPERM`, `ENOTTY`.
pub fn cancel(fd: impl AsFd) -> Result<bool> {
    // SAFETY: the call has no argument: the kernel reads no pointer.
    match unsafe { ioctl(fd.as_fd(), &CANCEL, std::ptr::null_mut::<u8>()) } {
        Ok(_) => Ok(true),
        Err(Error { errno: Errno::ENOTCONN, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `struct btrfs_ioctl_scrub_args`, with `struct btrfs_scrub_progress` in it.
#[repr(C)]
struct RawScrub {
    devid: u64,
    start: u64,
    end: u64,
    flags: u64,
    data_extents: u64,
    tree_extents: u64,
    data_bytes: u64,
    tree_bytes: u64,
    read_errors: u64,
    csum_errors: u64,
    verify_errors: u64,
    no_csum: u64,
    csum_discards: u64,
    super_errors: u64,
    malloc_errors: u64,
    uncorrectable_errors: u64,
    corrected_errors: u64,
    last_physical: u64,
    unverified_errors: u64,
    unused: [u64; 109],
}

impl RawScrub {
    const EMPTY: Self = Self {
        devid: 0,
        start: 0,
        end: 0,
        flags: 0,
        data_extents: 0,
        tree_extents: 0,
        data_bytes: 0,
        tree_bytes: 0,
        read_errors: 0,
        csum_errors: 0,
        verify_errors: 0,
        no_csum: 0,
        csum_discards: 0,
        super_errors: 0,
        malloc_errors: 0,
        uncorrectable_errors: 0,
        corrected_errors: 0,
        last_physical: 0,
        unverified_errors: 0,
        unused: [0; 109],
    };

    const fn scrubbed(&self) -> Scrubbed {
        Scrubbed {
            bytes: self.data_bytes.saturating_add(self.tree_bytes),
            read_errors: self.read_errors,
            csum_errors: self.csum_errors,
            verify_errors: self.verify_errors,
            super_errors: self.super_errors,
            corrected: self.corrected_errors,
            uncorrectable: self.uncorrectable_errors,
        }
    }
}

const _: () = assert!(size_of::<RawScrub>() == 1024);

/// `BTRFS_SCRUB_READONLY`.
const READONLY: u64 = 1;

const SCRUB: Request =
    Request::new("BTRFS_IOC_SCRUB", Direction::ReadWrite, BTRFS, 27, size_of::<RawScrub>(), 0xc400_941b);
const CANCEL: Request = Request::new("BTRFS_IOC_SCRUB_CANCEL", Direction::None, BTRFS, 28, 0, 0x941c);
const PROGRESS: Request =
    Request::new("BTRFS_IOC_SCRUB_PROGRESS", Direction::ReadWrite, BTRFS, 29, size_of::<RawScrub>(), 0xc400_941d);
