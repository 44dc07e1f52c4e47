//! A real subvolume, below a descriptor.
//!
//! A path is resolved in two steps. First its directory: `openat2` beneath the subvolume's root follows no symbolic link, and
//! the directory must be on the root's device (a nested subvolume has another one). Then its last part, one name, below that
//! directory's descriptor. Directory descriptors are kept. The type of an inode is read before it is opened, and only regular
//! files and directories are opened. New inodes have the requested mode with any umask.

mod directories;
mod inode;

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::inode::{set_mode, set_mode_at};
use butterdock_btrfs::{Errno, Error as Fault, flags, names, roots};
use butterdock_stream::Identity;

use crate::apply::REFUSING;
use crate::error::Error;
use crate::name::StreamPath;
use crate::plan::{NewInode, Verity};
use crate::volume::{Inheritance, Inode, Volume};

use directories::Directories;
pub(crate) use directories::Directory;
use inode::{Open, open_file, replace_flags};
pub(crate) use inode::{RealInode, open_source};

const MODE_BITS: u32 = 0o7777;
const SET_GID: u32 = 0o2000;
/// File types of `mknod(2)`.
const FIFO: u32 = 0o010_000;
const SOCKET: u32 = 0o140_000;
const CHAR: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;

/// Up to this many recently opened files stay open.
const RECENT: usize = 4;

/// Finds files of other subvolumes to clone from.
pub(crate) trait CloneSources {
    /// The file `path` of the subvolume with the identity `source` at the sender.
    ///
    /// # Errors
    /// The subvolume is missing, was changed, or does not have the file.
    fn open(&mut self, source: &Identity, path: &StreamPath) -> Result<RealInode, Error>;
}

/// A subvolume that is being received.
#[derive(Debug)]
pub(crate) struct RealVolume<S> {
    directories: Directories,
    identity: Identity,
    recent: Vec<(StreamPath, RealInode)>,
    sources: S,
}

impl<S: CloneSources> RealVolume<S> {
    /// The subvolume whose root is open as `root`; `identity` is its identity in the stream.
    ///
    /// # Errors
    /// The attributes of `root` cannot be read.
    pub(crate) fn new(root: std::os::fd::OwnedFd, identity: Identity, sources: S) -> Result<Self, Fault> {
        let directories = Directories::new(Directory::new(root)?);
        Ok(Self { directories, identity, recent: Vec::new(), sources })
    }

    /// Its clone sources.
    pub(crate) fn sources(&self) -> &S {
        &self.sources
    }

    /// Ends the use of the volume; returns its clone sources, which are checked at the end.
    pub(crate) fn into_sources(self) -> S {
        self.sources
    }

    fn parent(&mut self, path: &StreamPath) -> Result<Arc<Directory>, Fault> {
        self.directories.get(path.parent())
    }

    /// The directory and the attributes of the inode at `path`.
    fn find(&mut self, path: &StreamPath) -> Result<(Arc<Directory>, Stat), Fault> {
        let directory = self.parent(path)?;
        let stat = look(&directory, path)?;
        Ok((directory, stat))
    }

    fn remember(&mut self, path: &StreamPath, inode: &RealInode) {
        if self.recent.len() >= RECENT {
            self.recent.remove(0);
        }
        self.recent.push((path.clone(), inode.clone()));
    }

    fn recent(&self, path: &StreamPath) -> Option<RealInode> {
        self.recent.iter().rev().find(|(at, _)| at == path).map(|(_, inode)| inode.clone())
    }

    fn create_file(&mut self, directory: &Directory, path: &StreamPath, mode: u32) -> Result<RealInode, Fault> {
        let how = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        let fd = file::openat_new(directory, path.name(), how, Mode::from_bits_truncate(mode))?;
        let stat = file::stat(&fd)?;
        if unmasked(directory, stat.mode, mode)? {
            set_mode(&fd, mode)?;
        }
        let made = RealInode::new(Open::File { fd, number: stat.ino });
        self.remember(path, &made);
        Ok(made)
    }

    fn create_directory(&mut self, directory: &Directory, path: &StreamPath, mode: u32) -> Result<RealInode, Fault> {
        names::make_dir(directory, path.name(), mode)?;
        let fd = file::openat_new(directory, path.name(), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let stat = file::stat(&fd)?;
        // A directory inherits the set-gid bit.
        let mode = mode | stat.mode & SET_GID;
        if unmasked(directory, stat.mode, mode)? {
            set_mode(&fd, mode)?;
        }
        // A directory that inherited only flags and properties passes the same on.
        let got = directory.inheritance()?;
        let inheritance = (got.keeps_mode_and_owner() && mode & SET_GID == 0).then_some(got);
        let made = Directory::known(fd, &stat, inheritance);
        self.directories.keep(path.as_bytes(), &made)?;
        Ok(RealInode::new(Open::Directory(made)))
    }

    /// Removes `path` and the paths below it from the kept files and directories, because they changed.
    fn forget(&mut self, path: &StreamPath) {
        self.recent.retain(|(at, _)| !at.is_within(path.as_bytes()));
        self.directories.forget(path.as_bytes());
    }
}

impl<S: CloneSources> Volume for RealVolume<S> {
    type Inode = RealInode;

