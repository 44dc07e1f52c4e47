//! Finds the subvolumes in a file by the lengths of its commands. Only the lengths are read, so it is as fast as the drive;
//! the receiver checks what is received.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

use butterdock_stream::{FRAME, MAGIC};

/// The magic and a version (`struct btrfs_stream_header` of linux/fs/btrfs/send.h).
pub(super) const HEADER: usize = MAGIC.len() + 4;
const UNSPECIFIED: u16 = 0;
const SUBVOL: u16 = 1;
const SNAPSHOT: u16 = 2;
const END: u16 = 21;
/// What is not needed is skipped; of commands that are shorter than this many lie in the buffer.
const BUFFER: usize = 64 << 10;

/// A subvolume in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The offset of its first command, or of the header before it.
    pub at: u64,
    /// Whether a header is before it. `btrfs send -e` writes one for all.
    pub has_header: bool,
}

/// Goes through a file from its beginning.
#[derive(Debug)]
pub(super) struct Walk<'f> {
    from: BufReader<&'f File>,
    at: u64,
    size: u64,
    /// Behind an END, or at the beginning.
    between: bool,
}

impl<'f> Walk<'f> {
    pub(super) fn new(mut file: &'f File, size: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { from: BufReader::with_capacity(BUFFER, file), at: 0, size, between: true })
    }

    /// The next subvolume; none at the end of the file.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends inside a stream, `InvalidData` where no stream begins; `Interrupted` when it
    /// shall not go on, which is asked before each command with the offset.
    pub(super) fn next(&mut self, mut goes_on: impl FnMut(u64) -> bool) -> io::Result<Option<Part>> {
        let mut header = None;
        loop {
            if !goes_on(self.at) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.between {
                if self.from.fill_buf()?.is_empty() {
                    return Ok(None);
                }
                header = Some(self.at);
                self.header()?;
            }
            let at = self.at;
            match self.command()? {
                SUBVOL | SNAPSHOT => return Ok(Some(Part { at: header.unwrap_or(at), has_header: header.is_some() })),
                END => self.between = true,
                _ => header = None,
            }
        }
    }

    fn header(&mut self) -> io::Result<()> {
        let mut bytes = [0; HEADER];
        self.from.read_exact(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = self.at.saturating_add(HEADER as u64);
        self.between = false;
        Ok(())
    }

    /// Answers its number (`enum btrfs_send_cmd` there).
    fn command(&mut self) -> io::Result<u16> {
        let mut frame = [0; FRAME];
        self.from.read_exact(&mut frame)?;
        let [a, b, c, d, e, f, ..] = frame;
        let (length, number) = (u64::from(u32::from_le_bytes([a, b, c, d])), u16::from_le_bytes([e, f]));
        if number == UNSPECIFIED {
            // As a hole reads, which may be as long as no disk is.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = self.at.saturating_add(FRAME as u64).saturating_add(length);
        // A seek goes past the end of a file as well.
        if self.at > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.from.seek_relative(length.try_into().unwrap_or(i64::MAX))?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use butterdock_stream::{Command, Encoder, Identity, Uuid, Version};

    use super::*;

    fn parts(bytes: &[u8]) -> io::Result<Vec<Part>> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let mut walk = Walk::new(&file, bytes.len() as u64)?;
        let mut parts = Vec::new();
        while let Some(part) = walk.next(|_| true)? {
            parts.push(part);
        }
        Ok(parts)
    }

    const IS: Identity = Identity { uuid: Uuid([1; 16]), ctransid: 7 };

    fn stream(subvolumes: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(Version::V2);
        encoder.header();
        for _ in 0..subvolumes {
            let begin = Command::Snapshot { path: b"home", uuid: IS.uuid, ctransid: IS.ctransid, parent: IS };
            encoder.command(&begin).expect("encodable");
            encoder.command(&Command::Unlink { path: &[b'x'; 1000] }).expect("encodable");
        }
        encoder.command(&Command::End).expect("encodable");
        encoder.into_bytes()
    }

    #[test]
    fn every_subvolume_is_found_with_its_header_or_without() {
        let one = stream(1);
        let length = one.len() as u64;
        let first = Part { at: 0, has_header: true };
        assert_eq!(parts(&one).expect("walked"), [first]);
        let second = Part { at: length, has_header: true };
        assert_eq!(parts(&[one.clone(), one].concat()).expect("walked"), [first, second]);
        // One header, and one END, are of the first.
        let second = Part { at: length - FRAME as u64, has_header: false };
        assert_eq!(parts(&stream(2)).expect("walked"), [first, second]);
        assert_eq!(parts(&stream(200)).expect("walked").len(), 200);
    }

    #[test]
    fn what_is_cut_short_or_no_stream_is_refused() {
        let (one, kind) = (stream(1), |bytes: &[u8]| parts(bytes).map_err(|error| error.kind()));
        for length in [5, HEADER, HEADER + 3, one.len() - 20, one.len() - 1] {
            assert_eq!(kind(&one[..length]), Err(io::ErrorKind::UnexpectedEof), "{length}");
        }
        assert_eq!(kind(&[&one[..], &[7; 100]].concat()), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(&[&one[..one.len() - FRAME], &[0; 100]].concat()), Err(io::ErrorKind::InvalidData));
        let file = tempfile::tempfile().expect("a file");
        let mut walk = Walk::new(&file, 0).expect("at its beginning");
        assert_eq!(walk.next(|_| false).map_err(|error| error.kind()), Err(io::ErrorKind::Interrupted));
    }
}
