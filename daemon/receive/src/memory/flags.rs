//! Inode flags, and the compression property that is tied to them.

use butterdock_btrfs::Errno;

use super::attributes::Attributes;
use crate::plan::NewInode;

pub(crate) const COMPRESSION: &[u8] = b"btrfs.compression";
pub(crate) const COMPR: u32 = 0x4;
pub(crate) const NOCOMP: u32 = 0x400;
pub(crate) const NOCOW: u32 = 0x80_0000;
const DIRSYNC: u32 = 0x1_0000;
/// `FS_NODUMP_FL | FS_NOATIME_FL`: what anything may have that is neither file nor directory.
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

    /// Takes over what btrfs hands down: flags, and the property without its level.
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
