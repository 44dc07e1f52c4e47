//! The extents of files: from the subvolume's tree, or of one file through FIEMAP.

#![expect(unsafe_code, reason = "FS_IOC_FIEMAP fills a buffer whose length it takes from the argument")]

use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::{Direction, FS, Request, array, ioctl, le64};
use crate::search::{Key, SearchKey, TreeSearch};
use crate::subvolume::ROOT_INODE;

/// The kind of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentKind {
    /// The data is in the tree itself.
    Inline,
    /// The data is on disk.
    Regular,
    /// Preallocated space, which reads as zeroes.
    Prealloc,
    /// A hole (the tree has such items only without the `no-holes` feature).
    Hole,
}

/// One extent of a file. Lengths and offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileExtent {
    /// The file's inode.
    pub ino: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// How much of the file it covers; an inline extent may end within a sector.
    pub len: u64,
    /// Its kind.
    pub kind: ExtentKind,
    /// The length of the whole extent on disk, compressed; the file may show a part of it. 0 for a hole.
    pub disk_len: u64,
    /// Its compression on disk: 0 none, 1 zlib, 2 LZO, 3 zstd (**not** the numbers of encoded writes).
    pub compression: u8,
}

/// `EXTENT_DATA` items of the subvolume that `fd` is in — passes each extent of the inodes `first_ino..=last_ino`
/// to `each`, in the order of inode and offset. Data that is not written out has no extent: sync first.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn file_extents(
    search: &mut TreeSearch,
    fd: impl AsFd,
    first_ino: u64,
    last_ino: u64,
    mut each: impl FnMut(FileExtent),
) -> Result<()> {
    let key = SearchKey {
        tree: 0,
        min: Key { objectid: first_ino, kind: EXTENT_DATA, offset: 0 },
        max: Key { objectid: last_ino, kind: EXTENT_DATA, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    search.parse_each(fd, &key, |key, bytes| {
        if key.kind == EXTENT_DATA {
            let ExtentItem { len, kind, disk_len, compression, .. } = ExtentItem::parse(bytes)?;
            each(FileExtent { ino: key.objectid, offset: key.offset, len, kind, disk_len, compression });
        }
        Some(())
    })
}

/// A part of a file with data on disk. In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DiskExtent {
    /// The file's inode.
    pub ino: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// How much of the file it covers.
    pub len: u64,
    /// The address of the whole extent in the filesystem.
    pub address: u64,
    /// The length of the whole extent on disk, compressed.
    pub disk_len: u64,
    /// Where in the whole extent, decompressed, the file's part begins.
    pub start: u64,
    /// The transaction in which the file got the extent.
    pub generation: u64,
}

/// `EXTENT_DATA` items of subvolume `tree` (0: the one of `fd`) — passes each extent on disk to `each`, in the order of inode and
/// offset, until it breaks. Inline data, preallocated space and holes have none.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn disk_extents(fd: impl AsFd, tree: u64, mut each: impl FnMut(DiskExtent) -> ControlFlow<()>) -> Result<()> {
    let key = SearchKey {
        tree,
        min: Key { objectid: ROOT_INODE, kind: 0, offset: 0 },
        max: Key { objectid: u64::MAX, kind: u8::MAX, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        let item = if key.kind == EXTENT_DATA { ExtentItem::parse(bytes) } else { None };
        match item {
            Some(ExtentItem { generation, address, start, kind: ExtentKind::Regular, disk_len, len, .. }) => {
                let Key { objectid: ino, offset, .. } = key;
                each(DiskExtent { ino, offset, len, address, disk_len, start, generation })
            }
            // An item that cannot be parsed has no place: reading the file reports the error.
            Some(_) | None => ControlFlow::Continue(()),
        }
    })
}

/// `struct btrfs_file_extent_item`. Lengths are in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtentItem {
    /// The transaction in which the file got the extent.
    pub(crate) generation: u64,
    /// The address of the whole extent on disk; 0 of inline data and holes.
    pub(crate) address: u64,
    /// Where in the whole extent, decompressed, the file's part begins.
    pub(crate) start: u64,
    /// The length of the whole extent, decompressed.
    pub(crate) decoded_len: u64,
    pub(crate) compression: u8,
    pub(crate) kind: ExtentKind,
    /// The length of the whole extent on disk; of inline data, in the tree.
    pub(crate) disk_len: u64,
    /// How much of the file it covers.
    pub(crate) len: u64,
}

