//! The socket to the bus. [`Admission`] judges each message before zbus sees it, and counts each that is sent.
//!
//! This replaces zbus's own transport, because zbus reads a message with its descriptors before any code of ours runs. A
//! client can pass a file of a FUSE filesystem whose close(2) never returns: dropping the message would stop the thread that
//! serves all clients. A client can also call and never read the answers, which dbus-daemon counts against the service: such
//! calls must be counted and refused before zbus starts their methods. zbus has no place to ask either question earlier.

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::sync::Arc;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::{Address, Connection, Message};

use super::admission::{Admission, LONGEST, LONGEST_CALL, Received};
use super::callers::Callers;
use super::fd_table::FdTable;
use super::header::{FIXED, Fixed, Kind};

/// The kernel passes up to this many at once (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;
/// The limit for the header of a message that is too long to be read whole.
const LONGEST_HEADER: usize = 64 << 10;

/// Connects to the bus at the address, or to the system's. A second connection asks who callers are.
///
/// # Errors
/// There is none, or it refuses the connection.
pub(super) async fn connect(address: Option<&str>, descriptors: FdTable) -> zbus::Result<(Connection, Callers)> {
    let address = address.map_or_else(Address::system, Address::try_from)?;
    let callers = Callers::new(Builder::address(address.clone()).build().await?);
    let Transport::Unix(unix) = address.transport() else {
        // Only Unix sockets pass descriptors and the user ids of clients.
        return Err(zbus::Error::Unsupported);
    };
    let stream = if let UnixSocket::File(path) = unix.path() {
        UnixStream::connect(path).await
    } else if let UnixSocket::Abstract(name) = unix.path() {
        abstract_socket(name)
    } else {
        // The other kinds name directories for a bus that starts.
        return Err(zbus::Error::Unsupported);
    };
    let stream = stream.map_err(|error| zbus::Error::Connection(Arc::new(error), Box::new(address.clone())))?;
    let (admission, refusals) = Admission::new(callers.clone(), descriptors);
    let connection = Builder::socket(Guarded { stream: Arc::new(stream), admission }).build().await?;
    tokio::spawn(refusals.send(connection.clone()));
    Ok((connection, callers))
}

/// Connecting to an abstract socket does not block.
fn abstract_socket(name: &OsStr) -> io::Result<UnixStream> {
    let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

struct Guarded {
    stream: Arc<UnixStream>,
    admission: Admission,
}

#[derive(Debug)]
struct Reader {
    stream: Arc<UnixStream>,
    admission: Admission,
}

#[derive(Debug)]
struct Writer {
    stream: Arc<UnixStream>,
    admission: Admission,
}

impl Socket for Guarded {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let Self { stream, admission } = self;
        let reader = Reader { stream: Arc::clone(&stream), admission: admission.clone() };
        Split::new(reader, Writer { stream, admission })
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        already_received_bytes: &mut Vec<u8>,
        already_received_fds: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        loop {
            let received = self.read(already_received_bytes, already_received_fds).await?;
            let Some(received) = received else { continue };
            let Some(message) = self.admission.judge(received).await else { continue };
            let fixed = message.fixed;
            let mut whole = Whole { bytes: message.bytes, read: 0, descriptors: message.descriptors };
            match whole.receive_message(seq, &mut Vec::new(), &mut Vec::new()).await {
                Ok(message) => return Ok(message),
                Err(error) => {
                    // The bus accepts messages that zbus refuses; they do not end the connection.
                    tracing::debug!("cannot parse a message on the bus: {error}");
                    self.admission.forget(&fixed, &whole.bytes);
                }
            }
        }
    }

    /// During the handshake, which consists of lines without descriptors.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.stream.async_io(Interest::READABLE, || receive(&self.stream, buffer)).await
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

impl Reader {
    /// The next message.
    async fn read(&mut self, early: &mut Vec<u8>, early_fds: &mut Vec<OwnedFd>) -> io::Result<Option<Received>> {
        let mut from = Incoming { reader: self, early, descriptors: std::mem::take(early_fds) };
        let mut first = [0; FIXED];
        from.fill(&mut first).await?;
        let Some(fixed) = Fixed::read(&first) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the bus sent an invalid message"));
        };
        let longest = if fixed.kind == Kind::Call { LONGEST_CALL } else { LONGEST };
        let kept = if fixed.total <= longest { fixed.total } else { fixed.header.min(LONGEST_HEADER) };
        let mut bytes = vec![0; kept];
        let (head, rest) = bytes.split_at_mut_checked(FIXED).ok_or(io::ErrorKind::InvalidData)?;
        head.copy_from_slice(&first);
        from.fill(rest).await?;
        from.skip(fixed.total.saturating_sub(kept)).await?;
        let descriptors = from.descriptors;
        Ok(Some(Received { fixed, bytes, descriptors }))
    }
}

/// The bytes of one message as they arrive.
struct Incoming<'r> {
    reader: &'r mut Reader,
    /// Bytes that arrived with the end of the handshake.
    early: &'r mut Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Incoming<'_> {
    async fn fill(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let count = self.some(buffer).await?;
            buffer = buffer.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }

    async fn skip(&mut self, mut left: usize) -> io::Result<()> {
        let mut scratch = vec![0; left.min(LONGEST_HEADER)];
        while left > 0 {
            let piece = scratch.get_mut(..left.min(LONGEST_HEADER)).unwrap_or_default();
            left = left.saturating_sub(self.some(piece).await?);
        }
        Ok(())
    }

    async fn some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let early = self.early.len().min(buffer.len());
        if early > 0 {
            for (to, from) in buffer.iter_mut().zip(self.early.drain(..early)) {
                *to = from;
            }
            return Ok(early);
        }
        let (count, found) = self.reader.recvmsg(buffer).await?;
        self.descriptors.extend(found);
        Ok(count)
    }
}

/// A message that was read whole, for zbus to parse.
#[derive(Debug)]
struct Whole {
    bytes: Vec<u8>,
    read: usize,
    descriptors: Vec<OwnedFd>,
}

#[async_trait]
impl ReadHalf for Whole {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let left = self.bytes.get(self.read..).unwrap_or_default();
        let count = left.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(left) {
            *to = *from;
        }
        self.read = self.read.saturating_add(count);
        Ok((count, std::mem::take(&mut self.descriptors)))
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let data = message.data();
        if !self.admission.is_wanted(message) {
            self.admission.sent(message, data.len());
            return Ok(());
        }
        let mut at = 0_usize;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            // The descriptors of a message go with its first bytes.
            let first = if at == 0 { data.fds() } else { &[] };
            let descriptors: Vec<BorrowedFd<'_>> = first.iter().map(AsFd::as_fd).collect();
            at = at.saturating_add(self.sendmsg(rest, &descriptors).await?);
        }
        self.admission.sent(message, data.len());
        Ok(())
    }

    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream.async_io(Interest::WRITABLE, || send(&self.stream, buffer, descriptors)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        // The bus sees the end of the service even if another process has a copy of the socket.
        Ok(rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// Sends bytes with descriptors; an answer has one at most.
fn send(stream: &UnixStream, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    if descriptors.is_empty() {
        return Ok(rustix::net::send(stream, buffer, flags)?);
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message has too many descriptors"));
    }
    Ok(sendmsg(stream, &[IoSlice::new(buffer)], &mut ancillary, flags)?)
}

/// At the limit of descriptors the kernel passes fewer than were sent, with all bytes.
fn receive(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)?;
    if got.bytes == 0 {
        return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the bus has closed the connection"));
    }
    let mut found = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            found.extend(rights);
        }
    }
    Ok((got.bytes, found))
}
