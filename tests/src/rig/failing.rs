//! Volumes whose device stops taking writes.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, umount2};
use rustix::fs::{FallocateFlags, fallocate};

use super::{Layout, PATIENCE, Rig, Volume, run};

/// A volume whose image lies in a small memory filesystem: when that is full, writes to the device fail.
#[derive(Debug)]
pub struct Failing {
    volume: Option<Volume>,
    memory: PathBuf,
}

impl Failing {
    /// A volume of 1 GiB of which all metadata and `data` bytes of the rest can be written.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn after(rig: &Rig, data: u64) -> Result<Self> {
        let memory = rig.join("memory");
        fs::create_dir(&memory)?;
        tmpfs(&memory, "size=1g")?;
        let mut failing = Self { volume: None, memory };
        let image = failing.memory.join("image");
        let layout = Layout { mkfs: ["-m", "single", "-d", "single"].map(String::from).to_vec(), ..Layout::default() };
        let volume = failing.volume.insert(Volume::make(&image, &rig.join("failing"), &layout)?);
        // Chunks come on demand: a file makes the first one for data, so that metadata does not have to grow later.
        fs::write(volume.join("first"), vec![1; 1 << 20])?;
        nix::unistd::sync();
        reserve_metadata(&image)?;
        let used = fs::metadata(&image).map(|status| std::os::unix::fs::MetadataExt::blocks(&status) * 512)?;
        tmpfs(&failing.memory, &format!("remount,size={}", used + data))?;
        Ok(failing)
    }

    /// Where it is mounted.
    ///
    /// # Errors
    /// Never, once made.
    pub fn path(&self) -> Result<&Path> {
        self.volume.as_ref().map(Volume::path).context("a mounted volume")
    }

    /// Gives the device its room back, so that it can be unmounted in peace.
    ///
    /// # Errors
    /// When the memory filesystem cannot be remounted.
    pub fn heal(&self) -> Result<()> {
        tmpfs(&self.memory, "remount,size=1g")
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.heal().ok();
        drop(self.volume.take());
        if umount2(&self.memory, MntFlags::empty()).is_err() {
            umount2(&self.memory, MntFlags::MNT_DETACH).ok();
        }
    }
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "butterdock-rig"]).arg(at), PATIENCE)?.success()?;
    Ok(())
}

/// Gives room to every chunk that is not for data alone, and to the superblocks.
fn reserve_metadata(image: &Path) -> Result<()> {
    let shown = run(Command::new("btrfs").args(["inspect-internal", "dump-tree", "-t", "chunk"]).arg(image), PATIENCE)?
        .success()?
        .out();
    let open: File = OpenOptions::new().write(true).open(image)?;
    let (mut length, mut wanted) = (0, false);
    for line in shown.lines().map(str::trim) {
        let word = |after: &str| -> Option<u64> { line.split_once(after)?.1.split(' ').next()?.parse().ok() };
        if line.starts_with("length ") {
            length = word("length ").unwrap_or(0);
            wanted = !line.contains("type DATA");
        } else if line.starts_with("stripe ") && wanted {
            let offset = word("offset ").context("the offset of a chunk")?;
            fallocate(&open, FallocateFlags::KEEP_SIZE, offset, length)?;
        }
    }
    for offset in [0, 64 << 20] {
        fallocate(&open, FallocateFlags::KEEP_SIZE, offset, 1 << 20)?;
    }
    Ok(())
}
