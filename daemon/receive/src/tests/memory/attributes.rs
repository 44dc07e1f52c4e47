//! Owner, mode, times and extended attributes of an inode; POSIX ACLs as extended attributes hold them
//! (`linux/posix_acl_xattr.h`); inode flags, and the compression property that is tied to them.

use std::collections::BTreeMap;

use butterdock_btrfs::Errno;
use butterdock_stream::Time;

use crate::plan::NewInode;

/// The time of all changes without an explicit one.
pub(crate) const NOW: Time = Time { seconds: 1 << 40, nanoseconds: 0 };
const CAPABILITY: &[u8] = b"security.capability";
/// `FS_IMMUTABLE_FL | FS_APPEND_FL`
const REFUSING: u32 = 0x30;
const MODE_BITS: u32 = 0o7777;
const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const GROUP_RUNS: u32 = 0o010;

/// All of an inode but its data.
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
    /// The attributes of an inode that root creates with `mode` in a directory.
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

    /// Refuses changes of an immutable or append-only inode.
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

    /// As `chown(2)`: clears the set-uid bit, the set-gid bit of a group-executable file, and capabilities.
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

    /// The data changed.
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

    /// Stores an ACL, unless the permission bits express all of it.
    fn keep_acl(&mut self, acl: &Acl) {
        if acl.is_mode_alone() {
            self.xattrs.remove(ACCESS);
        } else {
            self.xattrs.insert(ACCESS.into(), acl.encode());
        }
    }
}

pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const HEADER: [u8; 4] = [2, 0, 0, 0];

/// A POSIX ACL, in the kernel's order: tag, permissions, id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl(Vec<(u16, u16, u32)>);

