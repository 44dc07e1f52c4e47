//! Properties of all streams, and of all damaged ones.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]

mod support;

use butterdock_stream::{Decoder, Event, Limits, Pool, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use support::any::{Owned, commands};
use support::seal::seal;
use support::{decode, goldens, stream, transcript};

/// The sizes of the pieces in which the input comes, repeated.
fn pieces(sizes: Vec<usize>) -> impl FnMut(&Decoder) -> usize {
    let mut sizes = sizes.into_iter().cycle();
    move |_| sizes.next().unwrap()
}

fn whole(input: &[u8]) -> Vec<String> {
    transcript(input, Pool::default(), |_| usize::MAX)
}

fn written(version: Version, commands: &[Owned]) -> Vec<u8> {
    stream(version, &commands.iter().map(Owned::command).collect::<Vec<_>>())
}

/// One change of the bytes.
#[derive(Debug, Clone)]
enum Damage {
    Change(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => (any::<usize>(), 1..40usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (any::<usize>(), 1..40usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ];
    vec(one, 1..4)
}

fn apply(bytes: &mut Vec<u8>, damage: &[Damage]) {
    for each in damage {
        let length = bytes.len().max(1);
        let range = |at: usize, len: usize| (at % length).min(bytes.len())..(at % length + len).min(bytes.len());
        match *each {
            Damage::Change(at, byte) => drop(bytes.splice(range(at, 1), [byte])),
            Damage::Cut(at) => bytes.truncate(at % length),
            Damage::Remove(at, len) => drop(bytes.drain(range(at, len))),
            Damage::Repeat(at, len) => {
                let again = bytes[range(at, len)].to_vec();
                drop(bytes.splice(range(at, 0), again));
            }
        }
    }
}

proptest! {
    #[test]
    fn decoding_returns_the_encoded_commands((version, commands) in commands(5000)) {
        let bytes = written(version, &commands);
        let mut expected = commands.iter().map(Owned::command);
        let mut headers = 0;
        decode(&bytes, Pool::default(), |_| usize::MAX, |event| match event {
            Event::Command(framed) if framed.command.number() != 21 => {
                assert_eq!(Some(framed.command), expected.next());
                assert_eq!(framed.version, version);
            }
            Event::Command(_) | Event::Starved => {}
            Event::Header(_, found) => {
                assert_eq!(*found, version);
                headers += 1;
            }
        }).unwrap();
        assert_eq!(expected.next(), None);
        assert_eq!(headers, 1);
    }

    #[test]
    fn decoding_does_not_depend_on_chunking(
        (version, commands) in commands(700),
        sizes in vec(1..400usize, 1..8),
        block_size in 0..900usize,
    ) {
        let bytes = written(version, &commands).repeat(2);
        let pool = Pool { block_size, blocks: 2 };
        assert_eq!(transcript(&bytes, pool, pieces(sizes)), whole(&bytes));
        assert_eq!(transcript(&bytes, pool, Decoder::needed), whole(&bytes));
    }

    #[test]
    fn a_damaged_stream_gives_the_same_error_in_any_chunking(
        (version, commands) in commands(100),
        damage in damage(),
        sizes in vec(1..60usize, 1..8),
        block_size in 0..300usize,
        sealed in any::<bool>(),
    ) {
        let mut bytes = written(version, &commands);
        apply(&mut bytes, &damage);
        let bytes = if sealed { seal(&bytes) } else { bytes };
        let pool = Pool { block_size, blocks: 1 };
        assert_eq!(transcript(&bytes, pool, pieces(sizes)), whole(&bytes));
    }

    #[test]
    fn a_damaged_golden_stream_never_panics(which in any::<prop::sample::Index>(), damage in damage(), sealed in any::<bool>()) {
        let (_, mut bytes) = which.get(&goldens()).clone();
        apply(&mut bytes, &damage);
        whole(&if sealed { seal(&bytes) } else { bytes });
    }
}

#[test]
fn golden_streams_decode_alike_in_any_chunking() {
    for (name, bytes) in goldens() {
        let expected = whole(&bytes);
        assert_eq!(expected.last().unwrap(), "Ok(())", "{name}");
        for size in [1, 7, 64, 4096] {
            let pool = Pool { block_size: size * 3, blocks: 1 };
            assert_eq!(transcript(&bytes, pool, |_| size), expected, "{name} by {size}");
        }
        assert_eq!(transcript(&bytes, Pool::default(), Decoder::needed), expected, "{name} as needed");
    }
}

#[test]
fn reading_only_what_is_needed_stops_at_the_end() {
    for (name, bytes) in goldens() {
        let mut decoder = Decoder::new(Limits::default(), Pool::default());
        let mut fed = 0;
        loop {
            match decoder.next().unwrap() {
                Event::Starved => {
                    let needed = decoder.needed();
                    let space = decoder.space().unwrap();
                    let size = needed.min(space.len());
                    space[..size].copy_from_slice(&bytes[fed..fed + size]);
                    decoder.filled(size);
                    fed += size;
                }
                Event::Command(framed) if framed.command.number() == 21 => break,
                Event::Command(_) | Event::Header(..) => {}
            }
        }
        assert_eq!(decoder.position(), fed as u64, "{name}");
        assert_eq!(decoder.finish(), Ok(()), "{name}");
        assert_eq!(fed == bytes.len(), name != "concatenated", "{name}");
    }
}
