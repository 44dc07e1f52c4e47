//! The stream of a snapshot: sends it through a pipe into the receiver, and estimates how many bytes it will have.
//!
//! For the estimate of an increment a send without data counts the bytes. For a full transfer the kernel would need half as
//! long for that as for the transfer itself, on cores that the transfer needs; the subvolume's tree gives the same number at
//! once.

use std::io::{PipeWriter, Read as _, pipe};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use butterdock_btrfs::contents::{Contents, contents, flagged_since, stored_since};
use butterdock_btrfs::extents::disk_extents;
use butterdock_btrfs::long_paths::path_longer_than;
use butterdock_btrfs::send::{Send, send};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, roots};
use butterdock_receive::{Control, ErrorKind, Observer, Options, Outcome, Published, SubvolumeState, receive};
use butterdock_stream::{Command, Decoder, Event, Limits, Pool};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;

use super::error::{BackupCause, BackupError};
use super::task::BackupEvent;
use crate::file_parts::FileParts;

/// `BTRFS_INODE_NODATACOW`, `SYNC`, `IMMUTABLE`, `APPEND`, `NODUMP`, `NOATIME` and `DIRSYNC` (`linux/btrfs_tree.h`): the flags that
/// only a user sets, without those of compression, which is also an attribute.
const CHATTR_FLAGS: u64 = 0x2 | 0x20 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400;
/// The longest path in a stream: `PATH_MAX` less its NUL.
const LONGEST_PATH: usize = 4095;
/// The largest pipe without privileges (`/proc/sys/fs/pipe-max-size`).
const PIPE: i32 = 1 << 20;

/// A stream of a snapshot.
#[derive(Debug, Clone)]
pub(super) struct Stream<'s> {
    /// The root of the snapshot.
    pub snapshot: BorrowedFd<'s>,
    /// The id of the snapshot.
    pub id: u64,
    /// The id of the parent snapshot.
    pub parent: Option<u64>,
    /// The transaction that made the parent: later extents are new.
    pub since: u64,
    /// The ids of snapshots that the stream may clone from.
    pub clone_sources: Vec<u64>,
    /// The version of the stream: 1 or 2.
    pub version: u32,
    /// Where the snapshot is.
    pub side: SenderSide,
}

/// Where a snapshot that is sent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SenderSide {
    /// On the filesystem of a source.
    Source,
    /// On a drive, for a restore.
    Drive,
}

impl Stream<'_> {
    /// Sends it into `to` in a new thread, which closes `to` at the end.
    pub(super) fn sender<'scope, 'env: 'scope>(
        &'env self,
        threads: &'scope Scope<'scope, 'env>,
        to: PipeWriter,
        no_file_data: bool,
    ) -> std::io::Result<ScopedJoinHandle<'scope, Result<(), Fault>>> {
        // If the user's pipes exceed the kernel's limit, the pipe keeps its size.
        best_effort(fcntl(&to, FcntlArg::F_SETPIPE_SZ(PIPE)));
        Builder::new().name("sender".to_owned()).spawn_scoped(threads, move || {
            // After a signal the kernel would restart the call, and begin the stream again in the middle of the pipe.
            SigSet::all().thread_block().map_err(|errno| Fault { call: "pthread_sigmask", errno })?;
            let how = Send {
                to: to.as_fd(),
                parent: self.parent,
                clone_sources: &self.clone_sources,
                version: self.version,
                compressed: self.version >= 2,
                no_file_data,
            };
            send(self.snapshot, &how)
        })
    }

    /// Sends it and receives it into the directory `destination`. Returns when everything is durable.
    pub(super) fn transfer(
        &self,
        destination: BorrowedFd<'_>,
        options: &Options,
        control: &Control,
        observer: &dyn Observer,
    ) -> Result<Outcome, BackupError> {
        let (reader, writer) = pipe().map_err(|error| no_pipe(&error))?;
        let (sent, received) = std::thread::scope(|threads| {
            let sender = self.sender(threads, writer, false).map_err(|error| no_pipe(&error))?;
            let received = receive(reader.as_fd(), destination, options, control, observer);
            // If the receiver failed, the sender gets EPIPE.
            drop(reader);
            // A panic would have ended the process.
            Ok((sender.join().unwrap_or(Ok(())), received))
        })?;
        match (sent, received) {
            (Ok(()) | Err(Fault { errno: Errno::EPIPE, .. }), received) => {
                received.map_err(|failure| BackupError::Receive(Box::new(failure)))
            }
            // The receiver got the complete stream before the sender failed.
            (Err(_), Ok(outcome)) => Ok(outcome),
            // The receiver only knows that the stream ended early; the sender knows the reason.
            (Err(fault), Err(failure)) if failure.error.kind() == ErrorKind::TruncatedStream => {
                Err(self.not_sent(fault, failure.counts.bytes_written, control))
            }
            (Err(_), Err(failure)) => Err(BackupError::Receive(Box::new(failure))),
        }
    }
}

