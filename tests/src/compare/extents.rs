//! What lies on disk: the bytes of a file's extents as they are stored, read without decompressing them.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use butterdock_btrfs::encoded::{EncodedExtent, encoded_read};

/// Largest extent that is stored compressed; plain ones are given in pieces of the buffer.
const LARGEST: usize = 256 << 10;

/// One extent as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where the file has it.
    pub offset: u64,
    /// How much of the file it covers.
    pub len: u64,
    /// How many bytes it decodes to, and where in them the file's part begins.
    pub decoded: (u64, u64),
    /// 0 plain, 1 zlib, 2 zstd, 3 to 7 LZO.
    pub compression: u32,
    /// The stored bytes.
    pub bytes: Vec<u8>,
}

/// The extents of a file that are stored compressed.
///
/// # Errors
/// When the kernel cannot read them; `CAP_SYS_ADMIN` is needed.
pub fn stored_extents(file: &Path) -> Result<Vec<Stored>> {
    let open = File::open(file)?;
    let size = open.metadata()?.len();
    let mut all = Vec::new();
    let mut buffer = vec![0; LARGEST];
    let mut at = 0;
    while at < size {
        let (extent, bytes) =
            encoded_read(&open, at, &mut buffer).with_context(|| format!("{} at {at}", file.display()))?;
        let EncodedExtent { file_len, decoded_len, decoded_offset, compression, .. } = extent;
        if file_len == 0 {
            break;
        }
        if compression != 0 {
            let bytes = buffer.get(..bytes).unwrap_or_default().to_vec();
            all.push(Stored { offset: at, len: file_len, decoded: (decoded_len, decoded_offset), compression, bytes });
        }
        at += file_len;
    }
    Ok(all)
}

/// How the compressed extents of a source and of its copy differ, one a line.
///
/// Compared is what `btrfs send --compressed-data` sends as it is stored: it decompresses an extent where the file uses
/// less of it than its stored bytes.
#[must_use]
pub fn stored_differences(source: &[Stored], copy: &[Stored]) -> Vec<String> {
    let mut lines = Vec::new();
    for extent in source.iter().filter(|extent| extent.is_sent_as_stored()) {
        match copy.iter().find(|other| other.offset == extent.offset) {
            None => lines.push(format!("{} is not compressed in the copy", extent.shape())),
            Some(other) if other == extent => {}
            Some(other) if other.shape() == extent.shape() => lines.push(format!("{}: other bytes", extent.shape())),
            Some(other) => lines.push(format!("{} ≠ {}", extent.shape(), other.shape())),
        }
    }
    lines
}

impl Stored {
    /// Whether a send with `--compressed-data` sends these bytes.
    #[must_use]
    pub fn is_sent_as_stored(&self) -> bool {
        let stored = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        stored <= self.len && stored < self.decoded.0
    }

    fn shape(&self) -> String {
        format!(
            "{} bytes at {}, {:?} decoded, compression {}, {} stored",
            self.len,
            self.offset,
            self.decoded,
            self.compression,
            self.bytes.len()
        )
    }
}
