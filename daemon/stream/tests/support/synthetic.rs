//! Streams that the available kernels do not send, written by the encoder.

use butterdock_stream::{Command, Compression, Extent, Identity, Time, Uuid, Version};

use super::stream;

/// All synthetic golden streams with their names.
pub(crate) fn streams() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("synthetic-v1", stream(Version::V1, &[&begin(), COMMON].concat())),
        ("synthetic-v2", stream(Version::V2, &[&begin(), COMMON, LATER].concat())),
        ("synthetic-v3", stream(Version::V3, &[&begin(), COMMON, LATER, VERITY].concat())),
        ("synthetic-names", stream(Version::V2, &[&begin()[..1], NAMES].concat())),
        ("synthetic-extremes", stream(Version::V2, EXTREMES)),
    ]
}

const BOOK: Identity = Identity { uuid: Uuid(*b"the uuid of book"), ctransid: 77 };

fn begin() -> Vec<Command<'static>> {
    vec![
        Command::Subvol { path: b"shelf", uuid: Uuid([0x5a; 16]), ctransid: 9 },
        Command::Snapshot { path: b"shelf2", uuid: Uuid(*b"0123456789abcdef"), ctransid: 10, parent: BOOK },
    ]
}

const THEN: Time = Time { seconds: 981_173_106, nanoseconds: 789_000_000 };
const BEFORE: Time = Time { seconds: -14_182_940, nanoseconds: 1 };

const COMMON: &[Command<'static>] = &[
    Command::Mkfile { path: b"o257-10-0", ino: Some(257) },
    Command::Mkdir { path: b"o258-10-0", ino: Some(258) },
    Command::Mkdir { path: b"folder", ino: Some(0) },
    Command::Mknod { path: b"null", ino: Some(259), rdev: 0x103, mode: 0o20666 },
    Command::Mkfifo { path: b"pipe", ino: Some(260), rdev: 0, mode: 0o10644 },
    Command::Mksock { path: b"socket", ino: Some(261), rdev: 0, mode: 0o140_755 },
    Command::Symlink { path: b"link", ino: Some(262), target: b"../some where" },
    Command::Rename { path: b"o257-10-0", to: b"folder/file" },
    Command::Link { path: b"second", existing: b"folder/file" },
    Command::Unlink { path: b"second" },
    Command::Rmdir { path: b"o258-10-0" },
    Command::SetXattr { path: b"folder/file", name: b"user.comment", data: b"a value" },
    Command::SetXattr { path: b"folder/file", name: b"user.empty", data: b"" },
    Command::RemoveXattr { path: b"folder/file", name: b"user.comment" },
    Command::Write { path: b"folder/file", offset: 4096, data: b"some bytes" },
    Command::Clone {
        path: b"folder/file",
        offset: 8192,
        len: 4096,
        source: BOOK,
        source_path: b"page/1",
        source_offset: 0,
    },
    Command::Truncate { path: b"folder/file", size: 12_000 },
    Command::Chmod { path: b"folder/file", mode: 0o4755 },
    Command::Chown { path: b"folder/file", uid: 1000, gid: 1001 },
    Command::Utimes { path: b"folder/file", atime: THEN, mtime: BEFORE, ctime: THEN, otime: None },
    Command::UpdateExtent { path: b"folder/file", offset: 0, len: 1 << 40 },
    Command::Chown { path: b"", uid: 0, gid: 0 },
];

const fn extent(compression: Compression) -> Extent {
    Extent {
        file_offset: 131_072,
        file_len: 4000,
        decoded_len: 131_072,
        decoded_offset: 4096,
        compression,
        encryption: 0,
    }
}

const LATER: &[Command<'static>] = &[
    Command::Utimes { path: b"folder", atime: THEN, mtime: THEN, ctime: THEN, otime: Some(BEFORE) },
    Command::Fallocate { path: b"folder/file", mode: 3, offset: 0, len: 65_536 },
    Command::Fileattr { path: b"folder/file", attr: 0x200 },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::None), data: b"" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Zlib), data: b"zlib" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Zstd), data: b"zstd" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Lzo { sector_size: 4096 }), data: b"lzo4" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Lzo { sector_size: 8192 }), data: b"lzo8" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Lzo { sector_size: 16_384 }), data: b"lzo16" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Lzo { sector_size: 32_768 }), data: b"lzo32" },
    Command::EncodedWrite { path: b"a", extent: extent(Compression::Lzo { sector_size: 65_536 }), data: b"lzo64" },
];

const VERITY: &[Command<'static>] = &[
    Command::Mkfile { path: b"without-a-number", ino: None },
    Command::EnableVerity {
        path: b"folder/file",
        algorithm: 1,
        block_size: 4096,
        salt: b"salt",
        signature: b"signature",
    },
    Command::EnableVerity { path: b"folder/file", algorithm: 2, block_size: 4096, salt: b"", signature: b"" },
];

/// Names with bytes that are special in the text form.
const NAMES: &[Command<'static>] = &[
    Command::Mkfile { path: b"a b\\c\n\t\r\x07\x08\x1b\x0c\x0b\x01\x7f\xff~", ino: Some(9) },
    Command::Mkdir { path: b"with a slash/", ino: Some(9) },
    Command::Mkdir { path: b"/absolute", ino: Some(9) },
    Command::Mkdir { path: b"../above", ino: Some(9) },
    Command::Mkdir { path: b"seventeen-letters", ino: Some(9) },
    Command::Unlink { path: b"exactly-so-long-that-it" },
    Command::Truncate { path: b"exactly-so-long-that-it", size: 1 },
    Command::Truncate { path: b"exactly-so-long-that-its", size: 1 },
    Command::Truncate { path: b"exactly-so-long-that-its-", size: 1 },
    Command::Truncate { path: b"so long that nothing fits into the column", size: 1 },
    Command::Symlink { path: b"link", ino: Some(9), target: b"spa ce\\and\ttab\n" },
    Command::Rename { path: b"from here", to: b"to\tthere\n" },
    Command::Link { path: b"new name", existing: b"old\tname and \\more\x01\xff" },
    Command::SetXattr { path: b"x", name: b"user.od\td na\\me", data: b"val\tue\x1b\\ and\0the rest" },
    Command::RemoveXattr { path: b"x", name: b"user.od\td na\\me" },
    Command::Clone {
        path: b"clone here",
        offset: 0,
        len: 1,
        source: BOOK,
        source_path: b"clone\tthe re\\\xff",
        source_offset: 0,
    },
];

const EXTREMES: &[Command<'static>] = &[
    Command::Subvol { path: b"edge", uuid: Uuid([0xff; 16]), ctransid: u64::MAX },
    Command::Mknod { path: b"n", ino: Some(u64::MAX), rdev: u64::MAX, mode: u64::MAX },
    Command::Write { path: b"w", offset: u64::MAX, data: b"" },
    Command::Truncate { path: b"w", size: u64::MAX },
    Command::Chmod { path: b"w", mode: 0 },
    Command::Chown { path: b"w", uid: u64::MAX, gid: 0x1_0000_0000 },
    Command::Utimes {
        path: b"w",
        atime: Time { seconds: -62_135_596_800, nanoseconds: u32::MAX },
        mtime: Time { seconds: 253_402_300_800, nanoseconds: 999_999_999 },
        ctime: Time { seconds: 951_782_400, nanoseconds: 0 },
        otime: None,
    },
    Command::Fallocate { path: b"w", mode: u32::MAX, offset: u64::MAX, len: u64::MAX },
    Command::Fileattr { path: b"w", attr: u64::MAX },
];
