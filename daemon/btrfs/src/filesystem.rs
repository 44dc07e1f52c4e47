//! The filesystem as a whole: its identity, its devices and their error counters, sync, and its top-level subvolume through a
//! private mount.

#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::fs::{StatVfsMountFlags, fstatfs, fstatvfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::error::{Errno, Error, Result, retry};
use crate::ioctl::{BTRFS, Direction, Request, ioctl, until_nul};

/// The identity and the sizes of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilesystemInfo {
    /// Its uuid, or the temporary one of a clone mounted beside its original.
    pub fsid: [u8; 16],
    /// How many devices it has.
    pub num_devices: u64,
    /// The highest device id.
    pub max_id: u64,
    /// The size of a metadata block, in bytes.
    pub nodesize: u32,
    /// The size of a sector, in bytes: the alignment of encoded writes and clones.
    pub sectorsize: u32,
}

/// One device of a filesystem. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its id in the filesystem.
    pub devid: u64,
    /// Its own uuid (`UUID_SUB`).
    pub uuid: [u8; 16],
    /// Its size.
    pub total_bytes: u64,
    /// How much of it is allocated to chunks.
    pub bytes_used: u64,
    /// Its path in the kernel; none if it is missing.
    pub path: Vec<u8>,
}

impl DeviceInfo {
    /// Whether the filesystem was mounted without it. Older kernels have no path then, newer ones `<missing disk>`.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        !self.path.starts_with(b"/")
    }
}

/// A device's error counters. They are stored on disk and grow until they are reset (`btrfs device stats --reset`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceErrors {
    /// Failed writes.
    pub write: u64,
    /// Failed reads.
    pub read: u64,
    /// Failed flushes of the device's cache.
    pub flush: u64,
    /// Blocks with a wrong checksum or content.
    pub corruption: u64,
    /// Blocks with an old generation.
    pub generation: u64,
}

impl DeviceErrors {
    /// All errors together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { write, read, flush, corruption, generation } = *self;
        [write, read, flush, corruption, generation].into_iter().fold(0, u64::saturating_add)
    }
}

/// `fstatfs(2)` — whether `fd` is on btrfs.
///
/// # Errors
/// `EBADF`, `EIO`.
pub fn is_btrfs(fd: impl AsFd) -> Result<bool> {
    let answer = retry("fstatfs", || fstatfs(&fd))?;
    Ok(u64::try_from(answer.f_type).is_ok_and(|kind| kind == MAGIC))
}

/// `BTRFS_SUPER_MAGIC`.
const MAGIC: u64 = 0x9123_683e;

/// `BTRFS_IOC_FS_INFO` (no capability) — the filesystem under `fd`.
///
/// # Errors
/// `ENOTTY` on another filesystem.
pub fn info(fd: impl AsFd) -> Result<FilesystemInfo> {
    let mut raw = RawInfo { max_id: 0, num_devices: 0, fsid: [0; 16], nodesize: 0, sectorsize: 0, rest: [0; 123] };
    // SAFETY: the kernel writes one RawInfo and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &FS_INFO, &raw mut raw) }?;
    Ok(FilesystemInfo {
        fsid: raw.fsid,
        num_devices: raw.num_devices,
        max_id: raw.max_id,
        nodesize: raw.nodesize,
        sectorsize: raw.sectorsize,
    })
}

/// `BTRFS_IOC_DEV_INFO` (no capability) — device `devid`; none if it does not exist (`ENODEV`). Ids may have gaps: try
/// 1 to [`FilesystemInfo::max_id`].
///
/// # Errors
/// `ENOTTY` on another filesystem.
pub fn device_info(fd: impl AsFd, devid: u64) -> Result<Option<DeviceInfo>> {
    let mut raw = RawDevice { devid, uuid: [0; 16], bytes_used: 0, total_bytes: 0, unused: [0; 379], path: [0; 1024] };
    // SAFETY: the kernel reads and writes one RawDevice and keeps no pointer.
    match unsafe { ioctl(fd.as_fd(), &DEV_INFO, &raw mut raw) } {
        Ok(_) => {}
        Err(error) if error.errno == Errno::ENODEV => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(DeviceInfo {
        devid: raw.devid,
        uuid: raw.uuid,
        total_bytes: raw.total_bytes,
        bytes_used: raw.bytes_used,
        path: until_nul(&raw.path).to_vec(),
    }))
}

