//! The folder and the mount namespace of one test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::statvfs;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::{Layout, LoopDevice, Volume};

/// What the folders of tests are called.
const PREFIX: &str = "butterdock-rig-";
/// In each of them, locked while the test runs.
const HELD: &str = ".held";
/// Free room that memory must offer before images are put there.
const WANTED: u64 = 4 << 30;

/// What one test owns: declare it first, so that it is dropped after everything that was made in it.
#[derive(Debug)]
pub struct Rig {
    folder: TempDir,
    /// Locked, so that nobody takes the folder for that of a test that was killed.
    _held: File,
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
        let place = place();
        sweep(&place);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place);
        let folder = folder.context("a temporary folder for the test")?;
        // Locked before it has the name by which others look for it.
        let (making, held) = (folder.path().join(".making"), folder.path().join(HELD));
        let file = File::create(&making)?;
        flock(&file, FlockOperation::LockExclusive)?;
        fs::rename(making, held)?;
        Ok(Self { folder, _held: file })
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

/// Takes away the folders of tests that were killed: their mounts and devices ended with them.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let held = File::open(entry.path().join(HELD)).ok().filter(|_| ours);
        if held.is_some_and(|held| flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            // Another test may sweep it too.
            fs::remove_dir_all(entry.path()).ok();
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
