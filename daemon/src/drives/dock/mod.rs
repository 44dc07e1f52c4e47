//! The drives that are there, and what is done with each: one actor.

use std::fmt;
use std::future::{pending, ready};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_dbus::{Error, ErrorName};

use crate::backups::{Mark, Pin};

/// What a drive is called: short, and fit for a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DriveId(pub(crate) String);

/// Reaches the drives. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Dock;

/// A drive that one job has for itself, open.
#[derive(Debug)]
pub(crate) struct Lease {
    root: OwnedFd,
}

/// How a drive is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letting {
    /// As `on_finish` says.
    AsConfigured,
    /// So that it can be unplugged.
    Remove,
}

impl Dock {
    pub(crate) async fn lease(&self, _drive: &DriveId) -> Result<Lease, Error> {
        ready(Err(absent())).await
    }

    pub(crate) fn pins(&self, _backup: &str) -> Vec<Mark> {
        Vec::new()
    }

    pub(crate) async fn backed_up(&self, _drive: &DriveId, _backup: &str, _pin: Pin) -> Result<(), Error> {
        ready(Err(absent())).await
    }

    pub(crate) async fn let_go(&self, _drive: &DriveId, _letting: Letting) -> Result<(), Error> {
        ready(Err(absent())).await
    }
}

impl Lease {
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn mount_id(&self) -> u64 {
        0
    }

    pub(crate) async fn gone(&self) {
        pending().await
    }
}

fn absent() -> Error {
    Error::new(ErrorName::NotFound, "there is no such drive; plug it in")
}

impl fmt::Display for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
