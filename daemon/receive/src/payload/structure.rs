//! The structure of a payload: what can be told without decoding it.

use butterdock_stream::{Compression, Extent};

use super::{MAX_LEN, Problem, lzo, zlib, zstd};

/// Checks that `payload` has the structure that `extent` claims.
///
/// What passes is within every bound: at most 128 KiB encoded and decoded, the file's range within the
/// decoded bytes, a zstd window of at most 128 KiB. It costs tens of nanoseconds and allocates nothing.
///
/// # Errors
///
/// Names the first thing that is wrong.
pub(crate) fn check_structure(extent: &Extent, payload: &[u8]) -> Result<(), Problem> {
    let decoded_len = check_bounds(extent, payload)?;
    match extent.compression {
        Compression::None => plain(payload, decoded_len).map(drop),
        Compression::Zlib => zlib::check(payload),
        Compression::Zstd => zstd::frame(payload, decoded_len).map(drop),
        Compression::Lzo { sector_size } => lzo::segments(payload, decoded_len, sector_size).map(drop),
    }
}

/// Checks everything that does not depend on the compression; answers `decoded_len`.
pub(super) fn check_bounds(extent: &Extent, payload: &[u8]) -> Result<usize, Problem> {
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

/// A payload that is not compressed: as it is.
pub(super) fn plain(payload: &[u8], decoded_len: usize) -> Result<&[u8], Problem> {
    if payload.len() == decoded_len {
        return Ok(payload);
    }
    Err(Problem::PlainLen { len: payload.len(), decoded_len: super::wide(decoded_len) })
}
