//! The drives and enrolments of the table of tests.

use std::path::Path;

use uuid::Uuid;

use crate::device::{BlockDevice, Bus, Content, Mapping};
use crate::enrolment::{Enrolment, Member};

pub(super) fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A USB disk without anything on it.
pub(super) fn disk(name: &str) -> BlockDevice {
    BlockDevice {
        node: Path::new("/dev").join(name),
        devnum: 1,
        syspath: Path::new("/sys/devices/x/block").join(name),
        diskseq: 1,
        bus: Bus::Usb,
        removable: false,
        model: "Disk".to_owned(),
        serial: "S".to_owned(),
        id_path: "pci-1-usb-2".to_owned(),
        size: 1000,
        partition: None,
        content: None,
        mapping: None,
        loop_file: None,
        finding: None,
        filesystem_devices: None,
    }
}

pub(super) fn content(kind: &str, uuid: u128, sub: u128) -> Option<Content> {
    let text = |number| Uuid::from_u128(number).to_string();
    Some(Content { kind: kind.to_owned(), uuid: text(uuid), sub_uuid: text(sub), label: "Blue".to_owned() })
}

/// A device `sub` of filesystem 10.
pub(super) fn btrfs(name: &str, sub: u128) -> BlockDevice {
    BlockDevice { content: content("btrfs", 10, sub), ..disk(name) }
}

/// Container 20.
pub(super) fn luks(name: &str) -> BlockDevice {
    BlockDevice { content: content("crypto_LUKS", 20, 0), ..disk(name) }
}

/// Its open side, called `mapping`.
pub(super) fn opened(mapping: &str, over: &str) -> BlockDevice {
    let mapping = Mapping { name: mapping.to_owned(), luks: Some(uuid(20)), over: Some(over.to_owned()) };
    BlockDevice { bus: Bus::Mapper, serial: String::new(), mapping: Some(mapping), ..btrfs("dm-0", 11) }
}

pub(super) fn member(device: u128, luks: Option<u128>) -> Member {
    Member { device: uuid(device), luks: luks.map(uuid), serial: "S".to_owned(), size: 1000 }
}

pub(super) fn enrolment(members: Vec<Member>) -> Enrolment {
    let mut enrolment = Enrolment::new(uuid(10), "Blue".to_owned(), members, 1);
    enrolment.id = uuid(1);
    enrolment
}

pub(super) fn single() -> Vec<Enrolment> {
    vec![enrolment(vec![member(11, None)])]
}

pub(super) fn two_members() -> Vec<Enrolment> {
    vec![enrolment(vec![member(11, None), member(12, None)])]
}

pub(super) fn encrypted() -> Vec<Enrolment> {
    vec![enrolment(vec![member(11, Some(20))])]
}
