//! The files of checkpoints on the destination: the snapshot beside the hidden subvolume, and the journal in the staging directory.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{IoSlice, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names, subvolume};

use super::journal::{Journal, LONGEST, Slot};
use crate::destination::{Destination, Staging};
use crate::error::{Cause, Error, doing};

/// The snapshots have the name `.butterdock-checkpoint-<name of the journal>-<slot>`. It is hidden, and no hidden subvolume of a run.
const SNAPSHOT: &str = ".butterdock-checkpoint-";
/// A journal is written under its name with this, then renamed.
const NEW: &str = ".new";
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
    let snapshots = Snapshots::list(&[destination, staging.as_fd()])?;
    for name in names_of(&journals, &snapshots)? {
        // A run that holds the claim looks after its files itself.
        let Some(_claim) = claim(&journals, &name).map_err(doing("lock a checkpoint"))? else { continue };
        best_effort(names::unlink(&journals, &c_name(&format!("{name}{NEW}")).map_err(naming())?));
        let named = read(&journals, &name)?.map(|bytes| Journal::slot_in(&bytes));
        for (directory, slot) in snapshots.of(&name) {
            if named.flatten() != Some(slot) {
                best_effort(destroy(directory, &snapshot_name(&name, slot)?));
            }
        }
        if named.flatten().is_some_and(|slot| !snapshots.of(&name).any(|(_, found)| found == slot)) {
            remove(&journals, &c_name(&name).map_err(naming())?)?;
        }
    }
    Ok(())
}

/// Deletes all checkpoints that no run uses; returns the number of journals.
pub(super) fn discard_all(destination: BorrowedFd<'_>) -> Result<u64, Error> {
    let Some((staging, journals)) = open_existing(destination)? else { return Ok(0) };
    let snapshots = Snapshots::list(&[destination, staging.as_fd()])?;
    let mut count: u64 = 0;
    for name in names_of(&journals, &snapshots)? {
        let Some(_claim) = claim(&journals, &name).map_err(doing("lock a checkpoint"))? else { continue };
        count = count.saturating_add(u64::from(read(&journals, &name)?.is_some()));
        remove(&journals, &c_name(&name).map_err(naming())?)?;
        best_effort(names::unlink(&journals, &c_name(&format!("{name}{NEW}")).map_err(naming())?));
        for (directory, slot) in snapshots.of(&name) {
            destroy(directory, &snapshot_name(&name, slot)?).map_err(doing("delete a checkpoint"))?;
        }
    }
    Ok(count)
}

fn open_existing(destination: BorrowedFd<'_>) -> Result<Option<(Staging, OwnedFd)>, Error> {
    let Some(staging) = Staging::open_existing(destination)? else { return Ok(None) };
    Ok(staging.checkpoints()?.map(|journals| (staging, journals)))
}

/// The snapshots in some directories: the directory, the name of the transfer, and the slot.
struct Snapshots<'d>(Vec<(BorrowedFd<'d>, String, Slot)>);

impl<'d> Snapshots<'d> {
    fn list(directories: &[BorrowedFd<'d>]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for &directory in directories {
            let found = names::entries_where(directory, |name| parse_snapshot(name).is_some());
            for name in found.map_err(doing("list the checkpoints"))? {
                all.extend(parse_snapshot(&name).map(|(name, slot)| (directory, name, slot)));
            }
        }
        Ok(Self(all))
    }

    fn of(&self, name: &str) -> impl Iterator<Item = (BorrowedFd<'d>, Slot)> {
        self.0.iter().filter(move |(_, of, _)| of == name).map(|(directory, _, slot)| (*directory, *slot))
    }
}

/// The names of all transfers with a journal or a snapshot.
fn names_of(journals: &OwnedFd, snapshots: &Snapshots<'_>) -> Result<BTreeSet<String>, Error> {
    // A killed run may have left its lock, and the temporary file of a journal.
    let of = |name: &CStr| {
        let name = name.to_str().ok()?;
        Some(name.strip_suffix(NEW).or(name.strip_suffix(LOCK)).unwrap_or(name))
            .filter(|name| is_name(name.as_bytes()))
            .map(str::to_owned)
    };
    let named = names::entries_where(journals, |name| of(name).is_some()).map_err(doing("list the checkpoints"))?;
    let journals = named.iter().filter_map(|name| of(name));
    Ok(journals.chain(snapshots.0.iter().map(|(_, name, _)| name.clone())).collect())
}

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
    let reading = doing("read the journal of a checkpoint");
    let name = c_name(name).map_err(&reading)?;
    let fd = match file::openat_new(journals, &name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()) {
        Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(None),
        opened => opened.map_err(&reading)?,
    };
    let stat = file::stat(&fd).map_err(&reading)?;
    let mut bytes = Vec::new();
    if stat.is_file() && stat.uid == 0 && stat.size <= LONGEST {
        File::from(fd).take(LONGEST).read_to_end(&mut bytes).map_err(|error| Error::new(Cause::Read(error)))?;
    }
    Ok(Some(bytes))
}

/// Writes a journal. When this returns, it is on the device.
pub(super) fn write(journals: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let writing = doing("write the journal of a checkpoint");
    let (temporary, name) = (c_name(&format!("{name}{NEW}")).map_err(&writing)?, c_name(name).map_err(&writing)?);
    let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    let file = file::openat_new(journals, &temporary, how, Mode::S_IRUSR | Mode::S_IWUSR).map_err(&writing)?;
    file::write_at(&file, 0, &[IoSlice::new(bytes)]).map_err(&writing)?;
    file::sync(&file).map_err(&writing)?;
    names::rename(journals, &temporary, journals, &name).map_err(&writing)?;
    file::sync(journals).map_err(&writing)
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

/// The transfer and the slot of a snapshot with this name.
fn parse_snapshot(name: &CStr) -> Option<(String, Slot)> {
    let rest = name.to_str().ok()?.strip_prefix(SNAPSHOT)?;
    let (name, letter) = rest.split_once('-')?;
    let slot = Slot::ALL.into_iter().find(|slot| letter.chars().eq([slot.letter()]))?;
    is_name(name.as_bytes()).then(|| (name.to_owned(), slot))
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
