//! The destination directory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::fcntl::OFlag;

/// Opens the destination, which must be a directory of a btrfs filesystem.
///
/// The descriptor decides, not the path: a tmpfs mounted over a directory of btrfs is not btrfs.
pub(crate) fn open(path: &Path) -> Result<File> {
    let shown = path.display();
    // Without O_DIRECTORY, to tell a file from a missing one; without blocking on a fifo.
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
        open(Path::new(path)).map(|_| ()).map_err(|error| format!("{error:#}")).expect_err("refused")
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
