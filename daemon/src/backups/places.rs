//! Opens what a backup is between, for the daemon to hand over. It blocks as long as a drive does: call it on a thread that
//! nobody waits for longer than a bound.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use butterdock_btrfs::subvolume;
use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::Errno;

/// Only root looks into what is made here: what is in it has the modes that it had.
const PRIVATE: Mode = Mode::RWXU;

/// What could not be opened, and why.
#[derive(Debug)]
pub(crate) struct Closed {
    what: &'static str,
    next: &'static str,
    error: io::Error,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, next, error } = self;
        write!(f, "the {what} cannot be opened: {error}; {next}")
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
    let closed = |what, next| move |error| Closed { what, next, error };
    let from = directory(source).map_err(closed("source", "mount it, or correct `source` in butterdock.toml"))?;
    let beside = open_or_make(snapshots)
        .map_err(closed("folder for snapshots", "correct `snapshots` in butterdock.toml, or make the folder"))?;
    let to = walk(drive, folder, true).map_err(closed(
        "folder on the drive",
        "rename what is in its place, or correct `folder` in butterdock.toml",
    ))?;
    Ok(vec![from, beside, to])
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(|_wide| io::ErrorKind::InvalidInput)?;
    File::options().read(true).custom_flags(flags).open(path).map(OwnedFd::from)
}

/// A subvolume rather than a folder, so that what happens in it does not change the source.
fn open_or_make(path: &Path) -> io::Result<OwnedFd> {
    match directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let name = CString::new(name.as_bytes())?;
    match subvolume::create(directory(above)?, &name) {
        Ok(()) => {}
        // Another drive's job was quicker.
        Err(fault) if fault.errno as i32 == Errno::EXIST.raw_os_error() => return directory(path),
        Err(fault) => return Err(io::Error::from_raw_os_error(fault.errno as i32)),
    }
    let made = directory(path)?;
    fchmod(&made, PRIVATE)?;
    Ok(made)
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
        let root = directory(drive.path()).expect("opened");
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
        let root = directory(drive.path()).expect("opened");
        assert!(walk(root.as_fd(), Path::new("butterdock/home"), true).is_err());
        assert!(walk(root.as_fd(), Path::new("../x"), true).is_err());
        assert!(beneath(root.as_fd(), Path::new("good/home")).is_err(), "made by one who only looks");
        walk(root.as_fd(), Path::new("good/home"), true).expect("made");
        beneath(root.as_fd(), Path::new("good/home")).expect("opened again");
        beneath(root.as_fd(), Path::new("")).expect("the root itself");
        assert!(drive.path().join("good/home").is_dir());
    }

    #[test]
    fn privileged_two_jobs_that_make_the_folder_for_snapshots_at_once_both_get_it() {
        let rig = butterdock_tests::rig::Rig::new().expect("a rig");
        let volume = rig.volume("source", &Default::default()).expect("a volume");
        for round in 0..20 {
            let folder = volume.join(format!("snapshots-{round}"));
            let start = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        start.wait();
                        open_or_make(&folder).expect("opened");
                    });
                }
            });
        }
    }
}
