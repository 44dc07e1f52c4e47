//! The subvolumes in a stream file: finds them by the lengths of the commands, and reads the first command of each.
//!
//! [`Walk`] reads only the lengths, so it is as fast as the drive; the receiver checks what it receives. [`first_command`]
//! uses our own decoder, which trusts nothing.

use std::io::{self, Read};

use butterdock_stream::{Command, Decoder, Event, FRAME, Limits, MAGIC, Pool};

use super::content::Content;
use super::{Head, Opened};

/// The magic and a version (`struct btrfs_stream_header` of linux/fs/btrfs/send.h).
pub(super) const HEADER: usize = MAGIC.len() + 4;
const UNSPECIFIED: u16 = 0;
const SUBVOL: u16 = 1;
const SNAPSHOT: u16 = 2;
const END: u16 = 21;

/// A subvolume in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The offset of its first command, or of the header before it, in the decompressed bytes.
    pub at: u64,
    /// Whether a header precedes it. `btrfs send -e` writes one header for all subvolumes.
    pub has_header: bool,
}

/// Iterates over the subvolumes of a file.
pub(super) struct Walk<'f> {
    from: Content<'f>,
    at: u64,
    /// At the beginning of the file, or after an END command.
    between: bool,
    /// The header of the stream that `at` is in.
    header: [u8; HEADER],
}

/// A subvolume in a file, with the beginning of its first command behind a header.
type Beginning = (Part, Vec<u8>);

impl<'f> Walk<'f> {
    pub(super) fn new(file: &'f Opened) -> io::Result<Self> {
        Ok(Self { from: file.content()?, at: 0, between: true, header: [0; HEADER] })
    }

    /// The next subvolume; `None` at the end of the file. Calls `continues` before each command with its offset.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends inside a stream, `InvalidData` if no stream begins after the last one, `Interrupted` if
    /// `continues` returns false.
    pub(super) fn next(&mut self, mut continues: impl FnMut(u64) -> bool) -> io::Result<Option<Beginning>> {
        let mut header = None;
        loop {
            if !continues(self.at) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.between {
                if self.from.is_at_end()? {
                    return Ok(None);
                }
                header = Some(self.at);
                self.header()?;
            }
            let at = self.at;
            match self.command()? {
                (SUBVOL | SNAPSHOT, beginning) => {
                    let part = Part { at: header.unwrap_or(at), has_header: header.is_some() };
                    return Ok(Some((part, beginning)));
                }
                (END, _) => self.between = true,
                _ => header = None,
            }
        }
    }

