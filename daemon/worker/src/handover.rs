//! A line and the descriptors that go with it, through a socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::line::LineBuffer;

/// More descriptors than this no order has.
pub const MOST_DESCRIPTORS: usize = 4;

/// Sends a line and descriptors in one piece. The line must fit the socket's buffer.
///
/// # Errors
/// There are more than [`MOST_DESCRIPTORS`], the socket has no room for the line, or the other end is closed.
pub fn send(socket: impl AsFd, line: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let too_many = descriptors.len() > MOST_DESCRIPTORS;
    if too_many || !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more descriptors than an order has"));
    }
    let sent = retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(line)], &mut ancillary, SendFlags::NOSIGNAL))?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Waits for the next bytes and takes them in, with the descriptors that come beside them. Answers whether any came:
/// none do when the other end is closed.
///
/// # Errors
/// The kernel's.
pub fn receive(socket: impl AsFd, lines: &mut LineBuffer, descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 1024];
    let received = retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    lines.push(bytes.get(..received.bytes).unwrap_or_default());
    Ok(received.bytes != 0)
}

/// Takes the one descriptor out of a socket that holds it.
///
/// # Errors
/// The socket holds none, or this process has no descriptor left.
pub fn take(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, flags))?;
    let found = ancillary.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut rights) = message else { return None };
        rights.next()
    });
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_line_arrives_with_its_descriptors() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        send(&ours, b"hello\n", &[writer.as_fd()]).expect("sent");
        drop(writer);
        let (mut lines, mut descriptors) = (LineBuffer::new(100), Vec::new());
        assert!(receive(&theirs, &mut lines, &mut descriptors).expect("received"));
        assert_eq!(lines.line(), Ok(Some(b"hello".to_vec())));
        let writer = descriptors.pop().expect("a descriptor");
        assert!(descriptors.is_empty());
        File::from(writer).write_all(b"x").expect("written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
        drop(ours);
        assert!(!receive(&theirs, &mut lines, &mut descriptors).expect("the end"));
    }

    #[test]
    fn more_descriptors_than_an_order_has_are_refused() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let null = File::open("/dev/null").expect("null");
        assert!(send(&ours, b"x\n", &[null.as_fd(); 5]).is_err());
    }
}
