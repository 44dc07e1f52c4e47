//! One command of a stream, with its attributes borrowed from the bytes it was decoded from.

use crate::{Compression, Time, Uuid};

/// A command of a send stream (`enum btrfs_send_cmd` of `fs/btrfs/send.h`).
///
/// Paths are raw bytes, relative to the root of the subvolume; the empty path is the root itself.
/// Names are not checked here: the code that applies a command must treat each name as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields carry the attribute names of the kernel's header")]
pub enum Command<'a> {
    /// 1: a subvolume begins that has no parent.
    Subvol { path: &'a [u8], uuid: Uuid, ctransid: u64 },
    /// 2: a subvolume begins as a snapshot of its parent.
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
    /// 16: `len` bytes of `source` at `source_offset` appear at `offset`, sharing their extents.
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
    /// 22: a range changed, in a stream made without file data.
    UpdateExtent { path: &'a [u8], offset: u64, len: u64 },
    /// 23, version 2: `mode` as `fallocate(2)` takes it.
    Fallocate { path: &'a [u8], mode: u32, offset: u64, len: u64 },
    /// 24, version 2: `attr` holds `BTRFS_INODE_*` bits.
    Fileattr { path: &'a [u8], attr: u64 },
    /// 25, version 2: `data` goes to disk as it is.
    EncodedWrite { path: &'a [u8], extent: Extent, data: &'a [u8] },
    /// 26, version 3
    EnableVerity { path: &'a [u8], algorithm: u8, block_size: u32, salt: &'a [u8], signature: &'a [u8] },
}

/// Which subvolume is meant: its uuid and the transaction in which it last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The sender's uuid of the subvolume, or the `received_uuid` it had there.
    pub uuid: Uuid,
    /// `ctransid` at the sender, to be compared with `stransid` (received) or `ctransid` (own) here.
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