    fn header(&mut self) -> io::Result<()> {
        self.from.read_exact(&mut self.header)?;
        if !self.header.starts_with(MAGIC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = self.at.saturating_add(HEADER as u64);
        self.between = false;
        Ok(())
    }

    /// Skips a command and returns its number (`enum btrfs_send_cmd` of linux/fs/btrfs/send.h); for the first command of a
    /// subvolume also its bytes.
    fn command(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let mut frame = [0; FRAME];
        self.from.read_exact(&mut frame)?;
        let [a, b, c, d, e, f, ..] = frame;
        let (length, number) = (u64::from(u32::from_le_bytes([a, b, c, d])), u16::from_le_bytes([e, f]));
        if number == UNSPECIFIED {
            // Zeros, such as a hole in a sparse file, which may be longer than any disk.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = self.at.saturating_add(FRAME as u64).saturating_add(length);
        let mut beginning = Vec::new();
        let mut read = 0;
        if matches!(number, SUBVOL | SNAPSHOT) {
            beginning.extend_from_slice(&self.header);
            beginning.extend_from_slice(&frame);
            read = (&mut self.from).take(length.min(LONGEST.into())).read_to_end(&mut beginning)? as u64;
        }
        self.from.skip(length.saturating_sub(read))?;
        Ok((number, beginning))
    }
}

/// The largest accepted first command. It has a name and a few numbers; the kernel writes a much shorter one.
const LONGEST: u32 = 16 << 10;
/// The largest number of bytes that are read for a first command.
const MOST: usize = 32 << 10;
/// `NAME_MAX` of Linux.
const NAME_MAX: usize = 255;

/// Reads the first command of a file.
///
/// # Errors
/// Why the file cannot be received, as a clause.
pub(super) fn head(file: &Opened) -> Result<Head, String> {
    first_command(file.content().map_err(|error| unreadable(&error))?)
}

/// Reads a header and the first command after it.
///
/// # Errors
/// As for [`head`].
pub(super) fn first_command(mut from: impl Read) -> Result<Head, String> {
    let limits = Limits { wire: LONGEST, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Pool { block_size: MOST, blocks: 2 });
    let mut at = 0_usize;
    loop {
        match decoder.next() {
            Ok(Event::Starved) => {
                let space = decoder.space().map_err(|error| error.to_string())?;
                let room = space.len().min(MOST.saturating_sub(at));
                let space = space.get_mut(..room).unwrap_or_default();
                let count = match from.read(space) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(unreadable(&error)),
                };
                if count == 0 {
                    decoder.finish().map_err(|error| error.kind.to_string())?;
                    return Err("it names no subvolume".to_owned());
                }
                at = at.saturating_add(count);
                decoder.filled(count);
            }
            Ok(Event::Header(..)) => {}
            Ok(Event::Command(framed)) => return head_of(&framed.command),
            Err(error) => return Err(error.kind.to_string()),
        }
    }
}

/// Why a file cannot be read, as a clause.
pub(super) fn unreadable(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "it is cut short".to_owned()
    } else if error.kind() == io::ErrorKind::InvalidData && error.get_ref().is_some() {
        // It is ours, and a clause.
        error.to_string()
    } else {
        format!("it cannot be read: {error}")
    }
}

fn head_of(command: &Command<'_>) -> Result<Head, String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "twenty-four other commands cannot begin a stream")]
    let (name, identity, parent) = match *command {
        Command::Subvol { path, uuid, ctransid } => (path, butterdock_stream::Identity { uuid, ctransid }, None),
        Command::Snapshot { path, uuid, ctransid, parent } => {
            (path, butterdock_stream::Identity { uuid, ctransid }, Some(parent))
        }
        ref other => return Err(format!("it begins with {}, which cannot begin a stream", other.name())),
    };
    if name.is_empty() || name.len() > NAME_MAX || name.contains(&b'/') {
        return Err("the name of its subvolume is invalid".to_owned());
    }
    Ok(Head { name: name.to_vec(), identity, parent })
}

#[cfg(test)]
mod tests {
    use butterdock_stream::{Encoder, Identity, Uuid, Version};

    use super::*;
    use crate::streams::content::Compression;
    use crate::streams::content::tests::{file, gzip, zstd};

    fn opened(bytes: &[u8]) -> Opened {
        let (file, size) = file(bytes);
        Opened { name: b"a".to_vec(), size, compression: Compression::of(&file).expect("read"), file }
    }

    fn parts(bytes: &[u8]) -> io::Result<Vec<Part>> {
        let file = opened(bytes);
        let mut walk = Walk::new(&file)?;
        let mut parts = Vec::new();
        while let Some((part, beginning)) = walk.next(|_| true)? {
            first_command(&beginning[..]).expect("a first command");
            parts.push(part);
        }
        Ok(parts)
    }

    fn first(bytes: &[u8]) -> Result<Head, String> {
        head(&opened(bytes))
    }

    fn stream(commands: &[Command<'_>]) -> Vec<u8> {
        let mut encoder = Encoder::new(Version::V2);
        encoder.header();
        for command in commands {
            encoder.command(command).expect("encodable");
        }
        encoder.into_bytes()
    }

    const IS: Identity = Identity { uuid: Uuid([1; 16]), ctransid: 7 };
    const PARENT: Identity = Identity { uuid: Uuid([2; 16]), ctransid: 5 };

    fn snapshot(path: &[u8]) -> Command<'_> {
        Command::Snapshot { path, uuid: IS.uuid, ctransid: IS.ctransid, parent: PARENT }
    }

