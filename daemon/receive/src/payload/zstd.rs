//! One zstd frame (RFC 8878) as btrfs writes it: with a window of up to 128 KiB, without a dictionary.

use ::zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use ::zstd::zstd_safe::{self, DCtx};

use super::{Bytes, MAX_LEN, Problem, check_padding, wide};

const FORMAT: &str = "zstd frame";
const MAGIC: u64 = 0xfd2f_b528;
const HEADER: &str = "the zstd frame header";
const BLOCKS: &str = "the zstd blocks";

/// Checks the frame's header and its chain of blocks; returns the frame without the padding after it.
pub(super) fn frame(payload: &[u8], decoded_len: usize) -> Result<&[u8], Problem> {
    let mut rest = Bytes(payload);
    let header = Header::read(&mut rest, wide(decoded_len))?;
    check_blocks(&mut rest, &header)?;
    if header.checksum {
        rest.take(4, "the zstd content checksum")?;
    }
    check_padding(rest.0, FORMAT)?;
    let len = payload.len().saturating_sub(rest.0.len());
    payload.get(..len).ok_or(Problem::CutOff { what: FORMAT })
}

/// Decodes one whole frame into `room`, which is also the window, so the context allocates none.
pub(super) fn decode(context: &mut DCtx<'_>, frame: &[u8], room: &mut [u8]) -> Result<usize, Problem> {
    context.decompress(room, frame).map_err(|code| {
        if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
            return Problem::TooLong { format: FORMAT, limit: room.len() };
        }
        Problem::Damaged { format: FORMAT, reason: zstd_safe::get_error_name(code).to_owned() }
    })
}

/// The limits for the blocks.
struct Header {
    /// The most bytes that all blocks together may decode to.
    content: u64,
    /// The most bytes that one block may have or decode to.
    max_block: u64,
    checksum: bool,
}

impl Header {
    fn read(rest: &mut Bytes<'_>, decoded_len: u64) -> Result<Self, Problem> {
        let magic = rest.number(4, HEADER)?;
        if magic != MAGIC {
            return Err(Problem::ZstdMagic(magic));
        }
        let descriptor = rest.byte(HEADER)?;
        if descriptor & 0x08 != 0 {
            return Err(Problem::ZstdReservedBit);
        }
        let single_segment = descriptor & 0x20 != 0;
        let window = if single_segment { None } else { Some(window(rest.byte(HEADER)?)) };
        let dictionary = rest.number([0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0), HEADER)?;
        if dictionary != 0 {
            return Err(Problem::ZstdDictionary(dictionary));
        }
        let content = match (descriptor >> 6, single_segment) {
            (0, false) => None,
            (0, true) => Some(rest.number(1, HEADER)?),
            (1, _) => Some(rest.number(2, HEADER)?.saturating_add(256)),
            (2, _) => Some(rest.number(4, HEADER)?),
            _ => Some(rest.number(8, HEADER)?),
        };
        // The window of a single segment is its content.
        let window = window.or(content).unwrap_or(0);
        if window > wide(MAX_LEN) {
            return Err(Problem::ZstdWindow(window));
        }
        let content = content.unwrap_or(decoded_len);
        if content > decoded_len {
            return Err(Problem::ZstdContent { content, decoded_len });
        }
        Ok(Self { content, max_block: window, checksum: descriptor & 0x04 != 0 })
    }
}

/// The window size in a descriptor byte: five bits of exponent, three of mantissa.
fn window(descriptor: u8) -> u64 {
    let base = 1u64.wrapping_shl(u32::from(descriptor >> 3).saturating_add(10));
    (base >> 3).saturating_mul(u64::from(descriptor & 7)).saturating_add(base)
}

/// Checks each block up to the last one.
fn check_blocks(rest: &mut Bytes<'_>, header: &Header) -> Result<(), Problem> {
    let mut room = header.content;
    loop {
        let head = rest.number(3, BLOCKS)?;
        let size = head >> 3;
        if size > header.max_block {
            return Err(Problem::ZstdBlockSize(size));
        }
        let (stored, decoded) = match (head >> 1) & 3 {
            0 => (size, size),
            // One byte, repeated.
            1 => (1, size),
            // The headers of literals and sequences need a byte each; the decoded length is not in the block header.
            2 if size < 2 => return Err(Problem::ZstdBlockSize(size)),
            2 => (size, 0),
            _ => return Err(Problem::ZstdBlockType),
        };
        room = room.checked_sub(decoded).ok_or(Problem::ZstdBlockSize(size))?;
        rest.take(usize::try_from(stored).unwrap_or(usize::MAX), BLOCKS)?;
        if head & 1 == 1 {
            return Ok(());
        }
    }
}
