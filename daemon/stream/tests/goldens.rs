//! The golden streams against their text form, and against the encoder.
//!
//! Streams with a real kernel's name were made by `make-goldens`, their text by `btrfs receive --dump`; the synthetic ones
//! by [`the_synthetic_goldens_are_what_the_encoder_writes`].
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use butterdock_stream::{Encoder, Event, Pool};
use support::{decode, dump, folder, goldens, synthetic};

/// The first line of `btrfs --version` where Debian 12 is.
const KNOWN: &str = "btrfs-progs v6.2";

#[test]
fn golden_streams_print_as_btrfs_receive_dump_does() {
    for (name, bytes) in goldens() {
        let expected = std::fs::read(folder().join(&name).with_extension("txt")).unwrap();
        assert_eq!(dump(&bytes).escape_ascii().to_string(), expected.escape_ascii().to_string(), "{name}");
    }
}

#[test]
fn the_golden_streams_cover_every_command_and_version() {
    let (mut commands, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for (name, bytes) in goldens() {
        decode(
            &bytes,
            Pool::default(),
            |_| usize::MAX,
            |event| match event {
                Event::Command(framed) => drop(commands.insert(framed.command.number())),
                Event::Header(_, version) => drop(versions.insert(*version as u32)),
                Event::Starved => {}
            },
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(commands.into_iter().collect::<Vec<_>>(), (1..=26).collect::<Vec<u16>>());
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_kernels_stream_round_trips_to_the_same_bytes() {
    for (name, bytes) in goldens() {
        // The kernel leaves ENCRYPTION out for inline extents and writes it as 0 for others; ours always writes it.
        if name.starts_with("compressed-") && !name.ends_with("-incremental") {
            continue;
        }
        let mut again: Option<Encoder> = None;
        let mut written = Vec::new();
        decode(
            &bytes,
            Pool::default(),
            |_| usize::MAX,
            |event| match event {
                Event::Header(_, version) => {
                    written.extend(again.take().map(Encoder::into_bytes).unwrap_or_default());
                    again.insert(Encoder::new(*version)).header();
                }
                Event::Command(framed) => again.as_mut().unwrap().command(&framed.command).unwrap(),
                Event::Starved => {}
            },
        )
        .unwrap();
        written.extend(again.map(Encoder::into_bytes).unwrap_or_default());
        assert!(written == bytes, "{name}");
    }
}

/// With `BUTTERDOCK_WRITE_GOLDENS=1` they are written anew, after support/synthetic.rs has changed.
#[test]
fn the_synthetic_goldens_are_what_the_encoder_writes() {
    let write = std::env::var_os("BUTTERDOCK_WRITE_GOLDENS").is_some();
    for (name, bytes) in synthetic::streams() {
        let file = folder().join(name).with_extension("stream");
        if write {
            std::fs::write(&file, &bytes).unwrap();
            std::fs::write(file.with_extension("txt"), dump(&bytes)).unwrap();
        }
        let stored = std::fs::read(file).unwrap();
        assert!(stored == bytes, "{name}");
    }
}

/// The text that is kept is that of btrfs-progs 6.2: with another version, or none, there is nothing to compare, and the test
/// says so past the harness, which shows only what failed.
#[test]
fn the_installed_tool_prints_the_same() {
    let version = Process::new("btrfs").arg("--version").output();
    let version = version.map_or_else(|_| "none".to_owned(), |told| String::from_utf8_lossy(&told.stdout).into_owned());
    let version = version.lines().next().unwrap_or_default();
    if version != KNOWN {
        let why = "the_installed_tool_prints_the_same has compared nothing";
        writeln!(std::io::stderr(), "{why}: it needs btrfs of {KNOWN}, and here is {version}").unwrap();
        return;
    }
    for (name, bytes) in goldens() {
        // The tool does not know version 3, and prints only the first of several streams.
        if name == "synthetic-v3" || name == "concatenated" {
            continue;
        }
        let file = std::fs::File::open(folder().join(&name).with_extension("stream")).unwrap();
        let mut tool = Process::new("btrfs");
        tool.args(["receive", "--dump"]).env("TZ", "UTC").stdin(file).stderr(Stdio::inherit());
        let printed = tool.output().unwrap();
        // Ours differs in this: no escape character reaches a terminal.
        let printed = printed.stdout.escape_ascii().to_string().replace("\\x1b", "\\\\e");
        assert_eq!(dump(&bytes).escape_ascii().to_string(), printed, "{name}");
    }
}
