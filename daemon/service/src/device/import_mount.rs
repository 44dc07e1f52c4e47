//! Mounts a filesystem that is not btrfs, from which stream files are imported: only to read, and attached nowhere.

use std::fs::File;
use std::os::fd::OwnedFd;

use butterdock_btrfs::best_effort;
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::block_device::BlockDevice;
use super::error::{Error, Part, Result, Sentence};
use super::mount::complaint;
use super::node;
use crate::types::{DriveProblemCode, DriveProblemParams};

/// The filesystems that are read: others are more code in the kernel that a drive could do harm with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    Ext2,
    Ext3,
    Ext4,
    Vfat,
    Exfat,
}

impl ReadOnly {
    /// As udev calls it; none for any other.
    pub(crate) fn of(kind: &str) -> Option<Self> {
        match kind {
            "ext2" => Some(Self::Ext2),
            "ext3" => Some(Self::Ext3),
            "ext4" => Some(Self::Ext4),
            "vfat" => Some(Self::Vfat),
            "exfat" => Some(Self::Exfat),
            _ => None,
        }
    }

    /// The kernel's drivers that can mount it, the preferred one first: that of ext4 can leave a journal as it is.
    fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::Ext2 => &["ext4", "ext2"],
            Self::Ext3 => &["ext4", "ext3"],
            Self::Ext4 => &["ext4"],
            Self::Vfat => &["vfat"],
            Self::Exfat => &["exfat"],
        }
    }

    /// Begins to mount it. Returns the driver's name too.
    fn open(self, doing: impl Fn() -> String) -> Result<(OwnedFd, &'static str)> {
        for driver in self.drivers() {
            match fsopen(*driver, FsOpenFlags::FSOPEN_CLOEXEC) {
                Ok(making) => return Ok((making, driver)),
                Err(rustix::io::Errno::NODEV) => {}
                Err(error) => return Err(Error::system(doing())(error)),
            }
        }
        Err(Error::refused(unsupported(self.drivers().last().copied().unwrap_or_default())))
    }
}

/// Why stream files are not read from a filesystem, as a sentence.
pub(crate) fn unsupported(kind: &str) -> Sentence {
    Sentence::of(&[
        Part::Text("this file system is not supported here ("),
        Part::Name(if kind.is_empty() { "unknown" } else { kind }),
        Part::Text(
            "); copy the stream files to a drive with btrfs, ext2, ext3, ext4, FAT or exFAT that this kernel has a driver for",
        ),
    ])
    .coded(
        DriveProblemCode::Unsupported,
        DriveProblemParams { formats: Some(vec![kind.to_owned()]), ..DriveProblemParams::default() },
    )
}

/// Mounts the filesystem on the device that these facts are of, and answers its top. It is attached nowhere, and goes when
/// the last descriptor below it is closed. Not a byte of the drive is written.
///
/// # Errors
/// The device is another one, or the kernel does not mount it.
pub(super) fn mount(kind: ReadOnly, device: &BlockDevice) -> Result<File> {
    let same = node::open_same(device)?;
    let doing = || format!("mounting {}", device.node.display());
    let (making, driver) = kind.open(doing)?;
    let made = (|| {
        fsconfig_set_string(&making, "source", &device.node)?;
        fsconfig_set_flag(&making, "ro")?;
        match driver {
            // Not even what its journal still holds is written.
            "ext4" | "ext3" => fsconfig_set_flag(&making, "noload")?,
            // Names are UTF-8 as elsewhere. A kernel that does not take this keeps its own default.
            "vfat" => best_effort(fsconfig_set_string(&making, "utf8", "1")),
            _other => {}
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
