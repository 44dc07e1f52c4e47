//! Opens the folder for a backup's snapshots, or makes it.
//!
//! Root creates, renames and deletes subvolumes in this folder. So only root may change its contents, and no other
//! user may redirect root to another folder. Below the source, whose directories may belong to a user, no symbolic
//! link is followed. Elsewhere every directory on the path must belong to root ([`configured`]), so that root also
//! owns each link.
//!
//! The folder may lie in a directory that a user can write to, for example in the source. So it is checked through its
//! descriptor after it was opened, each time, and a missing folder is prepared under another name first.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem, names, subvolume, xattr};
use rustix::fs::{Mode as Bits, fchmod, fstat};
use uuid::Uuid;

use crate::configured;
use crate::system_directories;

/// How the name of a folder in the making begins.
const UNFINISHED: &str = ".butterdock-unfinished-";
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Why it is not used. Shown behind "the folder for snapshots".
#[derive(Debug)]
pub(super) enum Unfit {
    /// A link, below the source or where others can exchange it.
    Link,
    /// Others can write to a directory on the way.
    Place,
    /// Others can write to it.
    Folder,
    /// Something took its place while it was made.
    Exchanged,
    /// Its path leads to a directory of the system, which it does not name.
    System,
    /// It is on another filesystem than the source.
    Filesystem,
    /// The kernel refused.
    Io(io::Error),
}

/// Opens `snapshots`, of the source that is open as `root` and was reached as `source`.
pub(super) fn open(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<OwnedFd, Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    match there(root, &above, &name)? {
        Found::Folder(folder) => Ok(folder),
        Found::Placeholder => {
            names::remove_dir(&above, &name)?;
            make(above.as_fd(), &name)
        }
        Found::Nothing => make(above.as_fd(), &name),
    }
}

/// Opens it where it exists; makes nothing.
pub(super) fn existing(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<Option<OwnedFd>, Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    Ok(match there(root, &above, &name)? {
        Found::Folder(folder) => Some(folder),
        Found::Placeholder | Found::Nothing => None,
    })
}

/// Whether [`open`] would open it or make it, as things are; makes nothing.
pub(super) fn check(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<(), Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    there(root, &above, &name).map(drop)
}

