//! New inodes of a subvolume: each with the mode that was asked for, whatever the umask is.

use std::ffi::CString;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, inode, names};

use super::directories::Directory;
use super::inode::{Open, RealInode};
use super::volume::{RealVolume, Sources};
use crate::name::StreamPath;
use crate::plan::NewInode;

const MODE_BITS: u32 = 0o7777;
const SET_GID: u32 = 0o2000;
/// File types of `mknod(2)`.
const FIFO: u32 = 0o010_000;
const SOCKET: u32 = 0o140_000;
const CHAR: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;

impl<S: Sources> RealVolume<S> {
    /// See [`Volume::create`](crate::volume::Volume::create).
    pub(super) fn make(&mut self, path: &StreamPath, new: &NewInode, mode: u32) -> Result<RealInode, Fault> {
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
            inode::set_mode_at(&*directory, name, mode)?;
        }
        Ok(RealInode::new(Open::Special { directory, name: name.into(), number: stat.ino }))
    }

    fn create_file(&mut self, directory: &Directory, path: &StreamPath, mode: u32) -> Result<RealInode, Fault> {
        let how = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        let fd = file::openat_new(directory, path.name(), how, Mode::from_bits_truncate(mode))?;
        let stat = file::stat(&fd)?;
        if unmasked(directory, stat.mode, mode)? {
            inode::set_mode(&fd, mode)?;
        }
        let made = RealInode::new(Open::File { fd, number: stat.ino });
        self.remember(path, &made);
        Ok(made)
    }

    fn create_directory(&mut self, directory: &Directory, path: &StreamPath, mode: u32) -> Result<RealInode, Fault> {
        names::make_dir(directory, path.name(), mode)?;
        let fd = file::openat_new(directory, path.name(), OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let stat = file::stat(&fd)?;
        // A set-gid directory hands its bit down to a directory.
        let mode = mode | stat.mode & SET_GID;
        if unmasked(directory, stat.mode, mode)? {
            inode::set_mode(&fd, mode)?;
        }
        // Where nothing but flags and properties is handed down, it hands on what it got.
        let got = directory.hands_down()?;
        let hands_down = (got.keeps_mode_and_owner() && mode & SET_GID == 0).then_some(got);
        let made = Directory::known(fd, &stat, hands_down);
        self.directories.keep(path.as_bytes(), &made)?;
        Ok(RealInode::new(Open::Directory(made)))
    }
}

/// Whether the process's umask took bits off the mode that was asked for, so that they must be set. What a default ACL
/// took off stays off.
fn unmasked(directory: &Directory, made: u32, asked: u32) -> Result<bool, Fault> {
    Ok(made & MODE_BITS != asked && !directory.hands_down()?.acl)
}
