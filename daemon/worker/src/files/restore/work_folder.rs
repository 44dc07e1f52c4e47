//! A hidden folder beside the final name of a file, in which the file is completed.
//!
//! Only the worker's user can enter it. An attribute pins it, and a lock says that a worker uses it. What a killed worker left is
//! removed by the next restore to the same directory: only a folder with the mark, of this user, that is not locked. The mark of
//! root's folders is an attribute that users cannot set, so a user cannot make root remove another directory. A worker may be killed
//! before it has set the mark: an empty folder with such a name, of this user and not locked, is removed too.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag, Stat, lock_exclusive};
use butterdock_btrfs::inode::set_mode_at;
use butterdock_btrfs::system::random_bytes;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names, xattr};
use butterdock_receive::StreamPath;
use rustix::process::geteuid;

use super::super::tree::Tree;

const PREFIX: &[u8] = b".butterdock-restoring-";
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);
const PRIVATE: u32 = 0o700;
/// Hexadecimal digits of the random part of its name.
const ID_DIGITS: usize = 32;
/// How often a new one is made when another worker removes it before it is locked.
const ATTEMPTS: usize = 8;

/// A work folder. It is removed with what is in it.
#[derive(Debug)]
pub(super) struct WorkFolder {
    parent: OwnedFd,
    name: CString,
    folder: OwnedFd,
}

impl WorkFolder {
    /// Makes one in a directory, after removing what a killed worker left there.
    pub(super) fn create(parent: BorrowedFd<'_>) -> Result<Self, Fault> {
        // A user may write to a directory and not list it.
        best_effort(sweep(parent));
        for _ in 0..ATTEMPTS {
            if let Some(made) = Self::create_locked(parent)? {
                return Ok(made);
            }
        }
        Err(Fault { call: "mkdirat", errno: Errno::EAGAIN })
    }

    /// Makes one; `None` if another worker took it for one that a killed worker left, and removes it.
    fn create_locked(parent: BorrowedFd<'_>) -> Result<Option<Self>, Fault> {
        let id: Vec<u8> = random_bytes()?.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        let name = CString::new([PREFIX, &id].concat()).map_err(|_nul| invalid())?;
        let parent = parent.try_clone_to_owned().map_err(|_error| Fault { call: "dup", errno: Errno::EMFILE })?;
        names::make_dir(&parent, &name, PRIVATE)?;
        let folder = match file::openat_new(&parent, &name, FOLDER, Mode::empty()) {
            Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(None),
            folder => folder?,
        };
        if !lock_exclusive(&folder)? || file::stat(&folder)?.nlink == 0 {
            return Ok(None);
        }
        // Other users may have exchanged the name. What is not the new folder is not touched.
        check_new(&folder)?;
        let made = Self { parent, name, folder };
        xattr::set(&made.folder, mark(), b"1")?;
        Ok(Some(made))
    }

    /// Its name.
    pub(super) fn name(&self) -> &CStr {
        &self.name
    }
}

impl AsFd for WorkFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next restore.
        best_effort(remove_all(&self.folder));
        best_effort(names::remove_dir(&self.parent, &self.name));
    }
}

/// Removes what killed workers left in the directories of these paths.
pub(in super::super) fn remove_leftovers(target: Tree<'_>, paths: &[StreamPath]) {
    for path in paths {
        let mut path = path.parent();
        loop {
            if let Ok(directory) = target.directory(path) {
                best_effort(sweep(directory.as_fd()));
                break;
            }
            // The work folder is in the first directory that exists.
            let Some(end) = path.iter().rposition(|byte| *byte == b'/') else {
                if let Ok(root) = target.directory(b"") {
                    best_effort(sweep(root.as_fd()));
                }
                break;
            };
            path = path.get(..end).unwrap_or_default();
        }
    }
}

fn sweep(parent: BorrowedFd<'_>) -> Result<(), Fault> {
    for name in names::entries_where(parent, |name| name.to_bytes().starts_with(PREFIX))? {
        let Ok(folder) = file::openat_new(parent, &name, FOLDER, Mode::empty()) else { continue };
        if !is_private(&file::stat(&folder)?) || !lock_exclusive(&folder)? {
            continue;
        }
        if xattr::get(&folder, mark(), &mut [])?.is_some() {
            remove_all(&folder)?;
            names::remove_dir(parent, &name)?;
        } else if is_ours(&name) {
            // Succeeds only if it is empty.
            best_effort(names::remove_dir(parent, &name));
        }
    }
    Ok(())
}

/// Whether the worker makes such names.
fn is_ours(name: &CStr) -> bool {
    let id = name.to_bytes().strip_prefix(PREFIX).unwrap_or_default();
    id.len() == ID_DIGITS && id.iter().all(u8::is_ascii_hexdigit)
}

/// Refuses a directory that the worker did not just make: one of another user, one that others can enter, or one with something in
/// it.
pub(super) fn check_new(folder: &OwnedFd) -> Result<(), Fault> {
    if is_private(&file::stat(folder)?) && !names::holds(folder, |_name| true)? {
        return Ok(());
    }
    Err(Fault { call: "mkdirat", errno: Errno::EEXIST })
}

/// Whether only the worker's user can enter a directory. A new one inherits the set-group-id bit.
fn is_private(stat: &Stat) -> bool {
    stat.uid == geteuid().as_raw() && stat.mode & 0o5777 == PRIVATE
}

/// Removes all that is in a directory. Only the worker has made something in it.
fn remove_all(directory: &OwnedFd) -> Result<(), Fault> {
    empty(directory, file::stat(directory)?.dev)
}

/// The same within the subvolume with this device number: the worker makes no subvolumes, and nothing is mounted there.
fn empty(directory: &OwnedFd, dev: u64) -> Result<(), Fault> {
    for name in names::entries(directory)? {
        let stat = file::stat_at(directory, &name)?;
        if stat.dev != dev {
            return Err(Fault { call: "unlinkat", errno: Errno::EXDEV });
        }
        if !stat.is_dir() {
            names::unlink(directory, &name)?;
            continue;
        }
        // A restored mode may keep its owner out.
        set_mode_at(directory, &name, PRIVATE)?;
        empty(&file::openat_new(directory, &name, FOLDER, Mode::empty())?, dev)?;
        names::remove_dir(directory, &name)?;
    }
    Ok(())
}

fn mark() -> &'static CStr {
    if geteuid().is_root() { c"trusted.butterdock.restoring" } else { c"user.butterdock.restoring" }
}

fn invalid() -> Fault {
    Fault { call: "mkdirat", errno: Errno::EINVAL }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_that_took_the_place_of_the_new_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || OwnedFd::from(File::open(folder.path()).expect("opened"));
        let set = |mode| fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("set");
        for (mode, is_new) in [(0o700, true), (0o2700, true), (0o755, false), (0o777, false), (0o1700, false)] {
            set(mode);
            assert_eq!(check_new(&open()).is_ok(), is_new, "{mode:o}");
        }
        set(0o700);
        fs::write(folder.path().join("kept"), "x").expect("written");
        assert!(check_new(&open()).is_err(), "something is in it");
    }
}
