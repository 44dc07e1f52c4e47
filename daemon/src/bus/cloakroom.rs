//! What messages bring with them is kept here, and the messages carry tickets.
//!
//! A message closes what came with it where it is dropped, which is on the thread that does everything, also when nobody
//! asked for what came (a `Ping` may bring sixteen files). So what is in a message is a socket of this process's own; the
//! caller's descriptor waits, [`Parked`], for whoever shows that socket, and goes when the socket is gone.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use butterdock_dbus::{Error, ErrorName};
use tokio::net::UnixStream;

use crate::foreign::Parked;

/// The callers' descriptors. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Cloakroom {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By the ticket's inode, which is another socket's as soon as the ticket is gone: so each has a number too.
    parked: HashMap<u64, (u64, Parked)>,
    number: u64,
}

impl Cloakroom {
    /// Keeps the descriptor, and gives a ticket for it. Never waits.
    ///
    /// # Errors
    /// No descriptors are left for the ticket.
    pub(super) fn keep(&self, descriptor: OwnedFd) -> io::Result<OwnedFd> {
        let parked = Parked::new(descriptor);
        let (ticket, other) = StdStream::pair()?;
        match parked {
            Ok(parked) => {
                other.set_nonblocking(true)?;
                let other = UnixStream::from_std(other)?;
                let inode = inode(&ticket)?;
                let number = self.lock().add(inode, parked);
                let room = self.clone();
                tokio::spawn(async move {
                    // Nobody writes into a ticket: it can be read when it is closed.
                    other.readable().await.unwrap_or_default();
                    room.lock().remove(inode, number);
                });
            }
            Err(error) => tracing::warn!("a caller's descriptor cannot be kept: {error}"),
        }
        Ok(ticket.into())
    }

    /// What was given for the ticket. Once.
    ///
    /// # Errors
    /// It could not be kept.
    pub(super) fn claim(&self, ticket: impl AsFd) -> Result<Parked, Error> {
        let found = inode(ticket).ok().and_then(|inode| self.lock().parked.remove(&inode));
        found.map(|(_, parked)| parked).ok_or_else(|| {
            let text = "the descriptor cannot be kept; pass a pipe, a file or a socket, and try again later";
            Error::new(ErrorName::Failed, text)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, inode: u64, parked: Parked) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.parked.insert(inode, (self.number, parked));
        self.number
    }

    fn remove(&mut self, inode: u64, number: u64) {
        if self.parked.get(&inode).is_some_and(|(known, _)| *known == number) {
            self.parked.remove(&inode);
        }
    }
}

fn inode(ticket: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(ticket)?.st_ino)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_ticket_is_good_once_and_for_its_own() {
        let room = Cloakroom::default();
        let (_reader, writer) = io::pipe().expect("a pipe");
        let ticket = room.keep(writer.into()).expect("kept");
        let other = room.keep(std::fs::File::open("/dev/null").expect("null").into()).expect("kept");
        let copy = ticket.try_clone().expect("a copy");
        let writer = room.claim(&copy).expect("claimed").open().expect("a descriptor");
        std::fs::File::from(writer).write_all(b"x").expect("it is the pipe");
        assert!(room.claim(&ticket).is_err() && room.claim(io::stdin()).is_err());
        assert!(room.claim(&other).is_ok());
    }

    #[tokio::test]
    async fn what_nobody_claims_goes_with_its_ticket() {
        let room = Cloakroom::default();
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(room.keep(writer.into()).expect("kept"));
        let end = tokio::task::spawn_blocking(move || io::Read::read(&mut &reader, &mut [0]));
        assert_eq!(end.await.expect("whole").expect("the end"), 0);
    }
}
