//! The directory that subvolumes are received into, and the state of its filesystem that a run depends on.
//!
//! A subvolume is created under a hidden name ([`hidden`]): in the staging directory ([`staging`]), or in the destination
//! itself where only root can enter that ([`access`]). It begins as a snapshot of its parent if it has one ([`parents`],
//! [`candidate`]). Others may get a place in it ([`nested`]). It is published when it is durable and the filesystem lost nothing
//! ([`health`]), with a record beside it ([`record`]), where a person can put a hold on it ([`hold`]). The next run sweeps what a crashed run left here ([`Destination::sweep`]).

mod access;
mod candidate;
mod health;
mod hidden;
mod hold;
mod nested;
mod parents;
mod record;
mod staging;
pub(crate) mod staging_file;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::lock_directory::{LockDirectory, is_at};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem, names, subvolume};

use crate::checkpoint;
use crate::error::{Cause, Error};
use crate::options::Publication;

pub use access::can_others_reach;
pub(crate) use health::{Health, check_extents};
pub use hidden::with_workspace;
pub(crate) use hidden::{HiddenSubvolume, PublishedState, publish};
pub use hold::{Hold, HoldLock, Holds, LONGEST_REASON};
pub use nested::NestedSubvolume;
pub(crate) use parents::Parents;
pub use record::{LONGEST_BACKUP, LONGEST_NESTED, NestedOrigin, Origin, Record, SubvolumeState};
pub use staging::{STAGING, Staging};

/// The names of hidden subvolumes and of their private directories begin with this; random hexadecimal digits follow.
pub(crate) const HIDDEN: &[u8] = b".butterdock-";
const DIGITS: usize = 32;
/// A sweep looks at up to this many records.
const RECORDS: usize = 256;

/// The destination directory, open.
#[derive(Debug)]
pub(crate) struct Destination {
    fd: OwnedFd,
    /// The directory in which subvolumes are received, if it is not the destination itself.
    staging: Option<Staging>,
    /// A hidden subvolume could not be deleted.
    left_hidden: AtomicBool,
}

impl Destination {
    /// Takes a directory of a btrfs filesystem.
    pub(crate) fn new(fd: BorrowedFd<'_>, publication: Publication) -> Result<Self, Error> {
        let fd = reopen(fd).map_err(|fault| Error::call("open the destination directory", fault))?;
        match filesystem::is_btrfs(&fd) {
            Ok(true) => {}
            Ok(false) => return Err(Error::new(Cause::NotBtrfs)),
            Err(fault) => return Err(Error::call("read the type of the destination's filesystem", fault)),
        }
        let staging = match publication {
            Publication::Snapshot => Some(Staging::open_or_make(fd.as_fd())?),
            Publication::Rename => None,
        };
        Ok(Self { fd, staging, left_hidden: AtomicBool::new(false) })
    }

    /// How a subvolume gets its name.
    pub(crate) fn publication(&self) -> Publication {
        if self.staging.is_some() { Publication::Snapshot } else { Publication::Rename }
    }

    /// The directory in which subvolumes are received.
    pub(crate) fn receiving_dir(&self) -> BorrowedFd<'_> {
        self.staging.as_ref().map_or(self.fd.as_fd(), |staging| staging.as_fd())
    }

    /// Whether the name exists in the destination.
    pub(crate) fn has(&self, name: &CStr) -> Result<bool, Error> {
        match file::stat_at(&self.fd, name) {
            Ok(_) => Ok(true),
            Err(fault) if fault.errno == Errno::ENOENT => Ok(false),
            Err(fault) => Err(Error::call("look up a name in the destination directory", fault)),
        }
    }

    /// Whether a hidden subvolume of this run is left.
    pub(crate) fn has_left_hidden(&self) -> bool {
        self.left_hidden.load(Ordering::Relaxed)
    }

    /// Another descriptor of the directory.
    pub(crate) fn duplicate(&self) -> Result<OwnedFd, Error> {
        reopen(self.fd.as_fd()).map_err(|fault| Error::call("open the destination directory", fault))
    }

    /// Deletes what crashed runs left: hidden subvolumes with a name of this form, owned by root, whose lock is free; and the
    /// private directories in which they were created. It looks into the staging directory too, also if this run does not
    /// use it.
    ///
    /// After it has a lock it looks at the name again: another process may have renamed or deleted the subvolume meanwhile.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        sweep(self.as_fd(), Owner::AnyUser)?;
        // The code that needs the directory reports an error of it.
        if let Ok(Some(staging)) = Staging::open_existing(self.as_fd()) {
            sweep(staging.as_fd(), Owner::Root)?;
        }
        // A checkpoint that cannot be deleted stays hidden and does not stop the run.
        best_effort(checkpoint::sweep(self.as_fd()));
        // The next sweep removes the records that stay; no subvolume belongs to them.
        best_effort(Record::remove_orphans(self.as_fd(), RECORDS));
        Ok(())
    }

    /// Opens a hidden subvolume by name.
    pub(crate) fn open_hidden(&self, name: &CStr) -> Result<OwnedFd, Fault> {
        file::openat_new(self.receiving_dir(), name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
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

/// Who can create files in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Root,
    AnyUser,
}

fn sweep(directory: BorrowedFd<'_>, owner: Owner) -> Result<(), Error> {
    let hidden =
        names::entries_where(directory, is_hidden).map_err(|fault| Error::call("list the destination", fault))?;
    for name in hidden {
        // A subvolume that cannot be deleted stays hidden and does not stop the run.
        best_effort(sweep_one(directory, &name, owner));
    }
    Ok(())
}

fn sweep_one(directory: BorrowedFd<'_>, name: &CStr, owner: Owner) -> Result<(), Fault> {
    let stat = file::stat_at(directory, name)?;
    if !stat.is_dir() {
        return Ok(());
    }
    if !subvolume::is_root(&stat) {
        return LockDirectory::take(directory, name)?.map_or(Ok(()), |private_dir| empty(&private_dir));
    }
    let fd = file::openat_new(directory, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    if !file::lock_exclusive(&fd)? || !is_at(directory, name, &fd)? {
        return Ok(());
    }
    // A run that crashed after it had set the root's final owner had marked the subvolume before.
    if owner == Owner::Root || file::stat(&fd)?.uid == 0 || subvolume::info(&fd)?.received_uuid != [0; 16] {
        // By name: a subvolume that was renamed meanwhile must not be deleted.
        nested::destroy(directory, name)?;
    }
    Ok(())
}

/// Deletes the subvolumes that were never moved out of a private directory. Only this crate can have created them there.
fn empty(private_dir: &LockDirectory<'_>) -> Result<(), Fault> {
    for name in names::entries_where(private_dir, is_hidden)? {
        let root = file::openat_new(private_dir, &name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        hidden::clear_refusing(&root)?;
        subvolume::destroy(private_dir, &name)?;
    }
    Ok(())
}

fn is_hidden(name: &CStr) -> bool {
    name.to_bytes().strip_prefix(HIDDEN).is_some_and(|digits| {
        digits.len() == DIGITS && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_form_are_swept() {
        assert!(is_hidden(c".butterdock-0123456789abcdef0123456789abcdef"));
        for name in [
            c".butterdock-",
            c".butterdock-ckpt-0123456789abcdef0123456789",
            c".butterdock-0123456789ABCDEF0123456789abcdef",
            c".butterdock-0123456789abcdef0123456789abcdef0",
            c"butterdock-0123456789abcdef0123456789abcdef",
        ] {
            assert!(!is_hidden(name), "{name:?}");
        }
    }
}