    /// A stream of this many subvolumes.
    fn stream_of(subvolumes: usize) -> Vec<u8> {
        let subvolume = [snapshot(b"home"), Command::Unlink { path: &[b'x'; 1000] }];
        let mut commands = subvolume.repeat(subvolumes);
        commands.push(Command::End);
        stream(&commands)
    }

    #[test]
    fn every_subvolume_is_found_with_or_without_a_header() {
        let one = stream_of(1);
        let length = one.len() as u64;
        let first = Part { at: 0, has_header: true };
        assert_eq!(parts(&one).expect("walked"), [first]);
        let second = Part { at: length, has_header: true };
        assert_eq!(parts(&[one.clone(), one].concat()).expect("walked"), [first, second]);
        // The header and the END are not repeated.
        let second = Part { at: length - FRAME as u64, has_header: false };
        assert_eq!(parts(&stream_of(2)).expect("walked"), [first, second]);
        assert_eq!(parts(&stream_of(200)).expect("walked").len(), 200);
    }

    #[test]
    fn a_truncated_or_damaged_file_is_refused() {
        let (one, kind) = (stream_of(1), |bytes: &[u8]| parts(bytes).map_err(|error| error.kind()));
        for length in [5, HEADER, HEADER + 3, one.len() - 20, one.len() - 1] {
            assert_eq!(kind(&one[..length]), Err(io::ErrorKind::UnexpectedEof), "{length}");
        }
        assert_eq!(kind(&[&one[..], &[7; 100]].concat()), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(&[&one[..one.len() - FRAME], &[0; 100]].concat()), Err(io::ErrorKind::InvalidData));
        let file = opened(b"");
        let mut walk = Walk::new(&file).expect("at its beginning");
        assert_eq!(walk.next(|_| false).map_err(|error| error.kind()), Err(io::ErrorKind::Interrupted));
    }

    #[test]
    fn compressed_files_have_the_same_subvolumes() {
        let all = stream_of(200);
        let plain = parts(&all).expect("walked");
        for bytes in [gzip(&all), zstd(&all)] {
            assert_eq!(parts(&bytes).expect("walked"), plain);
            assert_eq!(first(&bytes), first(&all));
            let cut = first(&bytes[..20]).expect_err("cut");
            assert!(cut.contains("cut short"), "{cut}");
        }
    }

    #[test]
    fn the_head_names_the_subvolume_and_its_parent() {
        let full = stream(&[Command::Subvol { path: b"home", uuid: IS.uuid, ctransid: 7 }, Command::End]);
        assert_eq!(first(&full), Ok(Head { name: b"home".to_vec(), identity: IS, parent: None }));
        let head = first(&stream(&[snapshot(b"home")])).expect("read");
        assert_eq!((head.identity, head.parent), (IS, Some(PARENT)));
    }

    #[test]
    fn only_the_beginning_of_another_file_is_read() {
        let refusal = |bytes: &[u8]| first(bytes).expect_err("refused");
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(&[0; 1 << 20]).contains("not a btrfs send stream"));
        assert!(refusal(&stream(&[])).contains("cut short"));
        let whole = stream(&[snapshot(b"home")]);
        assert!(refusal(&whole[..whole.len() - 1]).contains("cut short"));
        assert!(refusal(&stream(&[Command::Unlink { path: b"x" }])).contains("begins with UNLINK"));
        assert!(refusal(&stream(&[snapshot(b"../x")])).contains("name of its subvolume is invalid"));
        // A command with the largest length.
        let endless = [&whole[..17], &u32::MAX.to_le_bytes(), &[2, 0, 0, 0, 0, 0]].concat();
        assert!(refusal(&endless).contains("at most 16384 are allowed"), "{}", refusal(&endless));
    }
}