/// `BTRFS_IOC_GET_DEV_STATS` (no capability) — the error counters of device `devid`.
///
/// # Errors
/// `ENODEV` if there is no such device, `ENOTTY` on another filesystem.
pub fn device_errors(fd: impl AsFd, devid: u64) -> Result<DeviceErrors> {
    let mut raw = RawStats { devid, nr_items: 5, flags: 0, values: [0; 5], unused: [0; 121] };
    // SAFETY: the kernel reads and writes one RawStats and keeps no pointer.
    unsafe { ioctl(fd.as_fd(), &GET_DEV_STATS, &raw mut raw) }?;
    let [write, read, flush, corruption, generation] = raw.values;
    Ok(DeviceErrors { write, read, flush, corruption, generation })
}

/// The error counters of all present devices, each with its id. See [`device_errors`].
///
/// # Errors
/// `ENOTTY` on another filesystem.
pub fn all_device_errors(fd: impl AsFd) -> Result<Vec<(u64, DeviceErrors)>> {
    let mut devices = Vec::new();
    for devid in 0..=info(&fd)?.max_id.min(DEVICES) {
        // Reading the counters of a missing device makes the kernel log a warning; this call does not.
        if device_info(&fd, devid)?.is_none() {
            continue;
        }
        match device_errors(&fd, devid) {
            Ok(errors) => devices.push((devid, errors)),
            Err(error) if error.errno == Errno::ENODEV => {}
            Err(error) => return Err(error),
        }
    }
    Ok(devices)
}

/// No filesystem has more devices; bounds the loop for a damaged `max_id`.
const DEVICES: u64 = 4096;

