//! The volume that the applier receives into, as two traits.
//!
//! [`crate::real`] is a subvolume below a descriptor, `tests::memory` the model with which the tests compare it. Errors are
//! those of the kernel: the call and its errno.

use butterdock_btrfs::Error as Fault;
use butterdock_stream::{Extent, Identity, Shared, Time};

use crate::error::Error;
use crate::name::StreamPath;
use crate::plan::{NewInode, Verity};

/// A subvolume that is being received. One thread calls all its methods.
pub(crate) trait Volume {
    /// A handle on an inode. It stays valid when the inode is renamed or unlinked.
    type Inode: Inode;

    /// The attributes that an inode inherits if it is created in the directory `path`.
    ///
    /// # Errors
    /// `path` is not a directory, or leads out of the subvolume.
    fn inheritance(&mut self, path: &[u8]) -> Result<Inheritance, Fault>;

    /// Creates an inode under a free name. `mode` has the permission bits; only inherited attributes (a default ACL, the set-gid
    /// bit) change them.
    ///
    /// # Errors
    /// `EEXIST`, or another error of the kernel.
    fn create(&mut self, path: &StreamPath, new: &NewInode, mode: u32) -> Result<Self::Inode, Fault>;

    /// Opens an inode by path. It follows no symbolic link and opens no device.
    ///
    /// # Errors
    /// `ENOENT`, `EXDEV` (it leads out of the subvolume), `EPERM` (an immutable file), or another error of the kernel.
    fn open(&mut self, path: &StreamPath) -> Result<Self::Inode, Fault>;

    /// Renames; replaces an existing file at `to`.
    ///
    /// # Errors
    /// Those of `rename(2)`.
    fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Fault>;

    /// Gives `existing` another name.
    ///
    /// # Errors
    /// Those of `link(2)`.
    fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Fault>;

    /// Removes the name of a file that is not a directory.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    fn unlink(&mut self, path: &StreamPath) -> Result<(), Fault>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of `rmdir(2)`.
    fn rmdir(&mut self, path: &StreamPath) -> Result<(), Fault>;

    /// Clears the immutable and append-only flags of the inode at `path`. Returns its number and the flags (`FS_*_FL`) that it
    /// had; none if it had none or does not exist.
    ///
    /// # Errors
    /// Those of the kernel.
    fn clear_refusing(&mut self, path: &StreamPath) -> Result<Option<(u64, u32)>, Fault>;

    /// Finds an inode by its number; `hint` is its last known path. None if it was deleted.
    ///
    /// # Errors
    /// Those of the kernel.
    fn by_number(&mut self, number: u64, hint: &StreamPath) -> Result<Option<Self::Inode>, Fault>;

    /// Opens a file of another subvolume to clone from.
    ///
    /// # Errors
    /// The subvolume is missing, was changed, or does not have the file.
    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<Self::Inode, Error>;

    /// The names at the root that have the form of the sender's temporary names; up to `most` and one more.
    ///
    /// # Errors
    /// Those of the kernel.
    fn temporaries(&mut self, most: usize) -> Result<Vec<Vec<u8>>, Fault>;

    /// Enables fs-verity of a file; `hint` is its last known path. Does nothing if the file was deleted. No handle on the file may
    /// exist.
    ///
    /// # Errors
    /// Those of the kernel.
    fn enable_verity(&mut self, number: u64, hint: &StreamPath, verity: &Verity) -> Result<(), Fault>;

    /// Why the filesystem does not support fs-verity; none if it does.
    fn verity_missing(&mut self) -> Option<Fault>;

    /// The attributes of a directory changed, so its kept [`Volume::inheritance`] is out of date.
    fn changed(&mut self, path: &StreamPath);
}

/// An inode of a [`Volume`]. Calls on different inodes may come from different threads.
pub(crate) trait Inode: Clone + Send + Sync + 'static {
    /// Its number.
    fn number(&self) -> u64;
    /// Its kind.
    fn kind(&self) -> InodeKind;
    /// Its owner and mode.
    fn state(&self) -> Result<InodeState, Fault>;
    /// Access and modification time.
    fn times(&self) -> Result<(Time, Time), Fault>;
    /// Writes all of `parts` one after another from `offset` on, through the page cache.
    fn write(&self, offset: u64, parts: &[&[u8]]) -> Result<(), Fault>;
    /// Fills `buffer` from `offset` on; the number of bytes read, fewer only at the end of the file.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault>;
    /// Writes a compressed extent as it is.
    fn write_encoded(&self, extent: &Extent, payload: &[u8]) -> Result<(), Fault>;
    /// Shares `len` bytes of `source`.
    fn clone_range(&self, offset: u64, source: &Self, source_offset: u64, len: u64) -> Result<(), Fault>;
    /// Sets the size.
    fn truncate(&self, size: u64) -> Result<(), Fault>;
    /// Punches a hole and keeps the size.
    fn punch(&self, offset: u64, len: u64) -> Result<(), Fault>;
    /// Sets the permission bits.
    fn set_mode(&self, mode: u32) -> Result<(), Fault>;
    /// Sets the owner as `chown(2)` does, which clears set-id bits and capabilities.
    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Fault>;
    /// Sets access and modification time.
    fn set_times(&self, atime: Time, mtime: Time) -> Result<(), Fault>;
    /// Reads an extended attribute; none if it is not set.
    fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// Sets an extended attribute.
    fn set_xattr(&self, name: &[u8], data: &[u8]) -> Result<(), Fault>;
    /// Removes an extended attribute.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Fault>;
    /// The flags of `chattr(1)` (`FS_*_FL`).
    fn flags(&self) -> Result<u32, Fault>;
    /// Sets them.
    fn set_flags(&self, flags: u32) -> Result<(), Fault>;
    /// Whether both are the same inode; they may be in different subvolumes.
    fn is_same(&self, other: &Self) -> Result<bool, Fault>;
    /// Whether the filesystem has no more room for metadata than the reserve that it must keep.
    fn metadata_is_scarce(&self) -> Result<bool, Fault>;
    /// Writes the whole filesystem out, which frees the space of deleted files.
    fn sync_filesystem(&self) -> Result<(), Fault>;
}

/// The kind of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InodeKind {
    /// A regular file, which is opened and has data.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, fifo, socket or device, which is never opened.
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

/// The attributes that a directory passes on to an inode created in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inheritance {
    /// It has a default ACL, which also masks the mode.
    pub acl: bool,
    /// It is set-gid: an inode inherits its group, and a directory also the bit.
    pub set_gid: bool,
    /// The inode flags that btrfs passes on (`FS_NOCOW_FL`, `FS_COMPR_FL`, `FS_NOCOMP_FL`).
    pub flags: u32,
    /// The `btrfs.compression` property.
    pub compression: Option<Vec<u8>>,
}

impl Inheritance {
    /// Whether a new inode has exactly the owner and mode that it is created with.
    #[must_use]
    pub(crate) fn keeps_mode_and_owner(&self) -> bool {
        !self.acl && !self.set_gid
    }
}

/// Borrows the parts of a joined write.
pub(crate) fn borrow(parts: &[Shared]) -> Vec<&[u8]> {
    parts.iter().map(|part| &**part).collect()
}
