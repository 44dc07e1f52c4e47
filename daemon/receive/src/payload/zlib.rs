//! One zlib stream (RFC 1950) around deflate blocks (RFC 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::{Problem, check_padding};

/// Checks what stands outside of the compressed bits: the header and the first block's type.
///
/// Where a deflate stream ends is not written anywhere but in its bits, so the padding is left to the decoder.
pub(super) fn check(payload: &[u8]) -> Result<(), Problem> {
    let (&[cmf, flg, block, ..], true) = (payload, payload.len() >= SHORTEST) else {
        return Err(Problem::CutOff { what: "the zlib header and checksum" });
    };
    let header = u16::from_be_bytes([cmf, flg]);
    let deflate = cmf & 0x0f == 8;
    let window_fits = cmf >> 4 <= 7;
    if !deflate || !window_fits || header % 31 != 0 {
        return Err(Problem::ZlibHeader(header));
    }
    if flg & 0x20 != 0 {
        return Err(Problem::ZlibDictionary);
    }
    if (block >> 1) & 3 == 3 {
        return Err(Problem::ZlibBlockType);
    }
    Ok(())
}

/// One whole stream into `room`, its checksum compared; what follows it must be padding.
pub(super) fn decode(state: &mut Decompress, payload: &[u8], room: &mut [u8]) -> Result<usize, Problem> {
    const FORMAT: &str = "zlib stream";
    state.reset(true);
    let status = state
        .decompress(payload, room, FlushDecompress::Finish)
        .map_err(|error| Problem::Damaged { format: FORMAT, reason: error.to_string() })?;
    let filled = usize::try_from(state.total_out()).unwrap_or(usize::MAX);
    let used = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
    match status {
        Status::StreamEnd => check_padding(payload.get(used..).unwrap_or_default(), FORMAT).map(|()| filled),
        Status::Ok | Status::BufError if used == payload.len() => Err(Problem::CutOff { what: "the zlib stream" }),
        Status::Ok | Status::BufError => Err(Problem::TooLong { format: FORMAT, limit: room.len() }),
    }
}

/// Two bytes of header, the ten bits of an empty block, four bytes of Adler-32.
const SHORTEST: usize = 8;
