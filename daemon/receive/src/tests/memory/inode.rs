//! One inode of the model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Compression, Extent, Time};

use super::attributes::{Attributes, NOCOW};
use crate::payload::{Decoder, MAX_LEN};
use crate::plan::NewInode;
use crate::volume::{Inode, InodeKind, InodeState};

/// An inode of a [`super::MemoryVolume`]; it lives as long as a name or a handle of it.
#[derive(Debug, Clone)]
pub(crate) struct MemoryInode(Arc<Node>);

#[derive(Debug)]
struct Node {
    number: u64,
    what: NewInode,
    state: Mutex<State>,
}

/// The part of an inode that can change.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) attributes: Attributes,
    pub(crate) content: Content,
}

impl MemoryInode {
    pub(crate) fn new(number: u64, what: NewInode, attributes: Attributes, content: Content) -> Self {
        Self(Arc::new(Node { number, what, state: Mutex::new(State { attributes, content }) }))
    }

    pub(crate) fn what(&self) -> &NewInode {
        &self.0.what
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.0.what == NewInode::Directory
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A change of the data.
    fn rewrite(&self, call: &'static str, change: impl FnOnce(&mut State) -> Result<(), Errno>) -> Result<(), Fault> {
        self.change(call, |state| {
            if self.0.what != NewInode::File {
                return Err(Errno::EBADF);
            }
            state.attributes.refuse()?;
            change(state)?;
            state.attributes.data_changed();
            Ok(())
        })
    }

    fn change(&self, call: &'static str, change: impl FnOnce(&mut State) -> Result<(), Errno>) -> Result<(), Fault> {
        change(&mut self.lock()).map_err(|errno| Fault { call, errno })
    }
}

impl Inode for MemoryInode {
    fn number(&self) -> u64 {
        self.0.number
    }

    fn kind(&self) -> InodeKind {
        match self.0.what {
            NewInode::File => InodeKind::File,
            NewInode::Directory => InodeKind::Directory,
            NewInode::Symlink { .. }
            | NewInode::Fifo
            | NewInode::Socket
            | NewInode::CharDevice { .. }
            | NewInode::BlockDevice { .. } => InodeKind::Special,
        }
    }

    fn state(&self) -> Result<InodeState, Fault> {
        let state = self.lock();
        let Attributes { mode, uid, gid, .. } = state.attributes;
        Ok(InodeState { mode, uid, gid })
    }

    fn times(&self) -> Result<(Time, Time), Fault> {
        let state = self.lock();
        Ok((state.attributes.atime, state.attributes.mtime))
    }

    fn write(&self, offset: u64, parts: &[&[u8]]) -> Result<(), Fault> {
        let data = parts.concat();
        if data.is_empty() {
            return Ok(());
        }
        self.rewrite("pwritev", |state| {
            state.content.write(offset, &data);
            Ok(())
        })
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Fault> {
        Ok(self.lock().content.read(offset, buffer))
    }

    fn write_encoded(&self, extent: &Extent, payload: &[u8]) -> Result<(), Fault> {
        self.rewrite("BTRFS_IOC_ENCODED_WRITE", |state| {
            may_be_encoded(state, extent, payload)?;
            let mut decoder = Decoder::new();
            let decoded = decoder.decode(extent, payload).map_err(|_problem| Errno::EIO)?;
            let start = usize::try_from(extent.decoded_offset).unwrap_or(usize::MAX);
            let len = usize::try_from(extent.file_len).unwrap_or(usize::MAX);
            let range = decoded.get(start..start.saturating_add(len)).ok_or(Errno::EINVAL)?;
            state.content.write(extent.file_offset, range);
            Ok(())
        })
    }

    fn clone_range(&self, offset: u64, source: &Self, source_offset: u64, len: u64) -> Result<(), Fault> {
        // A copy, so that two inodes are never locked at once.
        let from = source.lock().clone();
        let itself = Arc::ptr_eq(&self.0, &source.0);
        self.rewrite("FICLONERANGE", |state| {
            let overlaps = itself && offset.abs_diff(source_offset) < len;
            if overlaps || (from.attributes.flags ^ state.attributes.flags) & NOCOW != 0 {
                return Err(Errno::EINVAL);
            }
            state.content.share(offset, &from.content, source_offset, len)
        })
    }

    fn truncate(&self, size: u64) -> Result<(), Fault> {
        self.rewrite("ftruncate", |state| {
            state.content.truncate(size);
            Ok(())
        })
    }

    fn punch(&self, offset: u64, len: u64) -> Result<(), Fault> {
        self.rewrite("fallocate", |state| {
            state.content.punch(offset, len);
            Ok(())
        })
    }

    fn set_mode(&self, mode: u32) -> Result<(), Fault> {
        self.change("fchmod", |state| state.attributes.set_mode(&self.0.what, mode))
    }

    fn set_owner(&self, uid: u32, gid: u32) -> Result<(), Fault> {
        self.change("fchown", |state| state.attributes.set_owner(&self.0.what, uid, gid))
    }

    fn set_times(&self, atime: Time, mtime: Time) -> Result<(), Fault> {
        self.change("futimens", |state| state.attributes.set_times(atime, mtime))
    }

    fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let found = self.lock().attributes.xattr(&self.0.what, name);
        found.map_err(|errno| Fault { call: "fgetxattr", errno })
    }

