//! Each possible defect of a payload, and its error.

use butterdock_stream::{Compression, Extent};

use super::{LZO, deflate, encode, lines, lzo_segments, noise, padded, whole, zstd_frame};
use crate::payload::{Decoder, MAX_LEN, Problem, check_structure};

const LEN: usize = 20_000;

/// The error of both the check and the decoder for a good payload after `damage`.
fn problem(compression: Compression, damage: impl FnOnce(&mut Extent, &mut Vec<u8>)) -> Problem {
    let mut extent = whole(compression, LEN);
    let mut payload = padded_unless_plain(compression, encode(compression, &lines(LEN)));
    assert_eq!(check_structure(&extent, &payload), Ok(()));
    damage(&mut extent, &mut payload);
    let problem = check_structure(&extent, &payload).unwrap_err();
    assert_eq!(Decoder::new().decode(&extent, &payload), Err(problem.clone()));
    problem
}

fn padded_unless_plain(compression: Compression, payload: Vec<u8>) -> Vec<u8> {
    if compression == Compression::None { payload } else { padded(payload) }
}

#[test]
fn an_extent_outside_of_the_limits_is_refused() {
    type Damage = fn(&mut Extent, &mut Vec<u8>);
    let cases: [(Damage, &str); 10] = [
        (|extent, _| extent.decoded_len = 0, "UNENCODED_LEN is 0,"),
        (|extent, _| extent.decoded_len = 131_073, "UNENCODED_LEN is 131073,"),
        (|extent, _| extent.decoded_len = 1 << 40, "UNENCODED_LEN is 1099511627776,"),
        (|extent, _| extent.file_len += 1, "UNENCODED_FILE_LEN 20001 at UNENCODED_OFFSET 0"),
        (|extent, _| extent.decoded_offset = u64::MAX, "at UNENCODED_OFFSET 18446744073709551615"),
        (|extent, _| extent.file_offset = i64::MAX as u64 - 1, "past the largest file"),
        (|extent, _| extent.file_offset = u64::MAX, "past the largest file"),
        (|extent, _| extent.encryption = 1, "ENCRYPTION is 1"),
        (|_, payload| payload.clear(), "the payload has 0 bytes"),
        (|_, payload| payload.resize(MAX_LEN + 1, 0), "the payload has 131073 bytes"),
    ];
    for compression in [Compression::None, Compression::Zlib, Compression::Zstd, LZO] {
        for (damage, message) in cases {
            let error = problem(compression, damage).to_string();
            assert!(error.contains(message), "{compression:?}: {error:?} does not contain {message:?}");
        }
    }
}

#[test]
fn a_plain_payload_has_the_decoded_length() {
    let problem = problem(Compression::None, |_, payload| payload.truncate(LEN - 1));
    assert_eq!(problem, Problem::PlainLen { len: LEN - 1, decoded_len: LEN as u64 });
}

#[test]
fn a_zstd_frame_that_btrfs_cannot_read_is_refused() {
    let zstd = |damage: fn(&mut Vec<u8>)| problem(Compression::Zstd, |_, payload| damage(payload));
    // The frame of `lines` is a single segment with two bytes of content size: its first block is at 7.
    assert_eq!(zstd(|p| p[0] = 0), Problem::ZstdMagic(0xfd2f_b500));
    assert_eq!(zstd(|p| p[..4].copy_from_slice(&0x184d_2a50_u32.to_le_bytes())), Problem::ZstdMagic(0x184d_2a50));
    assert_eq!(zstd(|p| p[4] |= 0x08), Problem::ZstdReservedBit);
    assert_eq!(zstd(|p| p[4] |= 0x01), Problem::ZstdDictionary(u64::from(encode(Compression::Zstd, &lines(LEN))[5])));
    assert_eq!(zstd(|p| p[7] |= 0x06), Problem::ZstdBlockType);
    assert_eq!(zstd(|p| p[9] = 0xff).to_string().split(" the size").next(), Some("a zstd block has"));
    // Without a last block the padding looks like empty blocks.
    assert_eq!(zstd(|p| p[7] &= !1), Problem::CutOff { what: "the zstd blocks" });
    assert_eq!(zstd(|p| p.truncate(20)), Problem::CutOff { what: "the zstd blocks" });
    assert_eq!(zstd(|p| p.truncate(5)), Problem::CutOff { what: "the zstd frame header" });
    assert_eq!(zstd(|p| *p.last_mut().unwrap() = 1), Problem::Padding { format: "zstd frame" });
    assert!(matches!(zstd(|p| p.resize(MAX_LEN, 0)), Problem::PaddingLen { .. }));
}

