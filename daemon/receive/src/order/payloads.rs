//! Payloads of encoded writes, made once.

use std::io::Write as _;
use std::sync::LazyLock;

use butterdock_stream::{Compression, Extent};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

use crate::order::command::Bytes;

/// Shapes of extents: a whole one, one that ends within a sector, and a part of one; each in all compressions.
static ALL: LazyLock<Vec<(Extent, Vec<u8>)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for compression in [Compression::Zstd, Compression::Zlib, Compression::Lzo { sector_size: 4096 }] {
        for (decoded_len, decoded_offset, file_len) in
            [(8192, 0, 8192), (12_288, 0, 12_288), (5000, 0, 5000), (16_384, 4096, 8192), (20_480, 8192, 7000)]
        {
            let extent = Extent { file_offset: 0, file_len, decoded_len, decoded_offset, compression, encryption: 0 };
            all.push((extent, encode(compression, &lines(decoded_len))));
        }
    }
    all
});

/// One of them, at a place in a file.
pub(crate) fn payload(which: usize, file_offset: u64) -> (Extent, Bytes) {
    let (extent, payload) = &ALL[which % ALL.len()];
    (Extent { file_offset, ..*extent }, Bytes(payload.clone()))
}

fn lines(len: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..=len / 27 {
        writeln!(text, "line {:08} of the source", i / 5).unwrap();
    }
    text.truncate(usize::try_from(len).unwrap());
    text
}

fn encode(compression: Compression, source: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => source.to_vec(),
        Compression::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(3));
            encoder.write_all(source).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut context = CCtx::create();
            context.set_parameter(CParameter::WindowLog(17)).unwrap();
            let mut frame = Vec::with_capacity(compress_bound(source.len()));
            context.compress2(&mut frame, source).unwrap();
            frame
        }
        Compression::Lzo { sector_size } => lzo(source, sector_size as usize),
    }
}

fn lzo(source: &[u8], sector: usize) -> Vec<u8> {
    let mut payload = vec![0; 4];
    for piece in source.chunks(sector) {
        let segment = lzokay::compress::compress(piece).unwrap();
        payload.extend(u32::try_from(segment.len()).unwrap().to_le_bytes());
        payload.extend(segment);
        let left = payload.len().next_multiple_of(sector) - payload.len();
        if left < 4 {
            payload.resize(payload.len() + left, 0);
        }
    }
    let total = u32::try_from(payload.len()).unwrap();
    payload[..4].copy_from_slice(&total.to_le_bytes());
    payload
}
