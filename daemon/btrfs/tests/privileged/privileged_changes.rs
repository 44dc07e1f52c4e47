//! Changes in a subvolume since a transaction.

use std::fs::{self, File};
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use butterdock_btrfs::changes::newest_ctime;
use butterdock_btrfs::subvolume::{create, info};
use butterdock_btrfs::{Errno, filesystem};

use crate::rig::Volume;

#[test]
fn the_newest_change_is_told_and_only_what_was_written_since_counts() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    fs::write(volume.path().join("one/old"), "old").unwrap();
    filesystem::sync(&one).unwrap();
    let id = info(&one).unwrap().id;
    let before = info(&one).unwrap().generation;
    assert_eq!(newest_ctime(&one, id, before), Ok(None));
    let old = newest_ctime(&one, id, 0).unwrap().unwrap();

    sleep(Duration::from_millis(20));
    fs::write(volume.path().join("one/new"), "new").unwrap();
    filesystem::sync(&one).unwrap();
    let new = newest_ctime(volume.root(), id, before).unwrap().unwrap();
    assert!(new > old, "{new:?} {old:?}");
    assert_eq!(newest_ctime(&one, id, info(&one).unwrap().generation), Ok(None));
    assert_eq!(newest_ctime(&one, 4242, 0).unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn a_modification_time_set_back_does_not_hide_a_change() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    filesystem::sync(&one).unwrap();
    let told = info(&one).unwrap();
    let before = newest_ctime(&one, told.id, 0).unwrap();
    sleep(Duration::from_millis(20));
    fs::write(volume.path().join("one/file"), "new").unwrap();
    let file = File::options().write(true).open(volume.path().join("one/file")).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    filesystem::sync(&one).unwrap();
    assert!(newest_ctime(&one, told.id, told.generation).unwrap() > before);
}
