//! Encoded reads and writes: compressed extents as they are stored on disk, without the page cache.

#![expect(unsafe_code, reason = "the argument of the ioctl holds a pointer to the caller's bytes")]

use std::os::fd::AsFd;

use nix::libc;

use crate::error::{Result, signed};
use crate::ioctl::{BTRFS, Direction, GENERIC, Request, WIDE, ioctl};

/// The numbers of `BTRFS_ENCODED_IO_COMPRESSION_*` (`linux/btrfs.h`).
pub mod compression {
    /// Not compressed; for reads only.
    pub const NONE: u32 = 0;
    /// One zlib stream.
    pub const ZLIB: u32 = 1;
    /// One zstd frame with a window of up to 2^17 bytes.
    pub const ZSTD: u32 = 2;
    /// LZO1X in btrfs's segments, sector size 4 KiB; a write needs the filesystem's own sector size.
    pub const LZO_4K: u32 = 3;
    /// The same for 8 KiB.
    pub const LZO_8K: u32 = 4;
    /// The same for 16 KiB.
    pub const LZO_16K: u32 = 5;
    /// The same for 32 KiB.
    pub const LZO_32K: u32 = 6;
    /// The same for 64 KiB.
    pub const LZO_64K: u32 = 7;
}

/// The range of a file that an encoded payload has. All lengths and offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedExtent {
    /// Where in the file the data begins; a multiple of the sector size.
    pub file_offset: u64,
    /// How much of the file it covers: up to `decoded_len - decoded_offset`; a multiple of the sector size, or up to the end of
    /// the file or after it.
    pub file_len: u64,
    /// How long the payload is when decoded, up to 128 KiB; a shorter one is extended by zeroes.
    pub decoded_len: u64,
    /// Where in the decoded data the file's part begins; a multiple of the sector size.
    pub decoded_offset: u64,
    /// One of [`compression`].
    pub compression: u32,
    /// 0: the kernel supports no encryption yet.
    pub encryption: u32,
}

/// `BTRFS_IOC_ENCODED_WRITE` (Linux 5.18, `CAP_SYS_ADMIN`) — writes one compressed extent as it is; returns the number of
/// encoded bytes that the kernel took, 0 for a `file_len` of 0.
///
/// **The kernel does not read the payload**: it stores one that cannot be decoded, and reading the file fails with `EIO`. The
/// call does not wait for the disk, and the kernel reports an I/O error under it nowhere.
///
/// # Errors
/// `EINVAL` for an inode without checksums or copy on write, a wrong alignment, more than 128 KiB, a payload not shorter
/// than its decoded length, another sector size's LZO, no or an unknown compression, `file_len` beyond the decoded data.
/// `ENOTTY` where there are no encoded writes (another filesystem, an older kernel). `EPERM`, `EBADF` (not open for
/// writing), `ENOSPC`, `EDQUOT`, `EROFS`.
pub fn encoded_write(fd: impl AsFd, extent: &EncodedExtent, data: &[u8]) -> Result<u64> {
    let iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut argument = RawEncoded {
        iov: &raw const iov,
        iov_count: 1,
        offset: signed(WRITE.call(), extent.file_offset)?,
        flags: 0,
        len: extent.file_len,
        unencoded_len: extent.decoded_len,
        unencoded_offset: extent.decoded_offset,
        compression: extent.compression,
        encryption: extent.encryption,
        reserved: [0; 64],
    };
    // SAFETY: the kernel reads one RawEncoded, the one iovec it points to and the bytes under that, and writes to none.
    let taken = unsafe { ioctl(fd.as_fd(), &WRITE, &raw mut argument) }?;
    Ok(u64::from(taken.unsigned_abs()))
}

/// `BTRFS_IOC_ENCODED_READ` (Linux 5.18, `CAP_SYS_ADMIN`) — reads the extent at `offset` as it is stored on disk;
/// returns its description and the number of bytes in `buffer`. At and after the end of the file that number is 0. A hole has
/// the compression `NONE`, a `file_len`, and zeroes as data.
///
/// # Errors
/// `ENOBUFS` when the encoded extent is longer than `buffer` (128 KiB is enough for all). `ENOTTY`, `EPERM`, `EBADF`
/// as for a write; `EINVAL` for an offset above 2^63 - 1; `EIO`.
pub fn encoded_read(fd: impl AsFd, offset: u64, buffer: &mut [u8]) -> Result<(EncodedExtent, usize)> {
    let iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut argument = RawEncoded {
        iov: &raw const iov,
        iov_count: 1,
        offset: signed(READ.call(), offset)?,
        flags: 0,
        len: 0,
        unencoded_len: 0,
        unencoded_offset: 0,
        compression: 0,
        encryption: 0,
        reserved: [0; 64],
    };
    // SAFETY: the kernel reads and writes one RawEncoded, reads one iovec and writes at most its length under it.
    let filled = unsafe { ioctl(fd.as_fd(), &READ, &raw mut argument) }?;
    let extent = EncodedExtent {
        file_offset: offset,
        file_len: argument.len,
        decoded_len: argument.unencoded_len,
        decoded_offset: argument.unencoded_offset,
        compression: argument.compression,
        encryption: argument.encryption,
    };
    Ok((extent, usize::try_from(filled).unwrap_or(0)))
}

/// `struct btrfs_ioctl_encoded_io_args`.
#[repr(C)]
struct RawEncoded {
    iov: *const libc::iovec,
    iov_count: libc::c_ulong,
    offset: i64,
    flags: u64,
    len: u64,
    unencoded_len: u64,
    unencoded_offset: u64,
    compression: u32,
    encryption: u32,
    reserved: [u8; 64],
}

const _: () = assert!(!GENERIC || size_of::<RawEncoded>() == if WIDE { 128 } else { 120 });

const READ: Request = Request::new(
    "BTRFS_IOC_ENCODED_READ",
    Direction::Read,
    BTRFS,
    64,
    size_of::<RawEncoded>(),
    if WIDE { 0x8080_9440 } else { 0x8078_9440 },
);
const WRITE: Request = Request::new(
    "BTRFS_IOC_ENCODED_WRITE",
    Direction::Write,
    BTRFS,
    64,
    size_of::<RawEncoded>(),
    if WIDE { 0x4080_9440 } else { 0x4078_9440 },
);
