//! The records of the state directory: one file each, written atomically.
//!
//! ```text
//! write: folder made (its parent synced) -> temporary file written, synced -> renamed -> folder synced
//! ```
//!
//! After a kill or a power cut between two steps, either the old or the new record exists. A leftover temporary file
//! is overwritten by the next write of that record, or removed by [`sweep`].
//!
//! An unreadable record never counts as a missing one, and is never overwritten. If its name is needed again (the
//! clocks, first sightings, the machine), [`load`] renames it, and reports it until a new record is written. If its
//! name is not needed (an enrolment, a job), or if only an administrator can decide (the source of a backup), it
//! stays, and its module defines the consequences.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A record, as [`load`] found it.
#[derive(Debug)]
pub(crate) enum Loaded<T> {
    /// It was never written.
    Missing,
    /// It says this.
    Read(T),
    /// It cannot be understood, and was moved just now.
    Unreadable {
        /// Why.
        error: io::Error,
        /// Where it is now.
        aside: PathBuf,
    },
    /// It was moved earlier, and nothing was written in its place.
    SetAside,
}

/// Writes a record in place of the one of before. The folder is made where it is missing.
///
/// # Errors
/// The disk is full, read-only or gone. The record of before stays; where only the last step failed, the new one is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(&Kernel, path, bytes)
}

/// Reads a record of at most `largest` bytes; none where there is no such file.
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
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= largest) {
        Ok(Some(bytes))
    } else {
        Err(io::Error::other("it is too large"))
    }
}

/// Reads a record of at most `largest` bytes and parses it. One that cannot be read or parsed is moved to
/// `<name>.unreadable`, in place of an earlier one there.
///
/// # Errors
/// It cannot be read, and cannot be moved either.
pub(crate) fn load<T>(path: &Path, largest: u64, parse: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Loaded<T>> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unreadable");
    let aside = PathBuf::from(aside);
    let parsed = read(path, largest).and_then(|bytes| bytes.map(|bytes| parse(&bytes)).transpose());
    match parsed {
        Ok(Some(record)) => Ok(Loaded::Read(record)),
        Ok(None) if fs::symlink_metadata(&aside).is_ok() => Ok(Loaded::SetAside),
        Ok(None) => Ok(Loaded::Missing),
        Err(error) => {
            fs::rename(path, &aside)?;
            Ok(Loaded::Unreadable { error, aside })
        }
    }
}

/// Removes a record, durably.
///
/// # Errors
/// There is none, or it cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder))
}

/// Removes the temporary files that a killed process left in a folder of records.
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(TEMPORARY) {
            Kernel.discard(&entry.path());
        }
    }
    Ok(())
}

/// How the name of a temporary file ends; it begins with a dot.
const TEMPORARY: &[u8] = b".tmp";

/// The calls by which a record is written.
trait Calls {
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn discard(&self, temporary: &Path);
}

fn write_with(calls: &impl Calls, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    make_folders(calls, folder)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    let temporary = folder.join(temporary);
    let named = calls.write_synced(&temporary, bytes).and_then(|()| calls.rename(&temporary, path));
    if named.is_err() {
        calls.discard(&temporary);
    }
    named.and_then(|()| calls.sync_folder(folder))
}

/// A folder that is new is durable when the one above it is synced.
fn make_folders(calls: &impl Calls, folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent().filter(|_| !folder.is_dir()) else { return Ok(()) };
    make_folders(calls, above)?;
    calls.make_folder(folder)?;
    calls.sync_folder(above)
}

/// The calls of the kernel.
struct Kernel;

impl Calls for Kernel {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        // What the state holds is root's alone.
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlag::O_NOFOLLOW;
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(flags.bits())
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// One that stays is in no record's way: the next write of the record overwrites it.
    fn discard(&self, temporary: &Path) {
        if let Err(error) = fs::remove_file(temporary)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!("{} cannot be removed: {error}", temporary.display());
        }
    }
}

#[cfg(test)]
mod tests;
