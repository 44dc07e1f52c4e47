//! A filesystem that is frozen: what is written to it waits.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{Service, TIMEOUT, Volume, run};

/// Frozen until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    at: PathBuf,
}

impl Frozen {
    /// Freezes what is mounted there.
    ///
    /// # Errors
    /// When the kernel does not.
    pub fn new(at: &Path) -> Result<Self> {
        run(Command::new("fsfreeze").arg("--freeze").arg(at), TIMEOUT)?.success()?;
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at), TIMEOUT).ok();
    }
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
