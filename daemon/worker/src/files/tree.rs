//! Resolves paths below one directory, the root of a snapshot or of the directory that files are restored to.
//!
//! A path is resolved in two steps, as the engine does: its directory by `openat2`, which follows no symbolic link and stays
//! below the root; then its last part, one name. The directory must be on the root's device: a nested subvolume, and whatever is
//! mounted below, has another. Directories are opened for look-ups only (`O_PATH`), so that a user needs no more than the right
//! to search them.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_receive::StreamPath;

use super::{FileKind, FileRow};

const LOOKUP: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW);
/// A fifo or a device that takes the place of a file neither blocks nor becomes a terminal.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

/// The files below a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree<'t> {
    root: BorrowedFd<'t>,
    dev: u64,
}

impl<'t> Tree<'t> {
    /// Below this directory.
    pub(super) fn new(root: BorrowedFd<'t>) -> Result<Self, Fault> {
        Ok(Self { root, dev: file::stat(root)?.dev })
    }

    /// The device of all files below it.
    pub(super) fn dev(&self) -> u64 {
        self.dev
    }

    /// Its root.
    pub(super) fn root(&self) -> BorrowedFd<'t> {
        self.root
    }

    /// A directory, for look-ups.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Fault> {
        let path = if path.is_empty() { c".".into() } else { name(path)? };
        let found = file::open_beneath(self.root, &path, LOOKUP, Mode::empty())?;
        if file::stat(&found)?.dev == self.dev { Ok(found) } else { Err(elsewhere()) }
    }

    /// The directory that has the last part of a path, and its attributes.
    pub(super) fn find(&self, path: &StreamPath) -> Result<(OwnedFd, Stat), Fault> {
        let parent = self.directory(path.parent())?;
        let stat = if path.is_root() { file::stat(&parent)? } else { file::stat_at(&parent, path.name())? };
        if stat.dev == self.dev { Ok((parent, stat)) } else { Err(elsewhere()) }
    }
}

/// Opens a regular file for reading; none if it is something else.
pub(super) fn open_file(parent: impl AsFd, name: &std::ffi::CStr) -> Result<Option<(OwnedFd, Stat)>, Fault> {
    if !file::stat_at(&parent, name)?.is_file() {
        return Ok(None);
    }
    let fd = file::openat_new(&parent, name, READ, Mode::empty())?;
    let stat = file::stat(&fd)?;
    Ok(stat.is_file().then_some((fd, stat)))
}

/// Opens a directory in another for reading.
pub(super) fn open_directory(parent: impl AsFd, name: &std::ffi::CStr) -> Result<OwnedFd, Fault> {
    file::openat_new(parent, name, READ | OFlag::O_DIRECTORY, Mode::empty())
}

/// The target of a symbolic link.
pub(super) fn link_target(parent: impl AsFd, name: &std::ffi::CStr) -> Result<CString, Fault> {
    rustix::fs::readlinkat(parent, name, Vec::new())
        .map_err(|errno| Fault { call: "readlinkat", errno: Errno::from_raw(errno.raw_os_error()) })
}

/// A name for the kernel.
pub(super) fn name(bytes: &[u8]) -> Result<CString, Fault> {
    CString::new(bytes).map_err(|_nul| Fault { call: "openat2", errno: Errno::EINVAL })
}

fn elsewhere() -> Fault {
    Fault { call: "openat2", errno: Errno::EXDEV }
}

impl FileRow {
    /// The row of a name in a directory.
    pub(super) fn of(parent: impl AsFd, name: &std::ffi::CStr, stat: &Stat) -> Result<Self, Fault> {
        let kind = FileKind::of(stat.mode);
        let (seconds, nanoseconds) = stat.mtime;
        let target = if kind == FileKind::Symlink { Some(link_target(parent, name)?.into_bytes()) } else { None };
        Ok(Self {
            name: name.to_bytes().to_vec(),
            kind,
            size: stat.size,
            modified: seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanoseconds / 1000)),
            mode: stat.mode & 0o7777,
            uid: stat.uid,
            gid: stat.gid,
            target,
        })
    }
}

impl FileKind {
    /// That of a mode.
    pub(super) fn of(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharacterDevice,
            _ => Self::File,
        }
    }
}
