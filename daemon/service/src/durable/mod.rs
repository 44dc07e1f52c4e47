//! The records of the state directory, and the file of the settings: one file each, written atomically.
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

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A record, as [`load`] found it.
#[derive(Debug)]
pub(crate) enum Loaded<T> {
    /// It was never written.
    Missing,
    /// The record.
    Read(T),
    /// It cannot be parsed, and was moved aside now.
    Unreadable {
        /// Why.
        error: io::Error,
        /// Its new path.
        aside: PathBuf,
    },
    /// It was moved aside earlier, and no new record was written.
    SetAside,
}

/// Replaces a record. Creates its folder if missing.
///
/// # Errors
/// The disk is full, read-only or gone. The old record stays, unless only the last step failed: then the new one exists.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(&Kernel, path, bytes)
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    /// User and group, if it is not the process.
    pub(crate) owner: Option<(u32, u32)>,
}

/// The end of [`replace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The file is the new one.
    Done,
    /// Another program has changed it.
    Changed,
}

/// Replaces a file that other programs write, too, if `is_same` says that it is as it was read; asked last before the
/// rename. Creates its folder if missing.
///
/// # Errors
/// As of [`write`].
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    access: Access,
    is_same: &dyn Fn() -> io::Result<bool>,
) -> io::Result<Replaced> {
    let calls = Replacing { access, is_same, is_changed: Cell::new(false) };
    match write_with(&calls, path, bytes) {
        Err(_) if calls.is_changed.get() => Ok(Replaced::Changed),
        written => written.map(|()| Replaced::Done),
    }
}

/// Reads a record of at most `largest` bytes; none if the file does not exist.
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
    let aside = aside(path);
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

/// Moves a record that cannot be read to `<name>.unreadable`, durably, in place of an earlier one there.
///
/// # Errors
/// It does not exist, or cannot be moved.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, aside(path))?;
    path.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder))
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unreadable");
    aside.into()
}

/// Removes a record, durably.
///
/// # Errors
/// It does not exist, or cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder))
}

/// Gives a record another name, durably, if it exists and the other name is free. An existing record stays in place of it.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return match remove(from) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => to.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder)),
    }
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

/// The end of the name of a temporary file, which begins with a dot.
const TEMPORARY: &[u8] = b".tmp";

/// The system calls that write a record; tests record them.
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

/// A new folder is durable after its parent is synced.
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
        // Only root may read the state.
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_temporary(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// A file that stays is overwritten by the next write of the record.
    fn discard(&self, temporary: &Path) {
        if let Err(error) = fs::remove_file(temporary)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!("{} cannot be removed: {error}", temporary.display());
        }
    }
}

/// The temporary file, only for its owner.
fn open_temporary(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW;
    File::options().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags.bits()).open(path)
}

/// The calls of the kernel for a file that other programs write, too.
struct Replacing<'r> {
    access: Access,
    is_same: &'r dyn Fn() -> io::Result<bool>,
    is_changed: Cell<bool>,
}

impl Calls for Replacing<'_> {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_temporary(path)?;
        file.write_all(bytes)?;
        if let Some((user, group)) = self.access.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(self.access.mode))?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !(self.is_same)()? {
            self.is_changed.set(true);
            return Err(io::Error::other("another program has changed it"));
        }
        Kernel.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Kernel.sync_folder(folder)
    }

    fn discard(&self, temporary: &Path) {
        Kernel.discard(temporary);
    }
}

#[cfg(test)]
mod tests;
