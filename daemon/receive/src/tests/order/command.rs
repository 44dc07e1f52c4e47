//! Commands that own their data, and payloads of encoded writes.

use std::io::Write as _;
use std::sync::LazyLock;

use butterdock_stream::{Command, Compression, Extent, Identity, Time, Uuid};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

/// The subvolume that is received.
pub(crate) const OURS: Identity = Identity { uuid: Uuid([1; 16]), ctransid: 7 };

/// A command of the generator.
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

/// The type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Device,
}

/// Data; messages show only its length.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Owned {
    /// The command as from the decoder.
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

/// Extents: whole ones, one that ends within a sector, and parts of extents; each in all compressions.
static ALL: LazyLock<Vec<(Extent, Vec<u8>)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for compression in [Compression::Zstd, Compression::Zlib, Compression::Lzo { sector_size: 4096 }] {
        for (decoded_len, decoded_offset, file_len) in
            [(8192, 0, 8192), (12_288, 0, 12_288), (5000, 0, 5000), (16_384, 4096, 8192), (20_480, 8192, 7000)]
        {
            let extent = Extent { file_offset: 0, file_len, decoded_len, decoded_offset, compression, encryption: 0 };
            all.push((extent, encode(compression, &lines(decoded_len))));
        }
    }
    all
});

/// One of the extents, at an offset in a file.
pub(crate) fn payload(which: usize, file_offset: u64) -> (Extent, Bytes) {
    let (extent, payload) = &ALL[which % ALL.len()];
    (Extent { file_offset, ..*extent }, Bytes(payload.clone()))
}

fn lines(len: u64) -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..=len / 27 {
        writeln!(text, "line {:08} of the source", i / 5).unwrap();
    }
    text.truncate(usize::try_from(len).unwrap());
    text
}

fn encode(compression: Compression, source: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => source.to_vec(),
        Compression::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(3));
            encoder.write_all(source).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut context = CCtx::create();
            context.set_parameter(CParameter::WindowLog(17)).unwrap();
            let mut frame = Vec::with_capacity(compress_bound(source.len()));
            context.compress2(&mut frame, source).unwrap();
            frame
        }
        Compression::Lzo { sector_size } => lzo(source, sector_size as usize),
    }
}

fn lzo(source: &[u8], sector: usize) -> Vec<u8> {
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
