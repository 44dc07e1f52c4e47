//! Payloads that a kernel made: Linux 6.18 with compress-force, sent by `btrfs send --compressed-data`.

use butterdock_stream::{Compression, Extent};

use super::{LZO, lines, mixed};
use crate::payload::{Decoder, check_structure};

const FORMATS: [Compression; 3] = [Compression::Zstd, Compression::Zlib, LZO];

/// Whatever the compression, the extents of these files are cut alike.
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
