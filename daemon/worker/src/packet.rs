//! Packets between the service and a worker: a message and its descriptors.
//!
//! The kernel keeps the packets of a `SOCK_SEQPACKET` pair apart and reports a packet that did not fit the reader's buffer. So
//! there is no framing here, and a message is never received in part.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair, sockopt,
};

/// The longest message.
pub const MAX_MESSAGE: usize = 128 << 10;

/// The largest number of descriptors of a message.
pub const MAX_DESCRIPTORS: usize = 4;

/// A received message.
#[derive(Debug)]
pub struct Packet {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
}

/// Two connected sockets.
///
/// # Errors
/// The process has no free descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // The kernel refuses a packet that is larger than the send buffer. Its default size is a sysctl.
    for socket in [&one, &other] {
        sockopt::set_socket_send_buffer_size(socket, 2 * MAX_MESSAGE)?;
    }
    Ok((one, other))
}

/// Sends a message with its descriptors. Waits for room in the socket unless the flags contain `DONTWAIT`.
///
/// # Errors
/// More than [`MAX_DESCRIPTORS`] descriptors, a message longer than [`MAX_MESSAGE`], or a closed socket.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
    if bytes.len() > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let too_many = descriptors.len() > MAX_DESCRIPTORS;
    if too_many || !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message has too many descriptors"));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, flags))?;
    Ok(())
}

/// Receives the next message; `None` if the other end is closed. Waits for a message unless the flags contain `DONTWAIT`.
///
/// # Errors
/// `InvalidData` if the message is longer than [`MAX_MESSAGE`]: do not trust its sender. `WouldBlock` with
/// `RecvFlags::DONTWAIT` if there is no message yet.
pub fn receive(socket: impl AsFd, flags: RecvFlags) -> io::Result<Option<Packet>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; MAX_MESSAGE];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let mut receive = || recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags);
    let received = match retry_on_intr(&mut receive) {
        // The other end closed before it had read all messages. The kernel reports this once, before its last messages.
        Err(Errno::CONNRESET) => retry_on_intr(receive)?,
        received => received?,
    };
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    bytes.truncate(received.bytes);
    Ok((received.bytes != 0).then_some(Packet { bytes, descriptors }))
}

/// Receives the one descriptor that is queued in a socket.
///
/// # Errors
/// The socket contains no descriptor, or this process has no free descriptors.
pub fn take_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    first_descriptor(socket, RecvFlags::empty())
}

/// Copies the descriptor that [`take_descriptor`] would take out; it stays in the socket.
///
/// # Errors
/// As for [`take_descriptor`].
pub fn copy_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    first_descriptor(socket, RecvFlags::PEEK)
}

fn first_descriptor(socket: impl AsFd, flags: RecvFlags) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
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

    use super::*;

    fn send(socket: impl AsFd, bytes: &[u8]) {
        super::send(socket, bytes, &[], SendFlags::empty()).expect("sent");
    }

    fn receive(socket: impl AsFd) -> Option<Vec<u8>> {
        super::receive(socket, RecvFlags::DONTWAIT).expect("received").map(|packet| packet.bytes)
    }

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (ours, theirs) = pair().expect("a pair");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        super::send(&ours, b"hello", &[writer.as_fd()], SendFlags::empty()).expect("sent");
        drop(writer);
        let mut packet = super::receive(&theirs, RecvFlags::empty()).expect("received").expect("a message");
        assert_eq!(packet.bytes, b"hello");
        let writer = packet.descriptors.pop().expect("a descriptor");
        assert!(packet.descriptors.is_empty());
        File::from(writer).write_all(b"x").expect("written");
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
        drop(ours);
        assert_eq!(receive(&theirs), None);
    }

    #[test]
    fn messages_up_to_the_longest_stay_apart() {
        let (ours, theirs) = pair().expect("a pair");
        let messages = [&b"one"[..], b"\n", &vec![b'x'; MAX_MESSAGE]];
        messages.iter().for_each(|message| send(&ours, message));
        for message in messages {
            assert_eq!(receive(&theirs).as_deref(), Some(message));
        }
    }

    #[test]
    fn an_overlong_message_is_neither_sent_nor_received() {
        let (ours, theirs) = pair().expect("a pair");
        let long = vec![0; MAX_MESSAGE + 1];
        assert!(super::send(&ours, &long, &[], SendFlags::empty()).is_err());
        rustix::io::write(&ours, &long).expect("written past the check");
        let error = super::receive(&theirs, RecvFlags::empty()).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn messages_sent_before_a_close_arrive() {
        let (ours, theirs) = pair().expect("a pair");
        send(&theirs, b"never read");
        send(&ours, b"last");
        drop(ours);
        assert_eq!(receive(&theirs), Some(b"last".to_vec()));
        assert_eq!(receive(&theirs), None);
    }

    #[test]
    fn too_many_descriptors_are_refused() {
        let (ours, _theirs) = pair().expect("a pair");
        let null = File::open("/dev/null").expect("null");
        assert!(super::send(&ours, b"x", &[null.as_fd(); 5], SendFlags::empty()).is_err());
    }
}
