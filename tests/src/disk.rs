//! A disk that is attached and detached.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{Loop, LoopNumber, TIMEOUT, mount, run, unmount};

/// Limits a loop device to one sector: `LOOP_GET_STATUS64` and `LOOP_SET_STATUS64` (`linux/loop.h`), with `lo_sizelimit` changed.
const SHRINK: &str = "\
import fcntl, struct, sys
with open(sys.argv[1], 'rb') as device:
    status = bytearray(fcntl.ioctl(device, 0x4C05, bytes(232)))
    struct.pack_into('=Q', status, 32, 512)
    fcntl.ioctl(device, 0x4C04, bytes(status))
";

/// A loop device; detached when dropped, or when it is unmounted after that.
#[derive(Debug)]
pub struct Disk(Loop);

impl Disk {
    /// Attaches this image.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn attach(image: &Path) -> Result<Self> {
        Ok(Self(Loop::attach(image)?))
    }

    /// Attaches this image to a device that takes no writes.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn attach_write_protected(image: &Path) -> Result<Self> {
        Ok(Self(Loop::with(image, &["--read-only"])?))
    }

    /// Attaches this image and adds partitions, each with its first sector and its length: not every kernel reads partition
    /// tables.
    ///
    /// # Errors
    /// When `losetup` or `addpart` fails.
    pub fn attach_parted(image: &Path, parts: &[(u64, u64)]) -> Result<Self> {
        let disk = Loop::with(image, &["--partscan"])?;
        // After that udevd does not watch it.
        run(Command::new("udevadm").arg("settle"), TIMEOUT)?.success()?;
        for (number, (begin, length)) in (1_u32..).zip(parts) {
            let numbers = [number.to_string(), begin.to_string(), length.to_string()];
            run(Command::new("addpart").arg(disk.path()).args(numbers), TIMEOUT)?.success()?;
        }
        Ok(Self(disk))
    }

    /// Attaches this image to the loop device of this number, once it is free.
    ///
    /// # Errors
    /// When it does not become free.
    pub fn attach_to(number: &LoopNumber, image: &Path) -> Result<Self> {
        Ok(Self(number.attach(image)?))
    }

    /// From now on the kernel fails every request to it. The image stays as it is.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn fail(&self) -> Result<()> {
        run(Command::new("/usr/bin/python3").args(["-c", SHRINK]).arg(self.0.path()), TIMEOUT)?.success().map(drop)
    }

    /// Unplugs it while it is in use: requests fail, then udev reports that it is gone. Only detaching it is not enough, because the
    /// kernel keeps a loop device that is mounted.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn pull(self) -> Result<()> {
        self.fail()?;
        Ok(std::fs::write(Path::new("/sys/block").join(self.name()).join("uevent"), "remove")?)
    }

    /// `loop0`
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name()
    }
}

/// Changes the filesystem of this image as another machine would: mounted by the test. Meanwhile the image has another name,
/// so that the service does not see it as a drive.
///
/// # Errors
/// It cannot be mounted; the error of the change.
pub fn elsewhere<T>(image: &Path, does: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let (at, other) = (image.with_file_name("elsewhere"), image.with_file_name("elsewhere.disk"));
    std::fs::create_dir_all(&at)?;
    std::fs::rename(image, &other)?;
    let device = Loop::attach(&other)?;
    mount(device.path(), &at, "")?;
    let done = does(&at);
    unmount(&at)?;
    // Before that it would be a copy of the drive.
    device.detach(&other)?;
    std::fs::rename(&other, image)?;
    done
}
