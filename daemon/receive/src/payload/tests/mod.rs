//! Payloads that a kernel wrote (Linux 6.18 with compress-force, sent by `btrfs send --compressed-data`), payloads of encoders
//! that write as btrfs does, and the properties of all of them.

use std::io::Write as _;

use ::zstd::zstd_safe::{CCtx, CParameter};
use butterdock_stream::{Compression, Extent};
use proptest::prelude::*;

use crate::payload::{Decoder, MAX_LEN, check_structure};

mod structure;

const LZO: Compression = Compression::Lzo { sector_size: 4096 };

/// The only extent of a file of `len` bytes.
fn whole(compression: Compression, len: usize) -> Extent {
    let len = len as u64;
    Extent { file_offset: 0, file_len: len, decoded_len: len, decoded_offset: 0, compression, encryption: 0 }
}

/// Text that compresses well, the same in `tests/payloads`.
fn lines(len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..=len / 27 {
        writeln!(text, "line {:08} of the source", i / 16).unwrap();
    }
    text.truncate(len);
    text
}

/// Bytes that do not compress, the same in `tests/payloads`.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x2545_f491_u32;
    let step = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x.to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// Text in which each fourth sector, from the second on, is noise.
fn mixed(len: usize) -> Vec<u8> {
    let (mut text, noise) = (lines(len), noise(len));
    for (i, (text, noise)) in text.chunks_mut(4096).zip(noise.chunks(4096)).enumerate() {
        if i % 4 == 1 {
            text.copy_from_slice(noise);
        }
    }
    text
}

fn encode(compression: Compression, source: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => source.to_vec(),
        Compression::Zlib => deflate(source, 3),
        Compression::Zstd => zstd_frame(source, 3, true, false),
        Compression::Lzo { sector_size } => lzo_segments(source, sector_size as usize),
    }
}

/// A frame with a window of up to 128 KiB, with or without its content's size and checksum.
fn zstd_frame(source: &[u8], level: i32, content_size: bool, checksum: bool) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(17),
        CParameter::ContentSizeFlag(content_size),
        CParameter::ChecksumFlag(checksum),
    ] {
        context.set_parameter(parameter).unwrap();
    }
    let mut frame = Vec::with_capacity(::zstd::zstd_safe::compress_bound(source.len()));
    context.compress2(&mut frame, source).unwrap();
    frame
}

fn deflate(source: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(source).unwrap();
    encoder.finish().unwrap()
}

/// One segment for each sector; a length never lies across a sector's end.
fn lzo_segments(source: &[u8], sector: usize) -> Vec<u8> {
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

/// A payload as on disk: with zeros up to the end of its last sector.
fn padded(mut payload: Vec<u8>) -> Vec<u8> {
    payload.resize(payload.len().next_multiple_of(4096), 0);
    payload
}

const FORMATS: [Compression; 3] = [Compression::Zstd, Compression::Zlib, LZO];

/// Checks one of the stored payloads in all formats.
fn check(file: &str, extent: Extent, source: &[u8]) {
    let mut decoder = Decoder::new();
    for compression in FORMATS {
        let name = match compression {
            Compression::None => unreachable!(),
            Compression::Zlib => "zlib",
            Compression::Zstd => "zstd",
            Compression::Lzo { .. } => "lzo",
        };
        let path = format!("{}/tests/payloads/{name}-{file}", env!("CARGO_MANIFEST_DIR"));
        let payload = std::fs::read(path).unwrap();
        let extent = Extent { compression, ..extent };
        assert_eq!(check_structure(&extent, &payload), Ok(()), "{name}-{file}");
        let decoded = decoder.decode(&extent, &payload).unwrap();
        assert_eq!(decoded.len() as u64, extent.decoded_len);
        let (data, extension) = decoded.split_at(source.len());
        assert!(data == source, "{name}-{file} decodes to something else");
        assert!(extension.iter().all(|&byte| byte == 0), "{name}-{file} is not extended by zeros");
    }
}

fn extent(file_offset: u64, file_len: u64, decoded_len: u64) -> Extent {
    let decoded_offset = file_offset;
    Extent { file_offset, file_len, decoded_len, decoded_offset, compression: Compression::None, encryption: 0 }
}

#[test]
fn a_whole_extent_decodes() {
    check("full", extent(0, 131_072, 131_072), &lines(131_072));
}

#[test]
fn the_last_extent_of_a_file_is_extended_by_zeros() {
    check("tail", extent(0, 50_000, 53_248), &lines(50_000));
}

#[test]
fn an_inline_extent_decodes() {
    check("inline", extent(0, 1500, 1500), &lines(1500));
}

#[test]
fn an_extent_with_sectors_that_do_not_compress_decodes() {
    check("mixed", extent(0, 40_000, 40_960), &mixed(40_000));
}

#[test]
fn an_extent_whose_front_was_overwritten_decodes_whole() {
    check("part", extent(4096, 15_904, 20_480), &lines(20_000));
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Zlib),
        Just(Compression::Zstd),
        Just(LZO),
        Just(Compression::Lzo { sector_size: 65_536 }),
    ]
}

