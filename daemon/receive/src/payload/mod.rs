//! Checks and decodes the payloads of encoded writes: bytes in, bytes out, no I/O.
//!
//! The kernel stores the payload of an encoded write without reading it. If the payload does not decode, reading the file
//! fails with `EIO`. So the structure of every payload is checked before it is written: the lengths of the extent, and the
//! frame, header or segment chain of the compression. The check reads a few bytes in a hundred thousand and allocates
//! nothing. Only [`Decoder`] finds damage inside of compressed blocks.
//!
//! The formats are those that btrfs writes: zstd (RFC 8878), zlib (RFC 1950 and 1951), LZO (`fs/btrfs/lzo.c`).

mod lzo;
#[cfg(test)]
mod tests;
mod zlib;
mod zstd;

use std::fmt;

use ::zstd::zstd_safe::DCtx;
use butterdock_stream::{Compression, Extent};
use flate2::Decompress;

/// The most bytes that a payload may have, and the most that it may decode to (`BTRFS_MAX_COMPRESSED` and
/// `BTRFS_MAX_UNCOMPRESSED` of btrfs).
pub(crate) const MAX_LEN: usize = 128 * 1024;

/// Padding ends at a sector's end, and the largest sector has 64 KiB.
const MAX_PADDING: usize = 64 * 1024 - 1;

