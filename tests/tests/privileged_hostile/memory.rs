//! Streams that make the receiver remember much. They are large, so they come through a pipe and are written by the product's
//! own encoder.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::thread::spawn;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_stream::{Command, Encoder, Identity, Time, Uuid, Version};
use butterdock_tests::{Finished, Receiver, Sandbox, Usage, run_measured};
use nix::sys::stat::Mode;

use crate::MEMORY;

/// This many directories, each with a path of almost 4 KiB, are 77 MiB of paths.
const DIRECTORIES: usize = 20_000;
/// This only tells a hang: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(900);
const IDENTITY: Identity = Identity { uuid: Uuid(*b"butterdock-tests"), ctransid: 7 };
const TIME: Time = Time { seconds: 1_000_000, nanoseconds: 0 };

/// Writes commands to the receiver as fast as it takes them.
struct Writer {
    pipe: File,
    encoder: Encoder,
}

impl Writer {
    fn put(&mut self, command: &Command<'_>) -> Result<()> {
        self.encoder.command(command)?;
        if self.encoder.bytes().len() > 1 << 20 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.pipe.write_all(self.encoder.bytes())?;
        self.encoder.clear();
        Ok(())
    }

    fn directory(&mut self, path: &[u8]) -> Result<()> {
        self.put(&Command::Mkdir { path, ino: None })
    }

    fn times(&mut self, path: &[u8]) -> Result<()> {
        self.put(&Command::Utimes { path, atime: TIME, mtime: TIME, ctime: TIME, otime: None })
    }

    /// Makes directories in one another, and answers the path of the last one, which is 3.8 KiB long.
    fn depth(&mut self) -> Result<Vec<u8>> {
        let mut path = Vec::new();
        for _ in 0..15 {
            path.extend(if path.is_empty() { &b""[..] } else { b"/" });
            path.extend([b'd'; 255]);
            self.directory(&path)?;
        }
        Ok(path)
    }
}

/// Receives what `write` writes, and answers what it took.
fn received(write: impl FnOnce(&mut Writer) -> Result<()> + Send + 'static) -> Result<(Finished, Usage)> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.volume("volume", &butterdock_tests::Layout::sized(4096, ""))?;
    let pipe = sandbox.join("stream");
    nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let to = pipe.clone();
    let writer = spawn(move || -> Result<()> {
        let mut writer = Writer { pipe: File::options().write(true).open(to)?, encoder: Encoder::new(Version::V2) };
        writer.encoder.header();
        writer.put(&Command::Subvol { path: b"sub", uuid: IDENTITY.uuid, ctransid: IDENTITY.ctransid })?;
        write(&mut writer)?;
        writer.put(&Command::End)?;
        writer.flush()
    });
    let measured = receive(&pipe, volume.path(), &sandbox.join("report"));
    // The receiver has ended: a writer that still writes hears of it, and one that could not open the pipe does now.
    drop(File::options().read(true).write(true).open(&pipe)?);
    writer.join().map_err(|_panic| anyhow!("the writer panicked"))?.context("writing the stream")?;
    measured
}

fn receive(stream: &Path, destination: &Path, report: &Path) -> Result<(Finished, Usage)> {
    let mut command = Receiver::Ours.command()?;
    command.arg("-f").arg(stream).arg(destination);
    run_measured(&command, report, LIMIT)
}

/// It is received, in little memory.
fn takes_little(write: impl FnOnce(&mut Writer) -> Result<()> + Send + 'static) -> Result<()> {
    let (finished, usage) = received(write)?;
    finished.success()?;
    ensure!(usage.max_rss_kib < MEMORY, "{} KiB resident", usage.max_rss_kib);
    Ok(())
}

#[test]
fn directories_renamed_to_long_paths_take_little_memory() -> Result<()> {
    takes_little(|stream| {
        let depth = stream.depth()?;
        for number in 0..DIRECTORIES {
            let first = number.to_string();
            let last = [&depth[..], b"/", first.as_bytes()].concat();
            stream.directory(first.as_bytes())?;
            stream.times(first.as_bytes())?;
            stream.put(&Command::Rename { path: first.as_bytes(), to: &last })?;
            stream.times(&last)?;
        }
        Ok(())
    })
}

#[test]
fn names_that_change_after_times_were_set_take_little_memory() -> Result<()> {
    takes_little(|stream| {
        let depth = stream.depth()?;
        let paths: Vec<Vec<u8>> =
            (0..DIRECTORIES).map(|number| [&depth[..], b"/", number.to_string().as_bytes()].concat()).collect();
        stream.put(&Command::Mkfile { path: b"file", ino: None })?;
        for path in &paths {
            stream.directory(path)?;
            stream.times(path)?;
        }
        for path in &paths {
            // A new name: the times of its directory, which were set early, are remembered again.
            let linked = [&path[..], b"/l"].concat();
            stream.put(&Command::Link { path: &linked, existing: b"file" })?;
            stream.put(&Command::Unlink { path: &linked })?;
        }
        Ok(())
    })
}
