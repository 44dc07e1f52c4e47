//! A subvolume in memory.

use std::collections::HashMap;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Identity, Uuid};

use super::acl::DEFAULT;
use super::attributes::Attributes;
use super::content::Content;
use super::flags::{COMPR, COMPRESSION, NOCOMP, NOCOW};
use super::inode::MemoryInode;
use super::names::Names;
use super::view::View;
use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::plan::{NewInode, Verity};
use crate::volume::{Inheritance, Inode, Volume};

/// The number of the root; the next inode has the next one.
const ROOT_NUMBER: u64 = 256;
const SET_GID: u32 = 0o2000;
const REFUSING: u32 = 0x30;

/// A subvolume in memory, empty at first.
#[derive(Debug)]
pub(crate) struct MemoryVolume {
    identity: Identity,
    names: Names,
    last: u64,
    /// Files of other subvolumes.
    sources: HashMap<(Uuid, Vec<u8>), MemoryInode>,
}

impl MemoryVolume {
    /// An empty subvolume that the stream calls `identity`.
    #[must_use]
    pub(crate) fn new(identity: Identity) -> Self {
        let attributes = Attributes::new(&NewInode::Directory, 0o755, None);
        let root = MemoryInode::new(ROOT_NUMBER, NewInode::Directory, attributes, Content::default());
        Self { identity, names: Names::new(root), last: ROOT_NUMBER, sources: HashMap::new() }
    }

    /// Puts a file into another subvolume, to be cloned from.
    #[must_use]
    pub(crate) fn with_source(mut self, subvolume: &Identity, path: &[u8], data: &[u8]) -> Self {
        let mut content = Content::default();
        content.write(0, data);
        let attributes = Attributes::new(&NewInode::File, 0o600, None);
        // Numbers of other subvolumes are their own, and may be the same.
        let inode = MemoryInode::new(ROOT_NUMBER.saturating_add(1), NewInode::File, attributes, content);
        self.sources.insert((subvolume.uuid, path.into()), inode);
        self
    }

    /// Everything in it, as one value to be compared.
    #[must_use]
    pub(crate) fn view(&self) -> View {
        View::of(&self.names)
    }
}

impl Volume for MemoryVolume {
    type Inode = MemoryInode;

    fn hands_down(&mut self, path: &[u8]) -> Result<Inheritance, Fault> {
        let found = self.names.find(path).map_err(doing("openat2"))?;
        if !found.is_directory() {
            return Err(Fault { call: "openat2", errno: Errno::ENOTDIR });
        }
        let state = found.lock();
        let Attributes { mode, flags, xattrs, .. } = &state.attributes;
        Ok(Inheritance {
            acl: xattrs.contains_key(DEFAULT),
            set_gid: mode & SET_GID != 0,
            flags: flags & (NOCOW | COMPR | NOCOMP),
            compression: xattrs.get(COMPRESSION).cloned(),
        })
    }

    fn create(&mut self, path: &StreamPath, new: &NewInode, mode: u32) -> Result<MemoryInode, Fault> {
        let directory = self.names.may_appear(path).map_err(doing("create"))?;
        let attributes = Attributes::new(new, mode, Some(&directory.lock().attributes));
        self.last = self.last.saturating_add(1);
        let inode = MemoryInode::new(self.last, new.clone(), attributes, Content::default());
        self.names.insert(path, inode.clone()).map_err(doing("create"))?;
        Ok(inode)
    }

    fn open(&mut self, path: &StreamPath) -> Result<MemoryInode, Fault> {
        let found = self.names.find(path.as_bytes()).map_err(doing("openat2"))?;
        if *found.what() == NewInode::File {
            found.lock().attributes.refuse().map_err(doing("openat"))?;
        }
        Ok(found.clone())
    }

    fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Fault> {
        self.names.rename(from, to).map_err(doing("renameat"))
    }

    fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Fault> {
        self.names.link(existing, path).map_err(doing("linkat"))
    }

    fn unlink(&mut self, path: &StreamPath) -> Result<(), Fault> {
        self.names.unlink(path).map_err(doing("unlinkat"))
    }

    fn rmdir(&mut self, path: &StreamPath) -> Result<(), Fault> {
        self.names.rmdir(path).map_err(doing("unlinkat"))
    }

    fn lift(&mut self, path: &StreamPath) -> Result<Option<(u64, u32)>, Fault> {
        let Ok(found) = self.names.find(path.as_bytes()) else { return Ok(None) };
        let flags = found.lock().attributes.flags;
        if flags & REFUSING == 0 {
            return Ok(None);
        }
        // As `chattr -ia` that leaves everything else alone.
        found.lock().attributes.flags &= !REFUSING;
        Ok(Some((found.number(), flags & REFUSING)))
    }

    fn by_number(&mut self, number: u64, _hint: &StreamPath) -> Result<Option<MemoryInode>, Fault> {
        Ok(self.names.by_number(number))
    }

    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<MemoryInode, Error> {
        let missing = |errno| Error::call("open the source of a clone", Fault { call: "openat2", errno });
        if source.uuid == self.identity.uuid {
            return self.names.find(path.as_bytes()).cloned().map_err(missing);
        }
        if !self.sources.keys().any(|(uuid, _)| *uuid == source.uuid) {
            let there = "the model was not given it".to_owned();
            return Err(Error::new(Cause::SubvolumeMissing { role: "clone source", wanted: *source, there }));
        }
        let found = self.sources.get(&(source.uuid, path.as_bytes().into()));
        found.cloned().ok_or_else(|| missing(Errno::ENOENT))
    }

    fn temporaries(&mut self, most: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let root = self.names.find(b"").map_err(doing("openat2"))?;
        let names = self.names.entries(root).map(|(name, _)| name);
        let temporary = names.filter(|name| StreamPath::new(name).is_ok_and(|path| path.is_temporary()));
        Ok(temporary.take(most.saturating_add(1)).cloned().collect())
    }

    fn enable_verity(&mut self, _number: u64, _hint: &StreamPath, _verity: &Verity) -> Result<(), Fault> {
        Err(NO_VERITY)
    }

    fn verity_missing(&mut self) -> Option<Fault> {
        Some(NO_VERITY)
    }

    fn changed(&mut self, _path: &StreamPath) {}
}

const NO_VERITY: Fault = Fault { call: "FS_IOC_ENABLE_VERITY", errno: Errno::EOPNOTSUPP };

fn doing(call: &'static str) -> impl Fn(Errno) -> Fault {
    move |errno| Fault { call, errno }
}
