//! The folder on a drive that a backup uses.
//!
//! The default folder is `butterdock/NAME`. A machine that finds another machine's snapshots there, or snapshots of unknown
//! origin, uses `butterdock/NAME@ID` from then on, with the first digits of its own id. So two machines do not use the same
//! folder.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use butterdock_btrfs::Error as Fault;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::name;
use super::owner::look_up;
use super::renamed::take_folder;
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
            Err(Errno::NOENT) if make => {
                match mkdirat(at.as_fd(), part, PRIVATE) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                openat(&at, part, flags, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(at)
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
