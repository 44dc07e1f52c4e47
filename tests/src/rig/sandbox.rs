//! The folder and the mount namespace of one test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use super::{Layout, LoopDevice, Volume};

/// Free room that memory must offer before images are put there.
const WANTED: u64 = 4 << 30;

/// What one test owns: declare it first, so that it is dropped after everything that was made in it.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
}

impl Rig {
    /// A folder in memory (or in `BUTTERDOCK_RIG`, or in the temporary folder where memory is short), and a mount namespace of the
    /// calling thread's own: even when the process is killed, its mounts end with it.
    ///
    /// # Errors
    /// Without root, with a sentence that says so.
    pub fn new() -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "this test mounts btrfs volumes on loop devices and needs root: run it with sudo"
        );
        unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace for the test")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
            .context("keeping the test's mounts to itself")?;
        let folder = tempfile::Builder::new()
            .prefix("butterdock-rig-")
            .tempdir_in(place())
            .context("a temporary folder for the test")?;
        Ok(Self { folder })
    }

    /// The folder of this test.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh btrfs volume, mounted below the folder.
    ///
    /// # Errors
    /// When `mkfs.btrfs` or `mount` fails.
    pub fn volume(&self, name: &str, layout: &Layout) -> Result<Volume> {
        Volume::make(&self.join(&format!("{name}.img")), &self.join(name), layout)
    }

    /// A volume of the usual size, without compression.
    ///
    /// # Errors
    /// As [`Self::volume`].
    pub fn plain_volume(&self, name: &str) -> Result<Volume> {
        self.volume(name, &Layout::default())
    }

    /// A raw loop device over a file of `size` bytes that repeat `fill`.
    ///
    /// # Errors
    /// When the file or the device cannot be made.
    pub fn loop_device(&self, name: &str, size: usize, fill: u8) -> Result<LoopDevice> {
        LoopDevice::make(&self.join(name), size, fill)
    }
}

impl Drop for Rig {
    /// What is mounted in it still would be emptied, and keep it from being removed.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let places = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        for place in places.filter(|place| place.starts_with(self.path())) {
            umount2(place, MntFlags::MNT_DETACH).ok();
        }
    }
}

/// Where images are put.
fn place() -> PathBuf {
    if let Some(asked) = std::env::var_os("BUTTERDOCK_RIG") {
        return PathBuf::from(asked);
    }
    // `tests/leftovers` has a folder there for each run.
    let memory = std::env::var_os("BUTTERDOCK_SHM").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    match statvfs(&memory) {
        Ok(room) if room.blocks_available().saturating_mul(room.fragment_size()) >= WANTED => memory,
        _ => std::env::temp_dir(),
    }
}
