//! Owner, mode, times and extended attributes of an inode.

use std::collections::BTreeMap;

use butterdock_btrfs::Errno;
use butterdock_stream::Time;

use super::acl::{ACCESS, Acl, DEFAULT};
use super::flags::COMPRESSION;
use crate::plan::NewInode;

/// The one moment at which everything happens that nobody gave a time.
pub(crate) const NOW: Time = Time { seconds: 1 << 40, nanoseconds: 0 };
const CAPABILITY: &[u8] = b"security.capability";
/// `FS_IMMUTABLE_FL | FS_APPEND_FL`
const REFUSING: u32 = 0x30;
const MODE_BITS: u32 = 0o7777;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_RUNS: u32 = 0o010;

/// What an inode has beside its data.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) flags: u32,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) atime: Time,
    pub(crate) mtime: Time,
}

impl Attributes {
    /// Of an inode that root makes with `mode` in a directory.
    pub(crate) fn new(what: &NewInode, mode: u32, directory: Option<&Self>) -> Self {
        let mut new = Self { mode, uid: 0, gid: 0, flags: 0, xattrs: BTreeMap::new(), atime: NOW, mtime: NOW };
        let Some(directory) = directory else { return new };
        let symlink = matches!(what, NewInode::Symlink { .. });
        if directory.mode & SET_GID != 0 {
            new.gid = directory.gid;
            if *what == NewInode::Directory {
                new.mode |= SET_GID;
            }
        }
        if let Some(given) = directory.xattrs.get(DEFAULT).filter(|_| !symlink) {
            if *what == NewInode::Directory {
                new.xattrs.insert(DEFAULT.into(), given.clone());
            }
            if let Ok(mut acl) = Acl::decode(given) {
                acl.limit(new.mode);
                new.mode = (new.mode & !0o777) | acl.mode();
                new.keep_acl(&acl);
            }
        }
        new.inherit_flags(what, directory);
        new
    }

    /// Immutable and append-only inodes are not changed.
    pub(crate) fn refuse(&self) -> Result<(), Errno> {
        if self.flags & REFUSING == 0 { Ok(()) } else { Err(Errno::EPERM) }
    }

    pub(crate) fn set_mode(&mut self, what: &NewInode, mode: u32) -> Result<(), Errno> {
        self.refuse()?;
        if matches!(what, NewInode::Symlink { .. }) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.mode = mode & MODE_BITS;
        if let Some(Ok(mut acl)) = self.xattrs.get(ACCESS).map(|acl| Acl::decode(acl)) {
            acl.set_mode(mode);
            self.keep_acl(&acl);
        }
        Ok(())
    }

    /// As `chown(2)`: set-id bits go, set-gid only where it means one, and so do capabilities.
    pub(crate) fn set_owner(&mut self, what: &NewInode, uid: u32, gid: u32) -> Result<(), Errno> {
        self.refuse()?;
        (self.uid, self.gid) = (uid, gid);
        if *what != NewInode::Directory {
            self.mode &= !SET_UID;
            if self.mode & GROUP_RUNS != 0 {
                self.mode &= !SET_GID;
            }
            self.xattrs.remove(CAPABILITY);
        }
        Ok(())
    }

    pub(crate) fn set_times(&mut self, atime: Time, mtime: Time) -> Result<(), Errno> {
        self.refuse()?;
        (self.atime, self.mtime) = (atime, mtime);
        Ok(())
    }

    /// The data is another now.
    pub(crate) fn data_changed(&mut self) {
        self.mtime = NOW;
        self.xattrs.remove(CAPABILITY);
    }

    pub(crate) fn xattr(&self, what: &NewInode, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        if matches!(what, NewInode::Symlink { .. }) && matches!(name, ACCESS | DEFAULT) {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(self.xattrs.get(name).cloned())
    }

    /// `setxattr(2)`, and with no value `removexattr(2)`.
    pub(crate) fn set_xattr(&mut self, what: &NewInode, name: &[u8], value: Option<&[u8]>) -> Result<(), Errno> {
        self.refuse()?;
        let openable = matches!(what, NewInode::File | NewInode::Directory);
        match (name, value) {
            (ACCESS | DEFAULT, _) => return self.set_acl(what, name, value),
            (COMPRESSION, Some(value)) => return self.set_compression(what, value),
            (COMPRESSION, None) if self.xattrs.contains_key(COMPRESSION) => return self.set_compression(what, b""),
            (CAPABILITY, Some(value)) if !matches!(value.len(), 20 | 24) => return Err(Errno::EINVAL),
            _ if name.starts_with(b"user.") && !openable => return Err(Errno::EPERM),
            _ if ![&b"user."[..], b"trusted.", b"security.", b"btrfs."].iter().any(|room| name.starts_with(room)) => {
                return Err(Errno::EOPNOTSUPP);
            }
            _ => {}
        }
        match value {
            Some(value) => drop(self.xattrs.insert(name.into(), value.into())),
            None => drop(self.xattrs.remove(name).ok_or(Errno::ENODATA)?),
        }
        Ok(())
    }

    fn set_acl(&mut self, what: &NewInode, name: &[u8], value: Option<&[u8]>) -> Result<(), Errno> {
        if matches!(what, NewInode::Symlink { .. }) {
            return Err(Errno::EOPNOTSUPP);
        }
        let acl = value.filter(|value| !value.is_empty()).map(Acl::decode).transpose()?;
        match (name, acl) {
            (DEFAULT, Some(_)) if *what != NewInode::Directory => return Err(Errno::EACCES),
            (DEFAULT, Some(acl)) => drop(self.xattrs.insert(DEFAULT.into(), acl.encode())),
            (_, Some(acl)) => {
                self.mode = (self.mode & !0o777) | acl.mode();
                self.keep_acl(&acl);
            }
            (_, None) => drop(self.xattrs.remove(name)),
        }
        Ok(())
    }

    /// An ACL that permission bits can say is not stored.
    fn keep_acl(&mut self, acl: &Acl) {
        if acl.is_mode_alone() {
            self.xattrs.remove(ACCESS);
        } else {
            self.xattrs.insert(ACCESS.into(), acl.encode());
        }
    }
}
