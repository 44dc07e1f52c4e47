//! Decodes payloads: for kernels that refuse an encoded write, and for `--verify`.

use std::fmt;

use ::zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use ::zstd::zstd_safe::{self, DCtx};
use butterdock_stream::{Compression, Extent};
use flate2::{Decompress, FlushDecompress, Status};

use super::check_padding;
use super::{MAX_LEN, Problem, lzo, zlib, zstd};
use super::{check_bounds, plain};

/// Decodes payloads, one after another.
///
/// It keeps what the formats need between extents: a buffer of 128 KiB and, from the first payload of its
/// kind on, a zstd context (about 100 KiB) and a zlib state (about 50 KiB).
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

    /// Decodes `payload` to exactly `extent.decoded_len` bytes. What decodes to less is extended by zeros,
    /// as the kernel does when it reads such an extent.
    ///
    /// # Errors
    ///
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
                inflate(self.zlib.get_or_insert_with(|| Decompress::new(true)), payload, room)?
            }
            Compression::Zstd => unzstd(self.zstd.get_or_insert_with(DCtx::create), zstd::frame(payload, len)?, room)?,
            Compression::Lzo { sector_size } => unlzo(lzo::segments(payload, len, sector_size)?, room)?,
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

/// One whole frame into `room`, which is its window too: the context allocates none.
fn unzstd(context: &mut DCtx<'_>, frame: &[u8], room: &mut [u8]) -> Result<usize, Problem> {
    const FORMAT: &str = "zstd frame";
    context.decompress(room, frame).map_err(|code| {
        if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) {
            return Problem::TooLong { format: FORMAT, limit: room.len() };
        }
        Problem::Damaged { format: FORMAT, reason: zstd_safe::get_error_name(code).to_owned() }
    })
}

/// One whole stream into `room`, its checksum compared; what follows it must be padding.
fn inflate(state: &mut Decompress, payload: &[u8], room: &mut [u8]) -> Result<usize, Problem> {
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

/// Segment after segment into `room`, each up to one sector.
fn unlzo(segments: lzo::Segments<'_>, room: &mut [u8]) -> Result<usize, Problem> {
    const FORMAT: &str = "LZO segment";
    let sector = segments.sector();
    let mut filled = 0usize;
    for segment in segments {
        let rest = room.get_mut(filled..).unwrap_or_default();
        let limit = rest.len().min(sector);
        let len =
            lzokay::decompress::decompress(segment?, rest.get_mut(..limit).unwrap_or_default()).map_err(|error| {
                match error {
                    lzokay::Error::OutputOverrun => Problem::TooLong { format: FORMAT, limit },
                    lzokay::Error::LookbehindOverrun
                    | lzokay::Error::InputOverrun
                    | lzokay::Error::Error
                    | lzokay::Error::InputNotConsumed => Problem::Damaged { format: FORMAT, reason: error.to_string() },
                }
            })?;
        filled = filled.saturating_add(len);
    }
    Ok(filled)
}