impl Acl {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        let entries = bytes.strip_prefix(&HEADER).ok_or(Errno::EOPNOTSUPP)?;
        let mut acl = Self(Vec::new());
        for entry in entries.chunks(8) {
            let &[t0, t1, p0, p1, i0, i1, i2, i3] = entry else { return Err(Errno::EINVAL) };
            let named = matches!(u16::from_le_bytes([t0, t1]), USER | GROUP);
            let id = if named { u32::from_le_bytes([i0, i1, i2, i3]) } else { u32::MAX };
            acl.0.push((u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]), id));
        }
        if acl.is_valid() { Ok(acl) } else { Err(Errno::EINVAL) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for (tag, permissions, id) in &self.0 {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// The permission bits of the ACL.
    pub(crate) fn mode(&self) -> u32 {
        let group = if self.has(MASK) { MASK } else { GROUP_OBJ };
        self.0.iter().fold(0, |mode, &(tag, permissions, _)| {
            let bits = u32::from(permissions);
            mode | match tag {
                USER_OBJ => bits << 6,
                tag if tag == group => bits << 3,
                OTHER => bits,
                _ => 0,
            }
        })
    }

    /// Whether the permission bits express all of it.
    pub(crate) fn is_mode_alone(&self) -> bool {
        self.0.iter().all(|(tag, ..)| matches!(*tag, USER_OBJ | GROUP_OBJ | OTHER))
    }

    /// Applies a `chmod(2)`.
    pub(crate) fn set_mode(&mut self, mode: u32) {
        self.each_bits(|permissions, bits| *permissions = bits, mode);
    }

    /// Limits a default ACL to the `mode` of a new inode.
    pub(crate) fn limit(&mut self, mode: u32) {
        self.each_bits(|permissions, bits| *permissions &= bits, mode);
    }

    fn each_bits(&mut self, set: impl Fn(&mut u16, u16), mode: u32) {
        let group = if self.has(MASK) { MASK } else { GROUP_OBJ };
        let bits = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap_or_default();
        for (tag, permissions, _) in &mut self.0 {
            match *tag {
                USER_OBJ => set(permissions, bits(6)),
                tag if tag == group => set(permissions, bits(3)),
                OTHER => set(permissions, bits(0)),
                _ => {}
            }
        }
    }

    fn has(&self, wanted: u16) -> bool {
        self.0.iter().any(|(tag, ..)| *tag == wanted)
    }

    fn is_valid(&self) -> bool {
        let once = |wanted| self.0.iter().filter(|(tag, ..)| *tag == wanted).count() == 1;
        let known = |tag: &u16| matches!(*tag, USER_OBJ | USER | GROUP_OBJ | GROUP | MASK | OTHER);
        let named = self.has(USER) || self.has(GROUP);
        let masks = self.0.iter().filter(|(tag, ..)| *tag == MASK).count();
        self.0.iter().all(|(tag, permissions, _)| known(tag) && *permissions <= 7)
            && self.0.is_sorted_by_key(|(tag, ..)| *tag)
            && once(USER_OBJ)
            && once(GROUP_OBJ)
            && once(OTHER)
            && (masks == 1 || (masks == 0 && !named))
    }
}

pub(crate) const COMPRESSION: &[u8] = b"btrfs.compression";
pub(crate) const COMPR: u32 = 0x4;
pub(crate) const NOCOMP: u32 = 0x400;
pub(crate) const NOCOW: u32 = 0x80_0000;
const DIRSYNC: u32 = 0x1_0000;
/// `FS_NODUMP_FL | FS_NOATIME_FL`: the flags of an inode that is neither file nor directory.
const ANY: u32 = 0xc0;
/// Every flag that btrfs knows.
const KNOWN: u32 = COMPR | NOCOMP | NOCOW | DIRSYNC | ANY | 0x8 | 0x10 | 0x20;

impl Attributes {
    /// `FS_IOC_SETFLAGS`. It rewrites the compression property from the flags.
    pub(crate) fn set_flags(&mut self, what: &NewInode, empty: bool, flags: u32) -> Result<(), Errno> {
        if flags & !KNOWN != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let both = |a: u32, b: u32| a & NOCOW != 0 && b & (COMPR | NOCOMP) != 0;
        let exclusive = flags & COMPR != 0 && flags & (NOCOMP | NOCOW) != 0;
        if exclusive || both(flags, self.flags) || both(self.flags, flags) {
            return Err(Errno::EINVAL);
        }
        let mut flags = match what {
            NewInode::Directory => flags,
            NewInode::File => flags & !DIRSYNC,
            NewInode::Symlink { .. }
            | NewInode::Fifo
            | NewInode::Socket
            | NewInode::CharDevice { .. }
            | NewInode::BlockDevice { .. } => flags & ANY,
        };
        if *what == NewInode::File && !empty {
            flags = (flags & !NOCOW) | (self.flags & NOCOW);
        }
        self.flags = flags;
        match flags & COMPR {
            0 => drop(self.xattrs.remove(COMPRESSION)),
            _ => drop(self.xattrs.insert(COMPRESSION.into(), b"zlib".into())),
        }
        Ok(())
    }

    /// `setxattr(2)` of the property; an empty value removes it.
    pub(crate) fn set_compression(&mut self, what: &NewInode, value: &[u8]) -> Result<(), Errno> {
        if self.flags & NOCOW != 0 {
            return Err(Errno::EINVAL);
        }
        let none = matches!(value, b"no" | b"none");
        if !none && !value.is_empty() && kind_of(value).is_none() {
            return Err(Errno::EINVAL);
        }
        if !matches!(what, NewInode::File | NewInode::Directory) {
            return Ok(());
        }
        self.flags &= !(COMPR | NOCOMP);
        if value.is_empty() {
            self.xattrs.remove(COMPRESSION);
            return Ok(());
        }
        self.flags |= if none { NOCOMP } else { COMPR };
        self.xattrs.insert(COMPRESSION.into(), value.into());
        Ok(())
    }

    /// Inherits the flags of the directory, and the property without its level.
    pub(crate) fn inherit_flags(&mut self, what: &NewInode, directory: &Self) {
        self.flags |= directory.flags & (NOCOW | COMPR | NOCOMP);
        if !matches!(what, NewInode::File | NewInode::Directory) || self.flags & NOCOW != 0 {
            return;
        }
        if let Some(kind) = directory.xattrs.get(COMPRESSION).and_then(|value| kind_of(value)) {
            self.flags = (self.flags & !NOCOMP) | COMPR;
            self.xattrs.insert(COMPRESSION.into(), kind.into());
        }
    }
}

fn kind_of(value: &[u8]) -> Option<&'static [u8]> {
    [&b"zlib"[..], b"lzo", b"zstd"].into_iter().find(|kind| value.starts_with(kind))
}
