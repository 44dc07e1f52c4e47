//! One command of a stream, with its attributes borrowed from the bytes that it was decoded from, and the values in it.

use std::fmt;

use crate::layout::layout;

/// A command of a send stream (`enum btrfs_send_cmd` of `fs/btrfs/send.h`).
///
/// Paths are raw bytes, relative to the root of the subvolume; the empty path is the root itself.
/// This crate does not check names: the code that applies a command must treat each name as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the attribute names of the kernel's header")]
pub enum Command<'a> {
    /// 1: a new subvolume, without a parent.
    Subvol { path: &'a [u8], uuid: Uuid, ctransid: u64 },
    /// 2: a new subvolume, a snapshot of its parent.
    Snapshot { path: &'a [u8], uuid: Uuid, ctransid: u64, parent: Identity },
    /// 3
    Mkfile { path: &'a [u8], ino: Option<u64> },
    /// 4
    Mkdir { path: &'a [u8], ino: Option<u64> },
    /// 5: a device, `mode` with its file type, `rdev` as `new_encode_dev` packs it.
    Mknod { path: &'a [u8], ino: Option<u64>, rdev: u64, mode: u64 },
    /// 6
    Mkfifo { path: &'a [u8], ino: Option<u64>, rdev: u64, mode: u64 },
    /// 7
    Mksock { path: &'a [u8], ino: Option<u64>, rdev: u64, mode: u64 },
    /// 8: `target` is the text of the link.
    Symlink { path: &'a [u8], ino: Option<u64>, target: &'a [u8] },
    /// 9
    Rename { path: &'a [u8], to: &'a [u8] },
    /// 10: `path` becomes another name of `existing`.
    Link { path: &'a [u8], existing: &'a [u8] },
    /// 11
    Unlink { path: &'a [u8] },
    /// 12
    Rmdir { path: &'a [u8] },
    /// 13
    SetXattr { path: &'a [u8], name: &'a [u8], data: &'a [u8] },
    /// 14
    RemoveXattr { path: &'a [u8], name: &'a [u8] },
    /// 15
    Write { path: &'a [u8], offset: u64, data: &'a [u8] },
    /// 16: the file gets `len` bytes of `source` from `source_offset` at `offset`, and shares their extents.
    Clone { path: &'a [u8], offset: u64, len: u64, source: Identity, source_path: &'a [u8], source_offset: u64 },
    /// 17
    Truncate { path: &'a [u8], size: u64 },
    /// 18
    Chmod { path: &'a [u8], mode: u64 },
    /// 19
    Chown { path: &'a [u8], uid: u64, gid: u64 },
    /// 20: `otime` from version 2 on.
    Utimes { path: &'a [u8], atime: Time, mtime: Time, ctime: Time, otime: Option<Time> },
    /// 21
    End,
    /// 22: the data of a range changed; only in a stream without file data.
    UpdateExtent { path: &'a [u8], offset: u64, len: u64 },
    /// 23, version 2: `mode` as `fallocate(2)` takes it.
    Fallocate { path: &'a [u8], mode: u32, offset: u64, len: u64 },
    /// 24, version 2: `attr` holds `BTRFS_INODE_*` bits.
    Fileattr { path: &'a [u8], attr: u64 },
    /// 25, version 2: `data` is an extent as it is stored on disk.
    EncodedWrite { path: &'a [u8], extent: Extent, data: &'a [u8] },
    /// 26, version 3
    EnableVerity { path: &'a [u8], algorithm: u8, block_size: u32, salt: &'a [u8], signature: &'a [u8] },
}

impl<'a> Command<'a> {
    /// The command's number on the wire.
    pub fn number(&self) -> u16 {
        match self {
            Self::Subvol { .. } => 1,
            Self::Snapshot { .. } => 2,
            Self::Mkfile { .. } => 3,
            Self::Mkdir { .. } => 4,
            Self::Mknod { .. } => 5,
            Self::Mkfifo { .. } => 6,
            Self::Mksock { .. } => 7,
            Self::Symlink { .. } => 8,
            Self::Rename { .. } => 9,
            Self::Link { .. } => 10,
            Self::Unlink { .. } => 11,
            Self::Rmdir { .. } => 12,
            Self::SetXattr { .. } => 13,
            Self::RemoveXattr { .. } => 14,
            Self::Write { .. } => 15,
            Self::Clone { .. } => 16,
            Self::Truncate { .. } => 17,
            Self::Chmod { .. } => 18,
            Self::Chown { .. } => 19,
            Self::Utimes { .. } => 20,
            Self::End => 21,
            Self::UpdateExtent { .. } => 22,
            Self::Fallocate { .. } => 23,
            Self::Fileattr { .. } => 24,
            Self::EncodedWrite { .. } => 25,
            Self::EnableVerity { .. } => 26,
        }
    }

    /// The kernel's name of the command, without `BTRFS_SEND_C_`.
    pub fn name(&self) -> &'static str {
        layout(self.number()).map_or("", |layout| layout.name)
    }

    /// The first version of the stream that has the command.
    pub fn since(&self) -> Version {
        layout(self.number()).map_or(Version::V1, |layout| layout.since)
    }

    /// The path that the command changes (`BTRFS_SEND_A_PATH`); empty for the root of the subvolume and for END.
    pub fn path(&self) -> &'a [u8] {
        match self {
            Self::Subvol { path, .. }
            | Self::Snapshot { path, .. }
            | Self::Mkfile { path, .. }
            | Self::Mkdir { path, .. }
            | Self::Mknod { path, .. }
            | Self::Mkfifo { path, .. }
            | Self::Mksock { path, .. }
            | Self::Symlink { path, .. }
            | Self::Rename { path, .. }
            | Self::Link { path, .. }
            | Self::Unlink { path }
            | Self::Rmdir { path }
            | Self::SetXattr { path, .. }
            | Self::RemoveXattr { path, .. }
            | Self::Write { path, .. }
            | Self::Clone { path, .. }
            | Self::Truncate { path, .. }
            | Self::Chmod { path, .. }
            | Self::Chown { path, .. }
            | Self::Utimes { path, .. }
            | Self::UpdateExtent { path, .. }
            | Self::Fallocate { path, .. }
            | Self::Fileattr { path, .. }
            | Self::EncodedWrite { path, .. }
            | Self::EnableVerity { path, .. } => path,
            Self::End => &[],
        }
    }
}

/// How a stream identifies a subvolume: its uuid and the transaction in which it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The subvolume's uuid at the sender, or its `received_uuid` there.
    pub uuid: Uuid,
    /// Its `ctransid` at the sender. The receiver compares it with the `stransid` of a received subvolume, or with the
    /// `ctransid` of one of its own.
    pub ctransid: u64,
}

/// The shape of an encoded write (`struct btrfs_ioctl_encoded_io_args`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file the data begins, in bytes (`FILE_OFFSET`).
    pub file_offset: u64,
    /// How many bytes of the file it covers (`UNENCODED_FILE_LEN`).
    pub file_len: u64,
    /// How many bytes the payload decodes to (`UNENCODED_LEN`).
    pub decoded_len: u64,
    /// Where in the decoded bytes the file's range begins (`UNENCODED_OFFSET`).
    pub decoded_offset: u64,
    /// How the payload is encoded (`COMPRESSION`).
    pub compression: Compression,
    /// 0 in every kernel so far (`ENCRYPTION`, absent counts as 0).
    pub encryption: u32,
}

/// A btrfs uuid: 16 bytes in the order in which they are stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    /// The usual form, 8-4-4-4-12 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point in time (`struct btrfs_timespec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z, negative before it.
    pub seconds: i64,
    /// Nanoseconds after `seconds`; the decoder does not check that they are below 1 000 000 000.
    pub nanoseconds: u32,
}

/// The version in a stream's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Linux 3.6.
    V1 = 1,
    /// Linux 6.0: encoded writes, larger commands.
    V2 = 2,
    /// Experimental kernels: fs-verity.
    V3 = 3,
}

/// How the payload of an encoded write is compressed (`BTRFS_ENCODED_IO_COMPRESSION_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// 0: the payload is plain.
    None,
    /// 1: one zlib stream.
    Zlib,
    /// 2: one zstd frame with a window of up to 128 KiB.
    Zstd,
    /// 3 to 7: LZO segments of btrfs for one sector size.
    Lzo {
        /// Sector size in bytes: 4096, 8192, 16384, 32768 or 65536.
        sector_size: u32,
    },
}
