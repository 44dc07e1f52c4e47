//! A USB drive: a file out here.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::rig::run;

/// A drive that can be plugged in.
#[derive(Debug, Clone)]
pub struct Stick {
    /// Its name in the machine, its serial number and its label.
    pub name: String,
    /// What it holds.
    pub file: PathBuf,
    /// Bytes a second that it writes at most; 0 as many as it can.
    pub slow: u64,
}

impl Stick {
    /// An empty one.
    ///
    /// # Errors
    /// There is no room.
    pub fn new(folder: &Path, name: &str, size: u64) -> Result<Self> {
        let file = folder.join(format!("{name}.stick"));
        File::create(&file)?.set_len(size)?;
        Ok(Self { name: name.to_owned(), file, slow: 0 })
    }

    /// Makes a btrfs on it, labelled with its name.
    ///
    /// # Errors
    /// What mkfs.btrfs says.
    pub fn formatted(self) -> Result<Self> {
        let mut command = Command::new("mkfs.btrfs");
        command.args(["--quiet", "--force", "--label", &self.name]).arg(&self.file);
        run(&mut command, Duration::from_secs(60))?.success()?;
        Ok(self)
    }

    /// The same, as slow as that.
    #[must_use]
    pub fn at(&self, bytes_a_second: u64) -> Self {
        Self { slow: bytes_a_second, ..self.clone() }
    }

    /// A number for all that is on it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self) -> Result<u64> {
        let mut file = File::open(&self.file)?;
        let mut hasher = DefaultHasher::new();
        let mut block = vec![0; 1 << 20];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hasher.finish()),
                count => hasher.write(block.get(..count).unwrap_or_default()),
            }
        }
    }
}
