//! Encoded writes whose numbers or payload lie.

use std::io::Write as _;

use butterdock_tests::trees::Content;
use butterdock_tests::wire::{Attribute, Attributes, Stream, command};

use crate::case::{Case, Fault, v2};

const ZLIB: u32 = 1;
const ZSTD: u32 = 2;
const LZO: u32 = 3;
const FULL: u64 = 128 << 10;

pub(crate) fn rows() -> Vec<Case> {
    let mut rows = numbers();
    rows.extend(garbage());
    rows.extend(frames());
    rows.extend(segments());
    rows.extend(decompressed());
    rows
}

fn made() -> Stream {
    v2().mkfile("f")
}

/// A file whose only extent has this payload for 128 KiB.
fn whole(compression: u32, payload: impl AsRef<[u8]>) -> Stream {
    made().encoded("f", 0, (FULL, FULL, 0), compression, payload).end()
}

pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(data).and_then(|()| packer.finish()).unwrap_or_default()
}

fn zstd_of(data: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(data, 3).unwrap_or_default()
}

fn text() -> Vec<u8> {
    Content::Text.bytes(128 << 10, 1)
}

fn numbers() -> Vec<Case> {
    let numbers =
        |name, offset, lengths| Case::new(name, made().encoded("f", offset, lengths, ZSTD, zstd_of(&text())).end());
    let kind = |name, compression| Case::new(name, whole(compression, zstd_of(&text())));
    vec![
        numbers("a decoded length of 1 TiB", 0, (FULL, 1 << 40, 0)),
        numbers("a decoded length of 2^64 - 1", 0, (FULL, u64::MAX, 0)),
        numbers("a decoded length of 128 KiB and a byte", 0, (FULL, FULL + 1, 0)),
        numbers("a file length over the decoded one", 0, (FULL + 4096, FULL, 0)),
        numbers("a file length of 1 TiB", 0, (1 << 40, FULL, 0)),
        numbers("an offset past the decoded end", 0, (4096, FULL, FULL)),
        numbers("an offset that overflows", 0, (4096, FULL, u64::MAX - 4095)),
        numbers("a range that ends past 2^63", (1 << 63) - 4096, (FULL, FULL, 0)),
        numbers("a range that ends past 2^64", u64::MAX - 4095, (FULL, FULL, 0)),
        kind("compression 8", 8).says(&["compression", "8"]),
        kind("compression 2^32 - 1", u32::MAX).says(&["compression"]),
        Case::new("an encryption", {
            let attributes = Attributes::path("f")
                .u64(Attribute::FileOffset, 0)
                .u64(Attribute::UnencodedFileLen, FULL)
                .u64(Attribute::UnencodedLen, FULL)
                .u64(Attribute::UnencodedOffset, 0)
                .u32(Attribute::Compression, ZSTD)
                .u32(Attribute::Encryption, 1)
                .bytes_of(Attribute::Data, zstd_of(&text()));
            made().command(command::ENCODED_WRITE, &attributes).end()
        })
        .says(&["encrypt"]),
        Case::new(
            "into a symlink",
            v2().symlink("s", "../x").encoded("s", 0, (FULL, FULL, 0), ZSTD, zstd_of(&text())).end(),
        ),
        Case::new("into a directory", v2().mkdir("d").encoded("d", 0, (FULL, FULL, 0), ZSTD, zstd_of(&text())).end()),
    ]
}

