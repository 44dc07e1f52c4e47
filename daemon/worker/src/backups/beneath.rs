//! Opens folders below the root of a drive. No link is followed: what is on a drive may not lead elsewhere.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

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
