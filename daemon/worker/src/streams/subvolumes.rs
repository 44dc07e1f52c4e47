//! The subvolumes in a stream file: finds them by the lengths of the commands, and reads the first command of each.
//!
//! [`Walk`] reads only the lengths, so it is as fast as the drive; the receiver checks what it receives. [`first_command`]
//! uses our own decoder, which trusts nothing.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use butterdock_stream::{Command, Decoder, Event, FRAME, Limits, MAGIC, Pool};

use super::Head;

/// The magic and a version (`struct btrfs_stream_header` of linux/fs/btrfs/send.h).
pub(super) const HEADER: usize = MAGIC.len() + 4;
const UNSPECIFIED: u16 = 0;
const SUBVOL: u16 = 1;
const SNAPSHOT: u16 = 2;
const END: u16 = 21;
/// Many short commands fit into the buffer; longer ones are skipped by seeking.
const BUFFER: usize = 64 << 10;

/// A subvolume in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// The offset of its first command, or of the header before it.
    pub at: u64,
    /// Whether a header precedes it. `btrfs send -e` writes one header for all subvolumes.
    pub has_header: bool,
}

/// Iterates over the subvolumes of a file.
#[derive(Debug)]
pub(super) struct Walk<'f> {
    from: BufReader<&'f File>,
    at: u64,
    size: u64,
    /// At the beginning of the file, or after an END command.
    between: bool,
}

impl<'f> Walk<'f> {
    pub(super) fn new(mut file: &'f File, size: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { from: BufReader::with_capacity(BUFFER, file), at: 0, size, between: true })
    }

    /// The next subvolume; `None` at the end of the file. Calls `continues` before each command with its offset.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends inside a stream, `InvalidData` if no stream begins after the last one, `Interrupted` if
    /// `continues` returns false.
    pub(super) fn next(&mut self, mut continues: impl FnMut(u64) -> bool) -> io::Result<Option<Part>> {
        let mut header = None;
        loop {
            if !continues(self.at) {
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

    /// Skips a command and returns its number (`enum btrfs_send_cmd` of linux/fs/btrfs/send.h).
    fn command(&mut self) -> io::Result<u16> {
        let mut frame = [0; FRAME];
        self.from.read_exact(&mut frame)?;
        let [a, b, c, d, e, f, ..] = frame;
        let (length, number) = (u64::from(u32::from_le_bytes([a, b, c, d])), u16::from_le_bytes([e, f]));
        if number == UNSPECIFIED {
            // Zeros, such as a hole in a sparse file, which may be longer than any disk.
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at = self.at.saturating_add(FRAME as u64).saturating_add(length);
        // Checked here, because a seek beyond the end does not fail.
        if self.at > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.from.seek_relative(length.try_into().unwrap_or(i64::MAX))?;
        Ok(number)
    }
}

/// The largest accepted first command. It has a name and a few numbers; the kernel writes a much shorter one.
const LONGEST: u32 = 16 << 10;
/// The largest number of bytes that are read for a first command.
const MOST: usize = 32 << 10;
/// `NAME_MAX` of Linux.
const NAME_MAX: usize = 255;

/// Reads the first command of a file. Does not change the file's position.
///
/// # Errors
/// Why the file cannot be received, as a clause.
pub(super) fn head(file: &File) -> Result<Head, String> {
    first_command(file, Part { at: 0, has_header: true })
}

/// Reads the first command of a subvolume in a file. Does not change the file's position.
///
/// # Errors
/// As for [`head`].
pub(super) fn first_command(file: &File, part: Part) -> Result<Head, String> {
    let limits = Limits { wire: LONGEST, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Pool { block_size: MOST, blocks: 2 });
    let mut at = 0_usize;
    loop {
        match decoder.next() {
            Ok(Event::Starved) => {
                let space = decoder.space().map_err(|error| error.to_string())?;
                let room = space.len().min(MOST.saturating_sub(at));
                let space = space.get_mut(..room).unwrap_or_default();
                let count = read(file, space, part, at).map_err(|error| format!("it cannot be read: {error}"))?;
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

/// Reads at offset `at` of a part. A part without a header begins with the file's header.
fn read(file: &File, mut space: &mut [u8], part: Part, at: usize) -> io::Result<usize> {
    let offset = if part.has_header {
        part.at.saturating_add(at as u64)
    } else if at < HEADER {
        let rest = HEADER.saturating_sub(at).min(space.len());
        space = space.get_mut(..rest).unwrap_or_default();
        at as u64
    } else {
        part.at.saturating_add(at.saturating_sub(HEADER) as u64)
    };
    loop {
        match file.read_at(space, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use butterdock_stream::{Encoder, Identity, Uuid, Version};

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

    fn first(bytes: &[u8]) -> Result<Head, String> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let found = head(&file);
        assert_eq!(file.stream_position().expect("a position"), bytes.len() as u64, "the position changed");
        found
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
        let file = tempfile::tempfile().expect("a file");
        let mut walk = Walk::new(&file, 0).expect("at its beginning");
        assert_eq!(walk.next(|_| false).map_err(|error| error.kind()), Err(io::ErrorKind::Interrupted));
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