impl Stream<'_> {
    /// Reports how many new inodes have flags that the kernel does not send: it sends only changes of flags.
    pub(super) fn report_flags(streams: &[Self], report: &dyn Fn(BackupEvent)) {
        // Their number is only for a note: without it the backup is as good.
        let flagged = |stream: &Self| flagged_since(stream.snapshot, stream.id, stream.since, CHATTR_FLAGS);
        let counts = streams.iter().filter_map(|stream| flagged(stream).ok());
        let count = counts.fold(0, u64::saturating_add);
        if count > 0 {
            report(BackupEvent::FlagsNotSent { count });
        }
    }

    /// Why the kernel's send failed, after the receiver got this many bytes of data.
    fn not_sent(&self, fault: Fault, received: u64, control: &Control) -> BackupError {
        if fault.errno == Errno::ENAMETOOLONG
            && let Ok(Some(path)) = path_longer_than(self.snapshot, 0, LONGEST_PATH)
        {
            return BackupError::about(&path, BackupCause::PathTooLong);
        }
        if fault.errno == Errno::EROFS && self.side == SenderSide::Drive {
            // A mount that is only read-only is no reason: the snapshot is read-only, too.
            return BackupError::because(BackupCause::LogNotReplayed);
        }
        let is_data = fault.errno == Errno::EIO;
        let damaged = is_data.then(|| damaged_file(self.snapshot, self.since, received, control)).flatten();
        match (damaged, self.side) {
            (Some(path), side) => BackupError::damaged(&path, side == SenderSide::Drive),
            (None, SenderSide::Source) => BackupError::source("send the snapshot")(fault),
            (None, SenderSide::Drive) => BackupError::drive("send the snapshot")(fault),
        }
    }
}

/// The error if a pipe or a thread cannot be made.
pub(super) fn no_pipe(error: &std::io::Error) -> BackupError {
    BackupError::new(
        ErrorKind::Failed,
        format!("the worker cannot begin to send: {error}; free some memory and try again"),
    )
}

/// The state of the last received subvolume, on the filesystem of `destination`.
pub(super) fn received(destination: impl AsFd, outcome: &Outcome) -> Result<SubvolumeState, Fault> {
    let id = outcome.subvolumes.last().map_or(0, |Published { id, .. }| *id);
    Ok(roots::root_item(destination, id)?.map(|item| SubvolumeState::of_item(&item)).unwrap_or_default())
}

/// The estimated size of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Estimate {
    /// Bytes of all commands without their data.
    pub commands: u64,
    /// Bytes of data, decompressed. Extents that several files share count once.
    pub data: u64,
    /// Bytes of the new data on the source's disk, compressed where it is. Extents that several files share count once.
    pub stored: u64,
    /// It is not known how much of the data is shared, so it may be far less.
    pub is_upper_bound: bool,
}

