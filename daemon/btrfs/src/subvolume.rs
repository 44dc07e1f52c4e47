//! Subvolumes: made, snapshotted, removed, made read-only, marked as received, asked about.

#![expect(unsafe_code, reason = "the ioctls of subvolumes take pointers to their arguments")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::{Errno, Error, Result, one_component};
use crate::file::Stat;
use crate::ioctl::{BTRFS, Direction, Request, ioctl};
pub use crate::received::{Received, SubvolumeInfo, info, set_received};

/// The inode number of every subvolume's root directory (`BTRFS_FIRST_FREE_OBJECTID`).
pub const ROOT_INODE: u64 = 256;
/// The id of the top-level subvolume, which holds all others (`BTRFS_FS_TREE_OBJECTID`).
pub const TOP_LEVEL_ID: u64 = 5;

/// `BTRFS_IOC_SUBVOL_CREATE_V2` — makes an empty subvolume `name` in `dir`, with mode 0755 less the umask, owned by the
/// caller's ids for files.
///
/// # Errors
/// `EEXIST`, `EINVAL` (no single name), `ENAMETOOLONG` (above 255 bytes), `EACCES`, `EROFS`, `ENOSPC`, `EDQUOT`, `ENOTTY`.
pub fn create(dir: impl AsFd, name: &CStr) -> Result<()> {
    by_name(dir.as_fd(), &CREATE, name, None, 0)
}

/// `BTRFS_IOC_SNAP_CREATE_V2` — makes `name` in `dir` a snapshot of the subvolume whose root is `source`. The data that the
/// source has pending is written first, and the transaction is committed.
///
/// # Errors
/// As for [`create`]; `EINVAL` too when `source` is no root of a subvolume, `EXDEV` when it is on another filesystem,
/// `EPERM` when it belongs to someone else.
pub fn snapshot(dir: impl AsFd, name: &CStr, source: impl AsFd, read_only: bool) -> Result<()> {
    let flags = if read_only { READ_ONLY } else { 0 };
    by_name(dir.as_fd(), &SNAPSHOT, name, Some(source.as_fd()), flags)
}

/// `BTRFS_IOC_SNAP_DESTROY_V2` (Linux 5.7) — removes the subvolume `name` from `dir`, read-only or not. Its space comes
/// back in the background.
///
/// # Errors
/// `ENOENT`, `EINVAL` (no subvolume), `ENOTEMPTY` (another subvolume is in it), `EPERM` (also for the default subvolume),
/// `EBUSY` (being sent), `EROFS`.
pub fn destroy(dir: impl AsFd, name: &CStr) -> Result<()> {
    by_name(dir.as_fd(), &DESTROY, name, None, 0)
}

/// `BTRFS_IOC_SNAP_DESTROY_V2` with `BTRFS_SUBVOL_SPEC_BY_ID` (Linux 5.7, `CAP_SYS_ADMIN`) — removes subvolume `id` of the
/// filesystem that `fd` is on, whatever it is called by now and wherever it is.
///
/// # Errors
/// As for [`destroy`]; `ENOENT` when there is no such subvolume, `EPERM` also while it is being sent.
pub fn destroy_by_id(fd: impl AsFd, id: u64) -> Result<()> {
    let mut argument = RawVolume { fd: 0, transid: 0, flags: SPEC_BY_ID, unused: [0; 4], name: [0; 4040] };
    if let Some(field) = argument.name.first_chunk_mut::<8>() {
        *field = id.to_ne_bytes();
    }
    // SAFETY: the kernel reads one RawVolume, whose name is a union with the id, and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &DESTROY, &raw mut argument) }?;
    Ok(())
}

/// `BTRFS_IOC_SUBVOL_GETFLAGS` — whether the subvolume is read-only. `fd` is its root directory.
///
/// # Errors
/// `EINVAL` when `fd` is no root of a subvolume, `ENOTTY`.
pub fn is_read_only(fd: impl AsFd) -> Result<bool> {
    let mut flags = 0_u64;
    // SAFETY: the kernel writes one u64 and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &GET_FLAGS, &raw mut flags) }?;
    Ok(flags & READ_ONLY != 0)
}

/// `BTRFS_IOC_SUBVOL_SETFLAGS` — makes the subvolume read-only, or writable again. `fd` is its root directory. Commits
/// a transaction when something changes. A received subvolume made writable keeps its `received_uuid`.
///
/// # Errors
/// `EINVAL` when `fd` is no root of a subvolume, `EPERM`, `EROFS`, `ETXTBSY`, `ENOTTY`.
pub fn set_read_only(fd: impl AsFd, read_only: bool) -> Result<()> {
    let mut flags = if read_only { READ_ONLY } else { 0 };
    // SAFETY: the kernel reads one u64 and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &SET_FLAGS, &raw mut flags) }?;
    Ok(())
}

/// Whether this inode can be the root of a subvolume: a directory with number 256.
#[must_use]
pub const fn is_root(stat: &Stat) -> bool {
    stat.ino == ROOT_INODE && stat.is_dir()
}

/// Flag of a subvolume and of its creation: `BTRFS_SUBVOL_RDONLY`.
pub(crate) const READ_ONLY: u64 = 1 << 1;

/// `BTRFS_SUBVOL_SPEC_BY_ID`.
const SPEC_BY_ID: u64 = 1 << 4;

/// Fills the argument that create, snapshot and destroy share, and makes the call.
fn by_name(
    dir: BorrowedFd<'_>,
    request: &Request,
    name: &CStr,
    source: Option<BorrowedFd<'_>>,
    flags: u64,
) -> Result<()> {
    let bytes = one_component(request.call(), name)?.to_bytes();
    let mut argument = RawVolume {
        fd: source.map_or(0, |fd| i64::from(fd.as_raw_fd())),
        transid: 0,
        flags,
        unused: [0; 4],
        name: [0; 4040],
    };
    match argument.name[..4039].get_mut(..bytes.len()) {
        Some(field) => field.copy_from_slice(bytes),
        None => return Err(Error { call: request.call(), errno: Errno::ENAMETOOLONG }),
    }
    // SAFETY: the kernel reads and writes one RawVolume; the descriptor in it is borrowed for the whole call.
    unsafe { ioctl(dir, request, &raw mut argument) }?;
    Ok(())
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct RawVolume {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

const _: () = assert!(size_of::<RawVolume>() == 4096);

const fn volume_request(call: &'static str, nr: u8, known: u32) -> Request {
    Request::new(call, Direction::Write, BTRFS, nr, size_of::<RawVolume>(), known)
}

const CREATE: Request = volume_request("BTRFS_IOC_SUBVOL_CREATE_V2", 24, 0x5000_9418);
const SNAPSHOT: Request = volume_request("BTRFS_IOC_SNAP_CREATE_V2", 23, 0x5000_9417);
const DESTROY: Request = volume_request("BTRFS_IOC_SNAP_DESTROY_V2", 63, 0x5000_943f);
const GET_FLAGS: Request =
    Request::new("BTRFS_IOC_SUBVOL_GETFLAGS", Direction::Read, BTRFS, 25, size_of::<u64>(), 0x8008_9419);
const SET_FLAGS: Request =
    Request::new("BTRFS_IOC_SUBVOL_SETFLAGS", Direction::Write, BTRFS, 26, size_of::<u64>(), 0x4008_941a);
