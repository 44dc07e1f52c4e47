//! Small files of the state directory, written whole or not at all, and set aside where they cannot be read.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Writes a file in place of the one that was there: to a temporary file, which is synced and renamed; then the folder is
/// synced. The folder is made where it is missing. What a killed process left of a temporary file is overwritten.
///
/// # Errors
/// The disk is full, read-only or gone. What was there before stays.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    // What the state holds is root's alone.
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    let temporary = folder.join(temporary);
    let written = write_synced(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // Perhaps it was renamed already; then nothing is there.
        fs::remove_file(&temporary).unwrap_or_default();
    }
    written
}

/// Reads a file of at most `largest` bytes; none where there is no such file.
///
/// # Errors
/// It is larger, is no regular file, or cannot be read.
pub(crate) fn read(path: &Path, largest: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= largest) {
        Ok(Some(bytes))
    } else {
        Err(io::Error::other("it is too large"))
    }
}

/// Sets a file that cannot be read aside, beside where it was, in place of one that was set aside before. Answers where it
/// is now.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unreadable");
    let aside = PathBuf::from(aside);
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW;
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags.bits()).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_read_and_set_aside() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("new/record.json");
        assert_eq!(read(&path, 10).expect("read"), None);
        write(&path, b"one").expect("written");
        // What a killed process was writing is in nobody's way.
        fs::write(state.path().join("new/.record.json"), "half").expect("written");
        write(&path, b"two").expect("written");
        assert_eq!(read(&path, 3).expect("read"), Some(b"two".to_vec()));
        assert!(read(&path, 2).is_err(), "larger than allowed");
        let aside = quarantine(&path).expect("set aside");
        assert!(!path.exists() && fs::read(aside).expect("read") == b"two");
        assert_eq!(fs::read_dir(state.path().join("new")).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let state = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/dev/zero", state.path().join("link")).expect("linked");
        assert!(read(&state.path().join("link"), 10).is_err());
        assert!(read(state.path(), 10).is_err());
    }
}
