//! The top-level subvolume, through a private mount.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::error::{Errno, Error, Result, retry};
use crate::filesystem::{FilesystemInfo, device_info, info};

/// `fsopen(2)`, `fsconfig(2)`, `fsmount(2)` (`CAP_SYS_ADMIN`) — the top-level subvolume (id 5) of the filesystem that `fd`
/// is on, as the root of a new mount that is attached nowhere and goes away with the descriptor and those opened below
/// it. Until then the filesystem stays alive, also when the visible mount is taken away.
///
/// The mount is for reading: read-only, and nosuid, nodev, noexec, nosymfollow. "ro" is asked of the filesystem as well,
/// because btrfs turns a read-only filesystem writable for a writable mount; it never does the opposite, so that the
/// filesystem's own options stay as they are.
///
/// The device comes from the kernel's list and is named by a path that may have changed hands; the mount is given out
/// only when its fsid is that of `fd`.
///
/// # Errors
/// `ENODEV` when no device has a path, `ESTALE` when the path led to another filesystem, `EPERM`, `ENOENT` and other
/// errors of `mount(2)`, `ENOTTY` when `fd` is not on btrfs.
pub fn open_top(fd: impl AsFd) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    let wanted = info(fd)?;
    let mut failure = Error { call: "BTRFS_IOC_DEV_INFO", errno: Errno::ENODEV };
    for source in device_paths(fd, &wanted)? {
        match mount_top(&source) {
            Ok(top) if info(&top)?.fsid == wanted.fsid => return Ok(top),
            Ok(_) => failure = Error { call: "fsmount", errno: Errno::ESTALE },
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The paths of all devices that are there. Ids have gaps, so the walk ends with the count or with the highest id.
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

fn mount_top(source: &CString) -> Result<OwnedFd> {
    let context = retry("fsopen", || fsopen(c"btrfs", FsOpenFlags::FSOPEN_CLOEXEC))?;
    retry("fsconfig", || fsconfig_set_string(&context, c"source", source))?;
    retry("fsconfig", || fsconfig_set_string(&context, c"subvolid", c"5"))?;
    retry("fsconfig", || fsconfig_set_flag(&context, c"ro"))?;
    retry("fsconfig", || fsconfig_create(&context))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = retry("fsmount", || fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes))?;
    // What fsmount gives is an O_PATH descriptor, good for look-ups only; a directory opened below keeps the mount as well.
    retry("openat", || openat(&mount, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
}
