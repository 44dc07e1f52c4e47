//! The first command of a stream file, by our own decoder, which trusts nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use butterdock_stream::{Command, Decoder, Event, Limits, Pool};

use super::Head;
use super::walk::{HEADER, Part};

/// The first command names a subvolume and some numbers; no kernel writes one as long as this.
const LONGEST: u32 = 16 << 10;
/// Up to this many bytes of a file are read.
const MOST: usize = 32 << 10;
/// A name is one of a directory's.
const NAME_MAX: usize = 255;

/// Reads the beginning of a file, wherever it stands.
///
/// # Errors
/// Why it is no stream that can be received, as a sentence's end.
pub(super) fn head(file: &File) -> Result<Head, String> {
    of_part(file, Part { at: 0, has_header: true })
}

/// Reads the beginning of a subvolume in a file, wherever the file stands.
///
/// # Errors
/// As for [`head`].
pub(super) fn of_part(file: &File, part: Part) -> Result<Head, String> {
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
            Ok(Event::Command(framed)) => return first(&framed.command),
            Err(error) => return Err(error.kind.to_string()),
        }
    }
}

fn first(command: &Command<'_>) -> Result<Head, String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "twenty-four other commands stand inside a stream")]
    let (name, identity, parent) = match *command {
        Command::Subvol { path, uuid, ctransid } => (path, butterdock_stream::Identity { uuid, ctransid }, None),
        Command::Snapshot { path, uuid, ctransid, parent } => {
            (path, butterdock_stream::Identity { uuid, ctransid }, Some(parent))
        }
        ref other => return Err(format!("it begins with {}, which stands inside a stream", other.name())),
    };
    if name.is_empty() || name.len() > NAME_MAX || name.contains(&b'/') {
        return Err("the name of its subvolume is none that a subvolume can have".to_owned());
    }
    Ok(Head { name: name.to_vec(), identity, parent })
}

/// The bytes at offset `at` of a part; a part without a header has that of the file.
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
    use std::io::{Seek as _, Write as _};

    use butterdock_stream::{Encoder, Identity, Uuid, Version};

    use super::*;

    fn of(bytes: &[u8]) -> Result<Head, String> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let found = head(&file);
        assert_eq!(file.stream_position().expect("told"), bytes.len() as u64, "it was moved");
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

    #[test]
    fn the_head_names_the_subvolume_and_its_parent() {
        let full = stream(&[Command::Subvol { path: b"home", uuid: IS.uuid, ctransid: 7 }, Command::End]);
        assert_eq!(of(&full), Ok(Head { name: b"home".to_vec(), identity: IS, parent: None }));
        let head = of(&stream(&[snapshot(b"home")])).expect("read");
        assert_eq!((head.identity, head.parent), (IS, Some(PARENT)));
    }

    #[test]
    fn a_file_that_is_no_stream_costs_only_its_beginning() {
        let refusal = |bytes: &[u8]| of(bytes).expect_err("refused");
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(&[0; 1 << 20]).contains("not a btrfs send stream"));
        assert!(refusal(&stream(&[])).contains("cut short"));
        let whole = stream(&[snapshot(b"home")]);
        assert!(refusal(&whole[..whole.len() - 1]).contains("cut short"));
        assert!(refusal(&stream(&[Command::Unlink { path: b"x" }])).contains("begins with UNLINK"));
        assert!(refusal(&stream(&[snapshot(b"../x")])).contains("none that a subvolume can have"));
        // A command that says that it is as long as memory.
        let endless = [&whole[..17], &u32::MAX.to_le_bytes(), &[2, 0, 0, 0, 0, 0]].concat();
        assert!(refusal(&endless).contains("at most 16384 are allowed"), "{}", refusal(&endless));
    }
}
