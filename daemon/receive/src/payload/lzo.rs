//! LZO in btrfs's framing (`fs/btrfs/lzo.c`): the total length, then one segment per sector of the extent.

use super::{Bytes, Problem, check_padding, wide};

const FORMAT: &str = "LZO segments";
const LEN: usize = 4;
/// The shortest LZO1X data is its end marker.
const SHORTEST: usize = 3;

/// Checks the header and the chain of segments; returns the segments.
pub(super) fn segments(payload: &[u8], decoded_len: usize, sector_size: u32) -> Result<Segments<'_>, Problem> {
    let sector = match sector_size {
        0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 => usize::try_from(sector_size).unwrap_or(usize::MAX),
        _ => return Err(Problem::LzoSectorSize(sector_size)),
    };
    let total = Bytes(payload).number(LEN, "the LZO header")?;
    let bad_total = Problem::LzoTotal { total, len: payload.len() };
    let Some((chain, padding)) = usize::try_from(total).ok().and_then(|at| payload.split_at_checked(at)) else {
        return Err(bad_total);
    };
    // The kernel does not read an extent that ends after the sector in which its segments end.
    if chain.len() <= LEN || chain.len().checked_next_multiple_of(sector).is_none_or(|end| end < payload.len()) {
        return Err(bad_total);
    }
    check_padding(padding, FORMAT)?;

    let segments = Segments { chain, at: LEN, sector };
    let max = decoded_len.div_ceil(sector);
    let mut count = 0usize;
    for segment in segments.clone() {
        segment?;
        count = count.saturating_add(1);
        if count > max {
            return Err(Problem::LzoSegments(max));
        }
    }
    Ok(segments)
}

/// Decodes all segments into `room`, each up to one sector.
pub(super) fn decode(segments: Segments<'_>, room: &mut [u8]) -> Result<usize, Problem> {
    const SEGMENT: &str = "LZO segment";
    let sector = segments.sector();
    let mut filled = 0usize;
    for segment in segments {
        let rest = room.get_mut(filled..).unwrap_or_default();
        let limit = rest.len().min(sector);
        let len =
            lzokay::decompress::decompress(segment?, rest.get_mut(..limit).unwrap_or_default()).map_err(|error| {
                match error {
                    lzokay::Error::OutputOverrun => Problem::TooLong { format: SEGMENT, limit },
                    lzokay::Error::LookbehindOverrun
                    | lzokay::Error::InputOverrun
                    | lzokay::Error::Error
                    | lzokay::Error::InputNotConsumed => {
                        Problem::Damaged { format: SEGMENT, reason: error.to_string() }
                    }
                }
            })?;
        filled = filled.saturating_add(len);
    }
    Ok(filled)
}

/// The segments of an extent, each with the LZO1X data of one sector. The iterator ends after the first error.
#[derive(Debug, Clone)]
pub(super) struct Segments<'a> {
    /// The payload from its first byte, from which the sectors are counted, to the end of the last segment.
    chain: &'a [u8],
    at: usize,
    sector: usize,
}

impl<'a> Segments<'a> {
    /// A segment decodes to up to this many bytes.
    pub(super) fn sector(&self) -> usize {
        self.sector
    }

    fn read(&mut self) -> Result<&'a [u8], Problem> {
        const WHAT: &str = "the LZO segments";
        let mut rest = Bytes(self.chain.get(self.at..).unwrap_or_default());
        let len = rest.number(LEN, WHAT)?;
        let max = longest(self.sector);
        if len < wide(SHORTEST) || len > wide(max) {
            return Err(Problem::LzoSegmentLen { len, max });
        }
        let segment = rest.take(usize::try_from(len).unwrap_or(usize::MAX), WHAT)?;
        let end = self.chain.len().saturating_sub(rest.0.len());
        // A segment's length never crosses a sector's end: the rest before it is skipped, also after the last segment (some
        // kernels include it in the total). A sector is a power of two: the mask takes a twentieth of the time of a division.
        let left = end.wrapping_neg() & self.sector.saturating_sub(1);
        self.at = if left < LEN && end < self.chain.len() { end.saturating_add(left) } else { end };
        if self.at > self.chain.len() {
            return Err(Problem::CutOff { what: WHAT });
        }
        Ok(segment)
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<&'a [u8], Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.chain.len() {
            return None;
        }
        let segment = self.read();
        if segment.is_err() {
            self.at = self.chain.len();
        }
        Some(segment)
    }
}

/// The longest LZO1X data of a sector, for data that does not compress (`lzo1x_worst_compress` of the kernel).
fn longest(sector: usize) -> usize {
    sector.saturating_add(sector / 16).saturating_add(64 + 3 + 2)
}
