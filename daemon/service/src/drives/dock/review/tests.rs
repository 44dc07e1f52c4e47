//! What is next, and what is shown, as drives come and go.

use std::path::Path;

use super::*;
use crate::config::Config;
use crate::drives::{Bus, Content, Enrolment, Facts, Mapping, Member, mapping_name};

/// A USB disk with filesystem 10 on its device 11.
fn disk() -> Facts {
    let text = |number| Uuid::from_u128(number).to_string();
    let content = Content { kind: "btrfs".to_owned(), uuid: text(10), sub_uuid: text(11), label: "Blue".to_owned() };
    Facts {
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
    }
}

fn picture(enrolled: bool) -> Picture {
    let member = Member { device: Uuid::from_u128(11), luks: None, serial: "S".to_owned(), size: 1000 };
    let enrolment = Enrolment::new(Uuid::from_u128(10), "Blue".to_owned(), vec![member], 1);
    let mut picture = Picture::new(Config::default(), if enrolled { vec![enrolment] } else { Vec::new() });
    picture.devices.insert(disk().syspath, disk());
    picture
}

#[test]
fn an_unknown_drive_is_shown_until_it_goes_and_nothing_is_done_with_it() {
    let mut picture = picture(false);
    let next = look(&mut picture);
    assert!(next.arrived && next.steps.is_empty());
    let shown = picture.shown.values().next().expect("shown").subscribe();
    assert_eq!((shown.borrow().label.as_str(), shown.borrow().device.as_str()), ("Blue", "sdb"));
    assert!(!look(&mut picture).arrived);
    picture.devices.clear();
    look(&mut picture);
    assert!(shown.has_changed().is_err() && picture.cards.is_empty());
}

#[test]
fn what_failed_is_tried_again_only_when_something_else_is_there() {
    let mut picture = picture(true);
    assert_eq!(look(&mut picture).steps.len(), 1);
    assert!(look(&mut picture).steps.is_empty());
    let devices = std::mem::take(&mut picture.devices);
    look(&mut picture);
    picture.devices = devices;
    assert_eq!(look(&mut picture).steps.len(), 1);
}

#[test]
fn a_container_that_is_open_when_its_device_goes_is_closed_once() {
    let mut picture = picture(true);
    let luks = Uuid::from_u128(20);
    picture.enrolments[0].members[0].luks = Some(luks);
    let content = Content {
        kind: "crypto_LUKS".to_owned(),
        uuid: luks.to_string(),
        sub_uuid: String::new(),
        label: String::new(),
    };
    let container = Facts { content: Some(content), ..disk() };
    let mapping = Mapping { name: mapping_name(luks), luks: Some(luks), over: Some("sdb".to_owned()) };
    let open = Facts {
        node: Path::new("/dev/dm-0").to_owned(),
        syspath: Path::new("/sys/devices/virtual/block/dm-0").to_owned(),
        bus: Bus::Mapper,
        mapping: Some(mapping),
        ..disk()
    };
    picture.devices = [container.clone(), open.clone()].map(|facts| (facts.syspath.clone(), facts)).into();
    assert!(look(&mut picture).stale.is_empty(), "its device is there");
    picture.devices.remove(&container.syspath);
    assert_eq!(look(&mut picture).stale, [luks]);
    assert!(look(&mut picture).stale.is_empty(), "told twice");
    picture.devices.remove(&open.syspath);
    look(&mut picture);
    // Another's mapping is not ours to close.
    let mapping = Mapping { name: "luks-x".to_owned(), luks: Some(luks), over: None };
    picture.devices.insert(open.syspath.clone(), Facts { mapping: Some(mapping), ..open });
    assert!(look(&mut picture).stale.is_empty());
}

#[tokio::test]
async fn a_drive_whose_node_goes_while_it_is_switched_off_stays_until_it_is_safe() {
    let mut picture = picture(true);
    look(&mut picture);
    let id = DriveId::from(picture.enrolments[0].id);
    let lane = picture.cards[&id].lane.clone();
    let turn = lane.turn().await.expect("the turn");
    picture.cards.get_mut(&id).expect("a card").released = true;
    picture.devices.clear();
    look(&mut picture);
    let shown = picture.shown[&id].subscribe();
    picture.cards.get_mut(&id).expect("a card").safe = Some(Instant::now());
    drop(turn);
    look(&mut picture);
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
}

#[test]
fn what_went_wrong_before_is_not_told_of_a_drive_that_is_safe_and_gone() {
    let mut picture = picture(true);
    look(&mut picture);
    let id = DriveId::from(picture.enrolments[0].id);
    picture.cards.get_mut(&id).expect("a card").problem = "sdb is in use".to_owned();
    look(&mut picture);
    let shown = picture.shown[&id].subscribe();
    assert_eq!(shown.borrow().problem, "sdb is in use");
    let card = picture.cards.get_mut(&id).expect("a card");
    (card.safe, card.released, card.problem) = (Some(Instant::now()), true, String::new());
    picture.devices.clear();
    look(&mut picture);
    assert_eq!((&shown.borrow().state, shown.borrow().problem.as_str()), (&DriveState::Safe, ""));
}

#[test]
fn a_safe_drive_stays_when_it_is_unplugged_and_is_another_when_it_comes_again() {
    let mut picture = picture(true);
    look(&mut picture);
    let id = DriveId::from(picture.enrolments[0].id);
    let card = picture.cards.get_mut(&id).expect("a card");
    (card.safe, card.released) = (Some(Instant::now()), true);
    assert!(look(&mut picture).steps.is_empty());
    let shown = picture.shown[&id].subscribe();
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, "sdb"));
    let devices = std::mem::take(&mut picture.devices);
    look(&mut picture);
    assert_eq!((&shown.borrow().state, shown.borrow().device.as_str()), (&DriveState::Safe, ""));
    assert!(picture.cards[&id].expires().is_some());
    picture.devices = devices;
    let next = look(&mut picture);
    assert_eq!((next.steps.len(), &shown.borrow().state), (1, &DriveState::Present));
}
