//! What several of the tests need.
#![allow(dead_code, clippy::allow_attributes, clippy::missing_panics_doc, reason = "each test takes what it needs")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub(crate) mod any;
pub(crate) mod hostile;
pub(crate) mod synthetic;

use std::path::{Path, PathBuf};

use butterdock_stream::text::Dump;
use butterdock_stream::{Command, Decoder, Encoder, Error, Event, Limits, Pool, Version};

/// The folder of the golden streams.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// Every golden stream with its name.
pub(crate) fn goldens() -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "stream"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() > 20, "golden streams are missing");
    found
}

/// Feeds `input` in pieces of the sizes that `piece` gives, until the end or the first error.
pub(crate) fn decode(
    input: &[u8],
    pool: Pool,
    mut piece: impl FnMut(&Decoder) -> usize,
    mut each: impl FnMut(&Event<'_>),
) -> Result<(), Error> {
    let mut decoder = Decoder::new(Limits::default(), pool);
    let mut rest = input;
    loop {
        match decoder.next()? {
            Event::Starved if rest.is_empty() => return decoder.finish(),
            Event::Starved => {
                let size = piece(&decoder).clamp(1, rest.len());
                let space = decoder.space().unwrap();
                let size = size.min(space.len());
                let (now, later) = rest.split_at(size);
                space[..size].copy_from_slice(now);
                decoder.filled(size);
                rest = later;
            }
            event @ (Event::Header(..) | Event::Command(_)) => each(&event),
        }
    }
}

/// Each header and command as text that shows everything about it, then how it ended.
pub(crate) fn transcript(input: &[u8], pool: Pool, piece: impl FnMut(&Decoder) -> usize) -> Vec<String> {
    let mut lines = Vec::new();
    let end = decode(input, pool, piece, |event| {
        lines.push(match event {
            Event::Command(framed) => format!("{:?} {:?} {:?}", framed.place, framed.version, framed.command),
            Event::Header(place, version) => format!("{place:?} {version:?}"),
            Event::Starved => String::new(),
        });
    });
    lines.push(format!("{end:?}"));
    lines
}

/// The text form of a whole input, in UTC.
pub(crate) fn dump(input: &[u8]) -> Vec<u8> {
    let (mut text, mut lines) = (Vec::new(), Dump::new(|_| 0));
    decode(
        input,
        Pool::default(),
        |_| usize::MAX,
        |event| {
            if let Event::Command(framed) = event {
                lines.line(&mut text, &framed.command);
            }
        },
    )
    .unwrap();
    text
}

/// A whole stream of these commands, END included.
pub(crate) fn stream(version: Version, commands: &[Command<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(version);
    encoder.header();
    for command in commands {
        encoder.command(command).unwrap();
    }
    encoder.command(&Command::End).unwrap();
    encoder.into_bytes()
}

/// Gives each command of a stream its right checksum again, as far as the lengths lead.
pub(crate) fn seal(bytes: &[u8]) -> Vec<u8> {
    let Some((header, mut rest)) = bytes.split_at_checked(17) else { return bytes.to_vec() };
    let mut sealed = header.to_vec();
    while let Some(([a, b, c, d, number @ .., _, _, _, _], tail)) = rest.split_first_chunk::<10>() {
        let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let Some((payload, tail)) = tail.split_at_checked(len) else { break };
        let mut encoder = Encoder::new(Version::V1);
        if encoder.raw(u16::from_le_bytes(*number), payload).is_err() {
            break;
        }
        sealed.extend_from_slice(encoder.bytes());
        rest = tail;
    }
    sealed.extend_from_slice(rest);
    sealed
}
