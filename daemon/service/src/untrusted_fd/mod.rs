//! Descriptors that callers pass.
//!
//! A caller controls what a descriptor refers to. Closing it may block for ever: a filesystem in user space (FUSE)
//! gets a flush request at each close(2), also when a process exits or executes another program; a TCP socket may
//! linger; another process may hold a pipe's lock. So:
//!
//! * an unused descriptor is not in this process's table: it is queued as a [`QuarantinedFd`] inside a socket, which
//!   no fork copies, and from which it is dropped without a flush;
//! * a descriptor that was in the table for a moment is closed by a dedicated thread ([`close`]);
//! * threads that may block examine it, up to a limit for each user ([`borrow`]);
//! * it counts for its user until it is closed ([`FdCount`]).
//!
//! # The end of the service
//! A thread that such a filesystem blocks in close(2) cannot be ended: the request waits for its answer whatever
//! signals arrive (`FR_FORCE` in fs/fuse/dev.c), and a process exists until its last thread has ended. So a stopping
//! service ends everything else: it ends its jobs, releases its drives, gives up its name in time, and ends its main
//! thread; a program that waits for the process waits for the filesystem. No other order helps: exit(2) closes open
//! descriptors in the same way.

mod fd_count;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use butterdock_worker::packet::copy_descriptor;
use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::time::timeout;

use crate::blocking::{BlockingQueues, Closer, Unanswered};
pub use fd_count::FdCount;

/// Limit of threads that examine descriptors of one user.
const MOST: usize = 4;
/// Timeout until the examination of a descriptor can begin.
const TURN: Duration = Duration::from_secs(2);
/// Limit of threads that close descriptors.
const CLOSERS: usize = 64;

static USERS: BlockingQueues<u32> = BlockingQueues::new("looks", MOST);
static CLOSER: Closer = Closer::new("closer", CLOSERS);

/// Closes it soon. Never waits. It counts for its user until it is closed.
pub fn close(descriptor: OwnedFd, count: Option<FdCount>) {
    CLOSER.close((descriptor, count));
}

/// Why an examination has no result.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Too many of the user's descriptors are being examined, and do not answer.
    Busy,
    /// It does not answer.
    Silent,
    /// There is no thread or no descriptor left.
    System(io::Error),
}

/// Runs a closure with a copy of a quarantined descriptor of this user.
///
/// # Errors
/// See [`Lost`]; the descriptor is closed.
pub(crate) async fn borrow<T, F>(
    quarantined: QuarantinedFd,
    uid: u32,
    limit: Duration,
    look: F,
) -> Result<(QuarantinedFd, T), Lost>
where
    T: Send + 'static,
    F: FnOnce(BorrowedFd<'_>) -> T + Send + 'static,
{
    let turn = USERS.of(uid).turn(TURN).await.map_err(|_busy| Lost::Busy)?;
    let work = move || {
        let copy = quarantined.copy()?;
        let found = look(copy.as_fd());
        close(copy, quarantined.count.clone());
        Ok((quarantined, found))
    };
    match timeout(limit, turn.run(work)).await {
        Ok(Ok(looked)) => looked.map_err(Lost::System),
        Ok(Err(no_thread @ Unanswered::NoThread)) => Err(Lost::System(io::Error::other(no_thread))),
        Ok(Err(Unanswered::Busy | Unanswered::Silent)) | Err(_) => Err(Lost::Silent),
    }
}

/// The descriptor of a caller, queued inside a socket of this process.
#[derive(Debug)]
pub struct QuarantinedFd {
    /// None only while it is dropped.
    socket: Option<OwnedFd>,
    /// The count of its user, if it counts.
    count: Option<FdCount>,
}

impl QuarantinedFd {
    /// Queues a descriptor inside a socket, and closes it in this process in any case. Never waits. It counts for its user until it
    /// is closed.
    ///
    /// # Errors
    /// The process has no free descriptor for a socket, or the kernel refuses to queue this one (a socket that has descriptors queued).
    pub fn new(descriptor: OwnedFd, count: Option<FdCount>) -> io::Result<Self> {
        match put(&descriptor) {
            Ok(socket) => {
                close(descriptor, count.clone());
                Ok(Self { socket: Some(socket.into()), count })
            }
            Err(error) => {
                close(descriptor, count);
                Err(error)
            }
        }
    }

    /// A copy of the descriptor, to examine it, which may block the calling thread. [`close`] closes the copy without a wait.
    ///
    /// # Errors
    /// The process has no free descriptor.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        copy_descriptor(self.socket.as_ref().ok_or(io::ErrorKind::NotFound)?)
    }

    /// The socket, for a worker that takes the descriptor out.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for QuarantinedFd {
    /// Dropping the socket may drop the last reference to a file, which can block.
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            close(socket, self.count.take());
        }
    }
}

fn put(descriptor: impl AsFd) -> io::Result<UnixStream> {
    let (from, to) = UnixStream::pair()?;
    let rights = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&rights));
    retry_on_intr(|| sendmsg(&from, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _, pipe};
    use std::sync::{Arc, Mutex, mpsc};

    use butterdock_worker::packet::take_descriptor;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn quarantined() -> QuarantinedFd {
        QuarantinedFd::new(std::fs::File::open("/dev/null").expect("null").into(), None).expect("quarantined")
    }

    #[tokio::test]
    async fn blocking_descriptors_are_limited_per_user() {
        let (wake, sleeping) = mpsc::channel::<()>();
        let sleeping = Arc::new(Mutex::new(sleeping));
        for _ in 0..MOST {
            let sleeping = Arc::clone(&sleeping);
            let lost =
                borrow(quarantined(), 7001, SHORT, move |_| sleeping.lock().expect("whole").recv().is_err()).await;
            assert!(matches!(lost, Err(Lost::Silent)), "{lost:?}");
        }
        let lost = borrow(quarantined(), 7001, LONG, |_| ()).await;
        assert!(matches!(lost, Err(Lost::Busy)), "{lost:?}");
        assert!(borrow(quarantined(), 7002, LONG, |_| ()).await.is_ok());
        drop(wake);
        while borrow(quarantined(), 7001, LONG, |_| ()).await.is_err() {}
    }

    #[test]
    fn a_copied_descriptor_stays_in_quarantine() {
        let (mut reader, writer) = pipe().expect("a pipe");
        let quarantined = QuarantinedFd::new(writer.into(), None).expect("quarantined");
        for _ in 0..2 {
            let writer = quarantined.copy().expect("a descriptor");
            std::fs::File::from(writer).write_all(b"x").expect("written");
        }
        let taken = take_descriptor(quarantined.socket().expect("a socket")).expect("as a worker takes it");
        assert!(quarantined.copy().is_err(), "taken out");
        drop((taken, quarantined));
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read to the end");
        assert_eq!(text, "xx");
    }

    #[test]
    fn dropping_a_quarantined_descriptor_closes_it() {
        let (mut reader, writer) = pipe().expect("a pipe");
        drop(QuarantinedFd::new(writer.into(), None).expect("quarantined"));
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    }

    #[test]
    fn an_empty_socket_has_no_descriptor() {
        let (socket, other) = UnixStream::pair().expect("a pair");
        assert!(take_descriptor(&socket).is_err());
        drop(other);
        assert!(take_descriptor(&socket).is_err());
    }
}
