//! What udev reports about one block device. All of it is a claim of the drive: labels and serial numbers are
//! untrusted text, and a uuid does not prove the identity of a filesystem.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::probe::Finding;
use super::text;

/// Properties and attributes of one block device, as [`BlockDevice::of`] reads them: the properties of udev under their names,
/// the attributes of sysfs as `attr:size`, both of a partition's disk behind `disk:`, the device under a mapping as
/// `slave`.
pub(crate) type Properties = BTreeMap<String, String>;

/// What is known of one block device without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockDevice {
    /// `/dev/sdb1`.
    pub node: PathBuf,
    /// Its number, as `st_rdev` has it.
    pub devnum: u64,
    /// `/sys/devices/…/block/sdb/sdb1`: what a device is called as long as it is there.
    pub syspath: PathBuf,
    /// The kernel's count of disks that came, of this one or its disk: another disk at the same place has another. 0
    /// where the kernel does not count.
    pub diskseq: u64,
    /// How it is attached.
    pub bus: Bus,
    /// Whether the kernel calls it removable; many USB disks are not.
    pub removable: bool,
    /// For a person.
    pub model: String,
    /// What the maker numbered it with; empty where there is none.
    pub serial: String,
    /// Where it is attached, as `ID_PATH` has it; empty where udev does not say.
    pub id_path: String,
    /// Bytes.
    pub size: u64,
    /// Where it is a part of a disk.
    pub partition: Option<Partition>,
    /// What is on it, encrypted containers included.
    pub content: Option<Content>,
    /// Where it is the open side of an encrypted device.
    pub mapping: Option<Mapping>,
    /// The file under a loop device.
    pub loop_file: Option<String>,
    /// What our own reading found where udev's prober does not see a btrfs filesystem; `content` is as it was found.
    pub finding: Option<Finding>,
    /// How many devices its filesystem has, where our own reading found that.
    pub filesystem_devices: Option<u64>,
}

/// How a device is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bus {
    /// Also a SATA disk behind a USB bridge.
    Usb,
    /// SATA.
    Ata,
    /// SAS, iSCSI and the rest of SCSI.
    Scsi,
    /// A solid state disk without a controller in between.
    Nvme,
    /// Memory cards in a slot of their own.
    Mmc,
    /// A disk of a virtual machine.
    Virtio,
    /// A file.
    Loop,
    /// A mapping: encryption, LVM.
    Mapper,
    /// Anything else.
    Other,
}

/// A part of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// As the partition table numbers it.
    pub number: u32,
    /// The whole disk's node.
    pub disk: PathBuf,
}

/// What a device holds, by what udev's prober says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// `btrfs`, `ext4`, `crypto_LUKS` and so on.
    pub kind: String,
    /// As the filesystem writes it, which need not be a uuid.
    pub uuid: String,
    /// Of the device in a filesystem of several.
    pub sub_uuid: String,
    /// What a person called it.
    pub label: String,
}

/// The open side of an encrypted device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The name below `/dev/mapper`.
    pub name: String,
    /// The container's uuid; none for a mapping that is no LUKS.
    pub luks: Option<Uuid>,
    /// The kernel's name of the device that it lies on, where that was read.
    pub over: Option<String>,
}

impl BlockDevice {
    /// The facts in these properties; none of a device without a node or number, and none where udev speaks of a disk that
    /// was at this place before: of the one that is there now it is still to tell.
    pub(crate) fn of(syspath: &Path, properties: &Properties) -> Option<Self> {
        let get = |key: &str| properties.get(key).map(String::as_str).filter(|value| !value.is_empty());
        // What the partition does not say itself its disk says.
        let either = |key: &str| get(key).or_else(|| get(&format!("disk:{key}")));
        let node = PathBuf::from(get("DEVNAME")?);
        let devnum = devnum(number(get("MAJOR")?)?, number(get("MINOR")?)?);
        let name = node.file_name()?.to_str()?.to_owned();
        let diskseq = either("DISKSEQ").and_then(number).unwrap_or_default();
        let now = either("attr:diskseq").and_then(number::<u64>);
        if diskseq != 0 && now.is_some_and(|now| now != diskseq) {
            return None;
        }
        let model = either("ID_MODEL_ENC").map(text::decoded).or_else(|| either("ID_MODEL").map(text::shown));
        let serial = either("ID_SERIAL_SHORT").or_else(|| either("ID_SERIAL")).map(text::shown);
        Some(Self {
            devnum,
            syspath: syspath.to_path_buf(),
            diskseq,
            bus: bus(&name, syspath, either("ID_BUS")),
            removable: either("attr:removable") == Some("1"),
            model: model.unwrap_or_default(),
            serial: serial.unwrap_or_default(),
            id_path: either("ID_PATH").map(text::shown).unwrap_or_default(),
            // In sectors of 512 bytes, whatever the device's own are.
            size: get("attr:size").and_then(number::<u64>).and_then(|n| n.checked_mul(512)).unwrap_or_default(),
            partition: partition(&get),
            content: content(&get),
            mapping: mapping(&get),
            loop_file: get("attr:loop/backing_file").map(text::shown),
            finding: None,
            filesystem_devices: None,
            node,
        })
    }

