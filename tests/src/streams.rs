//! A stream, its expected result, and a pipe that delivers it in pieces.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc};

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::subvolume;
use butterdock_dbus::names::interface::JOB;
use zbus::OwnedObjectPath;

use crate::trees::{Content, Random};
use crate::wire::Stream;
use crate::{Client, no_options};

/// A subvolume and its stream.
#[derive(Debug, Clone)]
pub struct Load {
    name: String,
    stream: Arc<[u8]>,
    files: Vec<(String, Vec<u8>)>,
}

impl Load {
    /// A subvolume with this number of files, the same for the same seed.
    #[must_use]
    pub fn new(name: &str, files: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let size = |random: &mut Random| usize::try_from(1 + random.below(90_000)).unwrap_or(1);
        let files: Vec<_> = (0..files)
            .map(|number| (format!("f{number}"), Content::Noise.bytes(size(&mut random), random.number())))
            .collect();
        let mut stream = Stream::new(1).subvol(name);
        for (file, content) in &files {
            stream = stream.mkfile(file);
            let mut offset = 0;
            for piece in content.chunks(48 << 10) {
                stream = stream.write(file, offset, piece);
                offset += piece.len() as u64;
            }
            stream = stream.chmod(file, 0o640).utimes(file, 1_700_000_000, 0);
        }
        Self { name: name.to_owned(), stream: stream.end().bytes().into(), files }
    }

    /// The subvolume's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.stream
    }

    /// The stream in an open file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn file(&self, path: &Path) -> Result<File> {
        fs::write(path, &self.stream)?;
        Ok(File::open(path)?)
    }

    /// A pipe, and the writer that fills it.
    ///
    /// # Errors
    /// When there is no pipe.
    pub fn pipe(&self) -> Result<(PipeReader, Feed)> {
        let (reader, writer) = std::io::pipe()?;
        Ok((reader, Feed::new(writer, Arc::clone(&self.stream))))
    }

    /// Starts a job that gets the first half of the stream and has read a part of it.
    ///
    /// # Errors
    /// The service refuses, or the job does not read.
    pub fn half(&self, client: &Client, volume: &str) -> Result<(String, Feed)> {
        let (stream, feed) = self.pipe()?;
        let job = client.receive(volume, &stream)?;
        drop(stream);
        feed.up_to(self.stream.len() / 2);
        client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
        Ok((job, feed))
    }

    /// Checks that the subvolume in `folder` is complete, read-only and marked as received.
    ///
    /// # Errors
    /// The first difference.
    pub fn is_whole_in(&self, folder: &Path) -> Result<()> {
        let root = folder.join(&self.name);
        let open = File::open(&root).with_context(|| format!("{}", root.display()))?;
        ensure!(subvolume::is_read_only(&open)?, "{} can be written", root.display());
        ensure!(subvolume::info(&open)?.received_uuid != [0; 16], "{} is not marked", root.display());
        for (file, content) in &self.files {
            let path = root.join(file);
            ensure!(fs::read(&path)? == *content, "{} has other content", path.display());
            ensure!(fs::metadata(&path)?.mode() & 0o7777 == 0o640, "{} has another mode", path.display());
        }
        let there = fs::read_dir(&root)?.count();
        ensure!(there == self.files.len(), "{there} files, and {} were sent", self.files.len());
        Ok(())
    }
}

/// Writes a stream into a pipe, up to the byte that the test allows. When dropped, it closes the pipe: the stream is truncated.
#[derive(Debug)]
pub struct Feed {
    more: Option<mpsc::Sender<usize>>,
    length: usize,
}

impl Feed {
    fn new(mut pipe: PipeWriter, stream: Arc<[u8]>) -> Self {
        let (more, wanted) = mpsc::channel();
        let length = stream.len();
        // It waits where the reader does not read, and ends when the reader is gone.
        std::thread::spawn(move || {
            let mut at = 0;
            for end in wanted {
                let end = usize::min(end, stream.len());
                if let Some(piece) = stream.get(at..end)
                    && pipe.write_all(piece).is_err()
                {
                    return;
                }
                at = end.max(at);
            }
        });
        Self { more: Some(more), length }
    }

    /// Writes up to this byte, as soon as the reader reads.
    pub fn up_to(&self, byte: usize) {
        if let Some(more) = &self.more {
            more.send(byte).ok();
        }
    }

    /// Writes the rest and closes the pipe.
    pub fn finish(mut self) {
        self.up_to(self.length);
        self.more = None;
    }
}

/// The start of a stream.
#[must_use]
pub fn unfinished(name: &str) -> Stream {
    Stream::new(2).subvol(name).mkdir("d").mkfile("d/f").write("d/f", 0, [b'x'; 8192])
}

/// A complete stream with one small subvolume.
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

/// A job that has read the start of a stream and waits for more.
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
        let job = client.receive_with(&reader, &no_options())?;
        drop(reader);
        input.write_all(unfinished(name).bytes())?;
        client.until("the job reads", |client| Ok(client.get::<u64>(&job, JOB, "BytesReceived")? > 0))?;
        Ok(Self { job, input })
    }
}
