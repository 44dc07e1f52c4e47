//! Parts of commands that a caller keeps while the decoder continues.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use butterdock_stream::{Command, Decoder, Event, Limits, Pool, Shared, Version};
use support::stream;

fn numbered(count: u64, size: usize) -> Vec<u8> {
    let datas: Vec<Vec<u8>> = (0..count).map(|number| vec![u8::try_from(number % 256).unwrap(); size]).collect();
    let writes: Vec<_> =
        (0..count).zip(&datas).map(|(offset, data)| Command::Write { path: b"file", offset, data }).collect();
    stream(Version::V2, &writes)
}

/// Decodes everything and passes each write's offset and data to `keep`, or none when no block is free. Returns how often
/// no block was free.
fn run(input: &[u8], pool: Pool, piece: usize, mut keep: impl FnMut(Option<(u64, Shared)>)) -> usize {
    let mut decoder = Decoder::new(Limits::default(), pool);
    let (mut rest, mut refused) = (input, 0);
    loop {
        match decoder.next().unwrap() {
            Event::Starved if rest.is_empty() => break,
            Event::Starved => match decoder.space() {
                Ok(space) => {
                    let size = space.len().min(rest.len()).min(piece);
                    space[..size].copy_from_slice(&rest[..size]);
                    rest = &rest[size..];
                    decoder.filled(size);
                }
                Err(_) => {
                    refused += 1;
                    keep(None);
                }
            },
            Event::Command(framed) => {
                if let Command::Write { offset, data, .. } = framed.command {
                    let shared = framed.share(data);
                    assert_eq!(shared.as_ptr(), data.as_ptr(), "a part of the command was copied");
                    keep(Some((offset, shared)));
                }
            }
            Event::Header(..) => {}
        }
    }
    decoder.finish().unwrap();
    refused
}

fn check(kept: &[(u64, Shared)]) {
    for (offset, shared) in kept {
        assert!(shared.iter().all(|byte| u64::from(*byte) == offset % 256), "write {offset} was overwritten");
    }
}

#[test]
fn shared_parts_are_stable_and_free_their_block_on_drop() {
    for (size, piece) in [(10, 7), (100, 4096), (900, 50), (3000, 4096), (5000, 100)] {
        let input = numbered(300, size);
        let (mut kept, mut total) = (Vec::new(), 0);
        let refused = run(&input, Pool { block_size: 4096, blocks: 4 }, piece, |write| match write {
            Some(write) => {
                total += 1;
                kept.push(write);
            }
            None => {
                check(&kept);
                kept.remove(0);
            }
        });
        check(&kept);
        assert_eq!(total, 300);
        assert!(refused > 0, "{size} bytes by {piece}");
    }
}

#[test]
fn without_shared_parts_one_block_is_reused() {
    let mut places = BTreeSet::new();
    let refused = run(&numbered(500, 1000), Pool { block_size: 4096, blocks: 64 }, 4096, |write| {
        places.insert(write.unwrap().1.as_ptr() as usize / 65_536);
    });
    assert_eq!(refused, 0);
    assert!(places.len() <= 2, "{} places", places.len());
}

#[test]
fn the_block_freed_last_is_reused_first() {
    let mut last: Option<(u64, Shared)> = None;
    let mut blocks = BTreeSet::new();
    run(&numbered(1000, 1000), Pool { block_size: 4096, blocks: 64 }, 4096, |write| {
        last = write;
        blocks.insert(last.as_ref().unwrap().1.as_ptr() as usize / 1024);
    });
    assert!(blocks.len() <= 3 * 5, "a single holder needs no more than three blocks, not {}", blocks.len());
}

#[test]
fn a_command_larger_than_all_blocks_together_is_decoded() {
    let mut found = 0;
    let refused = run(&numbered(5, 300_000), Pool { block_size: 4096, blocks: 2 }, usize::MAX, |write| {
        found += write.map_or(0, |(_, data)| data.len());
    });
    assert_eq!((found, refused), (1_500_000, 0));
}

#[test]
fn asking_for_space_without_taking_commands_allocates_no_more() {
    let input = numbered(100, 100);
    let mut decoder = Decoder::new(Limits::default(), Pool { block_size: 1024, blocks: 4 });
    let mut rest = input.as_slice();
    while let Ok(space) = decoder.space() {
        let size = space.len().min(rest.len());
        space[..size].copy_from_slice(&rest[..size]);
        rest = &rest[size..];
        decoder.filled(size);
        if rest.len() < input.len() - 17 {
            assert!(matches!(decoder.next(), Ok(Event::Header(..))));
            break;
        }
    }
    assert_eq!(input.len() - rest.len(), 1024);
    assert!(decoder.space().is_err());
}