    /// `sdb1`.
    pub(crate) fn name(&self) -> &str {
        self.node.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The filesystem's uuid and the device's own, where it is btrfs.
    pub(crate) fn btrfs(&self) -> Option<(Uuid, Uuid)> {
        let content = self.content.as_ref().filter(|content| content.kind == "btrfs")?;
        Some((strict_uuid(&content.uuid)?, strict_uuid(&content.sub_uuid)?))
    }

    /// The container's uuid, where it is one of LUKS.
    pub(crate) fn luks(&self) -> Option<Uuid> {
        let content = self.content.as_ref().filter(|content| content.kind == "crypto_LUKS")?;
        strict_uuid(&content.uuid)
    }

    /// The kernel's name of the device under it, where it is a mapping and that is known.
    pub(crate) fn over(&self) -> Option<&str> {
        self.mapping.as_ref()?.over.as_deref()
    }

    /// Its disk's node; its own where it is no part of another.
    pub(crate) fn disk(&self) -> &Path {
        self.partition.as_ref().map_or(&self.node, |partition| &partition.disk)
    }
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

/// As the C library packs it.
fn devnum(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

fn bus(name: &str, syspath: &Path, said: Option<&str>) -> Bus {
    // The place in the tree goes before what the disk says: a SATA disk behind a USB bridge says "ata".
    let on_usb = syspath.components().any(|part| {
        let digits = part.as_os_str().to_str().and_then(|part| part.strip_prefix("usb"));
        digits.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    match (name, said) {
        _ if on_usb => Bus::Usb,
        _ if name.starts_with("loop") => Bus::Loop,
        _ if name.starts_with("dm-") => Bus::Mapper,
        _ if name.starts_with("nvme") => Bus::Nvme,
        _ if name.starts_with("mmcblk") => Bus::Mmc,
        _ if name.starts_with("vd") => Bus::Virtio,
        (_, Some("usb")) => Bus::Usb,
        (_, Some("ata")) => Bus::Ata,
        (_, Some("scsi")) => Bus::Scsi,
        (_, Some(_) | None) => Bus::Other,
    }
}

fn partition<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Option<Partition> {
    let number = get("PARTN").or_else(|| get("attr:partition")).and_then(number)?;
    Some(Partition { number, disk: PathBuf::from(get("disk:DEVNAME")?) })
}

fn content<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Option<Content> {
    let kind = text::shown(get("ID_FS_TYPE")?);
    let either = |encoded: &str, plain: &str| {
        get(encoded).map(text::decoded).or_else(|| get(plain).map(text::shown)).unwrap_or_default()
    };
    Some(Content {
        kind,
        uuid: either("ID_FS_UUID_ENC", "ID_FS_UUID"),
        sub_uuid: either("ID_FS_UUID_SUB_ENC", "ID_FS_UUID_SUB"),
        label: either("ID_FS_LABEL_ENC", "ID_FS_LABEL"),
    })
}

fn mapping<'a>(get: &impl Fn(&str) -> Option<&'a str>) -> Option<Mapping> {
    let name = text::shown(get("DM_NAME")?);
    // CRYPT-LUKS2-<uuid without hyphens>-<name>
    let mut parts = get("DM_UUID").unwrap_or_default().split('-');
    let luks = match (parts.next(), parts.next(), parts.next()) {
        (Some("CRYPT"), Some("LUKS1" | "LUKS2"), Some(uuid)) => Uuid::try_parse(uuid).ok(),
        _ => None,
    };
    Some(Mapping { name, luks, over: get("slave").map(str::to_owned) })
}

/// Only the usual form: the library also reads braces and urns, and one uuid has one name here.
fn strict_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|uuid| uuid.to_string() == text)
}

#[cfg(test)]
mod tests;