    fn set_xattr(&self, name: &[u8], data: &[u8]) -> Result<(), Fault> {
        self.change("fsetxattr", |state| state.attributes.set_xattr(&self.0.what, name, Some(data)))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Fault> {
        self.change("fremovexattr", |state| state.attributes.set_xattr(&self.0.what, name, None))
    }

    fn flags(&self) -> Result<u32, Fault> {
        match self.kind() {
            InodeKind::Special => Err(Fault { call: "FS_IOC_GETFLAGS", errno: Errno::EOPNOTSUPP }),
            InodeKind::File | InodeKind::Directory => Ok(self.lock().attributes.flags),
        }
    }

    fn set_flags(&self, flags: u32) -> Result<(), Fault> {
        self.change("FS_IOC_SETFLAGS", |state| {
            let empty = state.content.size == 0;
            state.attributes.set_flags(&self.0.what, empty, flags)
        })
    }

    fn is_same(&self, other: &Self) -> Result<bool, Fault> {
        Ok(Arc::ptr_eq(&self.0, &other.0))
    }

    fn metadata_is_scarce(&self) -> Result<bool, Fault> {
        Ok(false)
    }

    fn sync_filesystem(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Refuses what the kernel refuses before it reads the payload.
fn may_be_encoded(state: &State, extent: &Extent, payload: &[u8]) -> Result<(), Errno> {
    let end = extent.file_offset.saturating_add(extent.file_len);
    let sector = u64::from(match extent.compression {
        Compression::Lzo { sector_size } => sector_size,
        Compression::None | Compression::Zlib | Compression::Zstd => 4096,
    });
    let refused = state.attributes.flags & NOCOW != 0
        || extent.compression == Compression::None
        || extent.encryption != 0
        || sector != SECTOR
        || extent.file_offset % SECTOR != 0
        || extent.decoded_offset % SECTOR != 0
        || (end % SECTOR != 0 && end < state.content.size)
        || extent.decoded_len > MAX_LEN as u64
        || payload.len() as u64 >= extent.decoded_len
        || extent.file_len > extent.decoded_len.saturating_sub(extent.decoded_offset);
    if refused { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The sector size of the model.
pub(crate) const SECTOR: u64 = 4096;

const BLANK: [u8; 4096] = [0; 4096];

/// The data of a file: sectors, and holes where there is none. Bytes of a sector after the end are zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) sectors: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let start = usize::try_from(at % SECTOR).unwrap_or_default();
            let sector = self.sectors.entry(at / SECTOR).or_insert_with(|| Box::new(BLANK));
            let room = sector.get_mut(start..).unwrap_or_default();
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            rest = later;
            at = at.saturating_add(now.len() as u64);
        }
        self.size = self.size.max(at);
    }

    pub(crate) fn truncate(&mut self, size: u64) {
        self.zero(size, u64::MAX);
        self.size = size;
    }

    /// Punches a hole: removes whole sectors, and zeroes the rest.
    pub(crate) fn punch(&mut self, offset: u64, len: u64) {
        self.zero(offset, offset.saturating_add(len));
    }

    /// Fills `buffer` from `offset` on, up to the size; the number of bytes.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let len = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        for (at, byte) in (offset..).zip(buffer.iter_mut().take(len)) {
            let sector = self.sectors.get(&(at / SECTOR));
            let within = usize::try_from(at % SECTOR).unwrap_or_default();
            *byte = sector.and_then(|sector| sector.get(within)).copied().unwrap_or_default();
        }
        len
    }

    /// Shares a range of `source`, as `FICLONERANGE` allows it.
    pub(crate) fn share(&mut self, offset: u64, source: &Self, from: u64, len: u64) -> Result<(), Errno> {
        let end = offset.saturating_add(len);
        let tail = from.saturating_add(len) == source.size && end >= self.size;
        let aligned = |at: u64| at % SECTOR == 0;
        if from.saturating_add(len) > source.size || !aligned(offset) || !aligned(from) || !(aligned(len) || tail) {
            return Err(Errno::EINVAL);
        }
        for sector in 0..len.div_ceil(SECTOR) {
            let to = (offset / SECTOR).saturating_add(sector);
            match source.sectors.get(&(from / SECTOR).saturating_add(sector)) {
                Some(data) => drop(self.sectors.insert(to, data.clone())),
                None => drop(self.sectors.remove(&to)),
            }
        }
        self.size = self.size.max(end);
        Ok(())
    }

    fn zero(&mut self, start: u64, end: u64) {
        for (number, sector) in self.sectors.range_mut(start / SECTOR..=end / SECTOR) {
            let base = number.saturating_mul(SECTOR);
            let within = |at: u64| usize::try_from(at.saturating_sub(base).min(SECTOR)).unwrap_or_default();
            sector.get_mut(within(start)..within(end)).unwrap_or_default().fill(0);
        }
        self.sectors.retain(|number, _| {
            let base = number.saturating_mul(SECTOR);
            base < start || base.saturating_add(SECTOR) > end
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_grows_with_zeros_and_a_hole() {
        let mut content = Content::default();
        content.write(4000, &[7; 5000]);
        content.truncate(5000);
        content.truncate(20_000);
        assert_eq!(content.sectors.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert_eq!((content.sectors[&1][903], content.sectors[&1][904]), (7, 0));
        content.punch(4096, 4096);
        assert_eq!(content.sectors.len(), 1);
    }

    #[test]
    fn an_unaligned_clone_must_end_both_files() {
        let (mut source, mut content) = (Content::default(), Content::default());
        source.write(0, &[1; 5000]);
        assert_eq!(content.share(0, &source, 0, 4999), Err(Errno::EINVAL));
        assert_eq!(content.share(4096, &source, 0, 5000), Ok(()));
        assert_eq!((content.size, content.sectors.len()), (9096, 2));
        content.truncate(10_000);
        assert_eq!(content.share(0, &source, 0, 5000), Err(Errno::EINVAL));
    }
}