impl Estimate {
    /// Estimates all streams of a run. `None` if it was `stopped`.
    pub(super) fn make(streams: &[Stream<'_>], stopped: &AtomicBool) -> Result<Option<Self>, BackupError> {
        let mut sum = Self::default();
        for stream in streams {
            let Some(one) = Self::of(stream, stopped)? else { return Ok(None) };
            sum = sum.with(&one);
        }
        Ok(Some(sum))
    }

    fn with(self, other: &Self) -> Self {
        Self {
            commands: self.commands.saturating_add(other.commands),
            data: self.data.saturating_add(other.data.min(other.stored)),
            stored: self.stored.saturating_add(other.data.min(other.stored)),
            is_upper_bound: self.is_upper_bound || other.is_upper_bound,
        }
    }

    fn of(stream: &Stream<'_>, stopped: &AtomicBool) -> Result<Option<Self>, BackupError> {
        if stream.parent.is_some() {
            return Self::of_changes(stream, stopped);
        }
        let all = contents(stream.snapshot, stream.id, || !stopped.load(Ordering::Relaxed));
        let all = all.map_err(BackupError::source("estimate what is to be sent"))?;
        Ok(all.map(|all| Self::of_everything(&all)))
    }

    /// A full transfer: each inode is made and gets its name, owner, mode and times; each extent is a write.
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
        Self { commands, data: all.data, stored: all.stored, is_upper_bound: all.is_upper_bound }
    }

    /// An increment: sends it without data, and counts.
    fn of_changes(stream: &Stream<'_>, stopped: &AtomicBool) -> Result<Option<Self>, BackupError> {
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
        let stored =
            stored_since(stream.snapshot, stream.id, stream.since).map_err(|fault: Fault| estimating(fault))?;
        Ok(Some(Self { stored: stored.bytes, is_upper_bound: stored.is_upper_bound, ..counted }))
    }

    /// Bytes of the stream. Compressed data is sent as it is stored, and shared extents once.
    pub(super) fn bytes(&self) -> u64 {
        self.commands.saturating_add(self.data.min(self.stored))
    }
}

/// Bytes of the commands of an inode without its paths: `mkfile`, `rename`, `chown`, `chmod`, `utimes`.
const INODE: u64 = 36 + 28 + 38 + 26 + 78;
/// Bytes of a `link` without its paths.
const LINK: u64 = 18;
/// Bytes of a `set_xattr` without path, name and value.
const XATTR: u64 = 22;
/// Bytes of a `write` without path and data.
const WRITE: u64 = 28;
/// The additional bytes of an `encoded_write`.
const ENCODED: u64 = 46;

/// Counts the bytes of a stream without data; `None` if the stream is incomplete.
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
                    return Some(Estimate { commands: decoder.position(), data, ..Estimate::default() });
                }
                Ok(count) => decoder.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            },
            Err(_) => return None,
        }
    }
}

/// Data before what was received, less this, is not read again: clones and writer threads make the number inexact.
const SLACK: u64 = 256 << 20;

/// The path of the first file in a snapshot that cannot be read; `None` if all can. With a parent, only extents after transaction
/// `since` are read. `received` is how many bytes of data the receiver got.
pub(super) fn damaged_file(snapshot: BorrowedFd<'_>, since: u64, received: u64, control: &Control) -> Option<Vec<u8>> {
    let mut parts = FileParts::new(snapshot);
    let (mut passed, mut found) = (0_u64, None);
    let searched = disk_extents(snapshot, 0, |extent| {
        if control.is_cancelled() {
            return ControlFlow::Break(());
        }
        if extent.generation <= since {
            return ControlFlow::Continue(());
        }
        passed = passed.saturating_add(extent.len);
        if passed.saturating_add(SLACK) < received {
            return ControlFlow::Continue(());
        }
        match parts.can_read(0, &extent) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => {
                found = Some(parts.path());
                ControlFlow::Break(())
            }
            // Without the file no other can be blamed.
            Err(_) => ControlFlow::Break(()),
        }
    });
    searched.ok()?;
    found
}
