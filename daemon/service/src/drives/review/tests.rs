//! The next steps and the shown drives while drives are attached and detached.

use std::path::Path;

use tokio::time::sleep_until;

use super::*;
use crate::config::Config;
use crate::device::{BlockDevice, Bus, Content, DeviceTable, Event, Mapping, Readings, mapping_name};
use crate::enrolment::{Enrolment, Member};
use crate::types::{DriveHealth, DriveProblem, DriveState, ErrorCode};

/// A USB disk with filesystem 10 on its device 11.
fn disk() -> BlockDevice {
    let text = |number| Uuid::from_u128(number).to_string();
    let content = Content { kind: "btrfs".to_owned(), uuid: text(10), sub_uuid: text(11), label: "Blue".to_owned() };
    BlockDevice {
        node: Path::new("/dev/sdb").to_owned(),
        devnum: 1,
        syspath: Path::new("/sys/devices/x/block/sdb").to_owned(),
        diskseq: 1,
        bus: Bus::Usb,
        removable: false,
        model: "Disk".to_owned(),
        serial: "S".to_owned(),
        id_path: String::new(),
        size: 1000,
        partition: None,
        content: Some(content),
        mapping: None,
        loop_file: None,
        finding: None,
        filesystem_devices: None,
    }
}

fn table(enrolled: bool) -> DriveTable {
    let member = Member { device: Uuid::from_u128(11), luks: None, serial: "S".to_owned(), size: 1000 };
    let enrolment = Enrolment::new(Uuid::from_u128(10), "Blue".to_owned(), vec![member], 1);
    let mut table = DriveTable::new(
        Config::default(),
        if enrolled { vec![enrolment] } else { Vec::new() },
        crate::drives::inspect::clock(),
        Uuid::nil(),
    );
    table.devices.insert(disk());
    table
}

#[test]
fn an_unenrolled_drive_is_only_shown() {
    let mut table = table(false);
    let next = look(&mut table);
    assert!(next.arrived && next.steps.is_empty());
    let shown = table.shown.values().next().expect("shown").subscribe();
    assert_eq!((shown.borrow().label.as_str(), shown.borrow().device.as_str()), ("Blue", "sdb"));
    assert!(!look(&mut table).arrived);
    table.devices = DeviceTable::default();
    look(&mut table);
    assert!(shown.has_changed().is_err() && table.entries.is_empty());
}

/// The second device of the same filesystem.
fn second_disk() -> BlockDevice {
    let content = disk().content.map(|content| Content { sub_uuid: Uuid::from_u128(12).to_string(), ..content });
    BlockDevice {
        node: Path::new("/dev/sdc").to_owned(),
        syspath: Path::new("/sys/devices/x/block/sdc").to_owned(),
        diskseq: 2,
        content,
        ..disk()
    }
}

#[test]
fn a_filesystem_of_two_devices_is_shown_as_one_drive() {
    for is_enrolled in [false, true] {
        let mut table = table(is_enrolled);
        if is_enrolled {
            let member = Member { device: Uuid::from_u128(12), luks: None, serial: "S".to_owned(), size: 1000 };
            table.enrolments[0].members.push(member);
        }
        table.devices.insert(second_disk());
        look(&mut table);
        let of = |table: &DriveTable| table.shown.values().map(|shown| shown.borrow().clone()).collect::<Vec<_>>();
        let facts = |drive: &Drive| (drive.devices.join(" "), drive.device_count, drive.size, drive.label.clone());
        let shown = of(&table);
        assert_eq!(shown.iter().map(facts).collect::<Vec<_>>(), [("sdb sdc".to_owned(), 2, 2000, "Blue".to_owned())]);
        assert_eq!(shown[0].device, "sdb");
        table.devices.remove(&Event::Gone(second_disk().syspath));
        look(&mut table);
        let (count, size) = if is_enrolled { (2, 2000) } else { (1, 1000) };
        assert_eq!(
            of(&table).iter().map(facts).collect::<Vec<_>>(),
            [("sdb".to_owned(), count, size, "Blue".to_owned())]
        );
    }
}

#[test]
fn a_failed_action_is_retried_only_after_a_change() {
    let mut table = table(true);
    assert_eq!(look(&mut table).steps.len(), 1);
    assert!(look(&mut table).steps.is_empty());
    let devices = std::mem::take(&mut table.devices);
    look(&mut table);
    table.devices = devices;
    assert_eq!(look(&mut table).steps.len(), 1);
}

#[test]
fn a_failed_release_is_retried_when_devices_or_mounts_changed() {
    let mut table = table(true);
    look(&mut table);
    let id = table.entries.keys().next().expect("an entry").clone();
    let is_tried = |table: &mut DriveTable| look(table).releases == [id.clone()];
    table.entries.get_mut(&id).expect("an entry").failed_with = Some(vec![disk()]);
    assert!(!is_tried(&mut table), "with the same devices");
    table.devices.insert(BlockDevice { model: "Other".to_owned(), ..disk() });
    assert!(is_tried(&mut table));
    assert!(!is_tried(&mut table), "once");
    table.entries.get_mut(&id).expect("an entry").failed_with = Some(Vec::new());
    table.reserve(&id);
    assert!(!is_tried(&mut table), "while it is needed");
    assert!(table.end_reservation(&id) && is_tried(&mut table));
}

