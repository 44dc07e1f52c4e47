//! Streams for the service's tests, and a job in the middle of one.

use std::fs::File;
use std::io::{PipeWriter, Seek as _, Write as _};

use anyhow::Result;
use butterdock_dbus::names::interface::JOB;
use zbus::OwnedObjectPath;

use super::{Client, no_options};
use crate::wire::Stream;

/// The start of a stream that goes on.
#[must_use]
pub fn unfinished(name: &str) -> Stream {
    Stream::new(2).subvol(name).mkdir("d").mkfile("d/f").write("d/f", 0, [b'x'; 8192])
}

/// A whole stream with one small subvolume.
#[must_use]
pub fn small(name: &str) -> Stream {
    unfinished(name).end()
}

/// A file with these bytes, read from its beginning.
///
/// # Errors
/// When it cannot be made.
pub fn file_of(bytes: &[u8]) -> Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// A job that has begun to receive and waits for more.
#[derive(Debug)]
pub struct Stalled {
    /// Its path.
    pub job: OwnedObjectPath,
    /// The end of the pipe that it reads.
    pub input: PipeWriter,
}

impl Stalled {
    /// In the middle of [`unfinished`].
    ///
    /// # Errors
    /// When the service does not take it, or does not read it.
    pub fn start(client: &Client, name: &str) -> Result<Self> {
        let (reader, mut input) = std::io::pipe()?;
        let job = client.receive(&reader, &no_options())?;
        drop(reader);
        input.write_all(unfinished(name).bytes())?;
        client.until("the job reads", |client| Ok(client.get::<u64>(&job, JOB, "BytesReceived")? > 0))?;
        Ok(Self { job, input })
    }
}
