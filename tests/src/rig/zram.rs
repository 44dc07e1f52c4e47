//! A volume on compressed memory whose limit can be lowered: a device that fails while it is written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, umount2};

use super::{PATIENCE, Rig, run, unmount};

/// Taken away again when dropped.
#[derive(Debug)]
pub struct Zram {
    number: String,
    at: PathBuf,
    mounted: bool,
}

impl Zram {
    /// Whether the kernel has zram at all.
    #[must_use]
    pub fn is_here() -> bool {
        Path::new("/sys/class/zram-control/hot_add").exists()
    }

    /// A fresh btrfs volume of 1 GiB.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(rig: &Rig) -> Result<Self> {
        let number = fs::read_to_string("/sys/class/zram-control/hot_add").context("a zram device")?.trim().to_owned();
        let mut zram = Self { number, at: rig.join("zram"), mounted: false };
        fs::write(zram.setting("disksize"), "1G")?;
        fs::create_dir(&zram.at)?;
        let device = zram.device();
        run(Command::new("mkfs.btrfs").args(["-q", "-f", "-K", "-m", "single"]).arg(&device), PATIENCE)?.success()?;
        zram.mount()?;
        Ok(zram)
    }

    /// Takes all writes again, and is mounted anew: a filesystem that failed may not even be read.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn heal(&mut self) -> Result<()> {
        self.limit(0)?;
        unmount(&self.at)?;
        self.mounted = false;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "btrfs", "-o", "noatime"]).arg(self.device()).arg(&self.at);
        run(&mut mount, PATIENCE)?.success()?;
        self.mounted = true;
        Ok(())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Bytes of memory that the device may use; 0 for no limit.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        Ok(fs::write(self.setting("mem_limit"), bytes.to_string())?)
    }

    /// Bytes of memory that it uses.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn used(&self) -> Result<u64> {
        let text = fs::read_to_string(self.setting("mm_stat"))?;
        text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).context("mm_stat")
    }

    fn device(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }

    fn setting(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/sys/block/zram{}/{name}", self.number))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        self.limit(0).ok();
        if self.mounted && umount2(&self.at, MntFlags::empty()).is_err() {
            umount2(&self.at, MntFlags::MNT_DETACH).ok();
        }
        for _ in 0..100 {
            if fs::write("/sys/class/zram-control/hot_remove", &self.number).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
