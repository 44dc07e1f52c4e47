//! What several test files share.
#![allow(dead_code, clippy::allow_attributes, clippy::missing_panics_doc, reason = "each test file uses a part of it")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub(crate) mod any;
pub(crate) mod hostile;
pub(crate) mod seal;
pub(crate) mod synthetic;

use std::path::{Path, PathBuf};

use butterdock_stream::text::Dump;
use butterdock_stream::{Command, Decoder, Encoder, Error, Event, Limits, Pool, Version};

/// The folder of the golden streams.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// All golden streams with their names.
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

/// Feeds `input` in pieces of the sizes that `piece` returns, until the end or the first error.
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

/// Each header and command as text with all of its fields, then the result.
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

/// A whole stream of these commands and END.
pub(crate) fn stream(version: Version, commands: &[Command<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::new(version);
    encoder.header();
    for command in commands {
        encoder.command(command).unwrap();
    }
    encoder.command(&Command::End).unwrap();
    encoder.into_bytes()
}
