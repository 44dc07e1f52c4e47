//! The files of checkpoints on the destination: the snapshot beside the hidden subvolume, and the journal in the staging directory.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, OFlag};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names, subvolume};

use super::journal::{Journal, LONGEST, Slot};
use crate::destination::staging_file::{self, NEW};
use crate::destination::{Destination, Staging};
use crate::error::{Cause, Error, doing};

/// The snapshots have the name `.butterdock-checkpoint-<name of the journal>-<slot>`. It is hidden, and no hidden subvolume of a run.
const SNAPSHOT: &str = ".butterdock-checkpoint-";
/// The directory that a run locks has its name with this.
const LOCK: &str = ".lock";
/// The length of a journal's name.
const DIGITS: usize = 32;
/// How directories are opened.
pub(super) const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Deletes the checkpoint of a transfer: the journal first, so that no journal is without its snapshot.
pub(super) fn discard(destination: &Destination, journals: &OwnedFd, name: &str) -> Result<(), Error> {
    remove(journals, &c_name(name).map_err(naming())?)?;
    for slot in Slot::ALL {
        destroy(destination.receiving_dir(), &snapshot_name(name, slot)?).map_err(doing("delete a checkpoint"))?;
    }
    Ok(())
}

/// Deletes what killed runs left in the directory of `destination`: snapshots that no journal names, and journals whose snapshot is
/// missing.
pub(crate) fn sweep(destination: BorrowedFd<'_>) -> Result<(), Error> {
    let Some((staging, journals)) = open_existing(destination)? else { return Ok(()) };
    let directories = [destination, staging.as_fd()];
    for name in names_of(&journals, &directories)? {
        // A run that holds the claim looks after its files itself.
        let Some(_claim) = claim(&journals, &name).map_err(doing("lock a checkpoint"))? else { continue };
        remove_temporary(&journals, &name)?;
        let named = read(&journals, &name)?.and_then(|bytes| Journal::slot_in(&bytes));
        let snapshots = snapshots_of(&directories, &name)?;
        for (directory, slot) in &snapshots {
            if named != Some(*slot) {
                best_effort(destroy(*directory, &snapshot_name(&name, *slot)?));
            }
        }
        if named.is_some_and(|slot| !snapshots.iter().any(|(_, found)| *found == slot)) {
            remove(&journals, &c_name(&name).map_err(naming())?)?;
        }
    }
    Ok(())
}

/// Deletes all checkpoints that no run uses; returns the number of journals.
pub(super) fn discard_all(destination: BorrowedFd<'_>) -> Result<u64, Error> {
    let Some((staging, journals)) = open_existing(destination)? else { return Ok(0) };
    let directories = [destination, staging.as_fd()];
    let mut count: u64 = 0;
    for name in names_of(&journals, &directories)? {
        let Some(_claim) = claim(&journals, &name).map_err(doing("lock a checkpoint"))? else { continue };
        count = count.saturating_add(u64::from(read(&journals, &name)?.is_some()));
        remove(&journals, &c_name(&name).map_err(naming())?)?;
        remove_temporary(&journals, &name)?;
        for (directory, slot) in snapshots_of(&directories, &name)? {
            destroy(directory, &snapshot_name(&name, slot)?).map_err(doing("delete a checkpoint"))?;
        }
    }
    Ok(count)
}

fn open_existing(destination: BorrowedFd<'_>) -> Result<Option<(Staging, OwnedFd)>, Error> {
    let Some(staging) = Staging::open_existing(destination)? else { return Ok(None) };
    Ok(staging.checkpoints()?.map(|journals| (staging, journals)))
}

/// The snapshots of a transfer, each with its directory. Asked with the claim: until then a run may make and delete some.
fn snapshots_of<'d>(directories: &[BorrowedFd<'d>], name: &str) -> Result<Vec<(BorrowedFd<'d>, Slot)>, Error> {
    let mut found = Vec::new();
    for &directory in directories {
        for slot in Slot::ALL {
            match file::stat_at(directory, &snapshot_name(name, slot)?) {
                Err(Fault { errno: Errno::ENOENT, .. }) => {}
                other => found.push(other.map(|_| (directory, slot)).map_err(doing("look for a checkpoint"))?),
            }
        }
    }
    Ok(found)
}

