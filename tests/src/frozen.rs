//! A filesystem that is frozen: what is written to it waits.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use butterdock_btrfs::filesystem;
use uuid::Uuid;

use crate::{Service, TIMEOUT, Volume, mount, run};

/// Frozen until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    at: PathBuf,
    /// Its filesystem in sysfs.
    sysfs: PathBuf,
}

impl Frozen {
    /// Freezes the btrfs filesystem that is mounted there.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn new(at: &Path) -> Result<Self> {
        let fsid = Uuid::from_bytes(filesystem::info(File::open(at)?)?.fsid);
        run(Command::new("fsfreeze").arg("--freeze").arg(at), TIMEOUT)?.success()?;
        Ok(Self { at: at.to_owned(), sysfs: format!("/sys/fs/btrfs/{fsid}").into() })
    }

    /// Thaws a filesystem that was unmounted while it was frozen: the kernel keeps it, and its device, until then.
    fn thaw_unmounted(&self) -> Result<()> {
        let device = fs::read_dir(self.sysfs.join("devices"))?.next().context("a device")??.file_name();
        let at = tempfile::tempdir()?;
        mount(&Path::new("/dev").join(device), at.path(), "")?;
        let thawed = thaw(at.path());
        run(Command::new("umount").arg(at.path()), TIMEOUT)?.success()?;
        thawed
    }
}

impl Drop for Frozen {
    #[expect(clippy::print_stderr, reason = "what a failed test leaves frozen is shown")]
    fn drop(&mut self) {
        if thaw(&self.at).is_err()
            && self.sysfs.exists()
            && let Err(error) = self.thaw_unmounted()
        {
            eprintln!("{} stays frozen: {error:#}", self.sysfs.display());
        }
    }
}

fn thaw(at: &Path) -> Result<()> {
    run(Command::new("fsfreeze").arg("--unfreeze").arg(at), TIMEOUT)?.success().map(drop)
}

/// Moves the image of the volume `name` into the volume `below` and mounts it again: frozen, that one is a drive that does
/// not answer.
///
/// # Errors
/// The service does not have both.
pub fn moved_below(service: &mut Service, name: &str, below: &str) -> Result<Volume> {
    let (at, image) = (service.path(name), service.path(below).join("image"));
    let volume = service.volume(name)?;
    volume.unmount()?;
    volume.copy_image(&image)?;
    Volume::of_image(&image, &at, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sandbox;

    #[test]
    fn privileged_a_filesystem_unmounted_while_frozen_is_thawed() -> Result<()> {
        let sandbox = Sandbox::new()?;
        let mut volume = sandbox.plain_volume("a")?;
        let frozen = Frozen::new(volume.path())?;
        let sysfs = frozen.sysfs.clone();
        run(Command::new("umount").arg("--lazy").arg(volume.path()), TIMEOUT)?.success()?;
        drop(frozen);
        crate::wait_until("the kernel has given the filesystem up", || Ok(!sysfs.exists()))?;
        volume.mount("")
    }
}
