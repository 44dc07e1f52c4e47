//! The bytes of a stream file, decompressed if it is compressed with zstd or gzip.
//!
//! An attacker may have written the file. A decompressor gets bounded memory, and a file may not decompress to more than
//! [`MOST_RATIO`] times its size. Readers have positions of their own, so that several can read one file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// The buffer of a reader. Many short commands fit into it; longer ones in plain files are skipped by seeking.
const BUFFER: usize = 64 << 10;
/// The largest window of zstd, 2 to the power of this: 128 MiB, the limit of `zstd -d` without `--long`.
const LONGEST_WINDOW: u32 = 27;
/// Deflate compresses up to 1032 times, so only zstd can reach this.
const MOST_RATIO: u64 = 1100;
/// A file of any size may decompress to this many bytes: a short stream of zeros is no attack.
const ALWAYS: u64 = 1 << 30;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Zstd,
    Gzip,
}

impl Compression {
    /// The compression of a file, from its first bytes.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let mut head = [0; 4];
        let length = file.read_at(&mut head, 0)?;
        Ok(match head.get(..length).unwrap_or_default() {
            [0x28, 0xb5, 0x2f, 0xfd] => Self::Zstd,
            // A skippable frame (RFC 8878, section 3.1.2): pzstd writes one first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ => Self::None,
        })
    }
}

/// A reader of a file's bytes.
pub(super) enum Content<'f> {
    Plain { from: BufReader<FileReader<'f>>, rest: u64 },
    Compressed(BufReader<Decompressed<'f>>),
}

impl<'f> Content<'f> {
    /// Reads from the beginning of a file of `size` bytes.
    ///
    /// # Errors
    /// There is no memory for a decompressor.
    pub(super) fn new(file: &'f File, size: u64, compression: Compression) -> io::Result<Self> {
        let from = BufReader::with_capacity(BUFFER, FileReader { file, at: 0 });
        let decoder: Box<dyn Read + Send + 'f> = match compression {
            Compression::None => return Ok(Self::Plain { from, rest: size }),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(from)?;
                decoder.window_log_max(LONGEST_WINDOW)?;
                Box::new(decoder)
            }
            Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
        };
        let rest = size.saturating_mul(MOST_RATIO).max(ALWAYS);
        Ok(Self::Compressed(BufReader::with_capacity(BUFFER, Decompressed { decoder, rest })))
    }

    /// Whether all bytes were read.
    pub(super) fn is_at_end(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain { from, .. } => Ok(from.fill_buf()?.is_empty()),
            Self::Compressed(from) => Ok(from.fill_buf()?.is_empty()),
        }
    }

    /// Skips bytes. A plain file is not read for that.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has fewer bytes.
    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Plain { from, rest } => {
                // A seek beyond the end does not fail.
                *rest = rest.checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
                from.seek_relative(bytes.try_into().unwrap_or(i64::MAX))
            }
            Self::Compressed(from) => match io::copy(&mut from.take(bytes), &mut io::sink())? {
                skipped if skipped == bytes => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain { from, rest } => {
                let length = from.read(buffer)?;
                *rest = rest.saturating_sub(length as u64);
                Ok(length)
            }
            Self::Compressed(from) => from.read(buffer),
        }
    }
}

/// A reader with its own position in a file.
pub(super) struct FileReader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(length as u64);
        Ok(length)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(_) => None,
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The bytes of a compressed file, up to a bound.
pub(super) struct Decompressed<'f> {
    decoder: Box<dyn Read + Send + 'f>,
    /// How many more bytes are allowed.
    rest: u64,
}

impl Read for Decompressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.decoder.read(buffer).map_err(explain)?;
        self.rest = self.rest.checked_sub(length as u64).ok_or_else(|| {
            let text = format!(
                "it decompresses to more than {MOST_RATIO} times its size; if you trust it, decompress it yourself, and import \
                 that"
            );
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        Ok(length)
    }
}

/// Tells errors of the data from errors of the drive.
fn explain(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::UnexpectedEof {
        return error;
    }
    io::Error::new(io::ErrorKind::InvalidData, format!("it cannot be decompressed ({error})"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;

    use super::*;

    pub(in crate::streams) fn file(bytes: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        (file, bytes.len() as u64)
    }

    pub(in crate::streams) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("ended")
    }

    pub(in crate::streams) fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 0).expect("compressed")
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (file, size) = file(bytes);
        let mut all = Vec::new();
        Content::new(&file, size, Compression::of(&file)?)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn compressed_and_plain_files_have_the_same_bytes() {
        let text = b"0123456789".repeat(50_000);
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7][..], &zstd(&text)].concat();
        for bytes in [text.clone(), gzip(&text), zstd(&text), skippable] {
            assert!(read(&bytes).expect("read") == text);
            let (file, size) = file(&bytes);
            let mut content = Content::new(&file, size, Compression::of(&file).expect("read")).expect("made");
            let mut ten = [0; 10];
            content.read_exact(&mut ten).expect("read");
            content.skip(499_980).expect("skipped");
            content.read_exact(&mut ten).expect("read");
            assert!(content.is_at_end().expect("read") && &ten == b"0123456789");
            assert_eq!(content.skip(1).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
        }
        let [one, two] = text.split_at(7).into();
        assert!(read(&[gzip(one), gzip(two)].concat()).expect("read") == text, "two members");
        assert!(read(&[zstd(one), zstd(two)].concat()).expect("read") == text, "two frames");
    }

    #[test]
    fn damaged_and_truncated_compression_is_an_error() {
        let text = b"0123456789".repeat(50_000);
        for whole in [gzip(&text), zstd(&text)] {
            let cut = read(&whole[..whole.len() - 9]).expect_err("cut");
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
            let middle = whole.len() / 2;
            let bent = [&whole[..middle], &[0xff; 8], &whole[middle + 8..]].concat();
            let error = read(&bent).expect_err("bent");
            assert!(error.to_string().starts_with("it cannot be decompressed ("), "{error}");
        }
        assert_eq!(read(&[0x1f, 0x8b]).map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_decompression_bomb_ends_at_its_bound() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("made");
        let zeros = vec![0; 1 << 20];
        (0..1100).for_each(|_| encoder.write_all(&zeros).expect("written"));
        let (file, size) = file(&encoder.finish().expect("ended"));
        assert!(size < 1 << 20, "{size}");
        let mut content = Content::new(&file, size, Compression::Zstd).expect("made");
        content.skip(ALWAYS).expect("skipped");
        let error = content.skip(1).expect_err("a bomb");
        assert!(error.to_string().contains("more than 1100 times its size"), "{error}");
    }

    #[test]
    fn a_window_over_the_limit_is_refused() {
        // A frame header (RFC 8878, section 3.1.1.1) with a window of 2^31 bytes, and an empty raw block.
        let error = read(&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]).expect_err("too long");
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
