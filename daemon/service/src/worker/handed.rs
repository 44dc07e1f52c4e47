//! What goes to a worker beside its order.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::anchor::Anchor;
use crate::foreign::Parked;

/// Descriptors that become a worker's. They are closed here when this is dropped, which never waits.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// What a caller passed. It comes first.
    pub stream: Option<Parked>,
    /// Directories of our own.
    pub places: Vec<Anchor>,
}

impl Handed {
    /// All of them, in the order in which a worker gets them.
    pub(super) fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        let stream = self.stream.as_ref().and_then(Parked::socket);
        stream.into_iter().chain(self.places.iter().map(Anchor::as_fd)).collect()
    }
}

impl<const N: usize> From<[Anchor; N]> for Handed {
    fn from(places: [Anchor; N]) -> Self {
        Self::from(Vec::from(places))
    }
}

impl From<Vec<Anchor>> for Handed {
    fn from(places: Vec<Anchor>) -> Self {
        Self { stream: None, places }
    }
}
