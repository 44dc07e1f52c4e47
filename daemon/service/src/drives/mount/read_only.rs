//! Mounts drives that are only read.

use std::fs::File;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::complaint;
use crate::device::{BlockDevice, node};
use crate::device::{Error, Result};

/// The filesystems that are read: others are more code in the kernel that a drive could do harm with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    Ext4,
    Exfat,
}

impl ReadOnly {
    /// As udev calls it; none for any other.
    pub(crate) fn of(kind: &str) -> Option<Self> {
        match kind {
            "ext4" => Some(Self::Ext4),
            "exfat" => Some(Self::Exfat),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Exfat => "exfat",
        }
    }
}

/// Mounts the filesystem on the device that these facts are of, and answers its top. It is attached nowhere, and goes when
/// the last descriptor below it is closed. Not a byte of the drive is written.
///
/// # Errors
/// The device is another one, or the kernel does not mount it.
pub(crate) fn read_only(kind: ReadOnly, device: &BlockDevice) -> Result<File> {
    let same = node::open_same(device)?;
    let doing = || format!("mounting {}", device.node.display());
    let making = fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC).map_err(Error::system(doing()))?;
    let made = (|| {
        fsconfig_set_string(&making, "source", &device.node)?;
        fsconfig_set_flag(&making, "ro")?;
        if kind == ReadOnly::Ext4 {
            // Not even what its journal still holds is written.
            fsconfig_set_flag(&making, "noload")?;
        }
        fsconfig_create(&making)
    })();
    if let Err(error) = made {
        let reason = complaint(making);
        return Err(Error::system(format!("{}{reason}", doing()))(error));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    let mounted = fsmount(&making, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(Error::system(doing()))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = File::from(openat(&mounted, ".", flags, Mode::empty()).map_err(Error::system(doing()))?);
    drop(same);
    Ok(root)
}
