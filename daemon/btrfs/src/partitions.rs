//! The partitions that the kernel knows of a disk.
#![expect(unsafe_code, reason = "neither nix nor rustix has BLKPG")]

use std::ffi::{c_int, c_void};
use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::{Direction, Request, WIDE, ioctl};

/// `_IO(0x12, 105)` of `linux/blkpg.h`
const BLKPG: Request = Request::new("BLKPG", Direction::None, 0x12, 105, 0, 0x1269);
/// `BLKPG_ADD_PARTITION`
const ADD: c_int = 1;
/// `BLKPG_DEL_PARTITION`
const DELETE: c_int = 2;
/// `_IO(0x12, 95)` of `linux/fs.h`
const BLKRRPART: Request = Request::new("BLKRRPART", Direction::None, 0x12, 95, 0, 0x125f);

/// Where a partition is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// As the partition table numbers it.
    pub number: u32,
    /// Its first byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// `struct blkpg_ioctl_arg`
#[repr(C)]
struct RawArgument {
    op: c_int,
    flags: c_int,
    length: c_int,
    data: *mut c_void,
}

/// `struct blkpg_partition`
#[repr(C)]
struct RawPartition {
    start: i64,
    length: i64,
    number: c_int,
    names: [[u8; 64]; 2],
}

const _: () = assert!(!WIDE || size_of::<RawArgument>() == 24);
const _: () = assert!(!WIDE || size_of::<RawPartition>() == 152);

/// `BLKPG` with `BLKPG_DEL_PARTITION` (`CAP_SYS_ADMIN`) — the kernel forgets a partition of this disk. The table on the disk stays
/// as it is.
///
/// # Errors
/// `EBUSY` while the partition is open, `ENXIO` without such a partition, `EINVAL` if `disk` is a partition, `ENOTTY` if it is no block
/// device, `EACCES`.
pub fn forget(disk: impl AsFd, number: u32) -> Result<()> {
    change(disk, DELETE, Partition { number, start: 0, length: 0 })
}

/// `BLKPG` with `BLKPG_ADD_PARTITION` (`CAP_SYS_ADMIN`) — the kernel knows a partition of this disk again. The table on the disk stays
/// as it is.
///
/// # Errors
/// `EBUSY` if it overlaps another one or its number is in use, `EINVAL` if `disk` is a partition or the place is not on the disk,
/// `ENOTTY` if it is no block device, `EACCES`.
pub fn add(disk: impl AsFd, partition: Partition) -> Result<()> {
    change(disk, ADD, partition)
}

/// `BLKRRPART` (`CAP_SYS_ADMIN`) — the kernel reads the partition table of this disk anew.
///
/// # Errors
/// `EBUSY` while a partition is open, `EINVAL` if `disk` is a partition or can have none, `ENOTTY` if it is no block device, `EACCES`.
pub fn read_again(disk: impl AsFd) -> Result<()> {
    // SAFETY: the kernel reads no argument.
    unsafe { ioctl(disk.as_fd(), &BLKRRPART, std::ptr::null_mut::<c_void>()) }?;
    Ok(())
}

fn change(disk: impl AsFd, op: c_int, partition: Partition) -> Result<()> {
    let number = c_int::try_from(partition.number).unwrap_or(c_int::MAX);
    let [start, length] = [partition.start, partition.length].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut partition = RawPartition { start, length, number, names: [[0; 64]; 2] };
    let length = c_int::try_from(size_of::<RawPartition>()).unwrap_or_default();
    let data = (&raw mut partition).cast();
    let mut argument = RawArgument { op, flags: 0, length, data };
    // SAFETY: the kernel reads one `RawArgument`, and in it a valid pointer to one `RawPartition`, and keeps no pointer.
    unsafe { ioctl(disk.as_fd(), &BLKPG, &raw mut argument) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use nix::errno::Errno;

    use super::*;

    #[test]
    fn what_is_no_disk_has_no_partitions() {
        let error = forget(File::open("/dev/null").unwrap(), 1).unwrap_err();
        assert_eq!((error.call, error.errno), ("BLKPG", Errno::ENOTTY));
        let error = read_again(File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!((error.call, error.errno), ("BLKRRPART", Errno::ENOTTY));
    }
}
