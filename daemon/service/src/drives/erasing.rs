//! Erases drives and disks: what may be erased, and what is on it then.

use std::sync::Arc;

use super::DriveId;
use super::drive_lock::blocking;
use super::entry::DriveEntry;
use super::manager::DriveManager;
use super::problem::{busy, failed, no_such_drive};
use super::table::DriveTable;
use crate::device::{BlockDevice, Content};
use crate::types::{EnrolOptions, Error};

/// The default label of a new filesystem.
pub(super) const LABEL: &str = "backup";

impl DriveManager {
    /// Formats its one device, and takes in what is on it then without waiting for udev to tell.
    pub(super) async fn erase(&self, id: &DriveId, device: BlockDevice, label: &str) -> Result<BlockDevice, Error> {
        let parts: Vec<String> = {
            let table = self.lock();
            let parts = table.devices.values().filter(|part| part.disk() == device.node && part.partition.is_some());
            parts.map(|part| part.name().to_owned()).collect()
        };
        let node = device.name();
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "erasing {node} (its partitions: {})", or_none(&parts));
        let label = label.to_owned();
        let devices = Arc::clone(&self.0.devices);
        let facts = blocking(&self.0.operations, id, move || {
            let made = devices.format(&device, &label)?;
            let content = Content {
                kind: "btrfs".to_owned(),
                uuid: made.fsid.to_string(),
                sub_uuid: made.dev_uuid.to_string(),
                label: made.label,
            };
            Ok(BlockDevice { content: Some(content), finding: None, filesystem_devices: None, ..device })
        })
        .await?;
        self.lock().devices.insert(facts.clone());
        Ok(facts)
    }
}

/// The first device of the drive, whatever is on it. One that is to be formatted must be the only one, or all of them must be
/// partitions of the disk that is to be formatted.
pub(super) fn outer(table: &DriveTable, id: &DriveId, options: &EnrolOptions) -> Result<BlockDevice, Error> {
    let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
    let devices = table.behind(&decision.devices);
    let mut outer = devices.iter().filter(|facts| facts.mapping.is_none());
    match (outer.next(), outer.next()) {
        (Some(device), None) => Ok((*device).clone()),
        (Some(device), Some(_)) if !options.format || (options.whole_disk && decision.disks.len() == 1) => {
            Ok((*device).clone())
        }
        (Some(_), Some(_)) => Err(failed(
            "the filesystem of the drive has several devices, and only a single device can be formatted: unplug the \
             others; if the drive is enrolled, forget it first",
        )),
        (None, _) => Err(no_such_drive(id)),
    }
}

/// The disk that the drive's one device is a partition of. No partition of it may belong to an enrolled drive, also to this one:
/// the caller named a disk, and did not see that a drive of this machine is on it.
pub(super) fn whole_disk(table: &DriveTable, id: &DriveId, device: &BlockDevice) -> Result<BlockDevice, Error> {
    let disk = table.devices.at(device.disk()).ok_or_else(|| no_such_drive(id))?;
    for decision in table.decisions(Some(id)).iter().filter(|decision| decision.disks.contains(&disk.node)) {
        let other = DriveId::from(&decision.id);
        if let Some(enrolment) = table.enrolment(&other) {
            return Err(failed(format!(
                "nothing was erased: the enrolled drive \"{}\" ({other}) is on the disk {}; forget that drive first \
                 (butterdock forget)",
                enrolment.label(),
                disk.name()
            )));
        }
        let is_used = |entry: &DriveEntry| entry.leased > 0 || entry.lock.taken();
        if other != *id && table.entries.get(&other).is_some_and(is_used) {
            return Err(busy(format!(
                "nothing was erased: a job uses {other}, which is on the same disk {}; wait for it, or cancel it first",
                disk.name()
            )));
        }
    }
    Ok(disk.clone())
}

