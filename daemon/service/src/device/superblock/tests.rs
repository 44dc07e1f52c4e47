//! Superblocks made by `mkfs.btrfs`, and forged ones.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use proptest::prelude::*;

use super::*;

/// What mkfs.btrfs writes, with these arguments.
fn made(arguments: &[&str]) -> [u8; LENGTH] {
    let image = tempfile::NamedTempFile::new().expect("a file");
    image.as_file().set_len(256 << 20).expect("sized");
    let status = Command::new("mkfs.btrfs").arg("-q").args(arguments).arg(image.path()).status().expect("mkfs.btrfs");
    assert!(status.success());
    let mut bytes = [0; LENGTH];
    File::open(image.path()).expect("opened").read_exact_at(&mut bytes, OFFSET).expect("read");
    bytes
}

/// With a right checksum (crc32c) again.
fn sealed(mut bytes: [u8; LENGTH]) -> [u8; LENGTH] {
    let sum = crc32c::crc32c(&bytes[0x20..]).to_le_bytes();
    bytes[..4].copy_from_slice(&sum);
    bytes
}

#[test]
fn every_checksum_is_checked() {
    let types = [
        ("crc32c", CsumType::Crc32c),
        ("xxhash", CsumType::Xxhash64),
        ("sha256", CsumType::Sha256),
        ("blake2", CsumType::Blake2b),
    ];
    for (name, csum) in types {
        let uuid = Uuid::new_v4();
        let mut bytes = made(&["--csum", name, "-U", &uuid.to_string(), "-L", "My\u{1b}Disk"]);
        let parsed = parse(&bytes).expect(name);
        assert_eq!((parsed.fsid, parsed.metadata_uuid, parsed.csum), (uuid, uuid, csum));
        assert_eq!((parsed.num_devices, parsed.devid, parsed.total_bytes), (1, 1, 256 << 20));
        assert_eq!(parsed.label, r"My\u{1b}Disk");
        assert!(parsed.generation > 0 && !parsed.dev_uuid.is_nil());
        bytes[0x800] ^= 1;
        assert!(parse(&bytes).expect_err("damaged").to_string().contains("checksum"), "{name}");
    }
}

#[test]
fn a_superblock_that_lies_behind_a_right_checksum_is_refused() {
    let good = made(&[]);
    let changed = |offset: usize, with: &[u8]| {
        let mut bytes = good;
        bytes[offset..offset + with.len()].copy_from_slice(with);
        parse(&sealed(bytes)).expect_err("refused").to_string()
    };
    assert!(parse(&sealed(good)).is_ok());
    assert!(changed(0x40, b"x").contains("no btrfs"));
    assert!(changed(0x30, &(64_u64 << 20).to_le_bytes()).contains("another offset"));
    assert!(changed(0x88, &0_u64.to_le_bytes()).contains("sizes"));
    assert!(changed(0x88, &u64::MAX.to_le_bytes()).contains("sizes"));
    assert!(changed(0x90, &3_u32.to_le_bytes()).contains("sizes"));
    assert!(changed(0xd1, &u64::MAX.to_le_bytes()).contains("sizes"));
    assert!(changed(0xbc, &(1_u64 << 40).to_le_bytes()).contains("0x10000000000"));
    assert!(changed(0x11b, &[7; 16]).contains("two filesystems"));
    assert!(changed(0x38, &(1_u64 << 32).to_le_bytes()).contains("seed"));
    assert!(changed(0x38, &(1_u64 << 36).to_le_bytes()).contains("btrfstune"));
    assert!(changed(0xc4, &9_u16.to_le_bytes()).contains("(9)"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall(noise in proptest::collection::vec(any::<u8>(), LENGTH), csum in 0_u16..5, seal: bool) {
        let mut bytes: [u8; LENGTH] = noise.try_into().expect("as long");
        bytes[0x40..0x48].copy_from_slice(&MAGIC);
        bytes[0xc4..0xc6].copy_from_slice(&csum.to_le_bytes());
        let bytes = if seal { sealed(bytes) } else { bytes };
        prop_assert!(parse(&bytes).is_err());
    }
}
