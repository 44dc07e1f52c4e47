//! Encoded reads and writes.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use butterdock_btrfs::encoded::{EncodedExtent, compression, encoded_read, encoded_write};
use butterdock_btrfs::flags::{Flags, set_flags};
use butterdock_btrfs::{Errno, filesystem, xattr};

use crate::fixture::{Volume, text};

const LEN: u64 = 128 << 10;

#[test]
fn an_encoded_extent_is_written_as_it_was_read() {
    let volume = Volume::new();
    let content = text(128 << 10);
    for (method, number) in [("zlib", compression::ZLIB), ("zstd", compression::ZSTD), ("lzo", compression::LZO_4K)] {
        let (extent, payload) = compressed(&volume.path().join(method), method, &content);
        assert_eq!(extent.compression, number);
        assert_eq!((extent.file_len, extent.decoded_len, extent.decoded_offset), (LEN, LEN, 0));
        let copy = new_file(&volume.path().join(format!("{method}.copy")));
        assert_eq!(encoded_write(&copy, &extent, &payload), Ok(payload.len() as u64));
        filesystem::sync(&copy).unwrap();
        assert_eq!(fs::read(volume.path().join(format!("{method}.copy"))).unwrap(), content);
        assert_eq!(read_encoded(&copy), (extent, payload));
    }
}

#[test]
fn a_part_of_an_extent_shows_that_part() {
    let volume = Volume::new();
    let content = text(128 << 10);
    let (extent, payload) = compressed(&volume.path().join("whole"), "zstd", &content);
    let part = EncodedExtent { file_len: 10_000, decoded_offset: 8192, ..extent };
    let file = new_file(&volume.path().join("part"));
    encoded_write(&file, &part, &payload).unwrap();
    assert_eq!(fs::read(volume.path().join("part")).unwrap(), content[8192..18_192]);
}

#[test]
fn an_invalid_encoded_write_is_einval() {
    let volume = Volume::new();
    let (good, payload) = compressed(&volume.path().join("source"), "zstd", &text(128 << 10));
    let file = new_file(&volume.path().join("file"));
    file.set_len(1 << 20).unwrap();
    let refused = |what: &str, extent: EncodedExtent, payload: &[u8]| {
        let answer = encoded_write(&file, &extent, payload).map_err(|error| (error.call, error.errno));
        assert_eq!(answer, Err(("BTRFS_IOC_ENCODED_WRITE", Errno::EINVAL)), "{what}");
    };
    refused("an unaligned file offset", EncodedExtent { file_offset: 512, ..good }, &payload);
    refused("an offset that is negative to the kernel", EncodedExtent { file_offset: u64::MAX, ..good }, &payload);
    refused("an unaligned decoded offset", EncodedExtent { decoded_offset: 1, file_len: 4096, ..good }, &payload);
    refused("an end inside the file that is unaligned", EncodedExtent { file_len: 5000, ..good }, &payload);
    refused("more decoded than 128 KiB", EncodedExtent { decoded_len: LEN + 4096, ..good }, &payload);
    refused("more encoded than 128 KiB", good, &vec![0; (128 << 10) + 1]);
    refused("no gain", EncodedExtent { decoded_len: 4096, file_len: 4096, ..good }, &[0; 4096]);
    refused("a file length beyond the decoded", EncodedExtent { file_len: LEN + 4096, ..good }, &payload);
    refused("a decoded offset at the end", EncodedExtent { decoded_offset: LEN, ..good }, &payload);
    refused("no compression", EncodedExtent { compression: compression::NONE, ..good }, &payload);
    refused("LZO of another sector size", EncodedExtent { compression: compression::LZO_8K, ..good }, &payload);
    refused("an unknown compression", EncodedExtent { compression: 8, ..good }, &payload);
    refused("an encryption", EncodedExtent { encryption: 1, ..good }, &payload);
    assert!(encoded_write(&file, &good, &payload).is_ok());
}

#[test]
fn a_file_without_checksums_refuses_encoded_writes() {
    let volume = Volume::new();
    let (extent, payload) = compressed(&volume.path().join("source"), "zstd", &text(128 << 10));
    let file = new_file(&volume.path().join("file"));
    set_flags(&file, Flags::NO_COW).unwrap();
    assert_eq!(encoded_write(&file, &extent, &payload).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_length_of_zero_writes_nothing() {
    let volume = Volume::new();
    let (extent, payload) = compressed(&volume.path().join("source"), "zstd", &text(128 << 10));
    let file = new_file(&volume.path().join("file"));
    assert_eq!(encoded_write(&file, &EncodedExtent { file_len: 0, ..extent }, &payload), Ok(0));
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn garbage_is_accepted_and_reads_as_an_error() {
    let volume = Volume::new();
    let (extent, payload) = compressed(&volume.path().join("source"), "zstd", &text(128 << 10));
    let file = new_file(&volume.path().join("file"));
    assert_eq!(encoded_write(&file, &extent, &vec![0xa5; payload.len()]), Ok(payload.len() as u64));
    filesystem::sync(&file).unwrap();
    let error = fs::read(volume.path().join("file")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
}

#[test]
fn another_filesystem_has_no_encoded_calls() {
    let volume = Volume::new();
    let file = new_file(&volume.outside().join("file"));
    let extent = EncodedExtent {
        file_offset: 0,
        file_len: 4096,
        decoded_len: 4096,
        decoded_offset: 0,
        compression: compression::ZSTD,
        encryption: 0,
    };
    assert_eq!(encoded_write(&file, &extent, b"short").unwrap_err().errno, Errno::ENOTTY);
    assert_eq!(encoded_read(&file, 0, &mut [0; 10]).unwrap_err().errno, Errno::ENOTTY);
}

#[test]
fn encoded_reads_report_small_buffers_plain_data_holes_and_eof() {
    let volume = Volume::new();
    compressed(&volume.path().join("compressed"), "zstd", &text(128 << 10));
    let compressed = File::open(volume.path().join("compressed")).unwrap();
    assert_eq!(encoded_read(&compressed, 0, &mut [0; 100]).unwrap_err().errno, Errno::ENOBUFS);
    assert_eq!(encoded_read(&compressed, LEN, &mut [0; 100]).unwrap().1, 0);

    let plain = new_file(&volume.path().join("plain"));
    plain.write_all_at(&text(8192), 65536).unwrap();
    filesystem::sync(&plain).unwrap();
    let mut buffer = vec![1; 128 << 10];
    let (extent, filled) = encoded_read(&plain, 65536, &mut buffer).unwrap();
    assert_eq!((extent.compression, extent.file_len, filled), (compression::NONE, 8192, 8192));
    assert_eq!(buffer[..8192], text(8192));
    let (extent, filled) = encoded_read(&plain, 0, &mut buffer).unwrap();
    assert_eq!((extent.compression, extent.file_len), (compression::NONE, 65536));
    assert!(buffer[..filled].iter().all(|&byte| byte == 0));
}

/// A file of this content, compressed by the kernel with this method; gives its one extent.
fn compressed(path: &Path, method: &str, content: &[u8]) -> (EncodedExtent, Vec<u8>) {
    let mut file = new_file(path);
    xattr::set(&file, c"btrfs.compression", method.as_bytes()).unwrap();
    file.write_all(content).unwrap();
    filesystem::sync(&file).unwrap();
    read_encoded(&file)
}

fn read_encoded(file: &File) -> (EncodedExtent, Vec<u8>) {
    let mut buffer = vec![0; 128 << 10];
    let (extent, filled) = encoded_read(file, 0, &mut buffer).unwrap();
    buffer.truncate(filled);
    (extent, buffer)
}

fn new_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap()
}
