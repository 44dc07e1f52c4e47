//! Which folder on a drive a backup uses, so that two machines do not use the same one.
//!
//! The default is `butterdock/NAME`. A machine that finds another machine's snapshots there, or snapshots of unknown
//! origin, uses `butterdock/NAME@ID` from then on, with the first digits of its own id.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use butterdock_btrfs::Error as Fault;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::name;
use super::owner::look_up;
use super::snapshot::{Identity, Snapshot, list};

/// The folder where the configuration does not name one.
pub fn default_folder(backup: &str) -> PathBuf {
    ["butterdock", backup].iter().collect()
}

/// The folder to use on the drive whose top is `root`: a configured one as it is. A backup of which something is `remembered`
/// there stays where it is. It blocks as long as the drive does.
///
/// # Errors
/// The list of what is in the folder cannot be read.
pub fn choose(
    root: BorrowedFd<'_>,
    configured: &Path,
    backup: &str,
    machine: Identity,
    remembered: bool,
) -> Result<PathBuf, Fault> {
    if configured != default_folder(backup) {
        return Ok(configured.to_owned());
    }
    let own = default_folder(&format!("{backup}@{}", digits(machine)));
    if beneath(root, &own).is_ok() {
        return Ok(own);
    }
    if remembered {
        return Ok(configured.to_owned());
    }
    // If it does not exist it is created later; if it cannot be opened, that step reports the error.
    let Ok(folder) = beneath(root, configured) else { return Ok(configured.to_owned()) };
    let mut there = list(&folder, &[])?;
    there.retain(|snapshot| snapshot.name.is_some());
    look_up(folder.as_fd(), &mut there);
    let is_ours = |snapshot: &Snapshot| {
        let origin = snapshot.origin.as_ref();
        origin.is_some_and(|origin| Identity(origin.machine) == machine)
    };
    let is_anothers = |snapshot: &Snapshot| {
        let named = snapshot.name.as_deref().is_some_and(|name| name::parse(backup.as_bytes(), name).is_some());
        snapshot.origin.is_some() || named
    };
    let meets = !there.iter().any(is_ours) && there.iter().any(is_anothers);
    Ok(if meets { own } else { configured.to_owned() })
}

/// Enough of a machine's id to distinguish the machines of one drive.
fn digits(machine: Identity) -> String {
    machine.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Only root looks into what is made here: what is in it has the modes that it had.
const PRIVATE: Mode = Mode::RWXU;

/// Opens a folder below `root`, part by part. An empty path is the root itself. Blocks as long as the drive does.
///
/// # Errors
/// The kernel's, and `InvalidInput` for a path with other parts than names.
pub fn beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    walk(root, path, false)
}

/// The same, where folders that are missing are made, with mode 0700.
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
    fn a_link_on_a_drive_leads_nowhere() {
        let drive = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc", drive.path().join("butterdock")).expect("a link");
        let root = OwnedFd::from(std::fs::File::open(drive.path()).expect("opened"));
        assert!(make_beneath(root.as_fd(), Path::new("butterdock/home")).is_err());
        assert!(make_beneath(root.as_fd(), Path::new("../x")).is_err());
        assert!(beneath(root.as_fd(), Path::new("good/home")).is_err(), "made by one who only looks");
        make_beneath(root.as_fd(), Path::new("good/home")).expect("made");
        beneath(root.as_fd(), Path::new("good/home")).expect("opened again");
        beneath(root.as_fd(), Path::new("")).expect("the root itself");
        assert!(drive.path().join("good/home").is_dir());
    }
}
