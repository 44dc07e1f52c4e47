//! Extended attributes of open inodes; those of names that are never opened are [`get_at`], [`set_at`], [`remove_at`].

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, fgetxattr_query, flistxattr, fremovexattr, fsetxattr};

use crate::error::{Errno, Error, Result, retry};
pub use crate::xattr_at::{get_at, remove_at, set_at};

/// `fgetxattr(2)` — the attribute's length and, in `buffer`, its value; none when there is no such attribute. An empty
/// `buffer` asks for the length only.
///
/// # Errors
/// `ERANGE` when the value is longer than `buffer`, `EOPNOTSUPP`, `EBADF` (also for `O_PATH`).
pub fn get(fd: impl AsFd, name: &CStr, buffer: &mut [u8]) -> Result<Option<usize>> {
    present(retry("fgetxattr", || match buffer {
        [] => fgetxattr_query(&fd, name),
        _ => fgetxattr(&fd, name, &mut *buffer),
    }))
}

/// `fsetxattr(2)` — makes or replaces an attribute.
///
/// # Errors
/// `ENOSPC` when it does not fit a metadata block, `E2BIG` (above 64 KiB), `ERANGE` (a name above 255 bytes), `EOPNOTSUPP`,
/// `EPERM`, `EROFS`, `EINVAL` for a value that the attribute's owner refuses.
pub fn set(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<()> {
    retry("fsetxattr", || fsetxattr(&fd, name, value, XattrFlags::empty()))
}

/// `fremovexattr(2)` — removes an attribute.
///
/// # Errors
/// `ENODATA` when there is none, `EOPNOTSUPP`, `EPERM`, `EROFS`.
pub fn remove(fd: impl AsFd, name: &CStr) -> Result<()> {
    retry("fremovexattr", || fremovexattr(&fd, name))
}

/// `flistxattr(2)` — the names of all attributes, in the filesystem's order.
///
/// # Errors
/// `E2BIG` when the list is longer than 64 KiB, `EBADF`, `EIO`.
pub fn list(fd: impl AsFd) -> Result<Vec<CString>> {
    let mut buffer = vec![0_u8; 4096];
    loop {
        match retry("flistxattr", || flistxattr(&fd, buffer.as_mut_slice())) {
            Ok(len) => return Ok(split(buffer.get(..len).unwrap_or_default())),
            Err(Error { errno: Errno::ERANGE, .. }) if buffer.len() < 65536 => buffer.resize(65536, 0),
            Err(error) => return Err(error),
        }
    }
}

/// An attribute that is not there is an answer, no error.
pub(crate) fn present(answer: Result<usize>) -> Result<Option<usize>> {
    match answer {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.errno == Errno::ENODATA => Ok(None),
        Err(error) => Err(error),
    }
}

fn split(names: &[u8]) -> Vec<CString> {
    names
        .split_inclusive(|&byte| byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .map(CStr::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_ends_each_with_a_nul() {
        assert_eq!(split(b"user.a\0user.b\0"), [c"user.a".to_owned(), c"user.b".to_owned()]);
        assert!(split(b"").is_empty());
    }
}
