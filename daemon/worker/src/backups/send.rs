//! The transfer: the kernel sends into a pipe, and the receiver reads it.

use std::io::{PipeWriter, pipe};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use butterdock_btrfs::send::{Send, send};
use butterdock_btrfs::{Errno, Error as Fault, best_effort};
use butterdock_receive::{Control, ErrorKind, Observer, Options, Outcome, receive};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;

use super::error::BackupError;

/// As large as a pipe may be without privileges.
const PIPE: i32 = 1 << 20;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Stream<'s> {
    /// The root of the snapshot.
    pub snapshot: BorrowedFd<'s>,
    /// The id of the snapshot to which the changes are told.
    pub parent: Option<u64>,
    /// Ids of snapshots that the stream may clone from.
    pub clone_sources: Vec<u64>,
    /// The version of the stream: 1 or 2.
    pub version: u32,
}

impl Stream<'_> {
    /// Sends it into `to` from a thread of its own, and closes that at the end.
    pub(super) fn sender<'scope, 'env: 'scope>(
        &'env self,
        threads: &'scope Scope<'scope, 'env>,
        to: PipeWriter,
        no_file_data: bool,
    ) -> std::io::Result<ScopedJoinHandle<'scope, Result<(), Fault>>> {
        // Where a user's pipes take up too much already, the pipe stays as it is.
        best_effort(fcntl(&to, FcntlArg::F_SETPIPE_SZ(PIPE)));
        Builder::new().name("sender".to_owned()).spawn_scoped(threads, move || {
            // A signal that this thread takes would make the kernel begin the stream again in the middle of the pipe.
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

    /// Sends it to the directory `destination` on the drive; everything is durable there afterwards.
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
            // A receiver that gave up reads no more: the sender sees that with its next byte.
            drop(reader);
            // A thread that panicked has ended the process.
            Ok((sender.join().unwrap_or(Ok(())), received))
        })?;
        match (sent, received) {
            (Ok(()) | Err(Fault { errno: Errno::EPIPE, .. }), received) => {
                received.map_err(|failure| BackupError::Receive(Box::new(failure)))
            }
            // Durable is durable: a whole stream was there before the sender failed.
            (Err(_), Ok(outcome)) => Ok(outcome),
            // What the receiver says is that the stream ended early; the sender knows why.
            (Err(fault), Err(failure)) if failure.error.kind() == ErrorKind::TruncatedStream => {
                Err(BackupError::source("send the snapshot")(fault))
            }
            (Err(_), Err(failure)) => Err(BackupError::Receive(Box::new(failure))),
        }
    }
}

/// A pipe or a thread could not be made.
pub(super) fn no_pipe(error: &std::io::Error) -> BackupError {
    BackupError::said(
        ErrorKind::Failed,
        format!("the worker cannot begin to send: {error}; free some memory and try again"),
    )
}
