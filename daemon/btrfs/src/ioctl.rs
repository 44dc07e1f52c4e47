//! This room makes an ioctl: the number is computed from the argument's size and checked against the known one when the
//! crate is compiled, so that a struct with a wrong layout does not build.

#![expect(unsafe_code, reason = "an ioctl takes a pointer whose meaning the type system does not know")]

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ioctl::ioctl_num_type;

use crate::error::{Error, Result, retry};

/// Who fills the argument, seen from the caller (the words of `asm-generic/ioctl.h`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// `_IO`: there is no argument.
    None,
    /// `_IOR`: the kernel fills it.
    Read,
    /// `_IOW`: the caller fills it.
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
/// The group of the ioctls that many filesystems share.
pub(crate) const FS: u8 = b'f';

/// Whether an ioctl's number is put together as in `asm-generic/ioctl.h`, and a `u64` is aligned to itself: then the numbers
/// and the sizes are known, for 32 bits as for 64, little-endian or big.
pub(crate) const GENERIC: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "arm"
));

/// Whether a pointer, or a C `long`, is 64 bits wide: some of the kernel's structs hold one.
pub(crate) const WIDE: bool = cfg!(target_pointer_width = "64");

impl Request {
    /// The number for an argument of `size` bytes. `known` is what the C headers give on the architectures with the generic
    /// encoding; another result fails the build.
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

/// `ioctl(2)`, made again after `EINTR`; gives the kernel's non-negative answer.
///
/// # Safety
/// `argument` must point to what the kernel expects under this number: for reading and for writing, whole, and with valid
/// pointers inside. It must stay so during the call.
pub(crate) unsafe fn ioctl<T>(fd: BorrowedFd<'_>, request: &Request, argument: *mut T) -> Result<c_int> {
    retry(request.call, || {
        // SAFETY: the caller vouches for the argument; the kernel keeps no pointer after its return.
        let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request.number, argument) };
        Errno::result(answer)
    })
}

/// The same, made once: for a call that has had an effect when `EINTR` comes back.
///
/// # Safety
/// As for [`ioctl`].
pub(crate) unsafe fn ioctl_once<T>(fd: BorrowedFd<'_>, request: &Request, argument: *mut T) -> Result<c_int> {
    // SAFETY: the caller vouches for the argument; the kernel keeps no pointer after its return.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), request.number, argument) };
    Errno::result(answer).map_err(|errno| Error { call: request.call, errno })
}
