//! Streams that the decoder must refuse, each with one clear message, in pieces of any size.
//!
//! The folder `tests/hostile` has the same streams as first inputs for the fuzzer, and the inputs with which the fuzzer found
//! a fault.
#![allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use butterdock_stream::{Decoder, Event, Limits, Pool};
use support::hostile::rows;
use support::transcript;

#[test]
fn each_hostile_stream_is_refused_with_its_message() {
    for (name, bytes, message) in rows() {
        let end = support::decode(&bytes, Pool::default(), |_| usize::MAX, |_| {});
        assert_eq!(end.unwrap_err().to_string(), message, "{name}");
    }
}

#[test]
fn hostile_streams_give_the_same_error_in_any_chunking() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let whole = transcript(&bytes, Pool::default(), |_| usize::MAX);
        for size in [1, 5, 64] {
            let pool = Pool { block_size: size, blocks: 1 };
            assert_eq!(transcript(&bytes, pool, |_| size), whole, "{} by {size}", path.display());
        }
        assert!(whole.last().unwrap().starts_with("Err"), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= rows().len(), "{seen} hostile streams are stored");
}

#[test]
fn a_length_over_the_cap_allocates_nothing() {
    let bytes = &rows().into_iter().find(|(name, ..)| *name == "length-of-4-gib").unwrap().1;
    let mut decoder = Decoder::new(Limits::default(), Pool { block_size: 64, blocks: 1 });
    for byte in &bytes[..27] {
        decoder.space().unwrap()[0] = *byte;
        decoder.filled(1);
        if matches!(decoder.next(), Ok(Event::Header(..))) {
            assert_eq!(decoder.needed(), 10);
        }
    }
    assert!(decoder.next().is_err());
    assert_eq!(decoder.needed(), 0);
    assert!(decoder.space().is_ok_and(|space| space.len() <= 64));
}

#[test]
fn the_decoder_resumes_after_a_bad_command_only() {
    for (name, bytes, _) in rows() {
        let mut decoder = Decoder::new(Limits::default(), Pool::default());
        let space = decoder.space().unwrap();
        space[..bytes.len()].copy_from_slice(&bytes);
        decoder.filled(bytes.len());
        let (mut errors, mut last) = (0, None);
        while errors < 3 {
            match decoder.next() {
                Ok(Event::Starved) => break,
                Ok(_) => {}
                Err(error) => {
                    assert!(last.is_none_or(|before| before == error && error.kind.is_final()), "{name}");
                    last = error.kind.is_final().then_some(error);
                    errors += 1;
                }
            }
        }
        assert_eq!(errors == 3, last.is_some(), "{name}");
    }
}

/// `BUTTERDOCK_WRITE_GOLDENS=1` writes the files anew, after a change of support/hostile.rs.
#[test]
fn the_stored_hostile_streams_equal_the_rows() {
    let write = std::env::var_os("BUTTERDOCK_WRITE_GOLDENS").is_some();
    for (name, bytes, _) in rows() {
        let file = folder().join(name).with_extension("stream");
        if write {
            std::fs::write(&file, &bytes).unwrap();
        }
        assert!(std::fs::read(&file).unwrap() == bytes, "{name}");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}