#[test]
fn a_second_zstd_frame_is_refused() {
    let twice = encode(Compression::Zstd, &lines(LEN)).repeat(2);
    assert_eq!(
        check_structure(&whole(Compression::Zstd, 2 * LEN), &twice),
        Err(Problem::Padding { format: "zstd frame" })
    );
}

#[test]
fn a_zstd_window_is_at_most_128_kib() {
    let check = |window: u8| {
        let payload = [0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0];
        check_structure(&whole(Compression::Zstd, 4096), &payload)
    };
    assert_eq!(check(7 << 3), Ok(()));
    assert_eq!(check((7 << 3) | 1), Err(Problem::ZstdWindow(131_072 + 16_384)));
    assert_eq!(check(0xff), Err(Problem::ZstdWindow(15 << 38)));
}

#[test]
fn a_zstd_frame_must_not_exceed_its_extent() {
    let frame = zstd_frame(&lines(LEN), 3, true, true);
    assert_eq!(check_structure(&whole(Compression::Zstd, LEN + 480), &frame), Ok(()));
    let content = Problem::ZstdContent { content: LEN as u64, decoded_len: LEN as u64 - 1 };
    assert_eq!(check_structure(&whole(Compression::Zstd, LEN - 1), &frame), Err(content));
    // Without a content size in the frame only the decoder finds it.
    let extent = whole(Compression::Zstd, LEN - 1);
    let silent = zstd_frame(&lines(LEN), 3, false, false);
    assert_eq!(check_structure(&extent, &silent), Ok(()));
    let too_long = Problem::TooLong { format: "zstd frame", limit: LEN - 1 };
    assert_eq!(Decoder::new().decode(&extent, &silent), Err(too_long));
}

#[test]
fn raw_and_repeated_zstd_blocks_count_against_the_extent() {
    // No content size, window 128 KiB, two blocks of 3000 repeated bytes.
    let mut payload = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    payload.extend(&(3000_u32 << 3 | 1 << 1).to_le_bytes()[..3]);
    payload.push(b'a');
    payload.extend(&(3000_u32 << 3 | 1 << 1 | 1).to_le_bytes()[..3]);
    payload.push(b'b');
    assert_eq!(check_structure(&whole(Compression::Zstd, 6000), &payload), Ok(()));
    assert_eq!(check_structure(&whole(Compression::Zstd, 5999), &payload), Err(Problem::ZstdBlockSize(3000)));
}

#[test]
fn a_zlib_stream_that_btrfs_cannot_read_is_refused() {
    let zlib = |damage: fn(&mut Vec<u8>)| problem(Compression::Zlib, |_, payload| damage(payload));
    assert!(matches!(zlib(|p| p[1] ^= 1), Problem::ZlibHeader(_)));
    assert_eq!(zlib(|p| p[..2].copy_from_slice(&[0x79, 0x18])), Problem::ZlibHeader(0x7918));
    assert_eq!(zlib(|p| p[..2].copy_from_slice(&[0x88, 0x1c])), Problem::ZlibHeader(0x881c));
    assert_eq!(zlib(|p| p[..2].copy_from_slice(&[0x78, 0x20])), Problem::ZlibDictionary);
    assert_eq!(zlib(|p| p[2] |= 0x06), Problem::ZlibBlockType);
    assert_eq!(zlib(|p| p.truncate(7)), Problem::CutOff { what: "the zlib header and checksum" });
}

