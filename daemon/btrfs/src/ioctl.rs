//! Numbers and layouts of the kernel: ioctls, system calls that libc does not have, and little-endian structs of trees.
//!
//! An ioctl's number is computed from the size of its argument and compared with the known number when the crate is
//! compiled, so a struct with a wrong layout does not build.
#![expect(unsafe_code, reason = "an ioctl takes a pointer that the type system cannot check")]

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ioctl::ioctl_num_type;

use crate::error::{Error, Result, retry};

/// The direction in which the argument is copied (`asm-generic/ioctl.h`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// `_IO`: no argument.
    None,
    /// `_IOR`: the kernel writes it.
    Read,
    /// `_IOW`: the kernel reads it.
    Write,
    /// `_IOWR`: both.
    ReadWrite,
}

/// An ioctl's C name and number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    call: &'static str,
    number: ioctl_num_type,
}

/// The group of btrfs's ioctls, `BTRFS_IOCTL_MAGIC`.
pub(crate) const BTRFS: u8 = 0x94;
/// The group of the ioctls that many filesystems have.
pub(crate) const FS: u8 = b'f';

/// Whether the architecture builds an ioctl's number as in `asm-generic/ioctl.h` and aligns a `u64` to 8 bytes. Then the
/// numbers and the sizes are known, for 32 and 64 bits, little-endian and big-endian.
pub(crate) const GENERIC: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "arm"
));

/// Whether a pointer and a C `long` have 64 bits: some of the kernel's structs have one.
pub(crate) const WIDE: bool = cfg!(target_pointer_width = "64");

impl Request {
    /// The number for an argument of `size` bytes. `known` is the number in the C headers on the architectures with the generic
    /// encoding; if the two differ, the build fails.
    pub(crate) const fn new(
        call: &'static str,
        direction: Direction,
        group: u8,
        nr: u8,
        size: usize,
        known: u32,
    ) -> Self {
        let number = match direction {
            Direction::None => nix::request_code_none!(group, nr),
            Direction::Read => nix::request_code_read!(group, nr, size),
            Direction::Write => nix::request_code_write!(group, nr, size),
            Direction::ReadWrite => nix::request_code_readwrite!(group, nr, size),
        };
        if GENERIC {
            assert!(number == known as ioctl_num_type, "the layout or the number of an ioctl is wrong");
        }
        Self { call, number }
    }

    /// The C name.
    pub(crate) const fn call(&self) -> &'static str {
        self.call
    }
}

/// `ioctl(2)`, made again after `EINTR`; returns the kernel's non-negative result.
///
/// # Safety
/// `argument` must point to the complete struct that the kernel reads and writes under this number, with valid pointers in it.
/// It must stay valid during the call.
pub(crate) unsafe fn ioctl<T>(fd: BorrowedFd<'_>, request: &Request, argument: *mut T) -> Result<c_int> {
    retry(request.call, || {
        // SAFETY: the caller guarantees the argument; the kernel keeps no pointer after its return.
        let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request.number, argument) };
        Errno::result(answer)
    })
}

/// The same without a repetition: for a call that may have had an effect before `EINTR`.
///
/// # Safety
/// As for [`ioctl`].
pub(crate) unsafe fn ioctl_once<T>(fd: BorrowedFd<'_>, request: &Request, argument: *mut T) -> Result<c_int> {
    // SAFETY: the caller guarantees the argument; the kernel keeps no pointer after its return.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request.number, argument) };
    Errno::result(answer).map_err(|errno| Error { call: request.call, errno })
}

/// The `u16` at offset `at`; none if the bytes end before.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The `u32` at offset `at`; none if the bytes end before.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The `u64` at offset `at`; none if the bytes end before.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// `N` bytes at offset `at`; none if the bytes end before.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The bytes before the first NUL: a C string in a field of fixed length.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// `open_tree(2)`, Linux 5.2.
pub(crate) const OPEN_TREE: c_long = OPENAT2 - 9;
/// `fsmount(2)`, Linux 5.2.
pub(crate) const FSMOUNT: c_long = OPENAT2 - 5;
/// `mount_setattr(2)`, Linux 5.12.
pub(crate) const MOUNT_SETATTR: c_long = OPENAT2 + 5;
/// `open_tree_attr(2)`, Linux 6.15.
pub(crate) const OPEN_TREE_ATTR: c_long = OPENAT2 + 30;
/// `fchmodat2(2)`, Linux 6.6.
pub(crate) const FCHMODAT2: c_long = OPENAT2 + 15;
/// `listmount(2)`, Linux 6.8.
pub(crate) const LISTMOUNT: c_long = OPENAT2 + 21;
/// `setxattrat(2)`, Linux 6.13.
pub(crate) const SETXATTRAT: c_long = OPENAT2 + 26;
/// `getxattrat(2)`, Linux 6.13.
pub(crate) const GETXATTRAT: c_long = OPENAT2 + 27;
/// `removexattrat(2)`, Linux 6.13.
pub(crate) const REMOVEXATTRAT: c_long = OPENAT2 + 29;

const OPENAT2: c_long = libc::SYS_openat2;

const _: () = assert!(!GENERIC || FCHMODAT2 == 452 && SETXATTRAT == 463 && GETXATTRAT == 464 && REMOVEXATTRAT == 466);

const _: () = assert!(
    !GENERIC || OPEN_TREE == 428 && FSMOUNT == 432 && MOUNT_SETATTR == 442 && LISTMOUNT == 458 && OPEN_TREE_ATTR == 467
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_after_the_end_is_none() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(le32(&bytes, 4), Some(2));
        assert_eq!(le64(&bytes, 0), Some(0x0000_0002_0000_0001));
        assert_eq!(le16(&bytes, 7), None);
        assert_eq!(le64(&bytes, usize::MAX), None);
    }

    #[test]
    fn a_field_without_a_nul_is_returned_whole() {
        assert_eq!(until_nul(b"abc\0def"), b"abc");
        assert_eq!(until_nul(b"abc"), b"abc");
        assert_eq!(until_nul(b""), b"");
    }
}
