//! A loop device that comes and goes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

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
        let found = run(Command::new("losetup").args(["--find", "--show"]).arg(image), PATIENCE)?.success()?;
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