/// Runs of text and of noise, 1 byte to 128 KiB.
fn source() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((any::<bool>(), 1..40_000_usize, any::<u8>()), 1..6).prop_map(|runs| {
        let mut source: Vec<u8> = runs
            .into_iter()
            .flat_map(|(text, len, salt)| {
                let run = if text { lines(len) } else { noise(len) };
                run.into_iter().map(move |byte| byte ^ salt)
            })
            .collect();
        source.truncate(MAX_LEN);
        source
    })
}

/// Decodes twice with one decoder; the result depends only on the payload, and is within the limits.
fn decode(compression: Compression, len: usize, payload: &[u8]) -> Option<Vec<u8>> {
    let extent = whole(compression, len);
    let checked = check_structure(&extent, payload);
    let mut decoder = Decoder::new();
    let first = decoder.decode(&extent, payload).map(<[u8]>::to_vec);
    let again = decoder.decode(&extent, payload).map(<[u8]>::to_vec);
    assert_eq!(first, again);
    assert!(checked.is_ok() || first.is_err(), "decoded what the check refuses: {checked:?}");
    assert!(first.as_ref().is_ok_and(|bytes| bytes.len() == len) || first.is_err());
    first.ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn zstd_payloads_decode_to_their_source(
        source in source(), level in 1..=15, size: bool, checksum: bool, on_disk: bool, more in 0..5000_usize,
    ) {
        let frame = zstd_frame(&source, level, size, checksum);
        let payload = if on_disk { padded(frame) } else { frame };
        let len = (source.len() + more).min(MAX_LEN);
        if payload.len() <= MAX_LEN {
            let decoded = decode(Compression::Zstd, len, &payload).unwrap();
            prop_assert!(decoded.starts_with(&source));
            prop_assert!(decoded[source.len()..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn zlib_payloads_decode_to_their_source(source in source(), level in 0..=9_u32, on_disk: bool) {
        let stream = deflate(&source, level);
        let payload = if on_disk { padded(stream) } else { stream };
        if payload.len() <= MAX_LEN {
            prop_assert!(decode(Compression::Zlib, source.len(), &payload).unwrap() == source);
        }
    }

    #[test]
    fn lzo_payloads_decode_to_their_source(source in source(), shift in 0..=4_u32, on_disk: bool) {
        let sector_size = 4096_u32 << shift;
        let segments = lzo_segments(&source, sector_size as usize);
        let payload = if on_disk { padded(segments) } else { segments };
        if payload.len() <= MAX_LEN {
            let decoded = decode(Compression::Lzo { sector_size }, source.len(), &payload).unwrap();
            prop_assert!(decoded == source);
        }
    }

    #[test]
    fn a_damaged_payload_never_panics(
        source in source(), compression in compression(), len in 1..=MAX_LEN, exact: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), front: bool,
        cut in any::<prop::sample::Index>(), shorten: bool,
    ) {
        let mut payload = encode(compression, &source);
        for (at, byte) in damage {
            let end = if front { payload.len().min(16) } else { payload.len() };
            payload[at.index(end)] = byte;
        }
        if shorten {
            payload.truncate(cut.index(payload.len()));
        }
        decode(compression, if exact { source.len() } else { len }, &payload);
    }

    #[test]
    fn garbage_never_panics(
        compression in compression(), len in 0..=MAX_LEN + 1, garbage in prop::collection::vec(any::<u8>(), 0..9000),
    ) {
        decode(compression, len, &garbage);
    }

    #[test]
    fn garbage_in_a_good_frame_never_panics(garbage in prop::collection::vec(any::<u8>(), 3..4000)) {
        let size = u32::try_from(garbage.len()).unwrap();
        let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
        zstd.extend(&(size << 3 | 2 << 1 | 1).to_le_bytes()[..3]);
        zstd.extend(&garbage);
        prop_assert!(check_structure(&whole(Compression::Zstd, MAX_LEN), &zstd).is_ok());
        decode(Compression::Zstd, MAX_LEN, &zstd);

        let mut lzo = (size + 8).to_le_bytes().to_vec();
        lzo.extend(size.to_le_bytes());
        lzo.extend(&garbage);
        prop_assert!(check_structure(&whole(LZO, 4096), &lzo).is_ok());
        decode(LZO, 4096, &lzo);

        decode(Compression::Zlib, MAX_LEN, &[&[0x78, 0x9c][..], &garbage, &[0; 8]].concat());
    }
}