#[test]
fn a_container_that_is_open_when_its_device_goes_is_closed_once() {
    let mut table = table(true);
    let luks = Uuid::from_u128(20);
    table.enrolments[0].members[0].luks = Some(luks);
    let content = Content {
        kind: "crypto_LUKS".to_owned(),
        uuid: luks.to_string(),
        sub_uuid: String::new(),
        label: String::new(),
    };
    let container = BlockDevice { content: Some(content), ..disk() };
    let mapping = Mapping { name: mapping_name(luks), luks: Some(luks), over: Some("sdb".to_owned()) };
    let open = BlockDevice {
        node: Path::new("/dev/dm-0").to_owned(),
        syspath: Path::new("/sys/devices/virtual/block/dm-0").to_owned(),
        bus: Bus::Mapper,
        mapping: Some(mapping),
        ..disk()
    };
    table.devices = DeviceTable::default();
    table.devices.add(Event::All(vec![container.clone(), open.clone()]));
    assert!(look(&mut table).stale.is_empty(), "its device is there");
    table.devices.remove(&Event::Gone(container.syspath.clone()));
    assert_eq!(look(&mut table).stale, [luks]);
    assert!(look(&mut table).stale.is_empty(), "closed twice");
    // The drive is plugged in again, and has another name while the mapping is open.
    table.devices.insert(BlockDevice {
        node: Path::new("/dev/sdc").to_owned(),
        syspath: Path::new("/sys/devices/x/block/sdc").to_owned(),
        diskseq: 2,
        ..container
    });
    table.stale.clear();
    assert_eq!(look(&mut table).stale, [luks], "the mapping of the plug before stays open");
    table.devices.remove(&Event::Gone(Path::new("/sys/devices/x/block/sdc").to_owned()));
    table.devices.remove(&Event::Gone(open.syspath.clone()));
    look(&mut table);
    // Another's mapping is not ours to close.
    let mapping = Mapping { name: "luks-x".to_owned(), luks: Some(luks), over: None };
    table.devices.insert(BlockDevice { mapping: Some(mapping), ..open });
    assert!(look(&mut table).stale.is_empty());
}

#[tokio::test]
async fn a_drive_stays_visible_while_it_is_powered_off() {
    let mut table = table(true);
    look(&mut table);
    let id = DriveId::from(table.enrolments[0].id);
    let lock = table.entries[&id].lock.clone();
    let guard = lock.acquire().await.expect("free");
    table.entries.get_mut(&id).expect("an entry").released = true;
    table.devices = DeviceTable::default();
    look(&mut table);
    let shown = table.shown[&id].subscribe();
    let entry = table.entries.get_mut(&id).expect("an entry");
    (entry.safe, entry.is_switched_off) = (Some(Instant::now()), true);
    drop(guard);
    look(&mut table);
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
}

#[test]
fn a_safe_detached_drive_shows_no_old_problem() {
    let mut table = table(true);
    look(&mut table);
    let id = DriveId::from(table.enrolments[0].id);
    table.entries.get_mut(&id).expect("an entry").problem = Some(DriveProblem::other(ErrorCode::Busy, "sdb is in use"));
    look(&mut table);
    let shown = table.shown[&id].subscribe();
    assert_eq!(shown.borrow().problem(), "sdb is in use");
    let entry = table.entries.get_mut(&id).expect("an entry");
    (entry.safe, entry.released, entry.problem) = (Some(Instant::now()), true, None);
    entry.is_switched_off = true;
    table.devices = DeviceTable::default();
    look(&mut table);
    assert_eq!((&shown.borrow().state, shown.borrow().problem()), (&DriveState::Safe, String::new()));
}

/// A drive that is safe, switched off or not.
fn safe(is_switched_off: bool) -> (DriveTable, DriveId) {
    let mut table = table(true);
    look(&mut table);
    let id = DriveId::from(table.enrolments[0].id);
    let entry = table.entries.get_mut(&id).expect("an entry");
    (entry.safe, entry.released, entry.is_switched_off) = (Some(Instant::now()), true, is_switched_off);
    (table, id)
}

#[test]
fn a_safe_drive_that_is_unplugged_is_away() {
    let (mut table, id) = safe(false);
    let shown = table.shown[&id].subscribe();
    let devices = std::mem::take(&mut table.devices);
    assert_eq!(look(&mut table).unplugged, std::slice::from_ref(&id));
    assert_eq!((shown.borrow().state, table.entries.is_empty()), (DriveState::Away, true));
    assert!(look(&mut table).unplugged.is_empty(), "unplugged once");
    table.devices = devices;
    let next = look(&mut table);
    assert_eq!((next.steps, next.arrived, shown.borrow().state), (vec![id], false, DriveState::Present));
}

