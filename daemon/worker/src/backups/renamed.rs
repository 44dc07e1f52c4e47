//! Takes the snapshots of a renamed backup along: they get its name, and so do their records and their folder on a drive.
//!
//! Until a drive is visited, and where a step fails, the former names stay with the backup: its snapshots under them stay its own.
//! So each step can be interrupted and is done again.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use butterdock_btrfs::{Errno, Error as Fault, filesystem, names};
use butterdock_receive::{Origin, Record};

use super::drive_folder::beneath;
use super::name;
use super::owner::{Owner, Side, look_up, made_by_us};
use super::runs::run_of_nested;
use super::snapshot::{Identity, Snapshot, list};

/// Gives the snapshots in a folder that have a former name of the backup its name; on a drive first in their records. Returns a
/// warning if that failed.
pub(super) fn take_along(folder: BorrowedFd<'_>, side: Side<'_>, snapshots: &mut [Snapshot]) -> Option<String> {
    let owner = side.owner();
    if owner.former.is_empty() {
        return None;
    }
    let mut failed = None;
    for snapshot in snapshots.iter_mut().filter(|snapshot| !snapshot.former) {
        let Some(new) = new_name(snapshot, side) else { continue };
        if let Err(error) = rename(folder, owner, snapshot, new) {
            failed = Some(error);
        }
    }
    let place = if side.is_drive() { "on the drive" } else { "beside the source" };
    failed.map(|error| {
        format!("snapshots {place} still have the former name of the backup: {error}; the next backup tries again")
    })
}

/// The name of a snapshot of the backup under its present name.
fn new_name(snapshot: &Snapshot, side: Side<'_>) -> Option<Vec<u8>> {
    let owner = side.owner();
    if let Some(time) = made_by_us(snapshot, side) {
        return Some(name::make(&owner.backup, time));
    }
    // That of a subvolume below the source begins with the name of its run.
    let run = run_of_nested(snapshot, side)?;
    let rest = snapshot.name.as_deref()?.strip_prefix(run)?;
    Some([name::make(&owner.backup, owner.time_in(run)?).as_slice(), rest].concat())
}

fn rename(folder: BorrowedFd<'_>, owner: &Owner, snapshot: &mut Snapshot, new: Vec<u8>) -> Result<(), String> {
    if let Some(origin) = snapshot.origin.as_mut().filter(|origin| origin.backup.as_bytes() != owner.backup) {
        let backup = String::from_utf8(owner.backup.clone()).map_err(|_error| "its name is not UTF-8".to_owned())?;
        let renamed = Origin { backup, ..origin.clone() };
        let record = Record::read(folder, snapshot.uuid.0).map_err(|error| error.to_string())?;
        if let Some(record) = record {
            let record = Record { origin: Some(renamed.clone()), ..record };
            record.write(folder).map_err(|error| error.to_string())?;
        }
        *origin = renamed;
    }
    let Some(old) = snapshot.name.clone().filter(|old| *old != new) else { return Ok(()) };
    let c_name = |name: Vec<u8>| CString::new(name).map_err(|_nul| "a name has a NUL".to_owned());
    match names::rename_noreplace(folder, &c_name(old)?, folder, &c_name(new.clone())?) {
        Ok(()) => {
            snapshot.name = Some(new);
            Ok(())
        }
        // It keeps its name, which is one of the backup's. Or another worker of this backup was quicker.
        Err(Fault { errno: Errno::EEXIST | Errno::ENOENT, .. }) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Gives the folder `old` of a renamed backup on a drive the name `new`, if all snapshots in it are of this `machine`. Returns the
/// folder to be used; None if there is no such folder.
pub(super) fn take_folder(
    root: BorrowedFd<'_>,
    old: &Path,
    new: &Path,
    machine: Identity,
) -> Result<Option<PathBuf>, Fault> {
    let Ok(folder) = beneath(root, old) else { return Ok(None) };
    let mut there = list(&folder, &[])?;
    there.retain(|snapshot| snapshot.name.is_some());
    look_up(folder.as_fd(), &mut there);
    let mut machines =
        there.iter().filter_map(|one| one.origin.as_ref()).map(|origin| Identity(origin.machine)).peekable();
    if machines.peek().is_none() || machines.any(|other| other != machine) {
        return Ok(None);
    }
    let parts = |path: &Path| {
        let name = path.file_name()?.as_encoded_bytes().to_vec();
        Some((path.parent()?.to_owned(), CString::new(name).ok()?))
    };
    let (Some((parent, old_name)), Some((_, new_name))) = (parts(old), parts(new)) else { return Ok(None) };
    let Ok(parent) = beneath(root, &parent) else { return Ok(None) };
    match names::rename_noreplace(&parent, &old_name, &parent, &new_name).and_then(|()| filesystem::sync(&parent)) {
        Ok(()) => Ok(Some(new.to_owned())),
        // The former folder is used as it is.
        Err(_) => Ok(Some(old.to_owned())),
    }
}
