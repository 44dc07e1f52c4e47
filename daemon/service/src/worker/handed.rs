//! The descriptors that a worker gets with its order.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::dir_handle::DirHandle;
use crate::untrusted_fd::QuarantinedFd;

/// Descriptors that become a worker's. They are closed here when this is dropped, which never waits.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    /// What a caller passed. It comes first.
    pub stream: Option<QuarantinedFd>,
    /// Directories of our own.
    pub places: Vec<DirHandle>,
}

impl Handed {
    /// All of them, in the order in which a worker gets them.
    pub(super) fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        let stream = self.stream.as_ref().and_then(QuarantinedFd::socket);
        stream.into_iter().chain(self.places.iter().map(DirHandle::as_fd)).collect()
    }
}

impl<const N: usize> From<[DirHandle; N]> for Handed {
    fn from(places: [DirHandle; N]) -> Self {
        Self::from(Vec::from(places))
    }
}

impl From<Vec<DirHandle>> for Handed {
    fn from(places: Vec<DirHandle>) -> Self {
        Self { stream: None, places }
    }
}
