//! Both ends of a receive: the stream, and the directory in which the subvolumes appear.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::fcntl::OFlag;

/// An open stream.
#[derive(Debug)]
pub(super) struct Input {
    /// Readable, at the first byte of the stream.
    pub(super) file: File,
    /// The number of bytes, if known.
    pub(super) total: Option<u64>,
}

impl Input {
    /// Opens the file; standard input if no file is named.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let file = match path {
            Some(path) => File::open(path)
                .map_err(|error| anyhow!("cannot open {}: {error}; check the name that follows -f", path.display()))?,
            None => File::from(io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?),
        };
        let facts = file.metadata().context("cannot examine the stream")?;
        if facts.is_dir() {
            bail!("cannot read a stream from a directory: name the file that btrfs send wrote");
        }
        let total = if facts.is_file() {
            // A part of standard input may have been read before.
            let at = (&file).stream_position().unwrap_or_default();
            Some(facts.len().saturating_sub(at))
        } else {
            None
        };
        Ok(Self { file, total })
    }
}

/// Opens the destination, which must be a directory of a btrfs filesystem.
///
/// The descriptor decides, not the path: a tmpfs mounted over a directory of btrfs is not btrfs.
pub(super) fn open_destination(path: &Path) -> Result<File> {
    let shown = path.display();
    // No O_DIRECTORY, to distinguish a file from a missing directory; O_NONBLOCK for a fifo.
    let folder = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
        .map_err(|error| anyhow!("cannot open the destination {shown}: {error}; name a directory on btrfs"))?;
    ensure!(
        folder.metadata().context("cannot examine the destination")?.is_dir(),
        "the destination {shown} is not a directory; name a directory on a mounted btrfs filesystem"
    );
    ensure!(
        butterdock_btrfs::filesystem::is_btrfs(&folder).context("cannot examine the destination")?,
        "the destination {shown} is not on a btrfs filesystem; name a directory on a mounted one"
    );
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> String {
        open_destination(Path::new(path)).map(|_| ()).map_err(|error| format!("{error:#}")).expect_err("refused")
    }

    #[test]
    fn a_filesystem_that_is_not_btrfs_is_refused() {
        assert!(refusal("/proc").contains("is not on a btrfs filesystem"));
    }

    #[test]
    fn a_file_and_a_device_are_refused() {
        assert!(refusal("/proc/version").contains("is not a directory"));
        assert!(refusal("/dev/null").contains("is not a directory"));
    }

    #[test]
    fn a_missing_directory_is_named() {
        assert!(refusal("/nonexistent/x").contains("/nonexistent/x"));
    }
}
