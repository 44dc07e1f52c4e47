//! A command that is decoded, encoded and decoded again stays the same.
//!
//! `cargo +nightly fuzz run roundtrip fuzz/corpus/roundtrip tests/goldens tests/hostile` in the crate's folder.
#![no_main]

#[path = "../../tests/support/seal.rs"]
mod seal;

use butterdock_stream::{Command, Decoder, Encoder, Event, Framed, Limits, Pool, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    each(&seal::seal(bytes), &mut |framed| {
        let mut encoder = Encoder::new(framed.version);
        encoder.header();
        match encoder.command(&framed.command) {
            Ok(()) => {}
            // The decoder accepts OTIME, the only attribute of a later version, in version 1 too.
            Err(_) if matches!(framed.command, Command::Utimes { otime: Some(_), .. }) => return,
            Err(error) => panic!("{error}"),
        }
        let mut again = 0;
        each(encoder.bytes(), &mut |second| {
            assert_eq!(second.command, framed.command);
            again += 1;
        });
        assert_eq!(again, 1);
    });
});

fn each(bytes: &[u8], take: &mut dyn FnMut(&Framed<'_>)) {
    let mut decoder = Decoder::new(Limits::default(), Pool { block_size: bytes.len() + 17, blocks: 1 });
    let space = decoder.space().expect("a new decoder has space");
    space[..bytes.len()].copy_from_slice(bytes);
    decoder.filled(bytes.len());
    loop {
        match decoder.next() {
            Ok(Event::Starved) => return,
            Ok(Event::Header(_, version)) => assert!(version <= Version::V3),
            Ok(Event::Command(framed)) => take(&framed),
            Err(error) if error.kind.is_final() => return,
            Err(_) => {}
        }
    }
}
