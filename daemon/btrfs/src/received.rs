//! What a subvolume says of itself, and the mark that it was received whole.

#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::{BTRFS, Direction, GENERIC, Request, ioctl};
use crate::raw::until_nul;

/// What a subvolume says of itself. Transaction ids count the filesystem's commits; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubvolumeInfo {
    /// Its id.
    pub id: u64,
    /// Its name in the directory that holds it; empty for the top-level subvolume.
    pub name: Vec<u8>,
    /// The id of the subvolume that holds it; 0 for the top-level subvolume and a deleted one.
    pub parent_id: u64,
    /// The inode of the directory that holds it; 0 as above.
    pub dir_id: u64,
    /// The transaction that last changed it.
    pub generation: u64,
    /// `BTRFS_ROOT_SUBVOL_*`: bit 0 is read-only (unlike the bit of `SUBVOL_GETFLAGS`).
    pub flags: u64,
    /// Its own uuid.
    pub uuid: [u8; 16],
    /// The uuid of what it is a snapshot of; zero for none.
    pub parent_uuid: [u8; 16],
    /// The uuid of what was sent; zero when it was not received.
    pub received_uuid: [u8; 16],
    /// When an inode last changed.
    pub ctransid: u64,
    /// When it was made.
    pub otransid: u64,
    /// The sender's ctransid.
    pub stransid: u64,
    /// When it was marked as received.
    pub rtransid: u64,
}

/// What marks a subvolume as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The uuid that the stream gave.
    pub uuid: [u8; 16],
    /// The ctransid that the stream gave.
    pub stransid: u64,
}

/// `BTRFS_IOC_GET_SUBVOL_INFO` (Linux 4.18, no capability) — the subvolume that `fd` is in; any of its inodes will do.
///
/// # Errors
/// `ENOENT` when it is deleted, `ENOTTY` on another filesystem.
pub fn info(fd: impl AsFd) -> Result<SubvolumeInfo> {
    let mut raw = RawInfo {
        id: 0,
        name: [0; 256],
        parent_id: 0,
        dir_id: 0,
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        ctransid: 0,
        otransid: 0,
        stransid: 0,
        rtransid: 0,
        times: [RawTime { sec: 0, nsec: 0 }; 4],
        reserved: [0; 8],
    };
    // SAFETY: the kernel writes one RawInfo and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &INFO, &raw mut raw) }?;
    Ok(SubvolumeInfo {
        id: raw.id,
        name: until_nul(&raw.name).to_vec(),
        parent_id: raw.parent_id,
        dir_id: raw.dir_id,
        generation: raw.generation,
        flags: raw.flags,
        uuid: raw.uuid,
        parent_uuid: raw.parent_uuid,
        received_uuid: raw.received_uuid,
        ctransid: raw.ctransid,
        otransid: raw.otransid,
        stransid: raw.stransid,
        rtransid: raw.rtransid,
    })
}

/// `BTRFS_IOC_SET_RECEIVED_SUBVOL` — marks the subvolume whose root is `fd` as received; gives the transaction in which
/// it was (rtransid). An older mark is replaced, in the UUID tree too.
///
/// # Errors
/// `EROFS` once the subvolume is read-only, `EINVAL` when `fd` is no root of a subvolume, `EPERM`, `ENOSPC`, `EOVERFLOW`
/// (too many subvolumes bear this uuid), `ENOTTY`.
pub fn set_received(fd: impl AsFd, received: &Received) -> Result<u64> {
    let mut raw = RawReceived {
        uuid: received.uuid,
        stransid: received.stransid,
        rtransid: 0,
        stime: RawTime { sec: 0, nsec: 0 },
        rtime: RawTime { sec: 0, nsec: 0 },
        flags: 0,
        reserved: [0; 16],
    };
    // SAFETY: the kernel reads and writes one RawReceived and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &SET_RECEIVED, &raw mut raw) }?;
    Ok(raw.rtransid)
}

/// `struct btrfs_ioctl_timespec`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawTime {
    sec: u64,
    nsec: u32,
}

/// `struct btrfs_ioctl_get_subvol_info_args`.
#[repr(C)]
struct RawInfo {
    id: u64,
    name: [u8; 256],
    parent_id: u64,
    dir_id: u64,
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    ctransid: u64,
    otransid: u64,
    stransid: u64,
    rtransid: u64,
    times: [RawTime; 4],
    reserved: [u64; 8],
}

/// `struct btrfs_ioctl_received_subvol_args`.
#[repr(C)]
struct RawReceived {
    uuid: [u8; 16],
    stransid: u64,
    rtransid: u64,
    stime: RawTime,
    rtime: RawTime,
    flags: u64,
    reserved: [u64; 16],
}

const _: () = assert!(!GENERIC || size_of::<RawInfo>() == 504 && size_of::<RawReceived>() == 200);

const INFO: Request =
    Request::new("BTRFS_IOC_GET_SUBVOL_INFO", Direction::Read, BTRFS, 60, size_of::<RawInfo>(), 0x81f8_943c);
const SET_RECEIVED: Request = Request::new(
    "BTRFS_IOC_SET_RECEIVED_SUBVOL",
    Direction::ReadWrite,
    BTRFS,
    37,
    size_of::<RawReceived>(),
    0xc0c8_9425,
);