impl ExtentItem {
    /// None when the item is too short or of an unknown kind.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let decoded_len = le64(bytes, 8)?;
        let inline = Self {
            generation: le64(bytes, 0)?,
            address: 0,
            start: 0,
            decoded_len,
            compression: *bytes.get(16)?,
            kind: ExtentKind::Inline,
            disk_len: u64::try_from(bytes.len().checked_sub(21)?).ok()?,
            len: decoded_len,
        };
        let kind = *bytes.get(20)?;
        if kind == 0 {
            return Some(inline);
        }
        let (address, disk_len, len) = (le64(bytes, 21)?, le64(bytes, 29)?, le64(bytes, 45)?);
        let start = le64(bytes, 37)?;
        let kind = match (kind, address) {
            (1, 0) => ExtentKind::Hole,
            (1, _) => ExtentKind::Regular,
            (2, _) => ExtentKind::Prealloc,
            (_, _) => return None,
        };
        Some(Self { kind, address, start, disk_len, len, ..inline })
    }

    /// How many bytes on disk the file's part takes: of a compressed or partly used extent, its share.
    pub(crate) fn stored_len(&self) -> u64 {
        match self.kind {
            ExtentKind::Inline => self.disk_len,
            ExtentKind::Regular | ExtentKind::Prealloc | ExtentKind::Hole => self.part().1,
        }
    }

    /// The address and the length of the whole extent on disk; none of inline data and holes.
    pub(crate) fn whole(&self) -> Option<(u64, u64)> {
        match self.kind {
            ExtentKind::Regular | ExtentKind::Prealloc => {
                Some((self.address, self.disk_len)).filter(|&(_, len)| len > 0)
            }
            ExtentKind::Inline | ExtentKind::Hole => None,
        }
    }

    /// The address and the length of the file's part of an extent on disk; of a compressed extent, its share.
    pub(crate) fn part(&self) -> (u64, u64) {
        match self.kind {
            ExtentKind::Regular => {
                let on_disk = |decoded: u64| {
                    let decoded = u128::from(decoded.min(self.decoded_len));
                    let part = u128::from(self.disk_len) * decoded / u128::from(self.decoded_len.max(1));
                    u64::try_from(part).unwrap_or(self.disk_len)
                };
                let (start, end) = (on_disk(self.start), on_disk(self.start.saturating_add(self.len)));
                (self.address.saturating_add(start), end - start)
            }
            ExtentKind::Inline | ExtentKind::Prealloc | ExtentKind::Hole => (0, 0),
        }
    }
}

/// One extent as FIEMAP reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedExtent {
    /// Where in the file it begins.
    pub offset: u64,
    /// Its address in the filesystem; equal for shared extents.
    pub physical: u64,
    /// How much of the file it covers.
    pub len: u64,
    /// `FIEMAP_EXTENT_*` (`linux/fiemap.h`).
    pub flags: u32,
}

impl MappedExtent {
    /// `FIEMAP_EXTENT_DELALLOC`: not written out yet.
    pub const DELAYED: u32 = 0x4;
    /// `FIEMAP_EXTENT_ENCODED`: compressed.
    pub const ENCODED: u32 = 0x8;
    /// `FIEMAP_EXTENT_DATA_INLINE`.
    pub const INLINE: u32 = 0x200;
    /// `FIEMAP_EXTENT_UNWRITTEN`: preallocated.
    pub const UNWRITTEN: u32 = 0x800;
    /// `FIEMAP_EXTENT_SHARED`.
    pub const SHARED: u32 = 0x2000;
    const LAST: u32 = 0x1;
}

/// `FS_IOC_FIEMAP` — passes each extent of a file to `each`, without holes; with `sync` the kernel writes pending data out
/// first.
///
/// # Errors
/// `EOPNOTSUPP` if the filesystem does not support it, `EBADF`, `EIO`.
pub fn fiemap(fd: impl AsFd, sync: bool, mut each: impl FnMut(MappedExtent)) -> Result<()> {
    let fd = fd.as_fd();
    let mut buffer = vec![0_u8; MAP_LEN + MAP_BATCH * MAPPED_LEN];
    let mut start = 0_u64;
    loop {
        fill_map(&mut buffer, start, sync);
        // SAFETY: the kernel reads and writes the header and at most MAP_BATCH extents after it, which the buffer has.
        unsafe { ioctl(fd, &FIEMAP, buffer.as_mut_ptr()) }?;
        let mapped = array(&buffer, 20).map_or(0, u32::from_ne_bytes);
        let mut end = None;
        let extents = buffer.get(MAP_LEN..).unwrap_or_default().chunks_exact(MAPPED_LEN);
        for extent in extents.take(usize::try_from(mapped).unwrap_or(MAP_BATCH)).filter_map(parse_mapped) {
            each(extent);
            let last = extent.flags & MappedExtent::LAST != 0;
            end = if last { None } else { extent.offset.checked_add(extent.len) };
        }
        match end {
            Some(end) if end > start => start = end,
            _ => return Ok(()),
        }
    }
}

/// Writes `struct fiemap` to the buffer's head: everything from `start` on.
fn fill_map(buffer: &mut [u8], start: u64, sync: bool) {
    let words = [start, u64::MAX - start];
    let halves = [u32::from(sync), 0, u32::try_from(MAP_BATCH).unwrap_or(0), 0];
    let bytes = words.into_iter().flat_map(u64::to_ne_bytes).chain(halves.into_iter().flat_map(u32::to_ne_bytes));
    for (to, from) in buffer.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// `struct fiemap_extent`.
fn parse_mapped(bytes: &[u8]) -> Option<MappedExtent> {
    let word = |at| array(bytes, at).map(u64::from_ne_bytes);
    let flags = array(bytes, 40).map(u32::from_ne_bytes)?;
    Some(MappedExtent { offset: word(0)?, physical: word(8)?, len: word(16)?, flags })
}

/// `BTRFS_EXTENT_DATA_KEY`.
pub(crate) const EXTENT_DATA: u8 = 108;
/// `sizeof(struct fiemap)`.
const MAP_LEN: usize = 32;
/// `sizeof(struct fiemap_extent)`.
const MAPPED_LEN: usize = 56;
const MAP_BATCH: usize = 64;
const BUFFER: usize = 256 << 10;

const FIEMAP: Request = Request::new("FS_IOC_FIEMAP", Direction::ReadWrite, FS, 11, MAP_LEN, 0xc020_660b);
