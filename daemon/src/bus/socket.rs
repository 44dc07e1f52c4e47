//! The socket to the bus. What comes through it besides bytes goes to the cloakroom before anybody sees it.

use std::ffi::OsStr;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream as StdStream};
use std::sync::Arc;

use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::{Address, Connection};

use super::cloakroom::Cloakroom;

/// The kernel passes no more at once (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;

/// Connects to the bus at the address, or to the system's.
///
/// # Errors
/// There is none, or it refuses the connection.
pub(super) async fn connect(address: Option<&str>, cloakroom: Cloakroom) -> zbus::Result<Connection> {
    let address = address.map_or_else(Address::system, Address::try_from)?;
    let Transport::Unix(unix) = address.transport() else {
        // No descriptors come through anything else.
        return Builder::address(address).build().await;
    };
    let stream = if let UnixSocket::File(path) = unix.path() {
        UnixStream::connect(path).await
    } else if let UnixSocket::Abstract(name) = unix.path() {
        abstract_socket(name)
    } else {
        // Folders are where a bus puts its socket.
        return Err(zbus::Error::Unsupported);
    };
    let stream = stream.map_err(|error| zbus::Error::Connection(Arc::new(error), Box::new(address.clone())))?;
    Builder::socket(Guarded { stream: Arc::new(stream), cloakroom }).build().await
}

/// It is there or not: to connect to it waits for nothing.
fn abstract_socket(name: &OsStr) -> io::Result<UnixStream> {
    let stream = StdStream::connect_addr(&SocketAddr::from_abstract_name(name.as_bytes())?)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

struct Guarded {
    stream: Arc<UnixStream>,
    cloakroom: Cloakroom,
}

#[derive(Debug)]
struct Reader {
    stream: Arc<UnixStream>,
    cloakroom: Cloakroom,
}

#[derive(Debug)]
struct Writer {
    stream: Arc<UnixStream>,
}

impl Socket for Guarded {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let Self { stream, cloakroom } = self;
        Split::new(Reader { stream: Arc::clone(&stream), cloakroom }, Writer { stream })
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let (count, found) = self.stream.async_io(Interest::READABLE, || receive(&self.stream, buffer)).await?;
        let tickets = found.into_iter().map(|descriptor| self.cloakroom.keep(descriptor)).collect::<io::Result<_>>()?;
        Ok((count, tickets))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if !descriptors.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the service passes no descriptors"));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.stream.async_io(Interest::WRITABLE, || Ok(rustix::net::send(&self.stream, buffer, flags)?)).await
    }

    async fn close(&mut self) -> io::Result<()> {
        // Whoever else has a copy: the bus sees that the service has ended.
        Ok(rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both)?)
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

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
