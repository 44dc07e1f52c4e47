//! The speed at which commands are decoded and checked in memory: `cargo bench -p butterdock-stream`.
//!
//! The time includes the copy into the decoder's block, because a read from a file or a pipe copies too; the last columns are
//! without it. The input is short and repeated, so that it stays in the cache.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::allow_attributes, reason = "a bench may")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use butterdock_stream::{Command, Compression, Decoder, Encoder, Event, Extent, Limits, Pool, Time, Version};

/// The bytes of one round, and the number of rounds. The best one counts: with many short rounds, a busy machine disturbs
/// only some of them.
const TOTAL: usize = 4 << 20;
const ROUNDS: usize = 400;

fn main() {
    show("small files, v2", &small_files(0));
    show("the same, with data", &small_files(300));
    show("2 KiB payloads", &payloads(2 << 10));
    show("16 KiB payloads", &payloads(16 << 10));
    show("128 KiB payloads", &payloads(128 << 10));
}

/// The commands of new files in the kernel's order, each with this many bytes of data.
fn small_files(data: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Version::V2);
    let then = Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
    let data = vec![b'x'; data];
    for number in 0..300u64 {
        let temporary = format!("o{}-{}-0", number + 257, 77);
        let name = format!("usr/share/doc/package-{}/examples/file-{number}.txt", number / 50);
        let path = name.as_bytes();
        for command in [
            Command::Mkfile { path: temporary.as_bytes(), ino: Some(number) },
            Command::Rename { path: temporary.as_bytes(), to: path },
            Command::EncodedWrite { path, extent: extent(), data: &data },
            Command::Chown { path, uid: 0, gid: 0 },
            Command::Chmod { path, mode: 0o644 },
            Command::Utimes { path, atime: then, mtime: then, ctime: then, otime: Some(then) },
        ] {
            if !data.is_empty() || !matches!(command, Command::EncodedWrite { .. }) {
                encoder.command(&command).unwrap();
            }
        }
    }
    encoder.into_bytes()
}

fn payloads(size: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Version::V2);
    let data: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
    for offset in (0..256 << 10).step_by(size) {
        encoder.command(&Command::Write { path: b"folder/large-file", offset, data: &data }).unwrap();
    }
    encoder.into_bytes()
}

fn extent() -> Extent {
    Extent {
        file_offset: 0,
        file_len: 900,
        decoded_len: 4096,
        decoded_offset: 0,
        compression: Compression::Zstd,
        encryption: 0,
    }
}

fn show(title: &str, body: &[u8]) {
    let times = TOTAL / body.len();
    let (whole, commands) = best(|| decode(body, times));
    let (copied, _) = best(|| copy(body, times));
    let net = whole.saturating_sub(copied).as_secs_f64();
    let bytes = (body.len() * times) as f64 / 1e9;
    println!(
        "{title:<20} {commands:>8} commands {:>8.1} ns each {:>6.2} GB/s   without the copy {:>8.1} ns {:>6.2} GB/s",
        whole.as_secs_f64() * 1e9 / f64::from(commands),
        bytes / whole.as_secs_f64(),
        net * 1e9 / f64::from(commands),
        bytes / net,
    );
}

fn best(mut work: impl FnMut() -> u32) -> (Duration, u32) {
    let runs = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let count = work();
        (start.elapsed(), count)
    });
    runs.min().unwrap()
}

fn decode(body: &[u8], times: usize) -> u32 {
    let mut decoder = Decoder::new(Limits::default(), Pool::default());
    let mut header = Encoder::new(Version::V2);
    header.header();
    decoder.space().unwrap()[..17].copy_from_slice(header.bytes());
    decoder.filled(17);
    let (mut rest, mut left, mut commands) = (body, times - 1, 0);
    loop {
        match decoder.next().unwrap() {
            Event::Starved if rest.is_empty() && left == 0 => return commands,
            Event::Starved => {
                if rest.is_empty() {
                    (rest, left) = (body, left - 1);
                }
                let space = decoder.space().unwrap();
                let size = space.len().min(rest.len());
                space[..size].copy_from_slice(&rest[..size]);
                rest = &rest[size..];
                decoder.filled(size);
            }
            Event::Header(..) => {}
            Event::Command(framed) => {
                black_box(&framed.command);
                commands += 1;
            }
        }
    }
}

fn copy(body: &[u8], times: usize) -> u32 {
    let mut block = vec![0; body.len()];
    for _ in 0..times {
        black_box(&mut block).copy_from_slice(black_box(body));
    }
    0
}
