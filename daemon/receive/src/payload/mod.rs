//! This room checks and decodes the payloads of encoded writes. It is pure: bytes in, bytes out.
//!
//! The kernel stores an encoded write's payload without looking at it, and a payload that does not decode
//! turns into a file that reads EIO. So every payload's structure is checked before it goes to disk: the
//! shape that the extent claims, and the frame, header or segment chain that the compression prescribes.
//! That reads a few bytes in a hundred thousand and allocates nothing. What it cannot see is damage inside
//! the compressed blocks; only [`Decoder`] finds that.
//!
//! The formats are those that btrfs writes: zstd as in RFC 8878, zlib as in RFC 1950 and 1951, LZO as in
//! `fs/btrfs/lzo.c`.

mod bytes;
mod decode;
mod lzo;
mod problem;
mod structure;
mod zlib;
mod zstd;

#[cfg(test)]
mod tests;

pub(crate) use decode::Decoder;
pub(crate) use problem::Problem;
pub(crate) use structure::check_structure;

/// The most bytes that a payload may have, and the most that it may decode to: btrfs'
/// `BTRFS_MAX_COMPRESSED` and `BTRFS_MAX_UNCOMPRESSED`.
pub(crate) const MAX_LEN: usize = 128 * 1024;

/// Padding ends at a sector, and the largest sector is 64 KiB: as much is never all padding.
const MAX_PADDING: usize = 64 * 1024 - 1;

/// A length of ours, at most [`MAX_LEN`], as the wire's type.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
