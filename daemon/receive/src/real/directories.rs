//! Open directories, kept by their paths.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, flags, xattr};
use nix::sys::resource::{Resource, getrlimit};

use crate::name::within;
use crate::volume::Inheritance;

/// Up to this many directories stay open, and up to a quarter of the descriptors that the process may have.
const MOST: usize = 8192;
/// `FS_NOCOW_FL | FS_COMPR_FL | FS_NOCOMP_FL`: the flags of a directory that new inodes inherit.
const INHERITED: u32 = 0x80_0000 | 0x4 | 0x400;
const SET_GID: u32 = 0o2000;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    pub(crate) number: u64,
    pub(crate) device: u64,
    inheritance: Mutex<Option<Inheritance>>,
}

/// The open directories of one subvolume.
#[derive(Debug)]
pub(crate) struct Directories {
    root: Arc<Directory>,
    /// Sorted by path, so that the directories below one are adjacent; each with the time of its last use.
    open: BTreeMap<Box<[u8]>, (Arc<Directory>, u64)>,
    capacity: usize,
    clock: u64,
}

impl Directory {
    pub(crate) fn new(fd: OwnedFd) -> Result<Arc<Self>, Fault> {
        let stat = file::stat(&fd)?;
        Ok(Self::known(fd, &stat, None))
    }

    /// A directory whose attributes are known. `inheritance` is set for one that was just created.
    pub(crate) fn known(fd: OwnedFd, stat: &file::Stat, inheritance: Option<Inheritance>) -> Arc<Self> {
        Arc::new(Self { fd, number: stat.ino, device: stat.dev, inheritance: Mutex::new(inheritance) })
    }

    /// The attributes that it passes on; read once and kept until [`Directory::forget`].
    pub(crate) fn inheritance(&self) -> Result<Inheritance, Fault> {
        let mut known = self.inheritance.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let mut value = [0; 64];
        let acl = match xattr::get(&self.fd, c"system.posix_acl_default", &mut value) {
            Ok(found) => found.is_some(),
            Err(fault) if fault.errno == Errno::ERANGE => true,
            Err(fault) if fault.errno == Errno::EOPNOTSUPP => false,
            Err(fault) => return Err(fault),
        };
        let compression =
            xattr::get(&self.fd, c"btrfs.compression", &mut value)?.and_then(|len| Some(value.get(..len)?.to_vec()));
        let found = Inheritance {
            acl,
            set_gid: file::stat(&self.fd)?.mode & SET_GID != 0,
            flags: flags::flags(&self.fd)?.bits() & INHERITED,
            compression,
        };
        *known = Some(found.clone());
        Ok(found)
    }

    /// Its attributes changed: the kept ones are out of date.
    pub(crate) fn forget(&self) {
        *self.inheritance.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directories {
    pub(crate) fn new(root: Arc<Directory>) -> Self {
        let (may, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        let capacity = usize::try_from(may / 4).map_or(MOST, |quarter| quarter.clamp(1, MOST));
        Self { root, open: BTreeMap::new(), capacity, clock: 0 }
    }

    pub(crate) fn root(&self) -> &Arc<Directory> {
        &self.root
    }

    /// The directory at `path`, kept or opened; `path` must come from a checked stream path.
    pub(crate) fn get(&mut self, path: &[u8]) -> Result<Arc<Directory>, Fault> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(kept) = self.kept(path) {
            return Ok(kept);
        }
        let name = CString::new(path).map_err(|_nul| Fault { call: "openat2", errno: Errno::EINVAL })?;
        let fd = file::open_beneath(&self.root.fd, &name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let directory = Directory::new(fd)?;
        self.keep(path, &directory)?;
        Ok(directory)
    }

    /// The directory at `path` if it is kept.
    pub(crate) fn kept(&mut self, path: &[u8]) -> Option<Arc<Directory>> {
        self.clock = self.clock.saturating_add(1);
        let (directory, used) = self.open.get_mut(path)?;
        *used = self.clock;
        Some(Arc::clone(directory))
    }

    /// Keeps an opened directory, if it is in this subvolume.
    pub(crate) fn keep(&mut self, path: &[u8], directory: &Arc<Directory>) -> Result<(), Fault> {
        if directory.device != self.root.device {
            return Err(Fault { call: "openat2 (another subvolume)", errno: Errno::EXDEV });
        }
        if self.open.len() >= self.capacity {
            let recent = self.clock.saturating_sub(self.capacity as u64 / 2);
            self.open.retain(|_, (_, used)| *used > recent);
            if self.open.len() >= self.capacity {
                self.open.clear();
            }
        }
        self.open.insert(path.into(), (Arc::clone(directory), self.clock));
        Ok(())
    }

    /// Removes `path` and the paths below it, because they changed.
    pub(crate) fn forget(&mut self, path: &[u8]) {
        self.open.remove(path);
        // The paths below begin with the path and a slash.
        let mut below = [path, b"/"].concat();
        loop {
            let first = self.open.range::<[u8], _>((Bound::Included(&*below), Bound::Unbounded)).next();
            let Some(kept) = first.map(|(kept, _)| kept.clone()).filter(|kept| within(kept, path)) else { return };
            self.open.remove(&kept);
            below = kept.into_vec();
        }
    }
}
