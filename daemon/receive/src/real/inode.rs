//! An inode of a real subvolume: open, or addressed by its directory and name if it must not be opened.

use std::ffi::{CStr, CString};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use butterdock_btrfs::encoded::{self, EncodedExtent, compression};
use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, filesystem, flags, inode, space, xattr};
use butterdock_stream::{Compression, Extent, Time};

use super::directories::Directory;
use crate::apply::REFUSING;
use crate::error::{Cause, Error};
use crate::name::{NameError, StreamPath};
use crate::volume::{Inode, InodeKind, InodeState};

/// An inode of a [`super::RealVolume`].
#[derive(Debug, Clone)]
pub(crate) struct RealInode(Arc<Open>);

#[derive(Debug)]
pub(crate) enum Open {
    File { fd: OwnedFd, number: u64 },
    Directory(Arc<Directory>),
    Special { directory: Arc<Directory>, name: CString, number: u64 },
}

impl RealInode {
    pub(crate) fn new(open: Open) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn of_directory(directory: Arc<Directory>) -> Self {
        Self::new(Open::Directory(directory))
    }

    /// The descriptor of a file or directory.
    fn fd(&self, call: &'static str) -> Result<BorrowedFd<'_>, Fault> {
        match &*self.0 {
            Open::File { fd, .. } => Ok(fd.as_fd()),
            Open::Directory(directory) => Ok(directory.as_fd()),
            Open::Special { .. } => Err(Fault { call, errno: Errno::EOPNOTSUPP }),
        }
    }
}

impl Inode for RealInode {
    fn number(&self) -> u64 {
        match &*self.0 {
            Open::File { number, .. } | Open::Special { number, .. } => *number,
            Open::Directory(directory) => directory.number,
        }
    }

    fn kind(&self) -> InodeKind {
        match &*self.0 {
            Open::File { .. } => InodeKind::File,
            Open::Directory(_) => InodeKind::Directory,
            Open::Special { .. } => InodeKind::Special,
        }
    }

    fn state(&self) -> Result<InodeState, Fault> {
        let stat = self.stat()?;
        Ok(InodeState { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid })
    }