/// The names of all transfers with a journal or a snapshot, and of those of which a killed run left its lock or a temporary file.
fn names_of(journals: &OwnedFd, directories: &[BorrowedFd<'_>]) -> Result<BTreeSet<String>, Error> {
    let of_journal = |name: &CStr| {
        let name = name.to_str().ok()?;
        Some(name.strip_suffix(NEW).or(name.strip_suffix(LOCK)).unwrap_or(name).to_owned())
    };
    let mut found = transfers(journals.as_fd(), of_journal)?;
    for &directory in directories {
        found.extend(transfers(directory, transfer_of_snapshot)?);
    }
    Ok(found)
}

/// The names of transfers that the names in a directory have.
fn transfers(directory: BorrowedFd<'_>, of: impl Fn(&CStr) -> Option<String>) -> Result<BTreeSet<String>, Error> {
    let of = |name: &CStr| of(name).filter(|name| is_name(name.as_bytes()));
    let all = names::entries_where(directory, |name| of(name).is_some()).map_err(doing("list the checkpoints"))?;
    Ok(all.iter().filter_map(|name| of(name)).collect())
}

/// A run makes a temporary file only while it holds the claim.
fn remove_temporary(journals: &OwnedFd, name: &str) -> Result<(), Error> {
    best_effort(names::unlink(journals, &c_name(&format!("{name}{NEW}")).map_err(naming())?));
    Ok(())
}

/// Locks a transfer; none if another run has the lock.
pub(super) fn claim<'d>(journals: &'d OwnedFd, name: &str) -> Result<Option<LockDirectory<'d>>, Fault> {
    let name = c_name(&format!("{name}{LOCK}"))?;
    match LockDirectory::create(journals.as_fd(), &name)? {
        Some(claim) => Ok(Some(claim)),
        // A killed run may have left it.
        None => LockDirectory::take(journals.as_fd(), &name),
    }
}

/// The content of a journal's file; none if there is none. That of a file which is too long, or no file of root's, is empty.
pub(super) fn read(journals: &OwnedFd, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let read =
        staging_file::read(journals, &c_name(name).map_err(naming())?, LONGEST, "read the journal of a checkpoint");
    match read {
        Err(Error { cause: Cause::Record(_), .. }) => Ok(Some(Vec::new())),
        other => other,
    }
}

/// Writes a journal. When this returns, it is on the device.
pub(super) fn write(journals: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Error> {
    staging_file::write(journals, &c_name(name).map_err(naming())?, bytes, "write the journal of a checkpoint")
}

/// Removes a journal for good: it must not come back after a power cut when its snapshot is gone.
pub(super) fn remove(journals: &OwnedFd, name: &CStr) -> Result<(), Error> {
    let removing = doing("remove the journal of a checkpoint");
    match names::unlink(journals, name) {
        Err(Fault { errno: Errno::ENOENT, .. }) => Ok(()),
        removed => removed.and_then(|()| file::sync(journals)).map_err(removing),
    }
}

/// Deletes a snapshot, if there is one.
pub(super) fn destroy(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    match subvolume::destroy(directory, name) {
        Err(Fault { errno: Errno::ENOENT, .. }) => Ok(()),
        other => other,
    }
}

pub(super) fn snapshot_text(name: &str, slot: Slot) -> String {
    format!("{SNAPSHOT}{name}-{}", slot.letter())
}

pub(super) fn snapshot_name(name: &str, slot: Slot) -> Result<CString, Error> {
    c_name(&snapshot_text(name, slot)).map_err(naming())
}

/// The transfer of a snapshot with this name.
fn transfer_of_snapshot(name: &CStr) -> Option<String> {
    let (name, letter) = name.to_str().ok()?.strip_prefix(SNAPSHOT)?.split_once('-')?;
    Slot::ALL.iter().any(|slot| letter.chars().eq([slot.letter()])).then(|| name.to_owned())
}

fn is_name(name: &[u8]) -> bool {
    name.len() == DIGITS && name.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn c_name(name: &str) -> Result<CString, Fault> {
    CString::new(name).map_err(|_nul| Fault { call: "openat2", errno: Errno::EINVAL })
}

pub(super) fn naming() -> impl Fn(Fault) -> Error {
    doing("name a checkpoint")
}
