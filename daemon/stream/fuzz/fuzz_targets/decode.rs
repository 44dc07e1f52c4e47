//! Any bytes: the decoder does not panic, and its results do not depend on the size of the pieces.
//!
//! `cargo +nightly fuzz run decode fuzz/corpus/decode tests/goldens tests/hostile` in the crate's folder. Inputs that
//! showed a fault are kept in `tests/hostile`.
#![no_main]

#[path = "../../tests/support/seal.rs"]
mod seal;

use butterdock_stream::text::Dump;
use butterdock_stream::{Decoder, Event, Limits, Pool, Shared};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    agree(bytes);
    agree(&seal::seal(bytes));
});

fn agree(bytes: &[u8]) {
    let size = bytes.len() % 97 + 1;
    let whole = answers(bytes, usize::MAX, Pool::default());
    let pieces = answers(bytes, size, Pool { block_size: size * 2, blocks: 4 });
    assert_eq!(whole, pieces);
}

fn answers(bytes: &[u8], size: usize, pool: Pool) -> (Vec<u8>, Vec<String>) {
    let mut decoder = Decoder::new(Limits { wire: 1 << 16, ..Limits::default() }, pool);
    let (mut text, mut lines) = (Vec::new(), Dump::new(|_| 3600));
    let mut errors = Vec::new();
    let mut kept: Option<(Shared, Vec<u8>)> = None;
    let mut rest = bytes;
    loop {
        match decoder.next() {
            Ok(Event::Starved) if rest.is_empty() => break,
            Ok(Event::Starved) => {
                if decoder.space().is_err() {
                    kept = None;
                }
                let space = decoder.space().expect("there is space when no part of a block is held");
                let size = size.min(space.len()).min(rest.len());
                assert!(size > 0, "there is space");
                space[..size].copy_from_slice(&rest[..size]);
                rest = &rest[size..];
                decoder.filled(size);
            }
            Ok(Event::Header(place, version)) => errors.push(format!("{place:?} {version:?}")),
            Ok(Event::Command(framed)) => {
                lines.line(&mut text, &framed.command);
                let path = framed.command.path();
                if let Some((before, copy)) = kept.replace((framed.share(path), path.to_vec())) {
                    assert_eq!(*before, *copy, "a kept part was overwritten");
                }
            }
            Err(error) => {
                errors.push(error.to_string());
                if error.kind.is_final() {
                    return (text, errors);
                }
            }
        }
    }
    errors.extend(decoder.finish().err().map(|error| error.to_string()));
    (text, errors)
}