/// A length up to [`MAX_LEN`] as a `u64`.
fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The defect of a payload, in the terms of its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The extent is empty, or larger than the kernel can decode.
    #[error("UNENCODED_LEN is {0}, and must be 1 to {MAX_LEN}")]
    DecodedLen(u64),
    /// The file's range is larger than the decoded payload.
    #[error("UNENCODED_FILE_LEN {file_len} at UNENCODED_OFFSET {offset} goes past UNENCODED_LEN {decoded_len}")]
    Range { offset: u64, file_len: u64, decoded_len: u64 },
    /// The range ends after the largest possible file.
    #[error("UNENCODED_FILE_LEN {file_len} at FILE_OFFSET {file_offset} goes past the largest file")]
    FileEnd { file_offset: u64, file_len: u64 },
    /// The extent is encrypted, which no kernel supports.
    #[error("ENCRYPTION is {0}, and only 0 is known")]
    Encryption(u32),
    /// The payload is empty, or larger than the kernel accepts.
    #[error("the payload has {0} bytes, and must have 1 to {MAX_LEN}")]
    PayloadLen(usize),
    /// A payload without compression has not the length of the extent.
    #[error("the plain payload has {len} bytes, and UNENCODED_LEN is {decoded_len}")]
    PlainLen { len: usize, decoded_len: u64 },
    /// The payload ends too early.
    #[error("the payload ends within {what}")]
    CutOff { what: &'static str },
    /// Bytes other than zero follow the compressed data.
    #[error("bytes other than zero follow the {format}")]
    Padding { format: &'static str },
    /// More padding follows the compressed data than a sector can need.
    #[error("{len} bytes follow the {format}, more than padding to a sector can be")]
    PaddingLen { format: &'static str, len: usize },
    /// The payload is not a zstd frame, or a skippable one.
    #[error("the zstd frame begins with {0:#010x}, not with its magic number")]
    ZstdMagic(u64),
    /// A bit is set that RFC 8878 reserves.
    #[error("the zstd frame header has its reserved bit set")]
    ZstdReservedBit,
    /// The window is larger than the kernel's workspace.
    #[error("the zstd window is {0} bytes, and btrfs allows {MAX_LEN}")]
    ZstdWindow(u64),
    /// The payload needs a dictionary, which btrfs does not support.
    #[error("the zstd frame asks for dictionary {0}")]
    ZstdDictionary(u64),
    /// The frame has more content than the extent.
    #[error("the zstd frame has {content} bytes, and UNENCODED_LEN is {decoded_len}")]
    ZstdContent { content: u64, decoded_len: u64 },
    /// A block has a type that RFC 8878 reserves.
    #[error("a zstd block has the reserved type 3")]
    ZstdBlockType,
    /// A block is larger than its window, or a compressed block is too small.
    #[error("a zstd block has the size {0}, outside of what its type and window allow")]
    ZstdBlockSize(u64),
    /// CMF and FLG do not form a multiple of 31, or CMF names another method or too large a window.
    #[error("{0:#06x} is no zlib header")]
    ZlibHeader(u16),
    /// The payload needs a dictionary, which btrfs does not support.
    #[error("the zlib header asks for a preset dictionary")]
    ZlibDictionary,
    /// The first block has a type that RFC 1951 reserves.
    #[error("the first deflate block has the reserved type 3")]
    ZlibBlockType,
    /// The sector size is not one of 4 to 64 KiB.
    #[error("no filesystem has sectors of {0} bytes")]
    LzoSectorSize(u32),
    /// The length in the header does not match the payload.
    #[error("the LZO header says {total} bytes, and the payload has {len}")]
    LzoTotal { total: u64, len: usize },
    /// A segment is too short, or too long for one sector.
    #[error("an LZO segment has {len} bytes, and may have 3 to {max}")]
    LzoSegmentLen { len: u64, max: usize },
    /// The extent has more segments than sectors.
    #[error("the extent has more than the {0} LZO segments that its UNENCODED_LEN needs")]
    LzoSegments(usize),
    /// The payload decodes to more bytes than the extent has.
    #[error("the {format} decodes to more than {limit} bytes")]
    TooLong { format: &'static str, limit: usize },
    /// The decoder found something that the format does not allow.
    #[error("the {format} does not decode: {reason}")]
    Damaged { format: &'static str, reason: String },
}

/// Checks that `payload` has the structure that `extent` describes.
///
/// An accepted payload is within all limits: up to 128 KiB encoded and decoded, the file's range within the decoded bytes, a
/// zstd window of up to 128 KiB. The check takes tens of nanoseconds and allocates nothing.
///
/// # Errors
/// The first defect.
pub(crate) fn check_structure(extent: &Extent, payload: &[u8]) -> Result<(), Problem> {
    let decoded_len = check_bounds(extent, payload)?;
    match extent.compression {
        Compression::None => plain(payload, decoded_len).map(drop),
        Compression::Zlib => zlib::check(payload),
        Compression::Zstd => zstd::frame(payload, decoded_len).map(drop),
        Compression::Lzo { sector_size } => lzo::segments(payload, decoded_len, sector_size).map(drop),
    }
}

/// Decodes payloads, one after another.
///
/// It keeps a buffer of 128 KiB and, from the first payload of the format on, a zstd context (about 100 KiB) and a zlib state
/// (about 50 KiB).
#[derive(Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    zstd: Option<DCtx<'static>>,
    zlib: Option<Decompress>,
}

impl Decoder {
    /// A decoder that has allocated nothing yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Decodes `payload` to exactly `extent.decoded_len` bytes. Shorter data is extended by zeros, as the kernel does when it
    /// reads such an extent.
    ///
    /// # Errors
    /// The structure is wrong, the data is damaged, or it decodes to more than `decoded_len`.
    pub(crate) fn decode<'a>(&'a mut self, extent: &Extent, payload: &'a [u8]) -> Result<&'a [u8], Problem> {
        let len = check_bounds(extent, payload)?;
        if extent.compression == Compression::None {
            return plain(payload, len);
        }
        self.buffer.resize(MAX_LEN, 0);
        let room = self.buffer.get_mut(..len).unwrap_or_default();
        let filled = match extent.compression {
            Compression::None => 0,
            Compression::Zlib => {
                zlib::check(payload)?;
                zlib::decode(self.zlib.get_or_insert_with(|| Decompress::new(true)), payload, room)?
            }
            Compression::Zstd => {
                zstd::decode(self.zstd.get_or_insert_with(DCtx::create), zstd::frame(payload, len)?, room)?
            }
            Compression::Lzo { sector_size } => lzo::decode(lzo::segments(payload, len, sector_size)?, room)?,
        };
        room.get_mut(filled..).unwrap_or_default().fill(0);
        Ok(room)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { buffer, zstd, zlib } = self;
        f.debug_struct("Decoder")
            .field("buffer", &buffer.len())
            .field("zstd", &zstd.is_some())
            .field("zlib", &zlib.is_some())
            .finish()
    }
}

/// Checks everything that does not depend on the compression; returns `decoded_len`.
fn check_bounds(extent: &Extent, payload: &[u8]) -> Result<usize, Problem> {
    let &Extent { file_offset, file_len, decoded_len, decoded_offset: offset, compression: _, encryption } = extent;
    let len = usize::try_from(decoded_len).ok().filter(|len| (1..=MAX_LEN).contains(len));
    let len = len.ok_or(Problem::DecodedLen(decoded_len))?;
    if offset.checked_add(file_len).is_none_or(|end| end > decoded_len) {
        return Err(Problem::Range { offset, file_len, decoded_len });
    }
    if file_offset.checked_add(file_len).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Problem::FileEnd { file_offset, file_len });
    }
    if encryption != 0 {
        return Err(Problem::Encryption(encryption));
    }
    if !(1..=MAX_LEN).contains(&payload.len()) {
        return Err(Problem::PayloadLen(payload.len()));
    }
    Ok(len)
}

/// A payload without compression.
fn plain(payload: &[u8], decoded_len: usize) -> Result<&[u8], Problem> {
    if payload.len() == decoded_len {
        return Ok(payload);
    }
    Err(Problem::PlainLen { len: payload.len(), decoded_len: wide(decoded_len) })
}

/// The rest of a payload. A read past its end is an error that names the part that was cut off.
#[derive(Debug, Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `len` bytes; `what` names them in the error.
    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Problem> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Problem::CutOff { what })?;
        self.0 = rest;
        Ok(head)
    }

    /// The next byte.
    fn byte(&mut self, what: &'static str) -> Result<u8, Problem> {
        let (&byte, rest) = self.0.split_first().ok_or(Problem::CutOff { what })?;
        self.0 = rest;
        Ok(byte)
    }

    /// The next `len` bytes, up to eight, as a little-endian number.
    fn number(&mut self, len: usize, what: &'static str) -> Result<u64, Problem> {
        let bytes = self.take(len, what)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }
}

/// Checks the padding after the compressed data: zeros, and fewer than the largest sector has.
fn check_padding(rest: &[u8], format: &'static str) -> Result<(), Problem> {
    if rest.len() > MAX_PADDING {
        return Err(Problem::PaddingLen { format, len: rest.len() });
    }
    // Each block is compared without an early end, so that the compiler can use wide registers.
    let zero = rest.chunks(64).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0);
    if zero { Ok(()) } else { Err(Problem::Padding { format }) }
}
