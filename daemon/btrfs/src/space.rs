//! How much space is allocated to data and to metadata, and how much is unallocated.

#![expect(unsafe_code, reason = "the ioctl fills a buffer whose length it takes from the argument")]

use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Errno, Error, Result};
use crate::filesystem::{device_info, info};
use crate::ioctl::array;
use crate::ioctl::{BTRFS, Direction, Request, ioctl};

/// The space of one kind, in bytes without mirrors and parity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kind {
    /// Allocated.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// How many bytes of the devices one byte takes: 2 for DUP, RAID1 and RAID10, 3 for RAID1C3, 4 for RAID1C4, else 1. Parity is
    /// left out.
    pub copies: u64,
}

/// The space of a filesystem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// The data of files.
    pub data: Kind,
    /// The trees. If data and metadata share their chunks, both have the same numbers.
    pub metadata: Kind,
    /// The part of the metadata that the kernel reserves, so that it can delete files on a full filesystem.
    pub reserve: u64,
    /// Bytes of the devices that are not allocated yet.
    pub unallocated: u64,
}

/// At least this many bytes of metadata stay free,
const LEAST: u64 = 16 << 20;
/// and this part of the devices,
const PART: u64 = 200;
/// but up to this many.
const MOST: u64 = 1 << 30;

impl Kind {
    /// Bytes that are allocated and not in use.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }
}

impl Space {
    /// Bytes of data that must stay free. The content of a small file takes a block of data while it is written, also where it is
    /// stored in the trees later: without them a full filesystem takes not even a file of a hundred bytes.
    pub const DATA_KEPT: u64 = 4 << 20;

    /// Bytes of metadata that must stay free: a filesystem without free metadata cannot delete files.
    #[must_use]
    pub fn metadata_kept(&self) -> u64 {
        let taken = |kind: Kind| kind.total.saturating_mul(kind.copies.max(1));
        let whole = self.unallocated.saturating_add(taken(self.data)).saturating_add(taken(self.metadata));
        (whole / PART).clamp(LEAST, MOST)
    }

    /// Bytes of metadata that can be used without a new allocation, without the reserve of the kernel.
    #[must_use]
    pub const fn metadata_free(&self) -> u64 {
        self.metadata.free().saturating_sub(self.reserve)
    }

    /// Whether the free metadata and the unallocated space are together less than must stay free.
    #[must_use]
    pub fn metadata_is_scarce(&self) -> bool {
        let room = self.metadata_free().saturating_add(self.unallocated / self.metadata.copies.max(1));
        room < self.metadata_kept()
    }
}

/// `BTRFS_IOC_SPACE_INFO` and `BTRFS_IOC_DEV_INFO` (no capability) — how the space of the filesystem under `fd` is used.
/// If a kind has several profiles, as after an interrupted conversion, the result is their sum with the largest number of
/// copies.
///
/// # Errors
/// `ENOTTY` on another filesystem; `EUCLEAN` if the kernel's answer is invalid.
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

/// `BTRFS_IOC_SYNC` — commits as `syncfs(2)` does, and wakes the threads that free the space of deleted subvolumes.
///
/// # Errors
/// `EIO`, `ENOSPC`, `EROFS`, `ENOTTY`.
pub fn wake_cleaner(fd: impl AsFd) -> Result<()> {
    // SAFETY: the call has no argument: the kernel reads no pointer.
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
    // More slots than the four kinds with a few profiles each need.
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

/// The copies of a profile, by the bits of `BTRFS_BLOCK_GROUP_*`.
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
/// `sizeof(struct btrfs_ioctl_space_args)`: the number of slots, and of those that the kernel filled.
const HEAD: usize = 16;
/// `sizeof(struct btrfs_ioctl_space_info)`.
const SLOT: usize = 24;
const SLOTS: usize = 32;
const SPACE_INFO: Request = Request::new("BTRFS_IOC_SPACE_INFO", Direction::ReadWrite, BTRFS, 20, HEAD, 0xc010_9414);
const SYNC: Request = Request::new("BTRFS_IOC_SYNC", Direction::None, BTRFS, 8, 0, 0x9408);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn metadata_is_scarce_below_the_reserve() {
        let space = |metadata_free, reserve, unallocated| Space {
            data: Kind { total: 1024 * MIB, used: 1024 * MIB, copies: 1 },
            metadata: Kind { total: 64 * MIB + metadata_free, used: 64 * MIB, copies: 2 },
            reserve,
            unallocated,
        };
        for (space, is_scarce) in [
            (space(16 * MIB, 0, 0), false),
            (space(15 * MIB, 0, 0), true),
            (space(20 * MIB, 5 * MIB, 0), true),
            (space(0, 0, 32 * MIB), false),
            (space(0, 0, 31 * MIB), true),
            // The reserve of a large filesystem is a part of its size.
            (space(100 * MIB, 0, 0), false),
            (Space { data: Kind { total: 40_000 * MIB, used: 0, copies: 1 }, ..space(100 * MIB, 0, 0) }, true),
        ] {
            assert_eq!(space.metadata_is_scarce(), is_scarce, "{space:?}");
        }
    }
}
