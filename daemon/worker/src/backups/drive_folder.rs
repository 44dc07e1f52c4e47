//! The folder on a drive that a backup uses.
//!
//! The default folder is `butterdock/NAME`. A machine that finds another machine's snapshots there, or snapshots of unknown
//! origin, uses `butterdock/NAME@ID` from then on, with the first digits of its own id. So two machines do not use the same
//! folder.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use butterdock_btrfs::{Errno, Error as Fault, filesystem, names};
use butterdock_receive::{Origin, Record};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::name;
use super::owner::{Owner, Side, look_up, made_by_us};
use super::runs::run_of_nested;
use super::snapshot::{Identity, Snapshot, list};

/// The default folder of a backup.
pub fn default_folder(backup: &str) -> PathBuf {
    ["butterdock", backup].iter().collect()
}

/// The folder for a backup on the drive whose top is `root`. A configured folder is used as it is. A backup whose snapshots there
/// are `remembered` keeps its folder. The folder of one of its `former` names gets its name.
///
/// # Errors
/// The snapshots in the folder cannot be listed.
pub fn choose_folder(
    root: BorrowedFd<'_>,
    configured: &Path,
    backup: &str,
    machine: Identity,
    former: &[String],
    remembered: bool,
) -> Result<PathBuf, Fault> {
    if configured != default_folder(backup) {
        return Ok(configured.to_owned());
    }
    let own_of = |backup: &str| default_folder(&format!("{backup}@{}", digits(machine)));
    let own = own_of(backup);
    if beneath(root, &own).is_ok() {
        return Ok(own);
    }
    for before in former {
        let taken =
            [(own_of(before), own.as_path()), (default_folder(before), configured), (default_folder(before), &own)];
        for (old, new) in taken {
            if beneath(root, new).is_err()
                && let Some(folder) = take_folder(root, &old, new, machine)?
            {
                return Ok(folder);
            }
        }
    }
    if remembered {
        return Ok(configured.to_owned());
    }
    // If it does not exist, a later step makes it; if it cannot be opened, that step reports the error.
    let Ok(folder) = beneath(root, configured) else { return Ok(configured.to_owned()) };
    let mut there = list(&folder, &[])?;
    there.retain(|snapshot| snapshot.name.is_some());
    look_up(folder.as_fd(), &mut there);
    let is_ours = |snapshot: &Snapshot| {
        let origin = snapshot.origin.as_ref();
        origin.is_some_and(|origin| Identity(origin.machine) == machine)
    };
    let is_others = |snapshot: &Snapshot| {
        let named = snapshot.name.as_deref().is_some_and(|name| name::parse(backup.as_bytes(), name).is_some());
        snapshot.origin.is_some() || named
    };
    let is_taken = !there.iter().any(is_ours) && there.iter().any(is_others);
    Ok(if is_taken { own } else { configured.to_owned() })
}

/// The first digits of a machine's id, which distinguish the machines of one drive.
fn digits(machine: Identity) -> String {
    machine.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Only root may enter the folder, because the files in snapshots keep their modes.
const PRIVATE: Mode = Mode::RWXU;

/// Opens a folder below `root`, component by component, without following links. An empty path is the root itself.
///
/// # Errors
/// The kernel's error, and `InvalidInput` for a path with components other than names.
pub fn beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    walk(root, path, false)
}

/// Like [`beneath`], but makes missing folders, with mode 0700.
///
/// # Errors
/// As for [`beneath`].
pub fn make_beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    walk(root, path, true)
}

fn walk(root: BorrowedFd<'_>, path: &Path, make: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = root.try_clone_to_owned()?;
    for part in path.components() {
        let Component::Normal(part) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        at = match openat(&at, part, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) if make => {
                match mkdirat(at.as_fd(), part, PRIVATE) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                openat(&at, part, flags, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(at)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_on_a_drive_are_not_followed() {
        let drive = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc", drive.path().join("butterdock")).expect("a link");
        let root = OwnedFd::from(std::fs::File::open(drive.path()).expect("opened"));
        assert!(make_beneath(root.as_fd(), Path::new("butterdock/home")).is_err());
        assert!(make_beneath(root.as_fd(), Path::new("../x")).is_err());
        assert!(beneath(root.as_fd(), Path::new("good/home")).is_err(), "beneath makes no folder");
        make_beneath(root.as_fd(), Path::new("good/home")).expect("made");
        beneath(root.as_fd(), Path::new("good/home")).expect("opened again");
        beneath(root.as_fd(), Path::new("")).expect("the root itself");
        assert!(drive.path().join("good/home").is_dir());
    }
}