    fn inheritance(&mut self, path: &[u8]) -> Result<Inheritance, Fault> {
        self.directories.get(path)?.inheritance()
    }

    fn create(&mut self, path: &StreamPath, new: &NewInode, mode: u32) -> Result<RealInode, Fault> {
        let directory = self.parent(path)?;
        let name = path.name();
        let node = |kind: u32, rdev| names::make_node(&*directory, name, kind | mode, rdev);
        match new {
            NewInode::File => return self.create_file(&directory, path, mode),
            NewInode::Directory => return self.create_directory(&directory, path, mode),
            NewInode::Symlink { target } => {
                let target =
                    CString::new(&**target).map_err(|_nul| Fault { call: "symlinkat", errno: Errno::EINVAL })?;
                names::make_symlink(&*directory, name, &target)?;
            }
            NewInode::Fifo => node(FIFO, 0)?,
            NewInode::Socket => node(SOCKET, 0)?,
            NewInode::CharDevice { rdev } => node(CHAR, *rdev)?,
            NewInode::BlockDevice { rdev } => node(BLOCK, *rdev)?,
        }
        let stat = file::stat_at(&*directory, name)?;
        if !matches!(new, NewInode::Symlink { .. }) && unmasked(&directory, stat.mode, mode)? {
            set_mode_at(&*directory, name, mode)?;
        }
        Ok(RealInode::new(Open::Special { directory, name: name.into(), number: stat.ino }))
    }

    fn open(&mut self, path: &StreamPath) -> Result<RealInode, Fault> {
        if path.is_root() {
            return Ok(RealInode::new(Open::Directory(Arc::clone(self.directories.root()))));
        }
        if let Some(inode) = self.recent(path) {
            return Ok(inode);
        }
        if let Some(kept) = self.directories.kept(path.as_bytes()) {
            return Ok(RealInode::new(Open::Directory(kept)));
        }
        let (directory, stat) = self.find(path)?;
        if stat.is_dir() {
            return Ok(RealInode::new(Open::Directory(self.directories.get(path.as_bytes())?)));
        }
        if !stat.is_file() {
            return Ok(RealInode::new(Open::Special { directory, name: path.name().into(), number: stat.ino }));
        }
        let inode = open_file(&directory, path.name(), &stat, OFlag::O_RDWR)?;
        self.remember(path, &inode);
        Ok(inode)
    }

    fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Fault> {
        let (old, new) = (self.parent(from)?, self.parent(to)?);
        names::rename(&*old, from.name(), &*new, to.name())?;
        self.forget(from);
        self.forget(to);
        Ok(())
    }

    fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Fault> {
        let (old, new) = (self.parent(existing)?, self.parent(path)?);
        names::link(&*old, existing.name(), &*new, path.name())
    }

    fn unlink(&mut self, path: &StreamPath) -> Result<(), Fault> {
        let directory = self.parent(path)?;
        names::unlink(&*directory, path.name())?;
        self.forget(path);
        Ok(())
    }

    fn rmdir(&mut self, path: &StreamPath) -> Result<(), Fault> {
        let directory = self.parent(path)?;
        names::remove_dir(&*directory, path.name())?;
        self.forget(path);
        Ok(())
    }

