//! What the applier needs of the volume that it receives into.
//!
//! [`crate::real`] is a subvolume below a descriptor, `tests::memory` the model that tests compare with it. Errors are
//! the kernel's: the call and its errno.

use butterdock_btrfs::Error as Fault;
use butterdock_stream::{Extent, Identity, Shared, Time};

use crate::error::Error;
use crate::name::StreamPath;
use crate::plan::{NewInode, Verity};

/// A subvolume that is being received. All its methods are called from one thread.
pub(crate) trait Volume {
    /// A handle on an inode, good for as long as it is held, whatever happens to its names.
    type Inode: Inode;

    /// What the directory `path` hands down to an inode that is made in it.
    ///
    /// # Errors
    /// `path` is no directory, or leads out.
    fn inheritance(&mut self, path: &[u8]) -> Result<Inheritance, Fault>;

    /// Makes an inode; nothing may be there. `mode` holds permission bits; nothing but what the directory hands down
    /// (a default ACL, the set-gid bit) changes them.
    ///
    /// # Errors
    /// `EEXIST`, or what the kernel says.
    fn create(&mut self, path: &StreamPath, new: &NewInode, mode: u32) -> Result<Self::Inode, Fault>;

    /// Opens an inode by path, without following a symbolic link, and never a device.
    ///
    /// # Errors
    /// `ENOENT`, `EXDEV` (it leads out), `EPERM` (an immutable file), or what the kernel says.
    fn open(&mut self, path: &StreamPath) -> Result<Self::Inode, Fault>;

    /// Moves a name; what is at `to` is replaced.
    ///
    /// # Errors
    /// What `rename(2)` says.
    fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Fault>;

    /// Gives `existing` another name.
    ///
    /// # Errors
    /// What `link(2)` says.
    fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Fault>;

    /// Removes a name that is no directory.
    ///
    /// # Errors
    /// What `unlink(2)` says.
    fn unlink(&mut self, path: &StreamPath) -> Result<(), Fault>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What `rmdir(2)` says.
    fn rmdir(&mut self, path: &StreamPath) -> Result<(), Fault>;

    /// Takes the immutable and append-only flags from what is at `path`, if it has them.
    /// Answers the inode's number and the flags (`FS_*_FL`) that were taken.
    ///
    /// # Errors
    /// What the kernel says; nothing there is `Ok(None)`.
    fn lift(&mut self, path: &StreamPath) -> Result<Option<(u64, u32)>, Fault>;

    /// Finds an inode that had the name `hint` when it was last seen; none when it is gone.
    ///
    /// # Errors
    /// What the kernel says.
    fn by_number(&mut self, number: u64, hint: &StreamPath) -> Result<Option<Self::Inode>, Fault>;

    /// Opens a file of another subvolume to clone from.
    ///
    /// # Errors
    /// The subvolume is not here, is not what the sender meant, or the file is not in it.
    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<Self::Inode, Error>;

    /// The names at the top that have the sender's temporary form; where there are more than `most`, one more than that.
    ///
    /// # Errors
    /// What the kernel says.
    fn temporaries(&mut self, most: usize) -> Result<Vec<Vec<u8>>, Fault>;

    /// Switches fs-verity on for a file that had the name `hint` when it was last seen; nothing when it is gone.
    /// No handle on the file may be held.
    ///
    /// # Errors
    /// What the kernel says.
    fn enable_verity(&mut self, number: u64, hint: &StreamPath, verity: &Verity) -> Result<(), Fault>;

    /// Why fs-verity cannot be switched on here, if that is so.
    fn verity_missing(&mut self) -> Option<Fault>;

    /// The attributes of a directory changed: what [`Volume::inheritance`] remembers of it is stale.
    fn changed(&mut self, path: &StreamPath);
}

/// An inode of a [`Volume`]. Calls on different inodes may come from different threads.
pub(crate) trait Inode: Clone + Send + Sync + 'static {
    /// Its number.
    fn number(&self) -> u64;
    /// What it is.
    fn kind(&self) -> InodeKind;
    /// Its owner and mode.
    fn state(&self) -> Result<InodeState, Fault>;
    /// Access and modification time.
    fn times(&self) -> Result<(Time, Time), Fault>;
    /// Writes all of `parts` one after another from `offset` on, through the page cache.
    fn write(&self, offset: u64, parts: &[&[u8]]) -> Result<(), Fault>;
    /// Writes a compressed extent as it is.
    fn write_encoded(&self, extent: &Extent, payload: &[u8]) -> Result<(), Fault>;
    /// Shares `len` bytes of `source`.
    fn clone_range(&self, offset: u64, source: &Self, source_offset: u64, len: u64) -> Result<(), Fault>;
    /// Sets the size.
    fn truncate(&self, size: u64) -> Result<(), Fault>;
    /// Makes a hole, keeping the size.
    fn punch(&self, offset: u64, len: u64) -> Result<(), Fault>;
    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> Result<(), Fault>;
    /// Sets the owner as `chown(2)` does: set-id bits and capabilities go.
    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Fault>;
    /// Sets access and modification time.
    fn set_times(&self, atime: Time, mtime: Time) -> Result<(), Fault>;
    /// Reads an extended attribute; none when it is not set.
    fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// Sets an extended attribute.
    fn set_xattr(&self, name: &[u8], data: &[u8]) -> Result<(), Fault>;
    /// Removes an extended attribute.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Fault>;
    /// The flags of `chattr(1)` (`FS_*_FL`).
    fn flags(&self) -> Result<u32, Fault>;
    /// Sets them.
    fn set_flags(&self, flags: u32) -> Result<(), Fault>;
    /// Whether it is the same inode as another, of whatever subvolume.
    fn is_same(&self, other: &Self) -> Result<bool, Fault>;
    /// Whether the filesystem has no more room for metadata than it must keep.
    fn metadata_is_scarce(&self) -> Result<bool, Fault>;
    /// Writes out the whole filesystem, to make room.
    fn sync_filesystem(&self) -> Result<(), Fault>;
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InodeKind {
    /// A regular file: it can be opened and has data.
    File,
    /// A directory.
    Directory,
    /// Anything that is never opened: a symbolic link, fifo, socket or device.
    Special,
}

/// Owner and mode of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InodeState {
    /// Permission bits, set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a directory hands down to an inode made in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inheritance {
    /// It has a default ACL, which also masks the mode.
    pub acl: bool,
    /// It is set-gid: the group, and for directories the bit, are handed down.
    pub set_gid: bool,
    /// The inode flags that btrfs hands down (`FS_NOCOW_FL`, `FS_COMPR_FL`, `FS_NOCOMP_FL`).
    pub flags: u32,
    /// The `btrfs.compression` property.
    pub compression: Option<Vec<u8>>,
}

impl Inheritance {
    /// Whether owner and mode of a new inode are just those that it is made with.
    #[must_use]
    pub(crate) fn keeps_mode_and_owner(&self) -> bool {
        !self.acl && !self.set_gid
    }
}

/// Borrows the parts of a joined write.
pub(crate) fn borrow(parts: &[Shared]) -> Vec<&[u8]> {
    parts.iter().map(|part| &**part).collect()
}
