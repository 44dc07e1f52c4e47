//! What can be wrong with a payload.

use super::MAX_LEN;

/// What is wrong with a payload, in the terms of its format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An empty extent, or more than the kernel decodes.
    #[error("UNENCODED_LEN is {0}, and must be 1 to {MAX_LEN}")]
    DecodedLen(u64),
    /// The file would be given bytes that the payload does not hold.
    #[error("UNENCODED_FILE_LEN {file_len} at UNENCODED_OFFSET {offset} goes past UNENCODED_LEN {decoded_len}")]
    Range { offset: u64, file_len: u64, decoded_len: u64 },
    /// No file reaches so far.
    #[error("UNENCODED_FILE_LEN {file_len} at FILE_OFFSET {file_offset} goes past the largest file")]
    FileEnd { file_offset: u64, file_len: u64 },
    /// No kernel writes encrypted extents.
    #[error("ENCRYPTION is {0}, and only 0 is known")]
    Encryption(u32),
    /// Nothing at all, or more than the kernel takes.
    #[error("the payload has {0} bytes, and must have 1 to {MAX_LEN}")]
    PayloadLen(usize),
    /// A payload that is not compressed is the extent itself.
    #[error("the plain payload has {len} bytes, and UNENCODED_LEN is {decoded_len}")]
    PlainLen { len: usize, decoded_len: u64 },
    /// The payload ends too early.
    #[error("the payload ends within {what}")]
    CutOff { what: &'static str },
    /// Something follows the compressed data.
    #[error("bytes other than zero follow the {format}")]
    Padding { format: &'static str },
    /// More follows the compressed data than a sector can need.
    #[error("{len} bytes follow the {format}, more than padding to a sector can be")]
    PaddingLen { format: &'static str, len: usize },
    /// Not a zstd frame, or a skippable one.
    #[error("the zstd frame begins with {0:#010x}, not with its magic number")]
    ZstdMagic(u64),
    /// A bit that RFC 8878 keeps at 0.
    #[error("the zstd frame header has its reserved bit set")]
    ZstdReservedBit,
    /// The kernel's workspace holds no larger window.
    #[error("the zstd window is {0} bytes, and btrfs allows {MAX_LEN}")]
    ZstdWindow(u64),
    /// btrfs knows no dictionaries.
    #[error("the zstd frame asks for dictionary {0}")]
    ZstdDictionary(u64),
    /// The frame holds more than the extent.
    #[error("the zstd frame holds {content} bytes, and UNENCODED_LEN is {decoded_len}")]
    ZstdContent { content: u64, decoded_len: u64 },
    /// A block type that RFC 8878 reserves.
    #[error("a zstd block has the reserved type 3")]
    ZstdBlockType,
    /// A block larger than its window, or a compressed one too small to be one.
    #[error("a zstd block has the size {0}, outside of what its type and window allow")]
    ZstdBlockSize(u64),
    /// CMF and FLG do not form a multiple of 31, or CMF names another method or too large a window.
    #[error("{0:#06x} is no zlib header")]
    ZlibHeader(u16),
    /// btrfs knows no dictionaries.
    #[error("the zlib header asks for a preset dictionary")]
    ZlibDictionary,
    /// A block type that RFC 1951 reserves.
    #[error("the first deflate block has the reserved type 3")]
    ZlibBlockType,
    /// LZO extents are cut by the sector size, 4 to 64 KiB.
    #[error("no filesystem has sectors of {0} bytes")]
    LzoSectorSize(u32),
    /// The length that heads the payload does not fit it.
    #[error("the LZO header says {total} bytes, and the payload has {len}")]
    LzoTotal { total: u64, len: usize },
    /// A segment cannot be so short, or cannot come from one sector.
    #[error("an LZO segment has {len} bytes, and may have 3 to {max}")]
    LzoSegmentLen { len: u64, max: usize },
    /// Each segment is one sector of the extent.
    #[error("the extent has more than the {0} LZO segments that its UNENCODED_LEN needs")]
    LzoSegments(usize),
    /// It decodes to more than was claimed.
    #[error("the {format} decodes to more than {limit} bytes")]
    TooLong { format: &'static str, limit: usize },
    /// The decoder met something that its format does not allow.
    #[error("the {format} does not decode: {reason}")]
    Damaged { format: &'static str, reason: String },
}
