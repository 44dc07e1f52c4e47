//! Commands that own what they name.

use butterdock_stream::{Command, Extent, Identity, Time, Uuid};

/// The subvolume that is received.
pub(crate) const OURS: Identity = Identity { uuid: Uuid([1; 16]), ctransid: 7 };

/// A command, as the generator makes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    Make { path: String, what: What },
    Rename { path: String, to: String },
    Link { path: String, existing: String },
    Unlink { path: String },
    Rmdir { path: String },
    SetXattr { path: String, name: &'static str, data: Vec<u8> },
    RemoveXattr { path: String, name: &'static str },
    Write { path: String, offset: u64, data: Bytes },
    Encoded { path: String, extent: Extent, data: Bytes },
    Clone { path: String, offset: u64, len: u64, source: String, source_offset: u64 },
    Truncate { path: String, size: u64 },
    Punch { path: String, offset: u64, len: u64 },
    Chmod { path: String, mode: u32 },
    Chown { path: String, uid: u32, gid: u32 },
    Utimes { path: String, atime: Time, mtime: Time },
    Fileattr { path: String, attr: u64 },
}

/// What a command makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
}

/// Data, of which messages show the length alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Owned {
    /// As the decoder lends it.
    pub(crate) fn lend(&self) -> Command<'_> {
        match self {
            Self::Make { path, what } => make(path.as_bytes(), *what),
            Self::Rename { path, to } => Command::Rename { path: path.as_bytes(), to: to.as_bytes() },
            Self::Link { path, existing } => Command::Link { path: path.as_bytes(), existing: existing.as_bytes() },
            Self::Unlink { path } => Command::Unlink { path: path.as_bytes() },
            Self::Rmdir { path } => Command::Rmdir { path: path.as_bytes() },
            Self::SetXattr { path, name, data } => {
                Command::SetXattr { path: path.as_bytes(), name: name.as_bytes(), data }
            }
            Self::RemoveXattr { path, name } => Command::RemoveXattr { path: path.as_bytes(), name: name.as_bytes() },
            Self::Write { path, offset, data } => {
                Command::Write { path: path.as_bytes(), offset: *offset, data: &data.0 }
            }
            Self::Encoded { path, extent, data } => {
                Command::EncodedWrite { path: path.as_bytes(), extent: *extent, data: &data.0 }
            }
            Self::Clone { path, offset, len, source, source_offset } => Command::Clone {
                path: path.as_bytes(),
                offset: *offset,
                len: *len,
                source: OURS,
                source_path: source.as_bytes(),
                source_offset: *source_offset,
            },
            Self::Truncate { path, size } => Command::Truncate { path: path.as_bytes(), size: *size },
            Self::Punch { path, offset, len } => {
                Command::Fallocate { path: path.as_bytes(), mode: 3, offset: *offset, len: *len }
            }
            Self::Chmod { path, mode } => Command::Chmod { path: path.as_bytes(), mode: u64::from(*mode) },
            Self::Chown { path, uid, gid } => {
                Command::Chown { path: path.as_bytes(), uid: u64::from(*uid), gid: u64::from(*gid) }
            }
            Self::Utimes { path, atime, mtime } => {
                Command::Utimes { path: path.as_bytes(), atime: *atime, mtime: *mtime, ctime: *mtime, otime: None }
            }
            Self::Fileattr { path, attr } => Command::Fileattr { path: path.as_bytes(), attr: *attr },
        }
    }
}

fn make(path: &[u8], what: What) -> Command<'_> {
    let ino = Some(0);
    match what {
        What::File => Command::Mkfile { path, ino },
        What::Directory => Command::Mkdir { path, ino },
        What::Symlink => Command::Symlink { path, ino, target: b"some/where" },
        What::Fifo => Command::Mkfifo { path, ino, rdev: 0, mode: 0o010_644 },
        What::Socket => Command::Mksock { path, ino, rdev: 0, mode: 0o140_755 },
        What::Device => Command::Mknod { path, ino, rdev: 0x103, mode: 0o020_666 },
    }
}