    fn times(&self) -> Result<(Time, Time), Fault> {
        let stat = self.stat()?;
        let time = |(seconds, nanoseconds)| Time { seconds, nanoseconds };
        Ok((time(stat.atime), time(stat.mtime)))
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> Result<(), Fault> {
        let parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file::write_at(self.fd("pwritev")?, offset, &parts)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        file::read_at(self.fd("pread")?, offset, buffer)
    }

    fn write_encoded(&self, extent: &Extent, payload: &[u8]) -> Result<(), Fault> {
        let shape = EncodedExtent {
            file_offset: extent.file_offset,
            file_len: extent.file_len,
            decoded_len: extent.decoded_len,
            decoded_offset: extent.decoded_offset,
            compression: number_of(extent.compression),
            encryption: extent.encryption,
        };
        encoded::encoded_write(self.fd("BTRFS_IOC_ENCODED_WRITE")?, &shape, payload).map(|_| ())
    }

    fn clone_range(&self, offset: u64, source: &Self, source_offset: u64, len: u64) -> Result<(), Fault> {
        let call = "FICLONERANGE";
        file::clone_range(self.fd(call)?, offset, source.fd(call)?, source_offset, len)
    }

    fn truncate(&self, size: u64) -> Result<(), Fault> {
        file::truncate(self.fd("ftruncate")?, size)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Fault> {
        file::punch_hole(self.fd("fallocate")?, offset, len)
    }

    fn set_mode(&self, mode: u32) -> Result<(), Fault> {
        match &*self.0 {
            Open::Special { directory, name, .. } => inode::set_mode_at(directory.as_fd(), name, mode),
            Open::File { .. } | Open::Directory(_) => inode::set_mode(self.fd("fchmod")?, mode),
        }
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Fault> {
        match &*self.0 {
            Open::Special { directory, name, .. } => inode::set_owner_at(directory.as_fd(), name, uid, gid),
            Open::File { .. } | Open::Directory(_) => inode::set_owner(self.fd("fchown")?, uid, gid),
        }
    }

    fn set_times(&self, atime: Time, mtime: Time) -> Result<(), Fault> {
        let times =
            inode::Times { atime: (atime.seconds, atime.nanoseconds), mtime: (mtime.seconds, mtime.nanoseconds) };
        match &*self.0 {
            Open::Special { directory, name, .. } => inode::set_times_at(directory.as_fd(), name, times),
            Open::File { .. } | Open::Directory(_) => inode::set_times(self.fd("futimens")?, times),
        }
    }

    fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let name = c_name(name)?;
        let mut value = vec![0; 256];
        loop {
            let found = match &*self.0 {
                Open::Special { directory, name: at, .. } => xattr::get_at(directory.as_fd(), at, &name, &mut value),
                Open::File { .. } | Open::Directory(_) => xattr::get(self.fd("fgetxattr")?, &name, &mut value),
            };
            match found {
                Err(fault) if fault.errno == Errno::ERANGE && value.len() < 65_536 => value = vec![0; 65_536],
                Err(fault) => return Err(fault),
                Ok(None) => return Ok(None),
                Ok(Some(len)) => {
                    value.truncate(len);
                    return Ok(Some(value));
                }
            }
        }
    }

    fn set_xattr(&self, name: &[u8], data: &[u8]) -> Result<(), Fault> {
        let name = c_name(name)?;
        match &*self.0 {
            Open::Special { directory, name: at, .. } => xattr::set_at(directory.as_fd(), at, &name, data),
            Open::File { .. } | Open::Directory(_) => xattr::set(self.fd("fsetxattr")?, &name, data),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Fault> {
        let name = c_name(name)?;
        match &*self.0 {
            Open::Special { directory, name: at, .. } => xattr::remove_at(directory.as_fd(), at, &name),
            Open::File { .. } | Open::Directory(_) => xattr::remove(self.fd("fremovexattr")?, &name),
        }
    }

    fn flags(&self) -> Result<u32, Fault> {
        flags::flags(self.fd("FS_IOC_GETFLAGS")?).map(flags::Flags::bits)
    }

    fn set_flags(&self, value: u32) -> Result<(), Fault> {
        replace_flags(self.fd("FS_IOC_SETFLAGS")?, value)
    }

    fn is_same(&self, other: &Self) -> Result<bool, Fault> {
        let (one, other) = (self.stat()?, other.stat()?);
        Ok((one.dev, one.ino) == (other.dev, other.ino))
    }

    fn metadata_is_scarce(&self) -> Result<bool, Fault> {
        Ok(space::space(self.fd("BTRFS_IOC_SPACE_INFO")?)?.metadata_is_scarce())
    }

    fn sync_filesystem(&self) -> Result<(), Fault> {
        filesystem::sync(self.fd("syncfs")?)
    }
}

impl RealInode {
    fn stat(&self) -> Result<file::Stat, Fault> {
        match &*self.0 {
            Open::Special { directory, name, .. } => file::stat_at(directory.as_fd(), name),
            Open::File { .. } | Open::Directory(_) => file::stat(self.fd("fstat")?),
        }
    }
}

/// Sets an inode's flags. If only the immutable and append-only flags differ, it uses the call that keeps the property
/// `btrfs.compression`.
pub(crate) fn replace_flags(fd: BorrowedFd<'_>, value: u32) -> Result<(), Fault> {
    let flags = flags::Flags::from_bits(value);
    if (flags::flags(fd)?.bits() ^ value) & !REFUSING == 0 {
        return flags::set_refusing(fd, flags);
    }
    flags::set_flags(fd, flags)
}

fn c_name(name: &[u8]) -> Result<CString, Fault> {
    CString::new(name).map_err(|_nul| Fault { call: "setxattr", errno: Errno::EINVAL })
}

fn number_of(how: Compression) -> u32 {
    match how {
        Compression::None => compression::NONE,
        Compression::Zlib => compression::ZLIB,
        Compression::Zstd => compression::ZSTD,
        Compression::Lzo { sector_size } => {
            compression::LZO_4K.saturating_add(sector_size.trailing_zeros().saturating_sub(12))
        }
    }
}

/// Opens a regular file by one name below `directory`; `stat` has its attributes.
pub(crate) fn open_file(directory: &Directory, name: &CStr, stat: &file::Stat, how: OFlag) -> Result<RealInode, Fault> {
    let fd = file::openat_new(directory, name, how | OFlag::O_NONBLOCK, Mode::empty())?;
    Ok(RealInode::new(Open::File { fd, number: stat.ino }))
}

/// Opens a regular file of another subvolume, whose root is `root`, to clone from it.
pub(crate) fn open_source(root: &Directory, path: &StreamPath) -> Result<RealInode, Error> {
    let doing = |fault| Error::call("open the source of a clone", fault);
    let parent = if path.parent().is_empty() { b"." } else { path.parent() };
    let parent = CString::new(parent).map_err(|_nul| Error::new(Cause::Name(NameError::Nul)))?;
    let fd = file::open_beneath(root, &parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(doing)?;
    let directory = Directory::new(fd).map_err(doing)?;
    let stat = file::stat_at(&*directory, path.name()).map_err(doing)?;
    if directory.device != root.device || stat.dev != root.device {
        return Err(doing(Fault { call: "openat2 (another subvolume)", errno: Errno::EXDEV }));
    }
    if !stat.is_file() {
        return Err(Error::new(Cause::Value("the source of a clone is not a regular file")));
    }
    open_file(&directory, path.name(), &stat, OFlag::O_RDONLY).map_err(doing)
}
