//! Loop devices that stay the test's own.
//!
//! Other programs use loop devices at the same time. One that detaches a number that was its own a moment ago, or all of
//! them (`losetup -D`), would hit ours. And `mount -o loop` takes up a device that is over the same image while the kernel
//! is about to detach it, which ends in "can't read superblock". So every device of a test is attached here, looked at
//! after it was opened, and held open: as long as it is open the kernel detaches it for nobody. When it is closed, by a
//! kill too, the kernel detaches it (autoclear): nothing is ever detached here by its number.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock, major, minor};

use super::{PATIENCE, Patience, run};

/// How often a device may be taken away between the moment that it was attached and the moment that it is held.
const TAKEN_AWAY: u32 = 100;

/// A loop device. The kernel detaches it when this is dropped and nobody else uses it any more.
#[derive(Debug)]
pub struct Loop {
    node: PathBuf,
    /// Keeps it attached.
    held: File,
}

impl Loop {
    /// Attaches an image to a device that is free.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn attach(image: &Path) -> Result<Self> {
        Self::with(image, &[])
    }

    /// As [`Self::attach`], with options of `losetup`.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn with(image: &Path, options: &[&str]) -> Result<Self> {
        for _ in 0..TAKEN_AWAY {
            let mut losetup = Command::new("losetup");
            let found = run(losetup.args(["--find", "--show"]).args(options).arg(image), PATIENCE)?.success()?;
            if let Some(held) = Self::hold(Path::new(found.out().trim()), image)? {
                return Ok(held);
            }
        }
        bail!("other programs detach every loop device that the test attaches: end them (losetup -D?), then try again")
    }

    /// Nothing where the device is not over this image any more.
    fn hold(node: &Path, image: &Path) -> Result<Option<Self>> {
        let held = Self { node: node.to_path_buf(), held: File::open(node)? };
        if !is_over(node, image)? {
            return Ok(None);
        }
        // Of one that is open this makes the kernel detach it when it is closed, and does no more.
        run(Command::new("losetup").arg("--detach").arg(node), PATIENCE)?.success()?;
        Ok(is_over(node, image)?.then_some(held))
    }

    /// Lets it go, and waits until the kernel has detached it: others may look at it for a moment.
    ///
    /// # Errors
    /// When somebody goes on using it.
    pub fn detach(self, image: &Path) -> Result<()> {
        let Self { node, held } = self;
        drop(held);
        let mut patience = Patience::new(&format!("{} is detached", node.display()));
        while is_over(&node, image)? {
            patience.pause("somebody uses it")?;
        }
        Ok(())
    }

    /// `/dev/loop0`
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.node
    }

    /// `loop0`
    #[must_use]
    pub fn name(&self) -> String {
        self.node.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Whether the kernel says that a device is over this file: by its filesystem and inode, whatever it is called.
fn is_over(node: &Path, image: &Path) -> Result<bool> {
    let mut asked = Command::new("losetup");
    asked.args(["--list", "--noheadings", "--output", "BACK-MAJ:MIN,BACK-INO"]).arg(node);
    let (said, file) = (run(&mut asked, PATIENCE)?, fs::metadata(image)?);
    let ours = format!("{}:{} {}", major(file.dev()), minor(file.dev()), file.ino());
    Ok(said.out().split_whitespace().collect::<Vec<_>>().join(" ") == ours)
}

/// A loop device of one number, for a test that attaches something there twice: no other test has it meanwhile.
#[derive(Debug)]
pub struct LoopNumber {
    node: PathBuf,
    /// Locked: all that wait for such a number wait for this.
    _lock: File,
}

impl LoopNumber {
    /// Waits until no other test has one. High ones are not given away by the kernel while lower ones are free.
    ///
    /// # Errors
    /// When there are no loop devices.
    pub fn reserve(number: u32) -> Result<Self> {
        let lock = File::open("/dev/loop-control").context("this test needs loop devices")?;
        let mut patience = Patience::new("no other test has a loop device of a fixed number");
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            patience.pause("")?;
        }
        Ok(Self { node: PathBuf::from(format!("/dev/loop{number}")), _lock: lock })
    }

    /// Attaches an image there, once what was there is detached.
    ///
    /// # Errors
    /// When it does not become free.
    pub fn attach(&self, image: &Path) -> Result<Loop> {
        let mut patience = Patience::new("the loop device is free");
        loop {
            let attached = run(Command::new("losetup").arg(&self.node).arg(image), PATIENCE)?;
            if attached.code() == 0
                && let Some(held) = Loop::hold(&self.node, image)?
            {
                return Ok(held);
            }
            patience.pause(&attached.err())?;
        }
    }

    /// `/dev/loop98`
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.node
    }
}
