//! One zlib stream (RFC 1950) around deflate blocks (RFC 1951). A file of its own, as each format has.

use super::Problem;

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

/// Two bytes of header, the ten bits of an empty block, four bytes of Adler-32.
const SHORTEST: usize = 8;
