//! The small files in the staging directory, which have the records, the holds and the journals: written whole and durably, read up to
//! a limit.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{IoSlice, Read as _};
use std::os::fd::OwnedFd;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, names};

use super::record::damaged;
use crate::error::{Cause, Error, doing};

/// A file is written under its name with this, then renamed. A killed run may leave it.
pub(crate) const NEW: &str = ".new";

/// Writes a file in place of an older one; `writing` completes "cannot …". When this returns, it is on the device.
pub(crate) fn write(directory: &OwnedFd, name: &CStr, bytes: &[u8], writing: &'static str) -> Result<(), Error> {
    let writing = doing(writing);
    let temporary = CString::new([name.to_bytes(), NEW.as_bytes()].concat());
    let temporary = temporary.map_err(|_nul| Error::new(Cause::Value("the name of a temporary file")))?;
    let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let file = file::openat_new(directory, &temporary, how, Mode::S_IRUSR | Mode::S_IWUSR).map_err(&writing)?;
    file::write_at(&file, 0, &[IoSlice::new(bytes)]).map_err(&writing)?;
    file::sync(&file).map_err(&writing)?;
    names::rename(directory, &temporary, directory, name).map_err(&writing)?;
    file::sync(directory).map_err(&writing)
}

/// The content of a file of root's with this name; none if there is no such file. `reading` completes "cannot …".
///
/// # Errors
/// [`Cause::Record`] for another kind of file, a file of another user, or one of more than `longest` bytes; [`Cause::Call`].
pub(crate) fn read(
    directory: &OwnedFd,
    name: &CStr,
    longest: u64,
    reading: &'static str,
) -> Result<Option<Vec<u8>>, Error> {
    let reading = doing(reading);
    let fd = match file::openat_new(directory, name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
        Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(None),
        opened => opened.map_err(&reading)?,
    };
    let stat = file::stat(&fd).map_err(&reading)?;
    if !stat.is_file() || stat.uid != 0 || stat.size > longest {
        return Err(damaged(name));
    }
    let mut bytes = Vec::new();
    File::from(fd).take(longest).read_to_end(&mut bytes).map_err(|error| Error::new(Cause::Read(error)))?;
    Ok(Some(bytes))
}