/// What it is in, and its name there.
fn place(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<(OwnedFd, CString), Unfit> {
    let (Some(above), Some(name)) = (snapshots.parent(), snapshots.file_name()) else {
        return Err(Unfit::Place);
    };
    let above = match above.strip_prefix(source) {
        // The source itself may be a directory of the system.
        Ok(below) if below.as_os_str().is_empty() => open_below(root, below)?,
        Ok(below) => outside_system(above, open_below(root, below)?)?,
        Err(_elsewhere) => outside_system(above, open_elsewhere(above)?)?,
    };
    with_source(root, &above)?;
    let name = CString::new(name.as_bytes()).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok((above, name))
}

/// What has the folder's name.
enum Found {
    Folder(OwnedFd),
    /// The empty directory that a snapshot of the source has in place of the folder, which is a subvolume: after a rollback it is
    /// in the source. Nothing can be made in it.
    Placeholder,
    Nothing,
}

fn there(root: BorrowedFd<'_>, above: &OwnedFd, name: &CString) -> Result<Found, Unfit> {
    /// The inode number of every such directory (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
    const PLACEHOLDER: u64 = 2;
    let folder = match file::openat_new(above, name, FOLDER, Mode::empty()) {
        Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(Found::Nothing),
        opened => opened?,
    };
    if file::stat(&folder)?.ino == PLACEHOLDER {
        return Ok(Found::Placeholder);
    }
    // Something may be mounted on it.
    with_source(root, &folder)?;
    roots_alone(folder).map(Found::Folder)
}

/// The directory, if its path names what it leads to, or it is no directory of the system: root makes subvolumes in it.
fn outside_system(path: &Path, directory: OwnedFd) -> Result<OwnedFd, Unfit> {
    if system_directories::is_behind(path, &directory)? { Err(Unfit::System) } else { Ok(directory) }
}

/// Checks that a directory is on the filesystem of the source, before anything is made in it. A source that is not on btrfs has a
/// message of its own.
fn with_source(root: BorrowedFd<'_>, directory: &OwnedFd) -> Result<(), Unfit> {
    let Ok(source) = filesystem::info(root) else { return Ok(()) };
    match filesystem::info(directory) {
        Ok(here) if here.fsid == source.fsid => Ok(()),
        Ok(_) | Err(Fault { errno: Errno::ENOTTY, .. }) => Err(Unfit::Filesystem),
        Err(fault) => Err(fault.into()),
    }
}

fn open_below(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Unfit> {
    let path = if path.as_os_str().is_empty() { OsStr::new(".") } else { path.as_os_str() };
    let path = CString::new(path.as_bytes()).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(file::open_beneath(root, &path, FOLDER, Mode::empty())?)
}

fn open_elsewhere(path: &Path) -> Result<OwnedFd, Unfit> {
    let found = configured::find(path)?;
    let directory = found.directory()?;
    if found.is_fixed && configured::is_roots_alone(&fstat(&directory)?) { Ok(directory) } else { Err(Unfit::Place) }
}

/// A subvolume rather than a folder, so that what happens in it does not change the source. It gets its name when it is
/// private: no other user can create a name in it before that, whatever default ACL the directory has.
fn make(above: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Unfit> {
    let unfinished = format!("{UNFINISHED}{}", Uuid::new_v4().simple());
    let unfinished = CString::new(unfinished).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    subvolume::create(above, &unfinished)?;
    let made = file::openat_new(above, &unfinished, FOLDER, Mode::empty())?;
    let facts = file::stat(&made)?;
    if !subvolume::is_root(&facts) || facts.uid != 0 || names::holds(&made, |_name| true)? {
        return Err(Unfit::Exchanged);
    }
    let id = subvolume::info(&made)?.id;
    let named = make_private(&made).and_then(|()| names::rename_noreplace(above, &unfinished, above, name));
    if let Err(fault) = named {
        // By its id: others may have given another subvolume its name.
        best_effort(subvolume::destroy_by_id(above, id));
        // Another drive's job was quicker.
        if fault.errno != Errno::EEXIST {
            return Err(fault.into());
        }
    }
    roots_alone(file::openat_new(above, name, FOLDER, Mode::empty())?)
}

/// Takes what the directory above handed down. Only root looks into it: what is in it has the modes that it had.
fn make_private(folder: &OwnedFd) -> Result<(), Fault> {
    for list in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        match xattr::remove(folder, list) {
            Err(Fault { errno: Errno::ENODATA | Errno::EOPNOTSUPP, .. }) | Ok(()) => {}
            Err(fault) => return Err(fault),
        }
    }
    let failed = |errno: rustix::io::Errno| Fault { call: "fchmod", errno: Errno::from_raw(errno.raw_os_error()) };
    fchmod(folder, Bits::RWXU).map_err(failed)
}

fn roots_alone(folder: OwnedFd) -> Result<OwnedFd, Unfit> {
    if configured::is_roots_alone(&fstat(&folder)?) { Ok(folder) } else { Err(Unfit::Folder) }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Unfit {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<configured::Error> for Unfit {
    fn from(error: configured::Error) -> Self {
        match error {
            configured::Error::Link => Self::Link,
            configured::Error::Io(error) => Self::Io(error),
        }
    }
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        // With O_DIRECTORY and O_NOFOLLOW the kernel may return either error for a link.
        if matches!(fault.errno, Errno::ELOOP | Errno::ENOTDIR) {
            return Self::Link;
        }
        Self::Io(io::Error::from_raw_os_error(fault.errno as i32))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str(
                "is not used, because it is, or its path contains, a symbolic link or a file that users other than \
                 root can place there; remove it, or name another folder as `snapshots` in butterdock.toml",
            ),
            Self::Place => f.write_str(
                "is not used, because users other than root can write to a directory on its path; in butterdock.toml \
                 set `snapshots` to a folder in the source, or to one where only root can write",
            ),
            Self::Folder => f.write_str(
                "is not used, because users other than root can write to it and exchange its contents; rename it (the \
                 next backup makes a new one), or give it to root: chown root:root and chmod go-w",
            ),
            Self::Exchanged => f.write_str(
                "could not be created, because another program created the same name; find out which program changes \
                 the parent directory, then start the backup again",
            ),
            Self::System => f.write_str(
                "is not used, because a symbolic link or a mount on its path leads to a directory of the system; remove it, or name \
                 another folder as `snapshots` in butterdock.toml",
            ),
            Self::Filesystem => f.write_str(
                "is on another filesystem than the source; mount the right one there, or correct `snapshots` in butterdock.toml",
            ),
            Self::Io(error) => {
                write!(f, "cannot be opened: {error}; correct `snapshots` in butterdock.toml, or create the folder")
            }
        }
    }
}

#[cfg(test)]
mod tests;
