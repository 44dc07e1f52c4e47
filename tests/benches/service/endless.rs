//! A stream that never ends and never fills its volume: the same room is written again and again.

use std::io::{PipeReader, Write as _};

use anyhow::Result;
use butterdock_tests::trees::Content;
use butterdock_tests::wire::Stream;

/// Bytes of data that are written over again.
const LAP: u64 = 8 << 20;

/// An endless stream; it stops when its reader has closed the pipe.
pub(crate) fn pipe(name: &str) -> Result<PipeReader> {
    let (reader, mut writer) = std::io::pipe()?;
    let head = Stream::new(1).subvol(name).mkfile("f");
    let piece = Content::Noise.bytes(48 << 10, 1);
    let mut lap = Stream::default();
    let mut offset = 0;
    while offset < LAP {
        lap = lap.write("f", offset, &piece);
        offset += piece.len() as u64;
    }
    std::thread::spawn(move || {
        if writer.write_all(head.bytes()).is_ok() {
            while writer.write_all(lap.bytes()).is_ok() {}
        }
    });
    Ok(reader)
}