    fn clear_refusing(&mut self, path: &StreamPath) -> Result<Option<(u64, u32)>, Fault> {
        if path.is_root() || self.directories.kept(path.as_bytes()).is_some() {
            let directory = self.directories.get(path.as_bytes())?;
            return clear_flags(directory.as_fd(), directory.number);
        }
        match self.find(path) {
            Ok((directory, stat)) if stat.is_file() || stat.is_dir() => {
                let how = if stat.is_dir() { OFlag::O_DIRECTORY } else { OFlag::O_NONBLOCK };
                let fd = file::openat_new(&*directory, path.name(), OFlag::O_RDONLY | how, Mode::empty())?;
                clear_flags(fd.as_fd(), stat.ino)
            }
            Ok(_) => Ok(None),
            Err(fault) if matches!(fault.errno, Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    fn by_number(&mut self, number: u64, hint: &StreamPath) -> Result<Option<RealInode>, Fault> {
        if let Ok(found) = self.open(hint) {
            if found.number() == number {
                return Ok(Some(found));
            }
        }
        let Some(path) = roots::path_within(&**self.directories.root(), 0, number)? else { return Ok(None) };
        let path = path.strip_suffix(b"/").unwrap_or(&path);
        match StreamPath::new(path).map(|path| self.open(&path)) {
            Ok(Ok(found)) if found.number() == number => Ok(Some(found)),
            Ok(Err(fault)) if fault.errno != Errno::ENOENT => Err(fault),
            _ => Ok(None),
        }
    }

    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<RealInode, Error> {
        if source.uuid != self.identity.uuid {
            return self.sources.open(source, path);
        }
        if let Some(inode) = self.recent(path) {
            return Ok(inode);
        }
        let found = self.find(path).and_then(|(directory, stat)| {
            if stat.is_file() { open_file(&directory, path.name(), &stat, OFlag::O_RDONLY).map(Some) } else { Ok(None) }
        });
        match found {
            Ok(Some(inode)) => Ok(inode),
            Ok(None) => Err(Error::new(crate::error::Cause::Value("the source of a clone is not a regular file"))),
            Err(fault) => Err(Error::call("open the source of a clone", fault)),
        }
    }

    fn temporaries(&mut self, most: usize) -> Result<Vec<Vec<u8>>, Fault> {
        // The parent may come from a stream, and may have any number of such names.
        let mut kept = 0_usize;
        let temporary = |name: &std::ffi::CStr| {
            let is_one = kept <= most && StreamPath::new(name.to_bytes()).is_ok_and(|path| path.is_temporary());
            kept = kept.saturating_add(usize::from(is_one));
            is_one
        };
        let found = names::entries_where(&**self.directories.root(), temporary)?;
        Ok(found.into_iter().map(CString::into_bytes).collect())
    }

    fn changed(&mut self, path: &StreamPath) {
        if path.is_root() {
            self.directories.root().forget();
        } else if let Some(directory) = self.directories.kept(path.as_bytes()) {
            directory.forget();
        }
    }

    fn enable_verity(&mut self, number: u64, hint: &StreamPath, verity: &Verity) -> Result<(), Fault> {
        // The file must not be open for writing: close the kept descriptors, and open it for reading.
        self.recent.clear();
        let path = match roots::path_within(&**self.directories.root(), 0, number)? {
            Some(path) => StreamPath::new(path.strip_suffix(b"/").unwrap_or(&path)).unwrap_or_else(|_| hint.clone()),
            None => return Ok(()),
        };
        let (directory, stat) = self.find(&path)?;
        if stat.ino != number || !stat.is_file() {
            return Ok(());
        }
        let fd = file::openat_new(&*directory, path.name(), OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())?;
        let (salt, signature) = (&*verity.salt, &*verity.signature);
        let algorithm = u32::from(verity.algorithm);
        file::enable_verity(&fd, &file::Verity { algorithm, block_size: verity.block_size, salt, signature })
    }

    fn verity_missing(&mut self) -> Option<Fault> {
        // A directory cannot have fs-verity, for which a kernel that supports it has another errno.
        let nothing = file::Verity { algorithm: 1, block_size: 4096, salt: &[], signature: &[] };
        let answer = file::enable_verity(&**self.directories.root(), &nothing);
        answer.err().filter(|fault| matches!(fault.errno, Errno::EOPNOTSUPP | Errno::ENOTTY))
    }
}

/// The attributes of the inode at `path` in `directory`, if it is in the same subvolume.
fn look(directory: &Directory, path: &StreamPath) -> Result<Stat, Fault> {
    let stat = file::stat_at(directory, path.name())?;
    if stat.dev == directory.device {
        Ok(stat)
    } else {
        Err(Fault { call: "statx (another subvolume)", errno: Errno::EXDEV })
    }
}

fn clear_flags(fd: BorrowedFd<'_>, number: u64) -> Result<Option<(u64, u32)>, Fault> {
    let now = flags::flags(fd)?.bits();
    if now & REFUSING == 0 {
        return Ok(None);
    }
    replace_flags(fd, now & !REFUSING)?;
    Ok(Some((number, now & REFUSING)))
}

/// Whether the process's umask removed bits of the requested mode, so that they must be set. Bits that a default ACL removed
/// stay removed.
fn unmasked(directory: &Directory, made: u32, asked: u32) -> Result<bool, Fault> {
    Ok(made & MODE_BITS != asked && !directory.inheritance()?.acl)
}