/// Neither the device, which is to be erased, nor a partition of it belongs to an enrolled drive whose record cannot be read.
pub(super) fn unclaimed(table: &DriveTable, device: &BlockDevice) -> Result<(), Error> {
    let is_on_it = |part: &&BlockDevice| part.node == device.node || part.disk() == device.node;
    let Some(part) = table.devices.values().filter(is_on_it).find(|part| table.is_claimed(part)) else { return Ok(()) };
    let ids: Vec<String> = table.unreadable.files.keys().map(ToString::to_string).collect();
    Err(failed(format!(
        "nothing was erased: {} belongs to an enrolled drive whose record cannot be read ({}); enrol that drive again to keep it, \
         or forget it first (butterdock forget ID)",
        part.name(),
        ids.join(", ")
    )))
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use uuid::Uuid;

    use super::*;
    use crate::config::Config;
    use crate::device::{Bus, Partition};
    use crate::enrolment::{Enrolment, Member};
    use crate::policy;

    /// What udev reports of the disk sdb, or of one of its partitions.
    fn device(name: &str, partition: Option<u32>, filesystem: Option<u128>) -> BlockDevice {
        let text = |number: u128| Uuid::from_u128(number).to_string();
        let content = filesystem.map(|number| Content {
            kind: "btrfs".to_owned(),
            uuid: text(number),
            sub_uuid: text(number + 1),
            label: "Blue".to_owned(),
        });
        BlockDevice {
            node: Path::new("/dev").join(name),
            devnum: partition.unwrap_or_default().into(),
            syspath: Path::new("/sys/devices/x/block/sdb").join(name),
            diskseq: 1,
            bus: Bus::Usb,
            removable: false,
            model: "Disk".to_owned(),
            serial: "S".to_owned(),
            id_path: String::new(),
            size: 1000,
            partition: partition.map(|number| Partition { number, disk: "/dev/sdb".into() }),
            content,
            mapping: None,
            loop_file: None,
            finding: None,
            filesystem_devices: None,
        }
    }

    /// A disk with two partitions of which the first has filesystem 10, and these enrolments.
    fn table(enrolments: Vec<Enrolment>) -> DriveTable {
        let mut table = DriveTable::new(Config::default(), enrolments, crate::drives::inspect::clock(), Uuid::nil());
        for facts in [device("sdb", None, None), device("sdb1", Some(1), Some(10)), device("sdb2", Some(2), None)] {
            table.devices.insert(facts);
        }
        table
    }

    fn by_device(name: &str) -> DriveId {
        DriveId::from(&policy::DriveId::Device(name.to_owned(), 1))
    }

    fn erased(table: &DriveTable, id: &DriveId, name: &str) -> Result<String, String> {
        let device = table.devices.at(&Path::new("/dev").join(name)).expect("attached");
        let disk = whole_disk(table, id, device).map_err(|error| error.to_string())?;
        unclaimed(table, &disk).map_err(|error| error.to_string())?;
        Ok(disk.name().to_owned())
    }

    #[test]
    fn a_disk_with_an_enrolled_drive_is_not_erased() {
        assert_eq!(erased(&table(Vec::new()), &by_device("sdb2"), "sdb2"), Ok("sdb".to_owned()));
        let member = Member { device: Uuid::from_u128(11), luks: None, serial: "S".to_owned(), size: 1000 };
        let blue = Enrolment::new(Uuid::from_u128(10), "Blue".to_owned(), vec![member], 1);
        let own = DriveId::from(blue.id);
        let table = table(vec![blue]);
        for (id, name) in [(by_device("sdb2"), "sdb2"), (own, "sdb1")] {
            let refused = erased(&table, &id, name).expect_err("a drive is enrolled");
            assert!(refused.contains("\"Blue\"") && refused.contains("forget that drive first"), "{refused}");
        }
    }

    #[test]
    fn what_belongs_to_an_unreadable_record_is_not_erased() {
        let mut table = table(Vec::new());
        let unreadable = Uuid::from_u128(77);
        table.unreadable.files.insert(unreadable, "it is no enrolment".to_owned());
        table.unreadable.claimed.insert(Uuid::from_u128(10).to_string());
        for name in ["sdb1", "sdb2"] {
            let refused = erased(&table, &by_device(name), name).expect_err("a drive is enrolled");
            assert!(refused.contains("sdb1") && refused.contains(&unreadable.to_string()), "{refused}");
        }
        let alone = |name: &str| unclaimed(&table, table.devices.at(&Path::new("/dev").join(name)).expect("attached"));
        assert!(alone("sdb1").is_err_and(|refused| refused.to_string().contains("butterdock forget")));
        assert_eq!(alone("sdb2"), Ok(()), "its neighbour stays");
        table.unreadable.claimed.clear();
        assert_eq!(erased(&table, &by_device("sdb2"), "sdb2"), Ok("sdb".to_owned()));
    }
}
