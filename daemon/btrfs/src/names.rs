//! Names in directories: list, create, link, rename, remove. A name is one component below a directory descriptor.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use crate::error::{Errno, Error, Result, one_component, retry};

/// `mkdirat(2)` — creates a directory with these permissions; the umask applies.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `ENAMETOOLONG`, `ENOSPC`, `EDQUOT`, `EROFS`, `EACCES`, `EINVAL` for more than one component.
pub fn make_dir(dir: impl AsFd, name: &CStr, mode: u32) -> Result<()> {
    let name = one_component("mkdirat", name)?;
    retry("mkdirat", || mkdirat(&dir, name, permissions(mode)))
}

/// `mknodat(2)` — creates a fifo, a socket, a device or an empty file. `mode` has the type (`S_IFMT`) and the permissions, to
/// which the umask applies; `rdev` is the device's number as in `stat`, and 0 for other types.
///
/// # Errors
/// As for [`make_dir`]; `EPERM` for a device without `CAP_MKNOD`, `EINVAL` for another type.
pub fn make_node(dir: impl AsFd, name: &CStr, mode: u32, rdev: u64) -> Result<()> {
    let name = one_component("mknodat", name)?;
    let kind = SFlag::from_bits_retain(mode & SFlag::S_IFMT.bits());
    retry("mknodat", || mknodat(&dir, name, kind, permissions(mode), rdev))
}

/// `symlinkat(2)` — creates a symlink. The target may be any text that is not empty.
///
/// # Errors
/// As for [`make_dir`]; `ENOENT` for an empty target, `ENAMETOOLONG` for a target that does not fit into a block.
pub fn make_symlink(dir: impl AsFd, name: &CStr, target: &CStr) -> Result<()> {
    let name = one_component("symlinkat", name)?;
    retry("symlinkat", || symlinkat(target, &dir, name))
}

/// `linkat(2)` — gives the inode under `name` another name. A symlink is linked, not followed.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `EXDEV` (another subvolume), `EMLINK`, `EPERM` (a directory), `EROFS`, `ENOSPC`.
pub fn link(dir: impl AsFd, name: &CStr, new_dir: impl AsFd, new_name: &CStr) -> Result<()> {
    let (name, new_name) = (one_component("linkat", name)?, one_component("linkat", new_name)?);
    retry("linkat", || linkat(&dir, name, &new_dir, new_name, AtFlags::empty()))
}

/// `unlinkat(2)` — removes a name that is not a directory.
///
/// # Errors
/// `ENOENT`, `EISDIR`, `EPERM` (immutable, append-only), `EROFS`.
pub fn unlink(dir: impl AsFd, name: &CStr) -> Result<()> {
    let name = one_component("unlinkat", name)?;
    retry("unlinkat", || unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir))
}

/// `unlinkat(2)` with `AT_REMOVEDIR` — removes an empty directory (and an empty subvolume, since Linux 4.18).
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EPERM`, `EROFS`.
pub fn remove_dir(dir: impl AsFd, name: &CStr) -> Result<()> {
    let name = one_component("unlinkat", name)?;
    retry("unlinkat", || unlinkat(&dir, name, UnlinkatFlags::RemoveDir))
}

/// `renameat(2)` — renames, and replaces an existing file.
///
/// # Errors
/// `ENOENT`, `EXDEV` (another subvolume), `ENOTEMPTY`, `EISDIR`, `ENOTDIR`, `EINVAL` (into itself), `EROFS`, `ENOSPC`.
pub fn rename(dir: impl AsFd, name: &CStr, new_dir: impl AsFd, new_name: &CStr) -> Result<()> {
    let (name, new_name) = (one_component("renameat", name)?, one_component("renameat", new_name)?);
    retry("renameat", || renameat(&dir, name, &new_dir, new_name))
}

/// `renameat2(2)` with `RENAME_NOREPLACE` — renames to a free name. A read-only subvolume can be renamed within its
/// directory.
///
/// # Errors
/// `EEXIST` if the name is not free; as for [`rename`].
pub fn rename_noreplace(dir: impl AsFd, name: &CStr, new_dir: impl AsFd, new_name: &CStr) -> Result<()> {
    let (name, new_name) = (one_component("renameat2", name)?, one_component("renameat2", new_name)?);
    retry("renameat2", || renameat_with(&dir, name, &new_dir, new_name, RenameFlags::NOREPLACE))
}

fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

/// `getdents64(2)` — all names in a directory without `.` and `..`, in the filesystem's order. Use it for directories of a
/// known size: all names are in memory. The position of `dir` itself does not change.
///
/// # Errors
/// `ENOTDIR`, `EACCES`, `EIO`, `EBADF`.
pub fn entries(dir: impl AsFd) -> Result<Vec<CString>> {
    entries_where(dir, |_| true)
}

/// The same for the names for which `keep` returns true. Only these are in memory, so the directory may have any size.
///
/// # Errors
/// As for [`entries`].
pub fn entries_where(dir: impl AsFd, mut keep: impl FnMut(&CStr) -> bool) -> Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut open = retry("openat", || Dir::openat(&dir, c".", flags, Mode::empty()))?;
    let mut names = Vec::new();
    for entry in open.iter() {
        let entry = entry.map_err(|errno| Error { call: "getdents64", errno })?;
        let name = entry.file_name();
        if name != c"." && name != c".." && keep(name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// `getdents64(2)` — whether a directory has a name for which `wanted` returns true, `.` and `..` left out. Unlike
/// [`entries`] it opens nothing: it reads `dir` itself from the beginning, and its position changes.
///
/// # Errors
/// As for [`entries`]; `EBADF` for an `O_PATH` descriptor.
pub fn holds(dir: impl AsFd, mut wanted: impl FnMut(&CStr) -> bool) -> Result<bool> {
    let own = retry("fcntl", || rustix::io::fcntl_dupfd_cloexec(&dir, 0))?;
    retry("lseek", || nix::unistd::lseek(&own, 0, nix::unistd::Whence::SeekSet))?;
    let mut open = retry("fdopendir", || Dir::from_fd(own.try_clone().map_err(|_none| Errno::EMFILE)?))?;
    for entry in open.iter() {
        let entry = entry.map_err(|errno| Error { call: "getdents64", errno })?;
        let name = entry.file_name();
        if name != c"." && name != c".." && wanted(name) {
            return Ok(true);
        }
    }
    Ok(false)
}
