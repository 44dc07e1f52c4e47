//! What two files can share, and what seals one: clones of ranges, and fs-verity.

#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::os::fd::{AsFd, AsRawFd};

use crate::error::{Errno, Error, Result};
use crate::ioctl::{BTRFS, Direction, FS, Request, ioctl};

/// How fs-verity builds its tree over a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verity<'a> {
    /// `FS_VERITY_HASH_ALG_*`: 1 SHA-256, 2 SHA-512.
    pub algorithm: u32,
    /// The size of a hashed block, in bytes.
    pub block_size: u32,
    /// At most 32 bytes, may be empty.
    pub salt: &'a [u8],
    /// A PKCS#7 signature, may be empty.
    pub signature: &'a [u8],
}

/// `FICLONERANGE` — makes a range of `dst` share the extents of a range of `src`. Both begin at a multiple of the sector
/// size; `len` is one too, or ends at the end of `src`; 0 means up to there.
///
/// # Errors
/// `EINVAL` for a wrong alignment, a range past the end of `src`, one that overlaps itself, or files of which only one has
/// checksums; `EXDEV` for two filesystems, `EOPNOTSUPP`, `EBADF`, `EISDIR`, `EPERM` (immutable), `ETXTBSY`, `ENOSPC`.
pub fn clone_range(dst: impl AsFd, dst_offset: u64, src: impl AsFd, src_offset: u64, len: u64) -> Result<()> {
    let src = src.as_fd();
    let mut argument = RawClone { src_fd: i64::from(src.as_raw_fd()), src_offset, len, dst_offset };
    // SAFETY: the kernel reads one RawClone; the descriptor in it is borrowed for the whole call.
    unsafe { ioctl(dst.as_fd(), &CLONE_RANGE, &raw mut argument) }?;
    Ok(())
}

/// `FS_IOC_ENABLE_VERITY` — seals a file: from now on it is read-only and every read is checked. `fd` is open for reading
/// only, and nobody may have the file open for writing.
///
/// # Errors
/// `EOPNOTSUPP` and `ENOTTY` where the kernel or the filesystem lacks it, `EEXIST` when it is sealed already, `ETXTBSY`
/// when it is open for writing, `EINVAL`, `EMSGSIZE` (salt or signature too long), `EBADMSG` and `EKEYREJECTED` (signature),
/// `EACCES`, `EROFS`, `ENOPKG`.
pub fn enable_verity(fd: impl AsFd, verity: &Verity<'_>) -> Result<()> {
    let mut argument = RawVerity {
        version: 1,
        algorithm: verity.algorithm,
        block_size: verity.block_size,
        salt_len: short(verity.salt.len())?,
        salt: address(verity.salt),
        signature_len: short(verity.signature.len())?,
        reserved1: 0,
        signature: address(verity.signature),
        reserved2: [0; 11],
    };
    // SAFETY: the kernel reads one RawVerity and the bytes of the two slices it points to.
    unsafe { ioctl(fd.as_fd(), &ENABLE_VERITY, &raw mut argument) }?;
    Ok(())
}

fn short(len: usize) -> Result<u32> {
    u32::try_from(len).or(Err(Error { call: ENABLE_VERITY.call(), errno: Errno::EMSGSIZE }))
}

/// The address of bytes; 0 for none.
fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr().addr() as u64 }
}

/// `struct file_clone_range` (`linux/fs.h`).
#[repr(C)]
struct RawClone {
    src_fd: i64,
    src_offset: u64,
    len: u64,
    dst_offset: u64,
}

/// `struct fsverity_enable_arg` (`linux/fsverity.h`).
#[repr(C)]
struct RawVerity {
    version: u32,
    algorithm: u32,
    block_size: u32,
    salt_len: u32,
    salt: u64,
    signature_len: u32,
    reserved1: u32,
    signature: u64,
    reserved2: [u64; 11],
}

const _: () = assert!(size_of::<RawClone>() == 32 && size_of::<RawVerity>() == 128);

const CLONE_RANGE: Request =
    Request::new("FICLONERANGE", Direction::Write, BTRFS, 13, size_of::<RawClone>(), 0x4020_940d);
const ENABLE_VERITY: Request =
    Request::new("FS_IOC_ENABLE_VERITY", Direction::Write, FS, 133, size_of::<RawVerity>(), 0x4080_6685);
