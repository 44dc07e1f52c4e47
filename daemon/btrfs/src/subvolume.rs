//! Subvolumes: create, snapshot, delete, list, set read-only, mark as received, query.
#![expect(unsafe_code, reason = "the ioctls of subvolumes take pointers to their arguments")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::{Errno, Error, Result, one_component};
use crate::file::Stat;
use crate::ioctl::{BTRFS, Direction, GENERIC, Request, ioctl, until_nul};
use crate::roots::{ROOT_BACKREF, ROOT_ITEM, ROOT_TREE, RootItem, RootRef, parse_backref, parse_root_item};
use crate::search::{Key, SearchKey, TreeSearch};

/// The inode number of every subvolume's root directory (`BTRFS_FIRST_FREE_OBJECTID`).
pub const ROOT_INODE: u64 = 256;
/// The id of the top-level subvolume, which holds all others (`BTRFS_FS_TREE_OBJECTID`).
pub const TOP_LEVEL_ID: u64 = 5;

/// `BTRFS_IOC_SUBVOL_CREATE_V2` — creates an empty subvolume `name` in `dir`, with mode 0755 and the umask, owned by the
/// caller.
///
/// # Errors
/// `EEXIST`, `EINVAL` (more than one component), `ENAMETOOLONG` (above 255 bytes), `EACCES`, `EROFS`, `ENOSPC`, `EDQUOT`, `ENOTTY`.
pub fn create(dir: impl AsFd, name: &CStr) -> Result<()> {
    by_name(dir.as_fd(), &CREATE, name, None, 0)
}

/// `BTRFS_IOC_SNAP_CREATE_V2` — creates a snapshot `name` in `dir` of the subvolume whose root is `source`. The kernel first
/// writes the pending data of the source out, and commits the transaction.
///
/// # Errors
/// As for [`create`]; `EINVAL` if `source` is not the root of a subvolume, `EXDEV` if it is on another filesystem,
/// `EPERM` if it belongs to another user.
pub fn snapshot(dir: impl AsFd, name: &CStr, source: impl AsFd, read_only: bool) -> Result<()> {
    let flags = if read_only { READ_ONLY } else { 0 };
    by_name(dir.as_fd(), &SNAPSHOT, name, Some(source.as_fd()), flags)
}

/// `BTRFS_IOC_SNAP_DESTROY_V2` (Linux 5.7) — deletes the subvolume `name` in `dir`, read-only or not. The kernel frees
/// its space in the background.
///
/// # Errors
/// `ENOENT`, `EINVAL` (not a subvolume), `ENOTEMPTY` (another subvolume is in it), `EPERM` (also for the default subvolume),
/// `EBUSY` (being sent), `EROFS`.
pub fn destroy(dir: impl AsFd, name: &CStr) -> Result<()> {
    by_name(dir.as_fd(), &DESTROY, name, None, 0)
}

/// `BTRFS_IOC_SNAP_DESTROY_V2` with `BTRFS_SUBVOL_SPEC_BY_ID` (Linux 5.7, `CAP_SYS_ADMIN`) — deletes subvolume `id` of the
/// filesystem of `fd`, at any path.
///
/// # Errors
/// As for [`destroy`]; `ENOENT` if there is no such subvolume, `EPERM` also while it is being sent.
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
/// `EINVAL` if `fd` is not the root of a subvolume, `ENOTTY`.
pub fn is_read_only(fd: impl AsFd) -> Result<bool> {
    let mut flags = 0_u64;
    // SAFETY: the kernel writes one u64 and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &GET_FLAGS, &raw mut flags) }?;
    Ok(flags & READ_ONLY != 0)
}

/// `BTRFS_IOC_SUBVOL_SETFLAGS` — makes the subvolume read-only, or writable again. `fd` is its root directory. A change
/// commits the transaction. A received subvolume made writable keeps its `received_uuid`.
///
/// # Errors
/// `EINVAL` if `fd` is not the root of a subvolume, `EPERM`, `EROFS`, `ETXTBSY`, `ENOTTY`.
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

