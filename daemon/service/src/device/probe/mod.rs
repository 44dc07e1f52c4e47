//! Reads what is on a device where udev's prober does not see a btrfs filesystem: the prober gives up where signatures of several
//! formats are on one device. It also does not say how many devices a btrfs filesystem has.
//!
//! A valid superblock of btrfs decides, unless the other signature may be that of a filesystem that was made later: such a
//! filesystem can leave the superblock as it was for a long time. Neither is used then.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::block_device::{BlockDevice, Content};
use super::error::{Error, Part, Result, Sentence, device_name};
use super::node;
use super::superblock::{self, LENGTH, OFFSET, Superblock};
use crate::types::{DriveProblemCode, DriveProblemParams};

/// What was found on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probed {
    /// No trace of btrfs.
    Nothing,
    /// A valid superblock, and the other signatures as wipefs calls them.
    Btrfs(Box<Superblock>, Vec<&'static str>),
    /// A superblock that is not valid, and whether a copy of it is.
    Damaged {
        /// What is wrong with it.
        what: Sentence,
        has_copy: bool,
    },
}

/// What a person must know of a btrfs filesystem that udev's prober does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is valid, and signatures of these formats are left beside it.
    Remains(Vec<String>),
    /// It is valid, and so may be what these signatures belong to.
    Doubtful(Vec<String>),
    /// Its superblock is not valid.
    Damaged {
        /// What is wrong with it.
        what: Sentence,
        has_copy: bool,
    },
}

impl Finding {
    /// What it is, and what to do.
    pub(crate) fn sentence(&self, device: &BlockDevice) -> Sentence {
        let node = Part::Node(&device.node);
        let params = |formats: Option<&Vec<String>>| DriveProblemParams {
            device: Some(device_name(&device.node)),
            formats: formats.cloned(),
            ..DriveProblemParams::default()
        };
        match self {
            Self::Remains(kinds) => Sentence::of(&[
                node,
                Part::Text(" has a btrfs filesystem, and beside it signatures that another format left ("),
                Part::Name(&kinds.join(", ")),
                Part::Text(
                    "): butterdock uses it, but other programs do not recognise it; to remove these signatures and \
                     nothing else, unmount it and run wipefs --all --types ",
                ),
                Part::Name(&kinds.join(",")),
                Part::Text(" on "),
                node,
            ]),
            Self::Doubtful(kinds) => Sentence::of(&[
                node,
                Part::Text(" has a btrfs filesystem and signatures of another format ("),
                Part::Name(&kinds.join(", ")),
                Part::Text(
                    "), and only one of them can be valid, so it is not used; if its backups are wanted, remove the \
                     other signatures with wipefs --all --types ",
                ),
                Part::Name(&kinds.join(",")),
                Part::Text(" on "),
                node,
                Part::Text(", and plug it in again"),
            ])
            .coded(DriveProblemCode::OtherFilesystem, params(Some(kinds))),
            Self::Damaged { what, has_copy } => Sentence::of(&[
                node,
                Part::Text(": "),
                Part::Sentence(what),
                Part::Text(if *has_copy {
                    "; a copy of the superblock is good: run btrfs rescue super-recover on it, and plug it in again"
                } else {
                    "; do not format it if its backups are wanted: btrfs restore reads what is left"
                }),
            ])
            .coded(DriveProblemCode::SuperblockDamaged, params(None)),
        }
    }
}

impl BlockDevice {
    /// The same with what was found on it.
    pub(super) fn with(self, found: Probed) -> Self {
        match found {
            Probed::Nothing => self,
            // As udev's prober sees it: what is said of it stays.
            Probed::Btrfs(superblock, _) if self.btrfs() == Some((superblock.fsid, superblock.dev_uuid)) => {
                Self { filesystem_devices: Some(superblock.num_devices), ..self }
            }
            Probed::Damaged { .. } if self.btrfs().is_some() => self,
            Probed::Btrfs(superblock, beside) => {
                let content = Content {
                    kind: "btrfs".to_owned(),
                    uuid: superblock.fsid.to_string(),
                    sub_uuid: superblock.dev_uuid.to_string(),
                    label: superblock.label,
                };
                let kinds = self.kinds_beside(beside);
                let is_doubtful = kinds.iter().any(|kind| !REMAINS.contains(&kind.as_str()));
                let finding = if is_doubtful { Finding::Doubtful(kinds) } else { Finding::Remains(kinds) };
                let finding = Some(finding).filter(|finding| *finding != Finding::Remains(Vec::new()));
                Self { content: Some(content), finding, filesystem_devices: Some(superblock.num_devices), ..self }
            }
            Probed::Damaged { what, has_copy } => Self { finding: Some(Finding::Damaged { what, has_copy }), ..self },
        }
    }
}

