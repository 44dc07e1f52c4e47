//! The stream's source and its length.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

/// An open stream.
#[derive(Debug)]
pub(crate) struct Input {
    /// Readable, at the stream's first byte.
    pub(crate) file: File,
    /// How many bytes are to come, where that can be known.
    pub(crate) total: Option<u64>,
}

impl Input {
    /// Opens the file; standard input where none is named.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let file = match path {
            Some(path) => File::open(path)
                .map_err(|error| anyhow!("cannot open {}: {error}; check the name that follows -f", path.display()))?,
            None => File::from(io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?),
        };
        let facts = file.metadata().context("cannot examine the stream")?;
        if facts.is_dir() {
            anyhow::bail!("cannot read a stream from a directory: name the file that btrfs send wrote");
        }
        let total = if facts.is_file() {
            // Standard input may have been read in part before.
            let at = (&file).stream_position().unwrap_or_default();
            Some(facts.len().saturating_sub(at))
        } else {
            None
        };
        Ok(Self { file, total })
    }
}
