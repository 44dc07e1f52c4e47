//! btrfs volumes on loop devices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::{Loop, PATIENCE, Patience, run};

/// What a volume is made like.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Bytes of the image, which is sparse.
    pub size: u64,
    /// Options of `mount`, beside `noatime`.
    pub options: String,
    /// Arguments of `mkfs.btrfs`.
    pub mkfs: Vec<String>,
}

impl Default for Layout {
    fn default() -> Self {
        Self { size: 1 << 30, options: String::new(), mkfs: Vec::new() }
    }
}

impl Layout {
    /// The usual size, mounted with these options.
    #[must_use]
    pub fn mounted(options: &str) -> Self {
        Self { options: options.to_owned(), ..Self::default() }
    }

    /// An image of `mebibytes`, mounted with these options.
    #[must_use]
    pub fn sized(mebibytes: u64, options: &str) -> Self {
        Self { size: mebibytes << 20, options: options.to_owned(), ..Self::default() }
    }
}

/// A mounted volume; unmounted and deleted when dropped.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    at: PathBuf,
    options: String,
    /// While it is mounted.
    device: Option<Loop>,
}

impl Volume {
    /// Makes the image, the filesystem and the mount.
    ///
    /// # Errors
    /// When `mkfs.btrfs` or `mount` fails.
    pub fn make(image: &Path, at: &Path, layout: &Layout) -> Result<Self> {
        File::create(image)?.set_len(layout.size)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-f", "-K"]).args(&layout.mkfs).arg(image), PATIENCE)?.success()?;
        Self::of_image(image, at, &layout.options)
    }

    /// Mounts an image that holds a filesystem; owns (and in the end deletes) it.
    ///
    /// # Errors
    /// When `mount` fails.
    pub fn of_image(image: &Path, at: &Path, options: &str) -> Result<Self> {
        fs::create_dir_all(at)?;
        let mut volume =
            Self { image: image.to_path_buf(), at: at.to_path_buf(), options: options.to_owned(), device: None };
        volume.mount(options)?;
        Ok(volume)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.at.join(name)
    }

    /// Its image.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Mounts it with `options` beside `noatime`.
    ///
    /// # Errors
    /// When `mount` fails.
    pub fn mount(&mut self, options: &str) -> Result<()> {
        let mut all = String::from("noatime");
        if !options.is_empty() {
            all.push(',');
            all.push_str(options);
        }
        let device = Loop::attach(&self.image)?;
        run(Command::new("mount").args(["-t", "btrfs", "-o", &all]).arg(device.path()).arg(&self.at), PATIENCE)?
            .success()?;
        self.device = Some(device);
        Ok(())
    }

    /// Unmounts it; the image stays.
    ///
    /// # Errors
    /// When it is still busy after a while.
    pub fn unmount(&mut self) -> Result<()> {
        unmount(&self.at)?;
        self.device = None;
        Ok(())
    }

    /// Unmounts and mounts again as it was made: what is read afterwards comes from the device.
    ///
    /// # Errors
    /// As [`Self::unmount`] and [`Self::mount`].
    pub fn remount(&mut self) -> Result<()> {
        let options = self.options.clone();
        self.unmount()?;
        self.mount(&options)
    }

    /// Copies the image as it is on the device now, as a power cut would leave it.
    ///
    /// # Errors
    /// When `cp` fails.
    pub fn copy_image(&self, to: &Path) -> Result<()> {
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(to), PATIENCE)?.success()?;
        Ok(())
    }

    /// The device under the mount.
    ///
    /// # Errors
    /// When the kernel's list of mounts does not have it.
    pub fn device(&self) -> Result<String> {
        let mounts = fs::read_to_string("/proc/thread-self/mounts")?;
        let at = self.at.to_str().context("a mount point in UTF-8")?;
        mounts
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, rest)| rest.split(' ').next() == Some(at))
            .map(|(device, _)| device.to_owned())
            .with_context(|| format!("{at} is not mounted"))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.device.is_some() && self.unmount().is_err() {
            // Nothing more can be done; the namespace takes the rest with it.
            umount2(&self.at, MntFlags::MNT_DETACH).ok();
        }
        drop(fs::remove_file(&self.image));
    }
}

/// Unmounts what is there. It is busy for a moment whenever a worker begins, which has a copy of each mount until it has locked
/// itself in.
///
/// # Errors
/// It stays busy.
pub fn unmount(at: &Path) -> Result<()> {
    let mut patience = Patience::new(&format!("{} is unmounted", at.display()));
    while let Err(errno) = umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
        if errno != Errno::EBUSY {
            return Err(errno).with_context(|| format!("unmounting {}", at.display()));
        }
        patience.pause("it is busy")?;
    }
    Ok(())
}

/// A loop device without a filesystem: a disk that nobody may write to.
#[derive(Debug)]
pub struct LoopDevice {
    file: PathBuf,
    device: Loop,
    content: Vec<u8>,
}

impl LoopDevice {
    /// Over a new file.
    ///
    /// # Errors
    /// When the file or the device cannot be made.
    pub fn make(file: &Path, size: usize, fill: u8) -> Result<Self> {
        let content = vec![fill; size];
        fs::write(file, &content)?;
        Ok(Self { file: file.to_path_buf(), device: Loop::attach(file)?, content })
    }

    /// `/dev/loopN`.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Whether its bytes are the first ones.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn is_untouched(&self) -> Result<bool> {
        Ok(fs::read(self.device.path())? == self.content && fs::read(&self.file)? == self.content)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.file));
    }
}
