//! The directory that subvolumes are received into.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, filesystem};

use super::staging::Staging;
use crate::error::{Cause, Error};
use crate::options::Publication;

/// Hidden subvolumes are named so, with the id of their job behind.
pub(crate) const HIDDEN: &[u8] = b".butterdock-";

/// The destination directory, open.
#[derive(Debug)]
pub(crate) struct Destination {
    fd: OwnedFd,
    /// Where subvolumes are received, if not in the destination itself.
    staging: Option<Staging>,
    /// Something hidden could not be deleted.
    pub(super) left: AtomicBool,
}

impl Destination {
    /// Takes a directory of a btrfs filesystem.
    pub(crate) fn new(fd: BorrowedFd<'_>, publication: Publication) -> Result<Self, Error> {
        let fd = reopen(fd).map_err(|fault| Error::call("open the destination directory", fault))?;
        match filesystem::is_btrfs(&fd) {
            Ok(true) => {}
            Ok(false) => return Err(Error::new(Cause::NotBtrfs)),
            Err(fault) => return Err(Error::call("look at the destination's filesystem", fault)),
        }
        let staging = match publication {
            Publication::Snapshot => Some(Staging::open_or_make(fd.as_fd())?),
            Publication::Rename => None,
        };
        Ok(Self { fd, staging, left: AtomicBool::new(false) })
    }

    /// How a subvolume gets its name.
    pub(crate) fn publication(&self) -> Publication {
        if self.staging.is_some() { Publication::Snapshot } else { Publication::Rename }
    }

    /// The directory in which subvolumes are received.
    pub(crate) fn workplace(&self) -> BorrowedFd<'_> {
        self.staging.as_ref().map_or(self.fd.as_fd(), |staging| staging.as_fd())
    }

    /// Whether something has this name.
    pub(crate) fn has(&self, name: &CStr) -> Result<bool, Error> {
        match file::stat_at(&self.fd, name) {
            Ok(_) => Ok(true),
            Err(fault) if fault.errno == Errno::ENOENT => Ok(false),
            Err(fault) => Err(Error::call("look into the destination directory", fault)),
        }
    }

    /// Whether something hidden of this run is still there.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Another descriptor of it.
    pub(crate) fn duplicate(&self) -> Result<OwnedFd, Error> {
        reopen(self.fd.as_fd()).map_err(|fault| Error::call("open the destination directory", fault))
    }

    /// Opens a hidden subvolume by name.
    pub(crate) fn open_hidden(&self, name: &CStr) -> Result<OwnedFd, Fault> {
        file::openat_new(self.workplace(), name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
    }
}

impl AsFd for Destination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A name for a published subvolume: one part, not hidden.
pub(crate) fn subvolume_name(name: &[u8]) -> Result<CString, Error> {
    let refused = || Error::new(Cause::SubvolumeName(name.to_vec()));
    if name.is_empty()
        || name.len() > 255
        || name == b"."
        || name == b".."
        || name.contains(&b'/')
        || name.starts_with(HIDDEN)
    {
        return Err(refused());
    }
    CString::new(name).map_err(|_nul| refused())
}

fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    file::open_beneath(fd, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
}
