//! Parses the btrfs superblock before the kernel sees it. Every field is untrusted.

use sha2::Digest as _;
use uuid::Uuid;

use super::error::{Part, Sentence};
use super::text;

/// Where it begins on the device, in bytes.
pub(crate) const OFFSET: u64 = 64 << 10;

/// How long it is, in bytes.
pub(crate) const LENGTH: usize = 4096;

/// What a device says of the filesystem that it belongs to. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The filesystem's uuid, as users see it.
    pub fsid: Uuid,
    /// The one in its blocks; the same unless it was changed by `btrfstune -m`.
    pub metadata_uuid: Uuid,
    /// The device's own.
    pub dev_uuid: Uuid,
    /// The device's number in the filesystem.
    pub devid: u64,
    /// How many devices the filesystem has.
    pub num_devices: u64,
    /// Of all devices.
    pub total_bytes: u64,
    /// Of this one.
    pub device_bytes: u64,
    /// What a person called it, fit to be shown.
    pub label: String,
    /// Grows with every transaction.
    pub generation: u64,
    /// What a kernel must know to mount it.
    pub incompat: u64,
    /// How its blocks are checked.
    pub csum: CsumType,
}

/// The checksums that a filesystem may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CsumType {
    /// 4 bytes.
    Crc32c,
    /// 8 bytes, `XXH64` with seed 0.
    Xxhash64,
    /// 32 bytes.
    Sha256,
    /// 32 bytes, BLAKE2b-256.
    Blake2b,
}

/// Reads the [`LENGTH`] bytes at [`OFFSET`] of a device.
///
/// # Errors
/// A sentence that says what is wrong with them.
pub(crate) fn parse(bytes: &[u8; LENGTH]) -> Result<Superblock, Sentence> {
    parse_at(bytes, OFFSET)
}

/// Whether they are meant as a superblock, valid or not.
pub(super) fn has_magic(bytes: &[u8; LENGTH]) -> bool {
    at(bytes, 0x40) == MAGIC
}

/// Reads the superblock, or a copy of it, that is at `offset` of a device.
///
/// # Errors
/// As for [`parse`].
pub(super) fn parse_at(bytes: &[u8; LENGTH], offset: u64) -> Result<Superblock, Sentence> {
    if !has_magic(bytes) {
        return Err("there is no btrfs filesystem on it".into());
    }
    let csum = CsumType::numbered(u16::from_le_bytes(at(bytes, 0xc4)))?;
    if !csum.holds(bytes) {
        return Err(
            "the checksum of its superblock is wrong: the drive is damaged, or was not written completely".into()
        );
    }
    if number(bytes, 0x30) != offset {
        return Err("its superblock belongs to another offset: this is not a complete filesystem".into());
    }
    shape(bytes)?;
    let incompat = number(bytes, 0xbc);
    features(incompat, number(bytes, 0x38))?;
    let fsid = Uuid::from_bytes(at(bytes, 0x20));
    let metadata_uuid = if incompat & METADATA_UUID == 0 { fsid } else { Uuid::from_bytes(at(bytes, 0x23b)) };
    if Uuid::from_bytes(at(bytes, 0x11b)) != metadata_uuid {
        return Err("its superblock names two filesystems: the drive is damaged".into());
    }
    let label: [u8; 256] = at(bytes, 0x12b);
    let label = label.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Superblock {
        fsid,
        metadata_uuid,
        dev_uuid: Uuid::from_bytes(at(bytes, 0x10b)),
        devid: number(bytes, 0xc9),
        num_devices: number(bytes, 0x88),
        total_bytes: number(bytes, 0x70),
        device_bytes: number(bytes, 0xd1),
        label: text::shown(&String::from_utf8_lossy(label)),
        generation: number(bytes, 0x48),
        incompat,
        csum,
    })
}

const MAGIC: [u8; 8] = *b"_BHRfS_M";
const METADATA_UUID: u64 = 1 << 10;
const ZONED: u64 = 1 << 12;
/// All that kernels mount: without the extent tree of version 2 (bit 13), which is an experiment, and bit 15, which is none.
const KNOWN_INCOMPAT: u64 = 0x1_5fff;
/// `BTRFS_SUPER_FLAG_SEEDING`
const SEEDING: u64 = 1 << 32;
/// `BTRFS_SUPER_FLAG_CHANGING_*`: the uuid, the checksums, the block groups; and a metadata dump.
const UNFINISHED: u64 = 0x1fe << 32;

/// Counts and sizes are such that a filesystem can have them.
fn shape(bytes: &[u8; LENGTH]) -> Result<(), Sentence> {
    let sector = u32::from_le_bytes(at(bytes, 0x90));
    let node = u32::from_le_bytes(at(bytes, 0x94));
    let sizes = |size: u32| size.is_power_of_two() && (4096..=65536).contains(&size);
    let (total, own, used) = (number(bytes, 0x70), number(bytes, 0xd1), number(bytes, 0x78));
    let devices = number(bytes, 0x88);
    let good = sizes(sector)
        && sizes(node)
        && node >= sector
        && (1..=1024).contains(&devices)
        && number(bytes, 0xc9) != 0
        && own >= 1 << 20
        && own <= total
        && used <= total
        && (devices > 1 || own == total);
    good.then_some(()).ok_or_else(|| "its superblock has sizes that no filesystem has: the drive is damaged".into())
}

fn features(incompat: u64, flags: u64) -> Result<(), Sentence> {
    let unknown = incompat & !KNOWN_INCOMPAT;
    if unknown != 0 {
        return Err(Sentence::of(&[
            Part::Text("it has features that this version does not know ("),
            Part::Bits(unknown),
            Part::Text("): update butterdock"),
        ]));
    }
    if incompat & ZONED != 0 {
        return Err("it is a zoned filesystem, which is not supported as a backup drive".into());
    }
    if flags & SEEDING != 0 {
        return Err("it is a btrfs seed device, which is read-only: clear the flag with btrfstune -S 0".into());
    }
    if flags & UNFINISHED != 0 {
        return Err("btrfstune was interrupted: run it again to its end".into());
    }
    Ok(())
}

impl CsumType {
    fn numbered(number: u16) -> Result<Self, Sentence> {
        match number {
            0 => Ok(Self::Crc32c),
            1 => Ok(Self::Xxhash64),
            2 => Ok(Self::Sha256),
            3 => Ok(Self::Blake2b),
            other => Err(Sentence::of(&[
                Part::Text("it has checksums that this version does not know ("),
                Part::Number(other.into()),
                Part::Text("): update butterdock"),
            ])),
        }
    }

    /// Whether the first bytes are the checksum of those after them.
    fn holds(self, bytes: &[u8; LENGTH]) -> bool {
        let Some((field, rest)) = bytes.split_at_checked(0x20) else { return false };
        match self {
            Self::Crc32c => field.starts_with(&crc32c::crc32c(rest).to_le_bytes()),
            Self::Xxhash64 => field.starts_with(&twox_hash::XxHash64::oneshot(0, rest).to_le_bytes()),
            Self::Sha256 => field == sha2::Sha256::digest(rest).as_slice(),
            Self::Blake2b => field == Blake2b256::digest(rest).as_slice(),
        }
    }
}

type Blake2b256 = blake2::Blake2b<blake2::digest::consts::U32>;

/// The bytes at an offset of the layout. All offsets are constants below [`LENGTH`]; past the end there are zeros.
fn at<const N: usize>(bytes: &[u8; LENGTH], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn number(bytes: &[u8; LENGTH], offset: usize) -> u64 {
    u64::from_le_bytes(at(bytes, offset))
}

#[cfg(test)]
mod tests;
