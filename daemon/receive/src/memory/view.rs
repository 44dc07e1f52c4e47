//! Everything in a subvolume, as one value that can be compared and printed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use butterdock_stream::Time;

use super::attributes::NOW;
use super::inode::MemoryInode;
use super::names::Names;
use crate::plan::NewInode;
use crate::volume::Inode;

/// What is in a subvolume, by path; the root has the empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct View {
    /// Each name with what it names.
    pub names: BTreeMap<Vec<u8>, Entry>,
}

/// What a name names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first of all names of the same inode.
    pub first: Vec<u8>,
    /// File, directory, or what else.
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
    /// When it was last read; none where nobody gave a time.
    pub atime: Option<Time>,
    /// When its data last changed; none where that was after somebody gave a time.
    pub mtime: Option<Time>,
    /// Size of a file in bytes.
    pub size: u64,
    /// Its sectors of 4 KiB; what is missing is a hole.
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

    /// The same without what a reader of the files cannot see: a sector of zeros becomes a hole.
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