/// `BTRFS_SUBVOL_RDONLY`.
pub(crate) const READ_ONLY: u64 = 1 << 1;

/// `BTRFS_SUBVOL_SPEC_BY_ID`.
const SPEC_BY_ID: u64 = 1 << 4;

/// Makes one of the calls create, snapshot and destroy, which have the same argument.
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

/// The answer of `BTRFS_IOC_GET_SUBVOL_INFO`. Transaction ids count the commits of the filesystem; 0 means never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubvolumeInfo {
    /// Its id.
    pub id: u64,
    /// Its name in its parent directory; empty for the top-level subvolume.
    pub name: Vec<u8>,
    /// The id of the subvolume that it is in; 0 for the top-level subvolume and a deleted one.
    pub parent_id: u64,
    /// The inode of its parent directory; 0 as above.
    pub dir_id: u64,
    /// The transaction that last changed it.
    pub generation: u64,
    /// `BTRFS_ROOT_SUBVOL_*`: bit 0 is read-only (unlike the bit of `SUBVOL_GETFLAGS`).
    pub flags: u64,
    /// Its own uuid.
    pub uuid: [u8; 16],
    /// The uuid of the subvolume that it is a snapshot of; zero for none.
    pub parent_uuid: [u8; 16],
    /// The uuid of the subvolume that was sent; zero if it was not received.
    pub received_uuid: [u8; 16],
    /// The transaction in which an inode last changed.
    pub ctransid: u64,
    /// The transaction in which it was created.
    pub otransid: u64,
    /// The sender's ctransid.
    pub stransid: u64,
    /// The transaction in which it was marked as received.
    pub rtransid: u64,
}

/// The mark of a received subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The uuid that the stream gave.
    pub uuid: [u8; 16],
    /// The ctransid that the stream gave.
    pub stransid: u64,
}

/// `BTRFS_IOC_GET_SUBVOL_INFO` (Linux 4.18, no capability) — the subvolume of `fd`, which may be any of its inodes.
///
/// # Errors
/// `ENOENT` if it is deleted, `ENOTTY` on another filesystem.
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

/// `BTRFS_IOC_SET_RECEIVED_SUBVOL` — marks the subvolume whose root is `fd` as received; returns the transaction of the
/// mark (rtransid). It replaces an older mark, also in the UUID tree.
///
/// # Errors
/// `EROFS` if the subvolume is read-only, `EINVAL` if `fd` is not the root of a subvolume, `EPERM`, `ENOSPC`, `EOVERFLOW`
/// (too many subvolumes with this uuid), `ENOTTY`.
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

/// A subvolume in the tree of roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its id.
    pub id: u64,
    /// Its item.
    pub item: RootItem,
    /// Its place; none if it is deleted and its space is not free yet.
    pub place: Option<RootRef>,
}

/// `ROOT_ITEM` and `ROOT_BACKREF` of tree 1 (`CAP_SYS_ADMIN`) — all subvolumes without the top-level one, in the order of
/// their ids, also those outside of the visible mount.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn all(fd: impl AsFd) -> Result<Vec<Subvolume>> {
    let key = SearchKey {
        tree: ROOT_TREE,
        min: Key { objectid: FIRST, kind: ROOT_ITEM, offset: 0 },
        max: Key { objectid: LAST, kind: ROOT_BACKREF, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut found: Vec<Subvolume> = Vec::new();
    TreeSearch::new(BUFFER).parse_each(fd, &key, |key, bytes| {
        match key.kind {
            ROOT_ITEM => found.push(Subvolume { id: key.objectid, item: parse_root_item(bytes)?, place: None }),
            ROOT_BACKREF => {
                let of = found.last_mut().filter(|last| last.id == key.objectid)?;
                of.place = Some(parse_backref(key, bytes)?);
            }
            _ => {}
        }
        Some(())
    })?;
    Ok(found)
}

/// `BTRFS_FIRST_FREE_OBJECTID`.
const FIRST: u64 = 256;
/// `BTRFS_LAST_FREE_OBJECTID`.
const LAST: u64 = u64::MAX - 255;
const BUFFER: usize = 256 << 10;
