//! A loop device that comes and goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::chaos::wait_until;
use crate::rig::{PATIENCE, run};

/// A loop device; detached when dropped.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Attaches this image.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn attach(image: &Path) -> Result<Self> {
        Self::with(image, &[])
    }

    /// Attaches this image, and tells the kernel of partitions that begin and are long so many sectors: not every kernel
    /// reads tables.
    ///
    /// # Errors
    /// When `losetup` or `addpart` fails.
    pub fn attach_parted(image: &Path, parts: &[(u64, u64)]) -> Result<Self> {
        let disk = Self::with(image, &["--partscan"])?;
        // From here on udevd does not watch it.
        run(Command::new("udevadm").arg("settle"), PATIENCE)?.success()?;
        for (number, (begin, length)) in (1_u32..).zip(parts) {
            let numbers = [number.to_string(), begin.to_string(), length.to_string()];
            run(Command::new("addpart").arg(&disk.0).args(numbers), PATIENCE)?.success()?;
        }
        Ok(disk)
    }

    /// Attaches this image to the loop device of this number, waiting for it to be free.
    ///
    /// # Errors
    /// When it does not become free.
    pub fn attach_to(number: u32, image: &Path) -> Result<Self> {
        let node = PathBuf::from(format!("/dev/loop{number}"));
        wait_until("the loop device is free", || {
            let attached = run(Command::new("losetup").arg(&node).arg(image), PATIENCE)?;
            Ok(attached.code() == 0)
        })?;
        Ok(Self(node))
    }

    fn with(image: &Path, more: &[&str]) -> Result<Self> {
        let mut losetup = Command::new("losetup");
        let found = run(losetup.args(["--find", "--show"]).args(more).arg(image), PATIENCE)?.success()?;
        Ok(Self(PathBuf::from(found.out().trim())))
    }

    /// `loop0`
    #[must_use]
    pub fn name(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("losetup").arg("--detach").arg(&self.0), PATIENCE).ok();
    }
}