/// `fstatvfs(3)` — whether the mount of `fd` is read-only.
///
/// # Errors
/// `EIO`.
pub fn is_read_only(fd: impl AsFd) -> Result<bool> {
    retry("fstatfs", || fstatvfs(&fd)).map(|now| now.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// `syncfs(2)` — writes all pending changes of the filesystem under `fd` out and waits for them.
///
/// # Errors
/// `EIO`, `ENOSPC`, `EDQUOT`: also errors of earlier writes that were not reported yet. The kernel does not report an error
/// under an *encoded* write. `EROFS` if the filesystem is read-only: it becomes read-only if it cannot commit, and then the
/// kernel writes nothing out and reports success.
pub fn sync(fd: impl AsFd) -> Result<()> {
    retry("syncfs", || nix::unistd::syncfs(&fd))?;
    if is_read_only(fd)? {
        return Err(Error { call: "syncfs", errno: Errno::EROFS });
    }
    Ok(())
}

/// `fsopen(2)`, `fsconfig(2)`, `fsmount(2)` (`CAP_SYS_ADMIN`) — the top-level subvolume (id 5) of the filesystem of
/// `fd`, as the root of a new mount that is attached nowhere. The mount ends when the descriptor and all that were opened
/// below it are closed. Until then the filesystem stays mounted, also if the visible mount is removed.
///
/// The mount is read-only, nosuid, nodev, noexec and nosymfollow. The filesystem is mounted with "ro" too, because btrfs
/// makes a read-only filesystem writable for a writable mount. It never does the opposite, so the options of the filesystem
/// do not change.
///
/// The path of the device comes from the kernel's list, and another device may have it meanwhile. So the function returns a
/// mount only if its fsid is that of `fd`.
///
/// # Errors
/// `ENODEV` if no device has a path, `ESTALE` if the path led to another filesystem, `EPERM`, `ENOENT` and other
/// errors of `mount(2)`, `ENOTTY` if `fd` is not on btrfs.
pub fn open_top(fd: impl AsFd) -> Result<OwnedFd> {
    open_top_with(fd, Access::Read)
}

/// The same, writable, of a filesystem that is mounted writable through `fd`.
///
/// # Errors
/// As for [`open_top`]; `EROFS` if the filesystem or the mount of `fd` is read-only.
pub fn open_top_writable(fd: impl AsFd) -> Result<OwnedFd> {
    if is_read_only(&fd)? {
        return Err(Error { call: "fsmount", errno: Errno::EROFS });
    }
    open_top_with(fd, Access::Write)
}

/// What a mount is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn open_top_with(fd: impl AsFd, access: Access) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    let wanted = info(fd)?;
    let mut failure = Error { call: "BTRFS_IOC_DEV_INFO", errno: Errno::ENODEV };
    for source in device_paths(fd, &wanted)? {
        match mount_top(&source, access) {
            Ok(top) if info(&top)?.fsid == wanted.fsid => return Ok(top),
            Ok(_) => failure = Error { call: "fsmount", errno: Errno::ESTALE },
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The paths of all present devices. Ids have gaps, so the loop ends with the last device or with the highest id.
fn device_paths(fd: BorrowedFd<'_>, filesystem: &FilesystemInfo) -> Result<Vec<CString>> {
    let mut paths = Vec::new();
    let mut left = filesystem.num_devices;
    for devid in 1..=filesystem.max_id {
        if left == 0 {
            break;
        }
        if let Some(device) = device_info(fd, devid)? {
            left -= 1;
            paths.extend(CString::new(device.path).ok().filter(|path| !path.is_empty()));
        }
    }
    Ok(paths)
}

fn mount_top(source: &CString, access: Access) -> Result<OwnedFd> {
    let context = retry("fsopen", || fsopen(c"btrfs", FsOpenFlags::FSOPEN_CLOEXEC))?;
    retry("fsconfig", || fsconfig_set_string(&context, c"source", source))?;
    retry("fsconfig", || fsconfig_set_string(&context, c"subvolid", c"5"))?;
    if access == Access::Read {
        retry("fsconfig", || fsconfig_set_flag(&context, c"ro"))?;
    }
    retry("fsconfig", || fsconfig_create(&context))?;
    let read_only = match access {
        Access::Read => MountAttrFlags::MOUNT_ATTR_RDONLY,
        Access::Write => MountAttrFlags::empty(),
    };
    let attributes = read_only
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = retry("fsmount", || fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))?;
    // fsmount returns an O_PATH descriptor, for look-ups only; a directory opened below it keeps the mount too.
    retry("openat", || openat(&mount, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
}

/// `struct btrfs_ioctl_fs_info_args`; the later fields are not used.
#[repr(C)]
struct RawInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    nodesize: u32,
    sectorsize: u32,
    rest: [u64; 123],
}

/// `struct btrfs_ioctl_dev_info_args`.
#[repr(C)]
struct RawDevice {
    devid: u64,
    uuid: [u8; 16],
    bytes_used: u64,
    total_bytes: u64,
    unused: [u64; 379],
    path: [u8; 1024],
}

/// `struct btrfs_ioctl_get_dev_stats`.
#[repr(C)]
struct RawStats {
    devid: u64,
    nr_items: u64,
    flags: u64,
    values: [u64; 5],
    unused: [u64; 121],
}

const _: () = assert!(size_of::<RawInfo>() == 1024 && size_of::<RawDevice>() == 4096 && size_of::<RawStats>() == 1032);

const FS_INFO: Request =
    Request::new("BTRFS_IOC_FS_INFO", Direction::Read, BTRFS, 31, size_of::<RawInfo>(), 0x8400_941f);
const DEV_INFO: Request =
    Request::new("BTRFS_IOC_DEV_INFO", Direction::ReadWrite, BTRFS, 30, size_of::<RawDevice>(), 0xd000_941e);
const GET_DEV_STATS: Request =
    Request::new("BTRFS_IOC_GET_DEV_STATS", Direction::ReadWrite, BTRFS, 52, size_of::<RawStats>(), 0xc408_9434);
