//! Which streams are decompressed as a check: those of all users but root, who may request it.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::VOLUME;
use butterdock_tests::trees::Content;
use butterdock_tests::wire::Stream;
use butterdock_tests::{Rules, Service, answer, as_nobody, file_of, python, tank};

const ZLIB: u32 = 1;
const FULL: u64 = 128 << 10;

/// A file whose only extent looks right and is bent in the middle: it could be written, and not read.
fn bent(name: &str) -> Result<Stream> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&Content::Text.bytes(128 << 10, 1))?;
    let mut payload = packer.finish()?;
    let middle = payload.len() / 2;
    payload.iter_mut().skip(middle).take(20).for_each(|byte| *byte ^= 0x55);
    Ok(Stream::new(2).subvol(name).mkfile("f").encoded("f", 0, (FULL, FULL, 0), ZLIB, payload).end())
}

#[test]
fn users_streams_must_decompress() -> Result<()> {
    let service = Service::with_polkit(&Rules::Allow)?;
    let client = service.client()?;
    let end = |name: &str, who: fn(Command) -> Command| -> Result<(String, String)> {
        let mut call = python("call.py", &service.bus)?;
        call.args([&tank(), VOLUME, "Receive", "h:0", "o:{}"]);
        let said = answer(who(call).stdin(file_of(bent(name)?.bytes())?))?;
        client.end_of(said["answer"].as_str().with_context(|| format!("no job: {said}"))?)
    };
    let (state, error) = end("of-nobody", |call| as_nobody(&call))?;
    ensure!((state.as_str(), error.as_str()) == ("failed", "InvalidStream"), "{state}, {error}");
    // The same stream, so that it is refused for nothing else.
    let (state, error) = end("of-root", |call| call)?;
    ensure!(state == "succeeded", "{state}, {error}");
    Ok(())
}
