//! Opens configured paths so that only root can redirect them.
//!
//! The path is walked name by name. A symbolic link is followed only if root alone can exchange it: it lies in a
//! directory that belongs to root and that only root may write to, or root owns the link in a sticky directory. So
//! /home may be a link that root made, and a link in a user's home directory is never followed. An access control list
//! cannot grant more than the group bits of the mode, so checking the mode is sufficient.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

/// Limit of links in one path, as in the kernel.
const MOST_LINKS: usize = 40;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;

/// The end of a path.
#[derive(Debug)]
pub(crate) struct Found {
    /// Opened with `O_PATH`.
    at: OwnedFd,
    /// Whether only root can change where the path leads.
    pub is_fixed: bool,
}

/// Why a path was not followed to its end.
#[derive(Debug)]
pub(crate) enum Error {
    /// Users other than root can exchange a symbolic link on it.
    Link,
    /// The kernel refused.
    Io(io::Error),
}

/// Follows an absolute path. It blocks as long as the filesystems on the path do.
pub(crate) fn find(path: &Path) -> Result<Found, Error> {
    find_trusting(path, 0)
}

/// The same, but trusts `owner` like root.
pub(crate) fn find_trusting(path: &Path, owner: u32) -> Result<Found, Error> {
    let (mut at, mut is_fixed, mut links) = (root()?, true, 0_usize);
    let mut rest: Vec<OsString> = Vec::new();
    add(&mut rest, path);
    while let Some(part) = rest.pop() {
        let holder = fstat(&at)?;
        // First as a directory: that triggers an automount.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (next, is_directory) = match openat(&at, &part, flags | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::NOTDIR | Errno::LOOP) => (openat(&at, &part, flags, Mode::empty())?, false),
            opened => (opened?, true),
        };
        let facts = fstat(&next)?;
        let fixed = part == ".." || is_fixed_in(&holder, &facts, owner);
        if FileType::from_raw_mode(facts.st_mode) != FileType::Symlink {
            if !is_directory && !rest.is_empty() {
                return Err(Errno::NOTDIR.into());
            }
            is_fixed &= fixed;
            at = next;
            continue;
        }
        links = links.saturating_add(1);
        if !fixed {
            return Err(Error::Link);
        }
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&next, "", Vec::new())?.into_bytes();
        let target = OsString::from_vec(target);
        if Path::new(&target).is_absolute() {
            at = root()?;
        }
        add(&mut rest, Path::new(&target));
    }
    Ok(Found { at, is_fixed })
}

/// Whether only root may write to a directory.
pub(crate) fn is_roots_alone(directory: &Stat) -> bool {
    directory.st_uid == 0 && directory.st_mode & OTHERS_WRITE == 0
}

impl Found {
    /// Opens the directory for reading.
    pub(crate) fn directory(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&self.at, ".", flags, Mode::empty())?)
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("users other than root can exchange a symbolic link on its path"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

fn root() -> Result<OwnedFd, Error> {
    Ok(openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Pushes the parts of a path in reverse order, so that the first part is popped next.
fn add(rest: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    rest.extend(parts.collect::<Vec<_>>().into_iter().rev());
}

/// Whether only trusted users can exchange an entry of a directory.
fn is_fixed_in(holder: &Stat, entry: &Stat, owner: u32) -> bool {
    let trusted = |stat: &Stat| [0, owner].contains(&stat.st_uid);
    let is_shared = holder.st_mode & OTHERS_WRITE != 0;
    trusted(holder) && (!is_shared || (holder.st_mode & STICKY != 0 && trusted(entry)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::path::PathBuf;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf, u32) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("a path");
        let owner = path.metadata().expect("facts").uid();
        fs::create_dir_all(path.join("real/below")).expect("made");
        (folder, path, owner)
    }

    fn inode(found: &Found) -> u64 {
        fstat(found.directory().expect("opened")).expect("facts").st_ino
    }

    #[test]
    fn only_links_of_trusted_users_are_followed() {
        let (_folder, path, owner) = folder();
        symlink("real/../real", path.join("relative")).expect("linked");
        symlink(path.join("relative/below"), path.join("absolute")).expect("linked");
        let wanted = path.join("real/below").metadata().expect("facts").ino();
        for way in ["real/below", "relative/below", "absolute", "absolute/../below/."] {
            let found = find_trusting(&path.join(way), owner).expect("found");
            assert_eq!((inode(&found), found.is_fixed), (wanted, true), "{way}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o775)).expect("set");
        assert!(matches!(find_trusting(&path.join("absolute"), owner), Err(Error::Link)));
        let found = find_trusting(&path.join("real/below"), owner).expect("a directory may belong to any user");
        assert!(!found.is_fixed);
        fs::set_permissions(&path, Permissions::from_mode(0o1777)).expect("set");
        assert!(find_trusting(&path.join("absolute"), owner).expect("sticky").is_fixed);
    }

    #[test]
    fn link_loops_and_files_in_the_path_fail() {
        let (_folder, path, owner) = folder();
        symlink("loop", path.join("loop")).expect("linked");
        fs::write(path.join("file"), "").expect("written");
        let errno = |way: &str| match find_trusting(&path.join(way), owner) {
            Err(Error::Io(error)) => error.raw_os_error(),
            found => panic!("{way}: {found:?}"),
        };
        assert_eq!(errno("loop"), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(errno("file/below"), Some(Errno::NOTDIR.raw_os_error()));
        assert_eq!(errno("missing"), Some(Errno::NOENT.raw_os_error()));
        assert!(find_trusting(&path.join("file"), owner).expect("found").directory().is_err());
    }

    #[test]
    fn privileged_a_link_in_a_users_directory_is_not_followed() {
        let (_folder, path, owner) = folder();
        assert_eq!(owner, 0, "this test gives files to a user and needs root: run it with sudo");
        symlink("/etc", path.join("real/link")).expect("linked");
        assert!(find(&path.join("real/link")).is_ok());
        chown(path.join("real"), Some(1000), None).expect("given away");
        assert!(matches!(find(&path.join("real/link")), Err(Error::Link)));
        assert!(!find(&path.join("real/below")).expect("found").is_fixed);
        assert!(find(&path).expect("found").is_fixed);
    }
}