impl BlockDevice {
    /// These signatures, and that of the format which udev's prober took it for.
    fn kinds_beside(&self, beside: Vec<&'static str>) -> Vec<String> {
        let mut kinds: Vec<String> = beside.into_iter().map(str::to_owned).collect();
        let is_known = |kind: &str| kinds.iter().any(|kinds| kinds.split(',').any(|known| known == kind));
        let seen = self.content.as_ref().map(|content| content.kind.clone());
        kinds.extend(seen.filter(|seen| seen != "btrfs" && !is_known(seen)));
        kinds
    }
}

/// As [`super::Devices::probe`] has it.
pub(super) fn probe(device: &BlockDevice) -> Result<Probed> {
    let file = node::open_same(device)?;
    let found = if device.btrfs().is_some() { counted(&file) } else { found(&file, device.size) };
    found.map_err(Error::system(format!("reading {}", device.node.display())))
}

/// Signatures beside which a valid superblock of btrfs cannot be a remainder: what an image of a disc or a live member of ZFS
/// has on a device covers the place of the superblock, and a volume group is in use as long as it is valid.
const REMAINS: &[&str] = &["iso9660", "zfs_member", "LVM2_member"];

/// What wipefs calls each format, where its signature is, and what it is.
const SIGNATURES: &[(&str, u64, &[u8])] = &[
    ("BitLocker", 3, b"-FVE-FS-"),
    ("LVM2_member", 24, b"LVM2 001"),
    ("LVM2_member", 512 + 24, b"LVM2 001"),
    ("LVM2_member", 1024 + 24, b"LVM2 001"),
    ("LVM2_member", 1536 + 24, b"LVM2 001"),
    ("apfs", 32, b"NXSB"),
    ("bcache", 4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    ("bcachefs", 4096 + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9"),
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    ("exfat", 3, b"EXFAT   "),
    ("erofs", 1024, b"\xe2\xe1\xf5\xe0"),
    ("ext2,ext3,ext4", 1080, b"\x53\xef"),
    ("f2fs", 1024, b"\x10\x20\xf5\xf2"),
    ("gpt", 512, b"EFI PART"),
    ("hfsplus", 1024, b"H+"),
    ("hfsplus", 1024, b"HX"),
    ("iso9660", 32_769, b"CD001"),
    ("jfs", 32_768, b"JFS1"),
    ("linux_raid_member", 0, b"\xfc\x4e\x2b\xa9"),
    ("linux_raid_member", 4096, b"\xfc\x4e\x2b\xa9"),
    ("nilfs2", 1024 + 6, b"\x34\x34"),
    ("ntfs", 3, b"NTFS    "),
    ("ocfs2", 8192, b"OCFSV2"),
    ("squashfs", 0, b"hsqs"),
    ("stratis", 512 + 4, b"!Stra0tis"),
    ("swap", 4086, b"SWAPSPACE2"),
    ("udf", 32_769, b"BEA01"),
    ("vfat", 54, b"FAT12   "),
    ("vfat", 54, b"FAT16   "),
    ("vfat", 82, b"FAT32   "),
    ("xfs", 0, b"XFSB"),
];

/// The second superblock of btrfs.
const COPY: u64 = 64 << 20;

/// A label of ZFS: two are at the beginning of a device and two at its end.
const ZFS_LABEL: u64 = 256 << 10;
/// Where in a label its uberblocks are, how long all of them are, and how they begin.
const ZFS_UBERBLOCKS: u64 = 128 << 10;
const ZFS_LENGTH: usize = 128 << 10;
const ZFS_MAGIC: u64 = 0x00ba_b10c;

fn found(device: &File, size: u64) -> io::Result<Probed> {
    if size < OFFSET.saturating_add(LENGTH as u64) {
        return Ok(Probed::Nothing);
    }
    let beside = signatures(device, size)?;
    let first = superblock_at(device, OFFSET)?;
    match superblock::parse(&first) {
        Ok(superblock) => return Ok(Probed::Btrfs(Box::new(superblock), beside)),
        Err(what) if superblock::has_magic(&first) => {
            return Ok(Probed::Damaged { what, has_copy: has_copy(device, size)? });
        }
        Err(_) => {}
    }
    // A drive that has another format by now may keep the copy for ever.
    if beside.is_empty() && has_copy(device, size)? {
        return Ok(Probed::Damaged { what: "its first btrfs superblock was overwritten".into(), has_copy: true });
    }
    Ok(Probed::Nothing)
}

/// The superblock alone: udev's prober saw that nothing else is on the device.
fn counted(device: &File) -> io::Result<Probed> {
    Ok(match superblock::parse(&superblock_at(device, OFFSET)?) {
        Ok(superblock) => Probed::Btrfs(Box::new(superblock), Vec::new()),
        Err(what) => Probed::Damaged { what, has_copy: false },
    })
}

fn has_copy(device: &File, size: u64) -> io::Result<bool> {
    if size < COPY.saturating_add(LENGTH as u64) {
        return Ok(false);
    }
    Ok(superblock::parse_at(&superblock_at(device, COPY)?, COPY).is_ok())
}

fn superblock_at(device: &File, offset: u64) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    device.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// What is beside btrfs, each format once.
fn signatures(device: &File, size: u64) -> io::Result<Vec<&'static str>> {
    let mut start = vec![0; OFFSET.try_into().unwrap_or_default()];
    device.read_exact_at(&mut start, 0)?;
    let is_here = |offset: u64, magic: &[u8]| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        start.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    let mut kinds: Vec<&'static str> =
        SIGNATURES.iter().filter(|(_, offset, magic)| is_here(*offset, magic)).map(|(kind, ..)| *kind).collect();
    if is_parted(&start) {
        kinds.push("dos");
    }
    if has_zfs(device, size)? {
        kinds.push("zfs_member");
    }
    if has_raid_at_end(device, size)? {
        kinds.push("linux_raid_member");
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

/// Whether the first sector has a partition table of DOS with an entry. Boot sectors of filesystems end alike.
fn is_parted(start: &[u8]) -> bool {
    let table = start.get(446..510).unwrap_or_default();
    let is_entry = |entry: &[u8]| entry.first().is_some_and(|flag| flag & 0x7f == 0) && entry.get(4) != Some(&0);
    start.get(510..512) == Some(&[0x55, 0xaa])
        && table.chunks(16).all(|entry| entry.first().is_some_and(|flag| flag & 0x7f == 0))
        && table.chunks(16).any(is_entry)
}

fn has_zfs(device: &File, size: u64) -> io::Result<bool> {
    let end = size / ZFS_LABEL * ZFS_LABEL;
    let labels = [0, ZFS_LABEL, end.saturating_sub(2 * ZFS_LABEL), end.saturating_sub(ZFS_LABEL)];
    let mut ring = vec![0; ZFS_LENGTH];
    for label in labels {
        let Some(at) = label.checked_add(ZFS_UBERBLOCKS).filter(|at| at.saturating_add(ZFS_UBERBLOCKS) <= size) else {
            continue;
        };
        device.read_exact_at(&mut ring, at)?;
        let begins = |block: &[u8]| {
            let magic = block.first_chunk().copied().unwrap_or_default();
            u64::from_le_bytes(magic) == ZFS_MAGIC || u64::from_be_bytes(magic) == ZFS_MAGIC
        };
        if ring.chunks(1024).any(begins) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Superblocks of version 0.90 and 1.0, as a mirror has them whose content begins where the device does.
fn has_raid_at_end(device: &File, size: u64) -> io::Result<bool> {
    let places = [(size & !0xffff).checked_sub(0x1_0000), (size & !0xfff).checked_sub(0x2000)];
    for at in places.into_iter().flatten() {
        let mut magic = [0; 4];
        device.read_exact_at(&mut magic, at)?;
        if magic == [0xfc, 0x4e, 0x2b, 0xa9] {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
