//! The names of the model: directories and their entries, with the kernel's errnos.

use std::collections::{BTreeMap, HashMap};

use butterdock_btrfs::Errno;

use super::inode::MemoryInode;
use crate::name::StreamPath;
use crate::plan::NewInode;
use crate::volume::Inode;

const IMMUTABLE: u32 = 0x10;
const REFUSING: u32 = 0x30;

/// Directories by number, each with its names.
#[derive(Debug)]
pub(crate) struct Names {
    root: MemoryInode,
    entries: HashMap<u64, BTreeMap<Vec<u8>, MemoryInode>>,
}

impl Names {
    pub(crate) fn new(root: MemoryInode) -> Self {
        let entries = HashMap::from([(root.number(), BTreeMap::new())]);
        Self { root, entries }
    }

    pub(crate) fn find(&self, path: &[u8]) -> Result<&MemoryInode, Errno> {
        let mut at = &self.root;
        if path.is_empty() {
            return Ok(at);
        }
        for part in path.split(|&byte| byte == b'/') {
            must_be_directory(at)?;
            at = self.entry(at, part).ok_or(Errno::ENOENT)?;
        }
        Ok(at)
    }

    /// The directory that holds `path`.
    pub(crate) fn directory(&self, path: &StreamPath) -> Result<MemoryInode, Errno> {
        let found = self.find(path.parent())?;
        must_be_directory(found)?;
        Ok(found.clone())
    }

    pub(crate) fn entries(&self, directory: &MemoryInode) -> impl Iterator<Item = (&Vec<u8>, &MemoryInode)> {
        self.entries.get(&directory.number()).into_iter().flatten()
    }

    /// The inode, if it has a name.
    pub(crate) fn by_number(&self, number: u64) -> Option<MemoryInode> {
        let mut all = std::iter::once(&self.root).chain(self.entries.values().flat_map(BTreeMap::values));
        all.find(|inode| inode.number() == number).cloned()
    }

    pub(crate) fn insert(&mut self, path: &StreamPath, inode: MemoryInode) -> Result<(), Errno> {
        let directory = self.may_appear(path)?;
        if inode.is_directory() {
            self.entries.insert(inode.number(), BTreeMap::new());
        }
        self.put(&directory, path, inode);
        Ok(())
    }

    /// The directory of `path`, if a name may be created there.
    pub(crate) fn may_appear(&self, path: &StreamPath) -> Result<MemoryInode, Errno> {
        let directory = self.directory(path)?;
        match self.entry(&directory, name(path)) {
            Some(_) => Err(Errno::EEXIST),
            None if has(&directory, IMMUTABLE) => Err(Errno::EPERM),
            None => Ok(directory),
        }
    }

    pub(crate) fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Errno> {
        let inode = self.entry(&self.directory(existing)?, name(existing)).cloned().ok_or(Errno::ENOENT)?;
        let directory = self.may_appear(path)?;
        if inode.is_directory() || has(&inode, REFUSING) {
            return Err(Errno::EPERM);
        }
        self.put(&directory, path, inode);
        Ok(())
    }

    pub(crate) fn unlink(&mut self, path: &StreamPath) -> Result<(), Errno> {
        let (directory, inode) = self.may_vanish(path)?;
        if inode.is_directory() {
            return Err(Errno::EISDIR);
        }
        self.take(&directory, path);
        Ok(())
    }

    pub(crate) fn rmdir(&mut self, path: &StreamPath) -> Result<(), Errno> {
        let (directory, inode) = self.may_vanish(path)?;
        if !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if self.entries(&inode).next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        self.entries.remove(&inode.number());
        self.take(&directory, path);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Errno> {
        let (old, new) = (self.directory(from)?, self.directory(to)?);
        let inode = self.entry(&old, name(from)).cloned().ok_or(Errno::ENOENT)?;
        if inode.is_directory() && from != to && to.is_within(from.as_bytes()) {
            return Err(Errno::EINVAL);
        }
        let target = self.entry(&new, name(to)).cloned();
        if from.is_within(to.as_bytes()) && from != to {
            return Err(Errno::ENOTEMPTY);
        }
        if target.as_ref().is_some_and(|target| target.number() == inode.number()) {
            return Ok(());
        }
        self.may_vanish(from)?;
        match &target {
            Some(target) => {
                self.may_vanish(to)?;
                match (inode.is_directory(), target.is_directory()) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) if self.entries(target).next().is_some() => return Err(Errno::ENOTEMPTY),
                    (true, true) => drop(self.entries.remove(&target.number())),
                    (false, false) => {}
                }
            }
            None if has(&new, IMMUTABLE) => return Err(Errno::EPERM),
            None => {}
        }
        self.take(&old, from);
        self.put(&new, to, inode);
        Ok(())
    }

    fn may_vanish(&self, path: &StreamPath) -> Result<(MemoryInode, MemoryInode), Errno> {
        let directory = self.directory(path)?;
        let inode = self.entry(&directory, name(path)).cloned().ok_or(Errno::ENOENT)?;
        if has(&directory, REFUSING) || has(&inode, REFUSING) {
            return Err(Errno::EPERM);
        }
        Ok((directory, inode))
    }

    fn entry(&self, directory: &MemoryInode, name: &[u8]) -> Option<&MemoryInode> {
        self.entries.get(&directory.number())?.get(name)
    }

    fn put(&mut self, directory: &MemoryInode, path: &StreamPath, inode: MemoryInode) {
        self.entries.entry(directory.number()).or_default().insert(name(path).into(), inode);
    }

    fn take(&mut self, directory: &MemoryInode, path: &StreamPath) {
        if let Some(names) = self.entries.get_mut(&directory.number()) {
            names.remove(name(path));
        }
    }
}

/// No symbolic link is followed on the way.
fn must_be_directory(inode: &MemoryInode) -> Result<(), Errno> {
    match inode.what() {
        NewInode::Directory => Ok(()),
        NewInode::Symlink { .. } => Err(Errno::ELOOP),
        NewInode::File
        | NewInode::Fifo
        | NewInode::Socket
        | NewInode::CharDevice { .. }
        | NewInode::BlockDevice { .. } => Err(Errno::ENOTDIR),
    }
}

fn name(path: &StreamPath) -> &[u8] {
    path.name().to_bytes()
}

fn has(inode: &MemoryInode, flags: u32) -> bool {
    inode.lock().attributes.flags & flags != 0
}