#[test]
fn the_decoder_finds_damage_inside_a_zlib_stream() {
    let source = lines(LEN);
    let stream = deflate(&source, 3);
    let decode =
        |len: usize, payload: &[u8]| Decoder::new().decode(&whole(Compression::Zlib, len), payload).map(<[u8]>::len);
    assert_eq!(decode(LEN, &stream), Ok(LEN));
    assert_eq!(decode(LEN - 1, &stream), Err(Problem::TooLong { format: "zlib stream", limit: LEN - 1 }));
    assert_eq!(decode(LEN, &stream[..stream.len() - 5]), Err(Problem::CutOff { what: "the zlib stream" }));
    assert_eq!(decode(LEN, &[&stream[..], b"x"].concat()), Err(Problem::Padding { format: "zlib stream" }));
    let mut wrong_sum = stream.clone();
    *wrong_sum.last_mut().unwrap() ^= 1;
    assert!(matches!(decode(LEN, &wrong_sum), Err(Problem::Damaged { .. })));
}

#[test]
fn lzo_segments_that_btrfs_cannot_read_are_refused() {
    let lzo = |damage: fn(&mut Extent, &mut Vec<u8>)| problem(LZO, damage);
    let sector = |sector_size| Compression::Lzo { sector_size };
    assert_eq!(problem(LZO, |extent, _| extent.compression = sector(2048)), Problem::LzoSectorSize(2048));
    assert!(matches!(lzo(|_, p| p[2] = 0xff), Problem::LzoTotal { .. }));
    assert!(matches!(lzo(|_, p| p[..4].copy_from_slice(&4_u32.to_le_bytes())), Problem::LzoTotal { .. }));
    assert!(matches!(lzo(|_, p| p.resize(p.len() + 1, 0)), Problem::LzoTotal { .. }));
    assert_eq!(
        lzo(|_, p| p[5] = 0xff).to_string().split(" bytes").next(),
        Some(&*format!("an LZO segment has {}", first_len() | 0xff00))
    );
    assert!(matches!(lzo(|_, p| p[4..8].fill(0)), Problem::LzoSegmentLen { len: 0, .. }));
    assert!(matches!(lzo(|_, p| p[0] ^= 1), Problem::CutOff { .. } | Problem::Padding { .. }));
    assert_eq!(lzo(|_, p| p.truncate(3)), Problem::CutOff { what: "the LZO header" });
    assert_eq!(lzo(|_, p| *p.last_mut().unwrap() = 1), Problem::Padding { format: "LZO segments" });
    assert_eq!(lzo(|extent, _| (extent.decoded_len, extent.file_len) = (4096, 4096)), Problem::LzoSegments(1));
}

fn first_len() -> u32 {
    let payload = lzo_segments(&lines(LEN), 4096);
    u32::from_le_bytes([payload[4], payload[5], payload[6], payload[7]])
}

#[test]
fn lzo_segments_of_every_sector_size_decode() {
    for sector_size in [4096, 8192, 16_384, 32_768, 65_536] {
        let compression = Compression::Lzo { sector_size };
        let source = [lines(70_000), noise(30_000)].concat();
        let extent = whole(compression, source.len());
        let payload = encode(compression, &source);
        assert!(Decoder::new().decode(&extent, &payload).unwrap() == source);
    }
}

#[test]
fn an_lzo_segment_decodes_to_one_sector_at_most() {
    let payload = lzo_segments(&lines(5000), 8192);
    let extent = whole(LZO, 5000);
    let too_long = Problem::TooLong { format: "LZO segment", limit: 4096 };
    assert_eq!(Decoder::new().decode(&extent, &payload), Err(too_long));
}
