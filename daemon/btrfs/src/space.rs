//! How a filesystem's space is given out: to data, to metadata, and what is not given out yet.

#![expect(unsafe_code, reason = "the ioctl fills a buffer whose length it takes from the argument")]

use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Errno, Error, Result};
use crate::filesystem::{device_info, info};
use crate::ioctl::{BTRFS, Direction, Request, ioctl};
use crate::raw::array;

/// What is there of one kind of space, in bytes as files see them: before mirrors and parity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kind {
    /// Given to it.
    pub total: u64,
    /// Of that, in use.
    pub used: u64,
    /// How many bytes of the devices a byte takes: 2 for DUP, RAID1 and RAID10, 3 and 4 for their like, else 1. Parity is
    /// left out.
    pub copies: u64,
}

/// The space of a filesystem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// For the content of files.
    pub data: Kind,
    /// For everything else. Where data and metadata share their chunks, both have the same numbers.
    pub metadata: Kind,
    /// Of the metadata, what the kernel holds back for itself, so that it can delete on a full filesystem.
    pub reserve: u64,
    /// Bytes of the devices that were given to nothing yet.
    pub unallocated: u64,
}

/// `BTRFS_IOC_SPACE_INFO` and `BTRFS_IOC_DEV_INFO` (no capability) — how the space of the filesystem under `fd` is given
/// out. Of a kind in several profiles, as a conversion leaves it, the sums are told and the dearest profile.
///
/// # Errors
/// `ENOTTY` on another filesystem; `EUCLEAN` when the kernel's answer makes no sense.
pub fn space(fd: impl AsFd) -> Result<Space> {
    let fd = fd.as_fd();
    let mut space = Space { unallocated: unallocated(fd)?, ..Space::default() };
    for (flags, total, used) in kinds(fd)? {
        if flags & GLOBAL_RESERVE != 0 {
            space.reserve = total;
            continue;
        }
        for (kind, flag) in [(&mut space.data, DATA), (&mut space.metadata, METADATA)] {
            if flags & flag != 0 {
                kind.total = kind.total.saturating_add(total);
                kind.used = kind.used.saturating_add(used);
                kind.copies = kind.copies.max(copies(flags));
            }
        }
    }
    Ok(space)
}

/// `BTRFS_IOC_SYNC` — commits, as `syncfs(2)` does, and wakes the threads that give back the space of deleted subvolumes.
///
/// # Errors
/// `EIO`, `ENOSPC`, `EROFS`, `ENOTTY`.
pub fn wake_cleaner(fd: impl AsFd) -> Result<()> {
    // SAFETY: the call has no argument: the kernel looks at no pointer.
    unsafe { ioctl(fd.as_fd(), &SYNC, std::ptr::null_mut::<u8>()) }?;
    Ok(())
}

fn unallocated(fd: BorrowedFd<'_>) -> Result<u64> {
    let filesystem = info(fd)?;
    let (mut left, mut free) = (filesystem.num_devices, 0_u64);
    for devid in 1..=filesystem.max_id {
        if left == 0 {
            break;
        }
        if let Some(device) = device_info(fd, devid)? {
            left -= 1;
            free = free.saturating_add(device.total_bytes.saturating_sub(device.bytes_used));
        }
    }
    Ok(free)
}

/// Flags, total and used bytes of each kind and profile.
fn kinds(fd: BorrowedFd<'_>) -> Result<Vec<(u64, u64, u64)>> {
    // Four kinds in a few profiles each: more slots than any filesystem has.
    let mut buffer = [0_u8; HEAD + SLOTS * SLOT];
    if let Some(head) = buffer.first_chunk_mut::<8>() {
        *head = (SLOTS as u64).to_ne_bytes();
    }
    // SAFETY: the kernel reads and writes the head and at most as many slots behind it as the head says, which the buffer
    // has; it keeps no pointer.
    unsafe { ioctl(fd, &SPACE_INFO, buffer.as_mut_ptr()) }?;
    let word = |at: usize| array(&buffer, at).map(u64::from_ne_bytes);
    let garbled = Error { call: SPACE_INFO.call(), errno: Errno::EUCLEAN };
    let count = word(8).and_then(|count| usize::try_from(count).ok()).filter(|&count| count <= SLOTS);
    let slot = |index: usize| {
        let at = HEAD + index * SLOT;
        Some((word(at)?, word(at + 8)?, word(at + 16)?))
    };
    (0..count.ok_or(garbled)?).map(|index| slot(index).ok_or(garbled)).collect()
}

/// By the bits of `BTRFS_BLOCK_GROUP_*`.
const fn copies(flags: u64) -> u64 {
    const TWICE: u64 = RAID1 | DUP | RAID10;
    if flags & RAID1C4 != 0 {
        4
    } else if flags & RAID1C3 != 0 {
        3
    } else if flags & TWICE != 0 {
        2
    } else {
        1
    }
}

const DATA: u64 = 1;
const METADATA: u64 = 1 << 2;
const RAID1: u64 = 1 << 4;
const DUP: u64 = 1 << 5;
const RAID10: u64 = 1 << 6;
const RAID1C3: u64 = 1 << 9;
const RAID1C4: u64 = 1 << 10;
/// `BTRFS_SPACE_INFO_GLOBAL_RSV`.
const GLOBAL_RESERVE: u64 = 1 << 49;
/// `sizeof(struct btrfs_ioctl_space_args)`: how many slots there are, and how many were filled.
const HEAD: usize = 16;
/// `sizeof(struct btrfs_ioctl_space_info)`.
const SLOT: usize = 24;
const SLOTS: usize = 32;
const SPACE_INFO: Request = Request::new("BTRFS_IOC_SPACE_INFO", Direction::ReadWrite, BTRFS, 20, HEAD, 0xc010_9414);
const SYNC: Request = Request::new("BTRFS_IOC_SYNC", Direction::None, BTRFS, 8, 0, 0x9408);
