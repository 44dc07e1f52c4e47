//! A subvolume in memory: the model that tests compare the engine with.
//!
//! It behaves as btrfs does below the calls of [`crate::volume`]: inheritance from directories, side effects of `chown` and
//! of writes, and the kernel's errnos. It shares no code with the real volume. It is simpler than a disk in three points. "Now"
//! is one time, so that two runs have equal views. Changes of names do not change directory times, because the engine sets
//! the last times of the stream on each directory in any case. A payload that does not decode is refused with `EIO`; the
//! kernel accepts it, and reading it fails.

mod attributes;
mod inode;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Identity, Time, Uuid};

use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::plan::{NewInode, Verity};
use crate::volume::{Inheritance, Inode, Volume};

use attributes::{Attributes, COMPR, COMPRESSION, DEFAULT, NOCOMP, NOCOW, NOW};
use inode::{Content, MemoryInode};
use names::Names;

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

    /// Adds a file of another subvolume, as a clone source.
    #[must_use]
    pub(crate) fn with_source(mut self, subvolume: &Identity, path: &[u8], data: &[u8]) -> Self {
        let mut content = Content::default();
        content.write(0, data);
        let attributes = Attributes::new(&NewInode::File, 0o600, None);
        // Inode numbers of other subvolumes may be the same.
        let inode = MemoryInode::new(ROOT_NUMBER.saturating_add(1), NewInode::File, attributes, content);
        self.sources.insert((subvolume.uuid, path.into()), inode);
        self
    }

    /// The whole content, as one value that can be compared.
    #[must_use]
    pub(crate) fn view(&self) -> View {
        View::of(&self.names)
    }
}

impl Volume for MemoryVolume {
    type Inode = MemoryInode;

    fn inheritance(&mut self, path: &[u8]) -> Result<Inheritance, Fault> {
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

    fn clear_refusing(&mut self, path: &StreamPath) -> Result<Option<(u64, u32)>, Fault> {
        let Ok(found) = self.names.find(path.as_bytes()) else { return Ok(None) };
        let flags = found.lock().attributes.flags;
        if flags & REFUSING == 0 {
            return Ok(None);
        }
        // As `chattr -ia`, without its side effects.
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
            let there = "the model does not have it".to_owned();
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

/// The content of a subvolume, by path; the root has the empty path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// Each path with its inode.
    pub names: BTreeMap<Vec<u8>, Entry>,
}

/// The inode of a path.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first of all names of the same inode.
    pub first: Vec<u8>,
    /// Its type.
    pub what: NewInode,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `FS_*_FL`
    pub flags: u32,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When it was last read; none if no time was set.
    pub atime: Option<Time>,
    /// When its data last changed; none if that was after a time was set.
    pub mtime: Option<Time>,
    /// Size of a file in bytes.
    pub size: u64,
    /// Its sectors of 4 KiB; a missing sector is a hole.
    pub sectors: BTreeMap<u64, Box<[u8]>>,
}

impl View {
    pub(crate) fn of(names: &Names) -> Self {
        let mut view = Self::default();
        let mut seen = HashMap::new();
        let mut left: Vec<(Vec<u8>, MemoryInode)> =
            names.find(b"").into_iter().map(|root| (Vec::new(), root.clone())).collect();
        while let Some((path, inode)) = left.pop() {
            for (name, child) in names.entries(&inode) {
                let below = if path.is_empty() { name.clone() } else { [&path[..], b"/", name].concat() };
                left.push((below, child.clone()));
            }
            seen.entry(inode.number()).or_insert_with(Vec::new).push(path.clone());
            view.names.insert(path, Entry::of(&inode));
        }
        for class in seen.into_values() {
            let first = class.iter().min().cloned().unwrap_or_default();
            for path in class {
                if let Some(entry) = view.names.get_mut(&path) {
                    entry.first.clone_from(&first);
                }
            }
        }
        view
    }

    /// The same view with a hole for each sector of zeros: a reader cannot see the difference.
    #[must_use]
    pub(crate) fn without_zeros(mut self) -> Self {
        for entry in self.names.values_mut() {
            entry.sectors.retain(|_, sector| sector.iter().any(|&byte| byte != 0));
        }
        self
    }
}

impl Entry {
    fn of(inode: &MemoryInode) -> Self {
        let state = inode.lock();
        let attributes = &state.attributes;
        let given = |time: Time| (time != NOW).then_some(time);
        Self {
            first: Vec::new(),
            what: inode.what().clone(),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            flags: attributes.flags,
            xattrs: attributes.xattrs.clone(),
            atime: given(attributes.atime),
            mtime: given(attributes.mtime),
            size: state.content.size,
            sectors: state.content.sectors.clone(),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, what, mode, uid, gid, flags, xattrs, atime, mtime, size, sectors } = self;
        write!(
            f,
            "{what:?} {mode:o} {uid}:{gid} flags {flags:x} first \"{}\" {atime:?} {mtime:?}",
            first.escape_ascii()
        )?;
        for (name, value) in xattrs {
            write!(f, " {}=\"{}\"", name.escape_ascii(), value.escape_ascii())?;
        }
        write!(f, " size {size}")?;
        for (number, sector) in sectors {
            // A sum tells sectors apart; their bytes would fill pages.
            let sum = sector.iter().fold(0_u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
            write!(f, " {number}:{sum:08x}")?;
        }
        Ok(())
    }
}
