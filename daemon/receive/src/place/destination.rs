//! The directory that subvolumes are received into.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, filesystem};

use crate::error::{Cause, Error};

/// Hidden subvolumes are named so, with the id of their job behind.
pub(crate) const HIDDEN: &[u8] = b".butterdock-";

/// The destination directory, open.
#[derive(Debug)]
pub(crate) struct Destination {
    fd: OwnedFd,
    /// Something hidden could not be deleted.
    pub(super) left: AtomicBool,
}

impl Destination {
    /// Takes a directory of a btrfs filesystem.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Self, Error> {
        let fd = reopen(fd).map_err(|fault| Error::call("open the destination directory", fault))?;
        match filesystem::is_btrfs(&fd) {
            Ok(true) => Ok(Self { fd, left: AtomicBool::new(false) }),
            Ok(false) => Err(Error::new(Cause::NotBtrfs)),
            Err(fault) => Err(Error::call("look at the destination's filesystem", fault)),
        }
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

    /// Opens a subvolume in it by name.
    pub(crate) fn open(&self, name: &CStr) -> Result<OwnedFd, Fault> {
        file::openat_new(&self.fd, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
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
