//! Extended attributes: of open inodes, and by name without opening the inode ([`get_at`], [`set_at`], [`remove_at`]).
#![expect(unsafe_code, reason = "neither nix nor rustix has setxattrat, getxattrat and removexattrat")]

use std::ffi::{CStr, CString, c_long, c_uint};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use rustix::fs::{
    XattrFlags, fgetxattr, fgetxattr_query, flistxattr, fremovexattr, fsetxattr, lgetxattr, lgetxattr_query,
    lremovexattr, lsetxattr,
};

use crate::error::{Errno, Error, Result, one_component, retry};
use crate::ioctl::{GETXATTRAT, REMOVEXATTRAT, SETXATTRAT};

/// `fgetxattr(2)` — the attribute's length and, in `buffer`, its value; none if there is no such attribute. With an empty
/// `buffer` it returns the length only.
///
/// # Errors
/// `ERANGE` if the value is longer than `buffer`, `EOPNOTSUPP`, `EBADF` (also for `O_PATH`).
pub fn get(fd: impl AsFd, name: &CStr, buffer: &mut [u8]) -> Result<Option<usize>> {
    present(retry("fgetxattr", || match buffer {
        [] => fgetxattr_query(&fd, name),
        _ => fgetxattr(&fd, name, &mut *buffer),
    }))
}

/// `fsetxattr(2)` — creates or replaces an attribute.
///
/// # Errors
/// `ENOSPC` if it does not fit into a metadata block, `E2BIG` (above 64 KiB), `ERANGE` (a name above 255 bytes), `EOPNOTSUPP`,
/// `EPERM`, `EROFS`, `EINVAL` for an invalid value.
pub fn set(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<()> {
    retry("fsetxattr", || fsetxattr(&fd, name, value, XattrFlags::empty()))
}

/// `fremovexattr(2)` — removes an attribute.
///
/// # Errors
/// `ENODATA` if there is none, `EOPNOTSUPP`, `EPERM`, `EROFS`.
pub fn remove(fd: impl AsFd, name: &CStr) -> Result<()> {
    retry("fremovexattr", || fremovexattr(&fd, name))
}

/// `flistxattr(2)` — the names of all attributes, in the filesystem's order.
///
/// # Errors
/// `E2BIG` if the list is longer than 64 KiB, `EBADF`, `EIO`.
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

/// Returns none, not an error, for a missing attribute.
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

/// `getxattrat(2)` with `AT_SYMLINK_NOFOLLOW`, before Linux 6.13 `lgetxattr(2)` — as [`crate::xattr::get`].
///
/// # Errors
/// As there; `ENOENT`, `EINVAL` for more than one component.
pub fn get_at(dir: impl AsFd, name: &CStr, attribute: &CStr, buffer: &mut [u8]) -> Result<Option<usize>> {
    let name = one_component("getxattrat", name)?;
    let value = RawValue::new(buffer.as_mut_ptr().addr(), buffer.len())?;
    // SAFETY: the kernel writes up to the length in `value` to the address in it, and both are those of the buffer.
    let answer = unsafe { call("getxattrat", GETXATTRAT, dir.as_fd(), name, attribute, Some(&value)) };
    present(match answer {
        Err(Error { errno: Errno::ENOSYS, .. }) => {
            let path = through_proc(dir.as_fd(), name)?;
            retry("lgetxattr", || match buffer {
                [] => lgetxattr_query(path.as_c_str(), attribute),
                _ => lgetxattr(path.as_c_str(), attribute, &mut *buffer),
            })
        }
        other => other,
    })
}

/// `setxattrat(2)` with `AT_SYMLINK_NOFOLLOW`, before Linux 6.13 `lsetxattr(2)` — as [`crate::xattr::set`].
///
/// # Errors
/// As there; `EPERM` for a `user.` attribute, which only files and directories have; `ENOENT`, `EINVAL` for more than one component.
pub fn set_at(dir: impl AsFd, name: &CStr, attribute: &CStr, value: &[u8]) -> Result<()> {
    let name = one_component("setxattrat", name)?;
    let raw = RawValue::new(value.as_ptr().addr(), value.len())?;
    // SAFETY: the kernel reads the length in `raw` from the address in it, and both are those of the value.
    let answer = unsafe { call("setxattrat", SETXATTRAT, dir.as_fd(), name, attribute, Some(&raw)) };
    match answer {
        Err(Error { errno: Errno::ENOSYS, .. }) => {
            let path = through_proc(dir.as_fd(), name)?;
            retry("lsetxattr", || lsetxattr(path.as_c_str(), attribute, value, XattrFlags::empty()))
        }
        other => other.map(drop),
    }
}

/// `removexattrat(2)` with `AT_SYMLINK_NOFOLLOW`, before Linux 6.13 `lremovexattr(2)` — as [`crate::xattr::remove`].
///
/// # Errors
/// As there; `ENOENT`, `EINVAL` for more than one component.
pub fn remove_at(dir: impl AsFd, name: &CStr, attribute: &CStr) -> Result<()> {
    let name = one_component("removexattrat", name)?;
    // SAFETY: the kernel reads two C strings that outlive the call.
    let answer = unsafe { call("removexattrat", REMOVEXATTRAT, dir.as_fd(), name, attribute, None) };
    match answer {
        Err(Error { errno: Errno::ENOSYS, .. }) => {
            let path = through_proc(dir.as_fd(), name)?;
            retry("lremovexattr", || lremovexattr(path.as_c_str(), attribute))
        }
        other => other.map(drop),
    }
}

/// `struct xattr_args` (`linux/xattr.h`, Linux 6.13).
#[repr(C)]
struct RawValue {
    address: u64,
    len: u32,
    flags: u32,
}

const _: () = assert!(size_of::<RawValue>() == 16);

impl RawValue {
    fn new(address: usize, len: usize) -> Result<Self> {
        let len = u32::try_from(len).or(Err(Error { call: "setxattrat", errno: Errno::E2BIG }))?;
        Ok(Self { address: address as u64, len, flags: 0 })
    }
}

/// Makes one of the three calls; returns the kernel's result, a length.
///
/// # Safety
/// The address and length in `value` must be valid for the call `number`.
unsafe fn call(
    name: &'static str,
    number: c_long,
    dir: BorrowedFd<'_>,
    path: &CStr,
    attribute: &CStr,
    value: Option<&RawValue>,
) -> Result<usize> {
    const FLAGS: c_uint = libc::AT_SYMLINK_NOFOLLOW as c_uint;
    let value_ptr = value.map_or(std::ptr::null(), std::ptr::from_ref);
    let value_len = value.map_or(0, size_of_val);
    let (dir, path, attribute) = (dir.as_raw_fd(), path.as_ptr(), attribute.as_ptr());
    let answer = retry(name, || {
        // SAFETY: the caller guarantees the value; the strings are valid, and the call without a value ignores the rest.
        let answer = unsafe { libc::syscall(number, dir, path, FLAGS, attribute, value_ptr, value_len) };
        Errno::result(answer)
    })?;
    Ok(usize::try_from(answer).unwrap_or(0))
}

fn through_proc(dir: BorrowedFd<'_>, name: &CStr) -> Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    CString::new(path).or(Err(Error { call: "lsetxattr", errno: Errno::EINVAL }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_split_at_its_nuls() {
        assert_eq!(split(b"user.a\0user.b\0"), [c"user.a".to_owned(), c"user.b".to_owned()]);
        assert!(split(b"").is_empty());
    }
}
