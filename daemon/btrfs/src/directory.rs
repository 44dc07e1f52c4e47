//! The names in a directory.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::error::{Errno, Error, Result, retry};

/// `getdents64(2)` — all names in a directory but `.` and `..`, in the filesystem's order. They are held in memory: this
/// is for directories of a known size. The position of `dir` itself is left alone.
///
/// # Errors
/// `ENOTDIR`, `EACCES`, `EIO`, `EBADF`.
pub fn entries(dir: impl AsFd) -> Result<Vec<CString>> {
    entries_where(dir, |_| true)
}

/// The same for the names that `keep` wants: the rest are read and forgotten, so that a few names can be looked for in a
/// directory of any size.
///
/// # Errors
/// As for [`entries`].
pub fn entries_where(dir: impl AsFd, mut keep: impl FnMut(&CStr) -> bool) -> Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = retry("openat", || Dir::openat(&dir, c".", flags, Mode::empty()))?;
    let mut names = Vec::new();
    for entry in open.iter() {
        let entry = entry.map_err(|errno| Error { call: "getdents64", errno })?;
        let name = entry.file_name();
        if name != c"." && name != c".." && keep(name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// `getdents64(2)` — whether a directory holds a name that `wanted` wants, `.` and `..` left out. Unlike [`entries`] it
/// opens nothing: it reads through `dir` itself, from the beginning, and leaves its position there.
///
/// # Errors
/// As for [`entries`]; `EBADF` for a descriptor that was opened as a path only.
pub fn holds(dir: impl AsFd, mut wanted: impl FnMut(&CStr) -> bool) -> Result<bool> {
    let own = retry("fcntl", || rustix::io::fcntl_dupfd_cloexec(&dir, 0))?;
    retry("lseek", || nix::unistd::lseek(&own, 0, nix::unistd::Whence::SeekSet))?;
    let mut open = retry("fdopendir", || Dir::from_fd(own.try_clone().map_err(|_none| Errno::EMFILE)?))?;
    for entry in open.iter() {
        let entry = entry.map_err(|errno| Error { call: "getdents64", errno })?;
        let name = entry.file_name();
        if name != c"." && name != c".." && wanted(name) {
            return Ok(true);
        }
    }
    Ok(false)
}
