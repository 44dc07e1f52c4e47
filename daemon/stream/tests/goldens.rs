//! The golden streams against their text form, and against the encoder.
//!
//! `make-goldens` made the streams that are named after a kernel's features, and `btrfs receive --dump` their text. The test
//! [`the_encoder_writes_the_synthetic_goldens`] made the synthetic ones.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use butterdock_stream::{Encoder, Event, Pool};
use support::{decode, dump, folder, goldens, synthetic};

/// The first line of `btrfs --version` on Debian 12.
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
        // The kernel leaves ENCRYPTION out for inline extents and writes 0 for others; the encoder always writes it.
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

/// `BUTTERDOCK_WRITE_GOLDENS=1` writes the files anew, after a change of support/synthetic.rs.
#[test]
fn the_encoder_writes_the_synthetic_goldens() {
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

/// The stored text is that of btrfs-progs 6.2. Without that version the test compares nothing and says so on the process's
/// stderr, because the test harness hides the output of tests that pass.
#[test]
fn the_installed_tool_prints_the_same() {
    let version = Process::new("btrfs").arg("--version").output();
    let version =
        version.map_or_else(|_| "none".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
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
        // The only difference: `Dump` writes no escape character.
        let printed = printed.stdout.escape_ascii().to_string().replace("\\x1b", "\\\\e");
        assert_eq!(dump(&bytes).escape_ascii().to_string(), printed, "{name}");
    }
}
