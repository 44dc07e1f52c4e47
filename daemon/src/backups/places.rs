//! Opens what a backup is between, for the daemon to hand over. It blocks as long as a drive does: call it on a thread that
//! nobody waits for longer than a bound.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::folder;
use crate::configured;

/// Only root looks into what is made here: what is in it has the modes that it had.
const PRIVATE: Mode = Mode::RWXU;

/// What could not be opened, why, and what to do: one sentence, without a path.
#[derive(Debug)]
pub(crate) struct Closed(String);

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The descriptors of a backup's order: the source's directory, the folder for its snapshots, and `folder` below the root of
/// the drive. The folders are made where they are missing, that beside the source as a subvolume.
pub(crate) fn open(
    source: &Path,
    snapshots: &Path,
    drive: BorrowedFd<'_>,
    folder: &Path,
) -> Result<Vec<OwnedFd>, Closed> {
    let closed = |what, next| move |error| Closed(format!("the {what} cannot be opened: {error}; {next}"));
    let from = open_source(source)?;
    let beside = folder::open(from.as_fd(), source, snapshots)
        .map_err(|why| Closed(format!("the folder for snapshots {why}")))?;
    let to = walk(drive, folder, true).map_err(closed(
        "folder on the drive",
        "rename what is in its place, or correct `folder` in butterdock.toml",
    ))?;
    Ok(vec![from, beside, to])
}

/// Why a backup would not use the folder for snapshots as things are, with its path; makes nothing. What cannot be looked at
/// by the caller is no reason: root may look at it.
///
/// # Errors
/// One sentence with what to do.
pub(crate) fn check_folder(source: &Path, snapshots: &Path) -> Result<(), String> {
    // A source that is away is away; perhaps the folder is not.
    let Ok(from) = open_source(source) else { return Ok(()) };
    let is_hidden = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match folder::check(from.as_fd(), source, snapshots) {
        Ok(()) => Ok(()),
        Err(folder::Unfit::Io(error)) if is_hidden(&error) => Ok(()),
        Err(why) => Err(format!("the folder for snapshots {} {why}", snapshots.display())),
    }
}

/// A link on the path that others can exchange would lead root to another's files, and on to the drive.
fn open_source(path: &Path) -> Result<OwnedFd, Closed> {
    let opened = configured::find(path).and_then(|found| found.directory().map_err(configured::Error::Io));
    opened.map_err(|error| {
        let next = match error {
            configured::Error::Link => "name the directory that it leads to as `source` in butterdock.toml",
            configured::Error::Io(_) => "mount it, or correct `source` in butterdock.toml",
        };
        Closed(format!("the source cannot be opened: {error}; {next}"))
    })
}

/// Opens a folder below the root of a drive, part by part, following nothing: what is on a drive is not to lead elsewhere. An
/// empty path is the root itself.
pub(crate) fn beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    walk(root, path, false)
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
    fn what_is_missing_is_told_with_what_to_do() {
        let drive = tempfile::tempdir().expect("a folder");
        let root = OwnedFd::from(std::fs::File::open(drive.path()).expect("opened"));
        let open = |source, snapshots| open(source, snapshots, root.as_fd(), Path::new("home")).expect_err("closed");
        let missing = open(Path::new("/nonexistent/x"), drive.path());
        assert!(missing.to_string().starts_with("the source cannot be opened: No such file"), "{missing}");
        // No subvolume can be made here.
        let missing = open(drive.path(), &Path::new("/proc").join("snapshots"));
        assert!(missing.to_string().contains("correct `snapshots` in butterdock.toml"), "{missing}");
    }

    #[test]
    fn a_link_on_a_drive_leads_nowhere() {
        let drive = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc", drive.path().join("butterdock")).expect("a link");
        let root = OwnedFd::from(std::fs::File::open(drive.path()).expect("opened"));
        assert!(walk(root.as_fd(), Path::new("butterdock/home"), true).is_err());
        assert!(walk(root.as_fd(), Path::new("../x"), true).is_err());
        assert!(beneath(root.as_fd(), Path::new("good/home")).is_err(), "made by one who only looks");
        walk(root.as_fd(), Path::new("good/home"), true).expect("made");
        beneath(root.as_fd(), Path::new("good/home")).expect("opened again");
        beneath(root.as_fd(), Path::new("")).expect("the root itself");
        assert!(drive.path().join("good/home").is_dir());
    }
}