fn garbage() -> Vec<Case> {
    let noise = Content::Noise.bytes(20_000, 9);
    vec![
        Case::new("noise as zlib", whole(ZLIB, &noise)).standard(Fault::ExitsZero),
        Case::new("noise as zstd", whole(ZSTD, &noise)).standard(Fault::ExitsZero),
        Case::new("noise as LZO", whole(LZO, &noise)).standard(Fault::ExitsZero),
        Case::new("nothing as zlib", whole(ZLIB, [])),
        Case::new("nothing as zstd", whole(ZSTD, [])),
        Case::new("nothing as LZO", whole(LZO, [])),
        Case::new("one byte as zlib", whole(ZLIB, [0x78])),
        Case::new("one byte as zstd", whole(ZSTD, [0x28])),
        Case::new("three bytes as LZO", whole(LZO, [3, 0, 0])),
        Case::new("zstd as zlib", whole(ZLIB, zstd_of(&text()))),
        Case::new("zlib as zstd", whole(ZSTD, zlib(&text()))),
        Case::new("zeros as zstd", whole(ZSTD, [0; 4096])),
    ]
}

fn frames() -> Vec<Case> {
    let good = zstd_of(&text());
    let half = good.get(..good.len() / 2).unwrap_or_default();
    // Magic; no single segment, no content size; a window of 2^30; one last raw block of 1 byte.
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x09, 0, 0, b'x'];
    // Single segment with 8 bytes of content size: 2^60.
    let boastful = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &(1u64 << 60).to_le_bytes(), &[0x09, 0, 0, b'x']].concat();
    // A last block of the reserved type.
    let reserved = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 0x07 | (4 << 3), 0, 0, 1, 2, 3, 4];
    let with_dictionary = [0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 1, 0x09, 0, 0, b'x'];
    vec![
        Case::new("half a zstd frame", whole(ZSTD, half)),
        Case::new("a zstd window of 2^30", whole(ZSTD, wide)),
        Case::new("a zstd frame of 2^60 bytes", whole(ZSTD, boastful)),
        Case::new("a zstd block of the reserved type", whole(ZSTD, reserved)),
        Case::new("a zstd frame with a dictionary", whole(ZSTD, with_dictionary)),
        Case::new("a zstd frame and something else", whole(ZSTD, [&good[..], b"more of it"].concat())),
    ]
}

fn segments() -> Vec<Case> {
    let lzo = |parts: &[&[u8]]| whole(LZO, parts.concat());
    vec![
        Case::new("an LZO total longer than the payload", lzo(&[&100_000u32.to_le_bytes(), &[0; 40]])),
        Case::new("an LZO total of nothing", lzo(&[&0u32.to_le_bytes(), &[0; 40]])),
        Case::new("an LZO segment longer than the total", {
            lzo(&[&44u32.to_le_bytes(), &4_000_000u32.to_le_bytes(), &[1; 36]])
        }),
        Case::new("an LZO segment of 2^32 - 1", lzo(&[&44u32.to_le_bytes(), &u32::MAX.to_le_bytes(), &[1; 36]])),
    ]
}

/// What only decoding finds, so that it must be asked for.
fn decompressed() -> Vec<Case> {
    let bomb = zstd_of(&vec![0; 256 << 20]);
    let zlib_bomb = zlib(&vec![0; 16 << 20]);
    let mut bent = zlib(&text());
    let middle = bent.len() / 2;
    bent.iter_mut().skip(middle).take(20).for_each(|byte| *byte ^= 0x55);
    let leaks = made().encoded("f", 0, (40_960, 8192, 0), ZLIB, zlib(&[b'a'; 8192])).end();
    let force = &["--force-decompress"];
    vec![
        Case::new("a zstd bomb", whole(ZSTD, &bomb)),
        Case::new("a zstd bomb, decompressed", whole(ZSTD, &bomb)).with(force),
        Case::new("a zlib bomb, decompressed", whole(ZLIB, &zlib_bomb)).with(force),
        Case::new("zlib bent in the middle, decompressed", whole(ZLIB, &bent)).with(force),
        Case::new("zlib bent in the middle, verified", whole(ZLIB, &bent)).with(&["--verify"]),
        Case::new("a file length over the decoded one, decompressed", leaks).with(force).standard(Fault::ExitsZero),
        Case::new("noise as LZO, decompressed", whole(LZO, Content::Noise.bytes(9000, 3))).with(force),
    ]
}
