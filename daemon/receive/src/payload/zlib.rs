//! One zlib stream (RFC 1950) around deflate blocks (RFC 1951). Each format has its own file.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Problem, check_padding};

/// Checks the header and the type of the first block.
///
/// Only the compressed bits show where a deflate stream ends, so the decoder checks the padding.
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

/// Decodes one whole stream into `room` and compares its checksum; padding may follow it.
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
