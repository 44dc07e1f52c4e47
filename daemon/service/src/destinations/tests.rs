//! The same scenarios on a drive and on a volume.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use butterdock_fixtures::Sandbox;

use super::*;
use crate::volumes::{DirIdentity, OpenVolume};

fn open(folder: &Path) -> DirHandle {
    DirHandle::from(std::os::fd::OwnedFd::from(fs::File::open(folder).expect("opened")))
}

/// Both kinds of destination, on the same directory.
fn both(folder: &Path) -> [Box<dyn Destination>; 2] {
    let volume = OpenVolume { directory: open(folder), place: DirIdentity::nowhere(), mount: 0 };
    [Box::new(DriveDestination::new(open(folder))), Box::new(VolumeDestination::new(volume))]
}

fn backup(path: &Path) -> BackupFolder<'_> {
    BackupFolder { path, backup: "home", former: &[], machine: Identity([5; 16]), is_remembered: true }
}

fn inode(directory: impl AsFd) -> u64 {
    rustix::fs::fstat(directory).expect("facts").st_ino
}

#[test]
fn a_backup_is_received_into_its_own_private_folder() {
    for index in 0..2 {
        let place = tempfile::tempdir().expect("a folder");
        let mut destination = both(place.path()).into_iter().nth(index).expect("one of two");
        assert_eq!(inode(destination.directory()), place.path().metadata().expect("facts").ino());
        destination.receive(&backup(Path::new("backups/home"))).expect("made");
        let facts = place.path().join("backups/home").metadata().expect("facts");
        assert_eq!((inode(destination.directory()), facts.permissions().mode() & 0o777), (facts.ino(), 0o700));
        destination.receive(&backup(Path::new("backups/home"))).expect("opened");
        assert_eq!(inode(destination.directory()), facts.ino());
    }
}

#[test]
fn leftovers_are_deleted_where_the_backup_was_received() {
    let place = tempfile::tempdir().expect("a folder");
    for mut destination in both(place.path()) {
        let top = inode(open(place.path()));
        let swept = |destination: &dyn Destination| {
            let (order, handed) = destination.delete();
            assert!(order == Order::Sweep && handed.stream.is_none() && handed.places.is_empty());
            handed.destination.map(inode)
        };
        assert_eq!(swept(&*destination), Some(top));
        destination.receive(&backup(Path::new("home"))).expect("made");
        assert_eq!(swept(&*destination), Some(place.path().join("home").metadata().expect("facts").ino()));
        assert_eq!(destination.into_directories().len(), 2);
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_named_with_what_to_do() {
    let place = tempfile::tempdir().expect("a folder");
    fs::write(place.path().join("home"), "").expect("written");
    for mut destination in both(place.path()) {
        let refused = destination.receive(&backup(Path::new("home"))).expect_err("a file");
        assert!(refused.contains("rename the file"), "{refused}");
    }
}

#[test]
fn space_is_that_of_the_filesystem() {
    for destination in both(Path::new("/")) {
        let Space { size, free } = destination.space().expect("space");
        assert!(size > 0 && free <= size, "{free} of {size}");
    }
}

#[test]
fn privileged_the_snapshots_on_a_destination_are_listed() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let volume = sandbox.volume("destination", &Default::default()).expect("a volume");
    butterdock_fixtures::snapshot::create(&volume.join("source")).expect("a subvolume");
    butterdock_fixtures::snapshot::freeze(&volume.join("source"), &volume.join("snapshot")).expect("a snapshot");
    let remembered =
        Backups { machine: Identity([5; 16]), known: vec![], pins: vec![], configured: vec![], former: vec![] };
    for destination in both(&volume.join(".")) {
        let names: Vec<_> =
            destination.list(&remembered).expect("listed").into_iter().map(|snapshot| snapshot.name).collect();
        assert_eq!(names, [b"snapshot".to_vec()]);
    }
    for destination in both(Path::new("/proc")) {
        assert!(destination.list(&remembered).is_err(), "not on btrfs");
    }
}
