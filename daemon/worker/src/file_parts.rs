//! Reads parts of files by subvolume and inode, to find those that cannot be read.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::extents::DiskExtent;
use butterdock_btrfs::file::{Mode, OFlag, open_beneath, read_at};
use butterdock_btrfs::subvolume::TOP_LEVEL_ID;
use butterdock_btrfs::{Errno, Error as Fault, best_effort, roots};
use rustix::fs::{Advice, fadvise};

/// One extent is read in pieces of this size.
const PIECE: usize = 1 << 20;

/// Reads files below one directory, the root of a subvolume.
#[derive(Debug)]
pub(crate) struct FileParts<'f> {
    root: BorrowedFd<'f>,
    /// The subvolume that was read last, if it is another than that of `root`.
    subvolume: Option<Opened>,
    /// The file that was read last, in that subvolume.
    file: Option<Opened>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    /// The subvolume's id, or the inode.
    id: u64,
    path: Vec<u8>,
    fd: OwnedFd,
}

impl<'f> FileParts<'f> {
    /// `root` is the root of a subvolume; of the top-level one if files in other subvolumes are read.
    pub(crate) fn new(root: BorrowedFd<'f>) -> Self {
        Self { root, subvolume: None, file: None, buffer: vec![0; PIECE] }
    }

    /// Whether a part of a file in subvolume `tree` (0: that of the root) can be read from the device.
    ///
    /// # Errors
    /// The file cannot be opened, perhaps because it was deleted.
    pub(crate) fn can_read(&mut self, tree: u64, part: &DiskExtent) -> Result<bool, Fault> {
        self.open(tree, part.ino)?;
        let Some(file) = &self.file else { return Ok(true) };
        // A page in memory may be from before the damage. The kernel may keep dirty pages, which are no older.
        best_effort(fadvise(&file.fd, part.offset, std::num::NonZeroU64::new(part.len), Advice::DontNeed));
        let mut done = 0;
        while done < part.len {
            let length = usize::try_from(part.len.saturating_sub(done)).unwrap_or(PIECE).min(PIECE);
            let piece = self.buffer.get_mut(..length).unwrap_or_default();
            match read_at(&file.fd, part.offset.saturating_add(done), piece) {
                // The end of the file.
                Ok(0) => break,
                Ok(read) => done = done.saturating_add(read as u64),
                Err(Fault { errno: Errno::EIO, .. }) => return Ok(false),
                Err(fault) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// The path of the file that was read last, from the root; empty before the first.
    pub(crate) fn path(&self) -> Vec<u8> {
        let parts = [&self.subvolume, &self.file];
        let parts = parts.into_iter().flatten().map(|opened| opened.path.as_slice()).filter(|path| !path.is_empty());
        parts.collect::<Vec<_>>().join(&b'/')
    }

    fn open(&mut self, tree: u64, ino: u64) -> Result<(), Fault> {
        let elsewhere = Some(tree).filter(|tree| !matches!(*tree, 0 | TOP_LEVEL_ID));
        if self.subvolume.as_ref().map(|opened| opened.id) != elsewhere {
            (self.subvolume, self.file) = (None, None);
            if let Some(id) = elsewhere {
                let path = roots::path_of(self.root, id)?.ok_or(GONE)?;
                let fd = open(self.root, &path, OFlag::O_DIRECTORY)?;
                self.subvolume = Some(Opened { id, path, fd });
            }
        }
        if self.file.as_ref().map(|opened| opened.id) != Some(ino) {
            self.file = None;
            let mut path = roots::path_within(self.root, tree, ino)?.ok_or(GONE)?;
            // The kernel ends it with a slash.
            path.pop();
            let beneath = self.subvolume.as_ref().map_or(self.root, |opened| opened.fd.as_fd());
            // A file that was replaced meanwhile by a fifo does not block.
            let fd = open(beneath, &path, OFlag::O_NONBLOCK | OFlag::O_NOATIME)?;
            self.file = Some(Opened { id: ino, path, fd });
        }
        Ok(())
    }
}

const GONE: Fault = Fault { call: "openat2", errno: Errno::ENOENT };

fn open(beneath: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Fault> {
    let path = CString::new(path).map_err(|_nul| GONE)?;
    open_beneath(beneath, &path, OFlag::O_RDONLY | flags, Mode::empty())
}