#[test]
fn an_enrolled_drive_that_is_away_is_shown_as_recorded() {
    let mut table = table(true);
    table.devices = DeviceTable::default();
    (table.enrolments[0].last_seen, table.enrolments[0].last_backup) = (9, 8);
    let id = DriveId::from(table.enrolments[0].id);
    let readings = Readings { free: 400, device_errors: Some(2) };
    table.readings.insert(table.enrolments[0].id, readings);
    let next = look(&mut table);
    assert!(next.arrived && next.unplugged.is_empty() && table.entries.is_empty());
    let shown = table.shown[&id].borrow().clone();
    assert_eq!((shown.label.as_str(), shown.serial.as_str(), shown.device.as_str()), ("Blue", "S", ""));
    assert_eq!((shown.state, shown.enrolled, shown.size, shown.last_seen), (DriveState::Away, true, 1000, 9));
    let health = DriveHealth { device_errors: Some(2), ..DriveHealth::default() };
    assert_eq!(shown.health, health, "it was never verified");
    let [destination] = destinations(&table).try_into().expect("one");
    assert_eq!((destination.id, destination.name.as_str()), ((&id).into(), "Blue"));
    assert_eq!((destination.free, destination.last_backup, destination.state), (400, 8, DriveState::Away.into()));
    table.enrolments.clear();
    look(&mut table);
    assert!(table.shown.is_empty() && destinations(&table).is_empty(), "it is forgotten");
}

#[test]
fn an_unreadable_record_has_a_destination_by_which_it_is_forgotten() {
    let mut table = table(false);
    let id = Uuid::from_u128(77);
    table.unreadable.files.insert(id, "it is damaged".to_owned());
    assert!(look(&mut table).arrived);
    let [destination] = destinations(&table).try_into().expect("one");
    assert_eq!(destination.id, (&DriveId::from(id)).into());
    assert!(destination.problem().contains("butterdock forget"), "{destination:?}");
    table.unreadable.files.clear();
    look(&mut table);
    assert!(destinations(&table).is_empty());
}

#[test]
fn what_a_drive_lost_is_shown_while_it_is_unplugged() {
    let (mut table, id) = safe(false);
    table.set_condition(table.enrolments[0].id, Condition::ReadOnly);
    table.devices = DeviceTable::default();
    look(&mut table);
    let shown = table.shown[&id].borrow().clone();
    assert!(shown.device.is_empty() && shown.problem().contains("became read-only"), "{shown:?}");
    table.enrolments.clear();
    look(&mut table);
    assert!(table.shown.is_empty(), "it is forgotten");
}

#[test]
fn a_forgotten_drive_that_is_switched_off_is_not_shown() {
    let (mut table, _) = safe(true);
    table.devices = DeviceTable::default();
    look(&mut table);
    assert_eq!(table.shown.len(), 1);
    table.enrolments.clear();
    look(&mut table);
    assert!(table.shown.is_empty() && table.entries.is_empty(), "{:?}", table.shown);
}

#[test]
fn a_stick_that_was_switched_off_and_plugged_in_again_is_shown_once() {
    let mut table = table(false);
    look(&mut table);
    let entry = table.entries.values_mut().next().expect("an entry");
    (entry.safe, entry.released, entry.is_switched_off) = (Some(Instant::now()), true, true);
    table.devices = DeviceTable::default();
    look(&mut table);
    assert_eq!(table.shown.values().next().expect("shown").borrow().state, DriveState::Safe);
    table.devices.insert(BlockDevice { diskseq: 2, ..disk() });
    look(&mut table);
    assert_eq!(table.shown.keys().map(DriveId::as_str).collect::<Vec<_>>(), ["sdb-2"]);
}

#[test]
fn a_switched_off_drive_stays_visible_without_its_device() {
    let (mut table, id) = safe(true);
    assert!(look(&mut table).steps.is_empty());
    let shown = table.shown[&id].subscribe();
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, "sdb"));
    let devices = std::mem::take(&mut table.devices);
    look(&mut table);
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
    assert!(table.entries[&id].expires(Condition::Sound).is_some());
    table.devices = devices;
    let next = look(&mut table);
    assert_eq!((next.steps.len(), &shown.borrow().state), (1, &DriveState::Present));
}

#[tokio::test(start_paused = true)]
async fn a_safe_drive_expires_once_while_it_is_locked() {
    let (mut table, id) = safe(true);
    let guard = table.entries[&id].lock.acquire().await.expect("free");
    table.devices = DeviceTable::default();
    look(&mut table);
    let expires = table.entries[&id].expires(Condition::Sound).expect("it is shown for a while");
    sleep_until(expires).await;
    look(&mut table);
    assert_eq!(table.entries[&id].expires(Condition::Sound), None, "it is due again at once");
    drop(guard);
    look(&mut table);
    assert_eq!((table.entries.len(), table.shown[&id].borrow().state), (0, DriveState::Away));
}
