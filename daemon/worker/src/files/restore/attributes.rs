//! Owner, mode, times and extended attributes of restored files.
//!
//! A file loses its set-id bits and its capabilities: the last writer of the drive chose them. A directory keeps its set-group-id bit, which
//! gives no right.
//!
//! A user cannot give files to others. Then the file becomes the user's own, without set-id bits; if it cannot have its group, its
//! group gets no more rights than all users, and it gets no access control list.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use butterdock_btrfs::file::{self, Stat};
use butterdock_btrfs::inode::{self, Times};
use butterdock_btrfs::{Errno, Error as Fault, xattr};

use super::super::cause::{FileError, reading, writing};
use super::Run;

const ACCESS_ACL: &CStr = c"system.posix_acl_access";
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";
const CAPABILITY: &CStr = c"security.capability";
/// The bits with which a program gets the rights of its file's owner or group.
const SET_ID: u32 = 0o6000;
/// The longest value that the kernel takes.
const VALUE: usize = 65536;

/// What of the owner a restored file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub owner: bool,
    pub group: bool,
}

impl Kept {
    /// The permissions that it gets.
    fn mode(self, mode: u32) -> u32 {
        let mut mode = mode & 0o7777;
        if !self.owner {
            mode &= !0o6000;
        }
        if !self.group {
            let of_all = (mode >> 3) & mode & 0o7;
            mode = mode & !0o2070 | of_all << 3;
        }
        mode
    }

    fn all(self) -> bool {
        self.owner && self.group
    }
}

impl Run<'_> {
    /// Sets the attributes of an open file or directory, except the mode of a directory that is still to be renamed: renaming a
    /// directory needs the right to write to it. `source` is open if the user may read it.
    ///
    /// Returns the mode that it gets.
    pub(super) fn set_attributes(
        &mut self,
        source: Option<&OwnedFd>,
        made: &OwnedFd,
        stat: &Stat,
        path: &[u8],
    ) -> Result<u32, FileError> {
        let kept = self.set_owner(made, stat).map_err(writing(path))?;
        let had_capability = match source {
            Some(source) => self.set_xattrs(source, made, kept, path)?,
            None => {
                self.restored.attributes = self.restored.attributes.saturating_add(1);
                false
            }
        };
        let mut mode = kept.mode(stat.mode);
        if !stat.is_dir() {
            if had_capability || stat.mode & SET_ID != 0 {
                self.restored.set_ids = self.restored.set_ids.saturating_add(1);
            }
            mode &= !SET_ID;
            inode::set_mode(made, mode).map_err(writing(path))?;
        }
        inode::set_times(made, Times { atime: stat.atime, mtime: stat.mtime }).map_err(writing(path))?;
        Ok(mode)
    }

    /// The same for an inode that is not opened: a link, a fifo, a socket or a device.
    pub(super) fn set_attributes_at(
        &mut self,
        directory: impl AsFd,
        name: &CStr,
        stat: &Stat,
        path: &[u8],
    ) -> Result<(), FileError> {
        let is_refused = |fault: &Fault| self.request.is_user && matches!(fault.errno, Errno::EPERM | Errno::EINVAL);
        let kept = match inode::set_owner_at(&directory, name, stat.uid, stat.gid) {
            Ok(()) => Kept { owner: true, group: true },
            Err(fault) if is_refused(&fault) => {
                self.restored.owners = self.restored.owners.saturating_add(1);
                Kept { owner: false, group: false }
            }
            Err(fault) => return Err(writing(path)(fault)),
        };
        if !stat.is_symlink() {
            inode::set_mode_at(&directory, name, kept.mode(stat.mode)).map_err(writing(path))?;
        }
        let times = Times { atime: stat.atime, mtime: stat.mtime };
        inode::set_times_at(&directory, name, times).map_err(writing(path))
    }

    fn set_owner(&mut self, made: &OwnedFd, stat: &Stat) -> Result<Kept, Fault> {
        match inode::set_owner(made, stat.uid, stat.gid) {
            Ok(()) => return Ok(Kept { owner: true, group: true }),
            // The id 2^32 - 1 cannot be given to a file by anyone.
            Err(Fault { errno: Errno::EPERM, .. }) if self.request.is_user => {}
            Err(Fault { errno: Errno::EINVAL, .. }) => {}
            Err(fault) => return Err(fault),
        }
        self.restored.owners = self.restored.owners.saturating_add(1);
        let now = file::stat(made)?;
        let group = stat.gid == now.gid || inode::set_owner(made, now.uid, stat.gid).is_ok();
        Ok(Kept { owner: now.uid == stat.uid, group })
    }

    /// Returns whether the file has capabilities in the snapshot.
    fn set_xattrs(&mut self, source: &OwnedFd, made: &OwnedFd, kept: Kept, path: &[u8]) -> Result<bool, FileError> {
        let names = match xattr::list(source) {
            Err(Fault { errno: Errno::EOPNOTSUPP, .. }) => Vec::new(),
            names => names.map_err(reading(path))?,
        };
        let depends_on_owner = |name: &CStr| [ACCESS_ACL, DEFAULT_ACL].contains(&name);
        let (mut value, mut had_capability) = (Vec::new(), false);
        for name in &names {
            if name.as_c_str() == CAPABILITY {
                had_capability = true;
                continue;
            }
            if depends_on_owner(name) && !kept.all() {
                self.restored.attributes = self.restored.attributes.saturating_add(1);
                continue;
            }
            value.resize(VALUE, 0);
            let Some(length) = xattr::get(source, name, &mut value).map_err(reading(path))? else { continue };
            match xattr::set(made, name, value.get(..length).unwrap_or_default()) {
                Ok(()) => {}
                // Labels and attributes of root, which not even root may set everywhere.
                Err(Fault { errno: Errno::EPERM | Errno::EACCES | Errno::EOPNOTSUPP | Errno::EINVAL, .. }) => {
                    self.restored.attributes = self.restored.attributes.saturating_add(1);
                }
                Err(fault) => return Err(writing(path)(fault)),
            }
        }
        // The directory may have handed down lists that the file did not have.
        for list in [ACCESS_ACL, DEFAULT_ACL] {
            if kept.all() && names.iter().any(|name| name.as_c_str() == list) {
                continue;
            }
            match xattr::remove(made, list) {
                Ok(()) | Err(Fault { errno: Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EACCES, .. }) => {}
                Err(fault) => return Err(writing(path)(fault)),
            }
        }
        Ok(had_capability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_owner_gives_no_more_rights() {
        let (all, own_group, none) = (
            Kept { owner: true, group: true },
            Kept { owner: false, group: true },
            Kept { owner: false, group: false },
        );
        for (kept, mode, expected) in [
            (all, 0o106_755, 0o6755),
            (own_group, 0o104_775, 0o0775),
            (none, 0o102_770, 0o0700),
            (none, 0o100_640, 0o0600),
            (none, 0o100_664, 0o0644),
            (none, 0o100_777, 0o0777),
            (Kept { owner: true, group: false }, 0o104_750, 0o4700),
        ] {
            assert_eq!(kept.mode(mode), expected, "{kept:?} {mode:o}");
        }
    }
}
