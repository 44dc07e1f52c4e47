//! The error of this crate, and the conversion of errnos into it.

use std::ffi::CStr;

pub use nix::errno::Errno;

/// A call that failed, and its errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {} ({errno:?})", errno.desc())]
pub struct Error {
    /// The C name of the call: `BTRFS_IOC_ENCODED_WRITE`, `openat2`.
    pub call: &'static str,
    /// The errno of the kernel.
    pub errno: Errno,
}

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An errno of nix or of rustix.
pub(crate) trait ToErrno {
    /// The same number as nix's type.
    fn to_errno(self) -> Errno;
}

impl ToErrno for Errno {
    fn to_errno(self) -> Errno {
        self
    }
}

impl ToErrno for rustix::io::Errno {
    fn to_errno(self) -> Errno {
        Errno::from_raw(self.raw_os_error())
    }
}

/// Makes a call, and makes it again if a signal interrupted it. The error has the name of the call.
#[inline]
pub(crate) fn retry<T, E: ToErrno>(
    call: &'static str,
    mut make: impl FnMut() -> std::result::Result<T, E>,
) -> Result<T> {
    loop {
        match make().map_err(ToErrno::to_errno) {
            Ok(value) => return Ok(value),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error { call, errno }),
        }
    }
}

/// Refuses a name that is not one component below a directory: `EINVAL` for an empty name, `..` and a name with a slash.
#[inline]
pub(crate) fn one_component<'a>(call: &'static str, name: &'a CStr) -> Result<&'a CStr> {
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes == b".." || bytes.contains(&b'/') {
        return Err(Error { call, errno: Errno::EINVAL });
    }
    Ok(name)
}

/// An offset or a length as a signed number; `EINVAL` above 2^63 - 1, the kernel's error for a negative one.
#[inline]
pub(crate) fn signed(call: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).or(Err(Error { call, errno: Errno::EINVAL }))
}

/// Discards the result of a call that need not succeed. A comment at each use says why. Do not use it for an error that must be
/// handled or logged.
pub fn best_effort<T, E>(result: std::result::Result<T, E>) {
    drop(result);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_call_and_the_errno() {
        let error = Error { call: "openat2", errno: Errno::ENOENT };
        assert_eq!(error.to_string(), "openat2: No such file or directory (ENOENT)");
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut left = 3;
        let answer = retry("call", || {
            left -= 1;
            if left > 0 { Err(Errno::EINTR) } else { Ok(7) }
        });
        assert_eq!(answer, Ok(7));
    }

    #[test]
    fn a_name_is_one_component() {
        for refused in [c"", c"..", c"a/b", c"/", c"a/"] {
            assert_eq!(one_component("call", refused).unwrap_err().errno, Errno::EINVAL);
        }
        for accepted in [c"a", c"...", c".hidden", c"\xff"] {
            assert_eq!(one_component("call", accepted), Ok(accepted));
        }
    }
}
