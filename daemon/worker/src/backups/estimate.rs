//! How many bytes a stream will have.
//!
//! For an increment a send without data counts them. For a full transfer the kernel would need half as long for that as for
//! the transfer itself, on cores that the transfer needs; the subvolume's tree gives the same number at once.

use std::io::{Read as _, pipe};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::Error as Fault;
use butterdock_btrfs::contents::{Contents, contents, stored_since};
use butterdock_stream::{Command, Decoder, Event, Limits, Pool};

use super::error::BackupError;
use super::transfer::{Stream, no_pipe};

/// What a stream will bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Bytes of everything but data.
    pub commands: u64,
    /// Bytes of data, as the reader of the files sees them.
    pub data: u64,
    /// Bytes that the new data takes beside the source, compressed where it is.
    pub stored: u64,
}

impl Estimate {
    /// Of `stream`, which sends subvolume `id`; a parent's new extents are those after transaction `since`. None when it was
    /// `stopped`.
    pub(super) fn make(
        stream: &Stream<'_>,
        id: u64,
        since: u64,
        stopped: &AtomicBool,
    ) -> Result<Option<Self>, BackupError> {
        if stream.parent.is_some() {
            return Self::of_changes(stream, id, since, stopped);
        }
        let all = contents(stream.snapshot, id, || !stopped.load(Ordering::Relaxed));
        let all = all.map_err(BackupError::source("estimate what is to be sent"))?;
        Ok(all.map(|all| Self::of_everything(&all)))
    }

    /// Every inode is made, gets its name, owner, mode and times, and for each extent there is a write.
    fn of_everything(all: &Contents) -> Self {
        let path = all.path_bytes / all.names.max(1);
        let links = all.names.saturating_sub(all.inodes);
        let commands = [
            (all.inodes, INODE + 4 * path),
            (links, LINK + 2 * path),
            (all.xattrs, XATTR + path),
            (all.extents, WRITE + path),
            (all.compressed, ENCODED),
        ];
        let commands = commands
            .into_iter()
            .fold(all.xattr_bytes, |sum, (number, each)| sum.saturating_add(number.saturating_mul(each)));
        Self { commands, data: all.data, stored: all.stored }
    }

    /// Sends it without its data, and adds up.
    fn of_changes(stream: &Stream<'_>, id: u64, since: u64, stopped: &AtomicBool) -> Result<Option<Self>, BackupError> {
        let (mut reader, writer) = pipe().map_err(|error| no_pipe(&error))?;
        let (sent, counted) = std::thread::scope(|threads| {
            let sender = stream.sender(threads, writer, true).map_err(|error| no_pipe(&error))?;
            let counted = count(&mut reader, stopped);
            drop(reader);
            Ok((sender.join().unwrap_or(Ok(())), counted))
        })?;
        let estimating = BackupError::source("estimate what is to be sent");
        let Some(counted) = counted else { return sent.map(|()| None).or(Ok(None)) };
        sent.map_err(&estimating)?;
        let stored = stored_since(stream.snapshot, id, since).map_err(|fault: Fault| estimating(fault))?;
        Ok(Some(Self { stored, ..counted }))
    }

    /// Bytes of the stream. What is compressed comes as it is stored; what is stored twice may come once.
    pub(super) fn bytes(&self) -> u64 {
        self.commands.saturating_add(self.data.min(self.stored))
    }
}

/// Bytes of the commands of an inode without its paths: `mkfile`, `rename`, `chown`, `chmod`, `utimes`;
const INODE: u64 = 36 + 28 + 38 + 26 + 78;
/// of a `link`,
const LINK: u64 = 18;
/// a `set_xattr` without the name and value,
const XATTR: u64 = 22;
/// and a `write`, whose data is counted apart;
const WRITE: u64 = 28;
/// what is compressed comes as `encoded_write`, which is so much longer.
const ENCODED: u64 = 46;

/// None where the stream did not come whole.
fn count(reader: &mut std::io::PipeReader, stopped: &AtomicBool) -> Option<Estimate> {
    let mut decoder = Decoder::new(Limits::default(), Pool::default());
    let mut data = 0_u64;
    loop {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        match decoder.next() {
            Ok(Event::Command(framed)) => {
                if let Command::UpdateExtent { len, .. } = framed.command {
                    data = data.saturating_add(len);
                }
            }
            Ok(Event::Header(..)) => {}
            Ok(Event::Starved) => match reader.read(decoder.space().ok()?) {
                Ok(0) => {
                    decoder.finish().ok()?;
                    return Some(Estimate { commands: decoder.position(), data, stored: 0 });
                }
                Ok(count) => decoder.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            },
            Err(_) => return None,
        }
    }
}
