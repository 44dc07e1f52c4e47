//! Snapshots that a person holds, deletes, and takes along with a renamed backup, on real volumes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::sync::Mutex;

use butterdock_btrfs::{filesystem, subvolume};
use butterdock_fixtures::Sandbox;
use butterdock_receive::{Control, Hold, HoldLock, Holds, Origin, Record, SubvolumeState};

use super::privileged_source_space::{MIB, World};
use crate::backups::deletion::{Deletion, DeletionEvent, KeptBecause};
use crate::backups::drive_folder::{take_along, take_folder};
use crate::backups::folders::set_hold;
use crate::backups::lineage::SnapshotFolder;
use crate::backups::owner::{Owner, Side, look_up};
use crate::backups::prune_plan::PrunePlan;
use crate::backups::retention::RetentionRule;
use crate::backups::snapshot::{Identity, list};
use crate::backups::task::{SourcePruning, Task};
use crate::backups::{list_beside, name};

fn hold(reason: &str) -> Hold {
    Hold { reason: reason.to_owned(), since: 9, machine: [1; 16] }
}

impl World {
    fn top(&self) -> File {
        File::open(self.volume.path()).expect("open")
    }

    fn hold(&self, snapshot: Identity) {
        assert_eq!(set_hold(self.top().as_fd(), snapshot, Some(&hold("kept"))), Ok(true));
    }

    fn delete(&self, snapshots: &[Identity], measure: bool) -> Vec<DeletionEvent> {
        let (top, events, control) = (self.top(), Mutex::new(Vec::new()), Control::new().expect("a control"));
        let report = |event| events.lock().expect("unpoisoned").push(event);
        let (place, top) = (top.as_fd(), top.as_fd());
        let deletion = Deletion { place, top, snapshots, control: &control, report: &report };
        if measure { deletion.measure() } else { deletion.run() }.expect("done");
        events.into_inner().expect("unpoisoned")
    }
}

#[test]
fn privileged_a_hold_stays_until_it_is_released() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let volume = sandbox.volume("held", &Default::default()).expect("a volume");
    let folder = File::open(volume.path()).expect("open");
    let (folder, uuid) = (folder.as_fd(), [7; 16]);
    let get = || Holds::of(folder).and_then(|holds| holds.get(uuid)).expect("read");
    assert_eq!(get(), None);
    hold("before the move").write(folder, uuid).expect("written");
    assert_eq!(get(), Some(hold("before the move")));
    assert_eq!(Holds::of(folder).and_then(|holds| holds.get([8; 16])).expect("read"), None);
    hold("after it").write(folder, uuid).expect("written");
    assert_eq!(get(), Some(hold("after it")));
    for _ in 0..2 {
        Hold::remove(folder, uuid).expect("removed");
        assert_eq!(get(), None);
    }
    // One that cannot be read still holds.
    hold("x").write(folder, uuid).expect("written");
    let holds = volume.join(".butterdock-staging/holds");
    let inner = fs::read_dir(&holds).expect("listed").next().expect("one").expect("read").path();
    let file = inner.join("07".repeat(16));
    for text in ["", "{", "{\"version\":2,\"reason\":\"x\",\"since\":1,\"machine\":\"00\"}"] {
        fs::write(&file, text).expect("written");
        assert_eq!(get(), Some(Hold::unknown()), "{text}");
    }
    File::create(&file).and_then(|file| file.set_len(1 << 40)).expect("made");
    assert_eq!(get(), Some(Hold::unknown()));
}

#[test]
fn privileged_a_held_snapshot_survives_rule_and_shortage_of_space() {
    let world = World::new();
    let made = [-4, -3, -2, -1].map(|number| world.snapshot(number));
    world.hold(made[0]);
    let task = Task { keep: RetentionRule::NEWEST, measure: true, ..world.task.clone() };
    let unpinned = Task { unpinned: vec![made[0]], source_pruning: SourcePruning::ToNewest, ..task.clone() };
    for task in [&task, &unpinned] {
        world.prune(task);
        assert_eq!(world.left(), BTreeSet::from([made[0], made[3]]));
    }
    // In a folder that the backup used before, wherever it is now.
    let folder = File::open(world.volume.join("snapshots")).expect("open");
    let former = SnapshotFolder {
        filesystem: Identity(filesystem::info(&folder).expect("its facts").fsid),
        subvolume: subvolume::info(&folder).expect("its facts").id,
        directory: butterdock_btrfs::file::stat(&folder).expect("its facts").ino,
    };
    fs::create_dir(world.volume.join("elsewhere")).expect("made");
    fs::rename(world.volume.join("snapshots"), world.volume.join("elsewhere/old")).expect("moved");
    fs::create_dir(world.volume.join("snapshots")).expect("made");
    let mut moved = task.clone();
    moved.lineage.folders = vec![former];
    let newest = world.snapshot(0);
    world.prune(&moved);
    let there = list_beside(File::open(world.volume.join("snapshots")).expect("open").as_fd(), &moved).expect("listed");
    let held: Vec<_> = there.iter().map(|row| (row.uuid, row.held.is_some())).collect();
    assert_eq!(held, [(newest, false), (made[0], true)]);
    assert_eq!(set_hold(world.top().as_fd(), made[0], None), Ok(true));
    world.prune(&moved);
    assert_eq!(
        list_beside(File::open(world.volume.join("snapshots")).expect("open").as_fd(), &moved).expect("listed").len(),
        1
    );
    assert_eq!(set_hold(world.top().as_fd(), made[0], Some(&hold("gone"))), Ok(false), "there is no such snapshot");
}

#[test]
fn privileged_a_hold_that_is_set_during_a_pruning_protects() {
    let world = World::new();
    let made = [-3, -2, -1].map(|number| world.snapshot(number));
    let folder = File::open(world.volume.join("snapshots")).expect("open");
    let task = Task { keep: RetentionRule::NEWEST, ..world.task.clone() };
    let there = list(&folder, &[]).expect("listed");
    let owner = Owner::beside_source(&task);
    let plan = PrunePlan::plan(&task, Side::Source(&owner), &there, &[], world.now);
    // The plan deletes it.
    world.hold(made[0]);
    assert_eq!(plan.perform(folder.as_fd(), None, |_event| {}).1, None);
    assert_eq!(world.left(), BTreeSet::from([made[0], made[2]]));
}

#[test]
fn privileged_a_hold_waits_for_a_deletion_and_tells_the_truth() {
    let world = World::new();
    let made = world.snapshot(-1);
    let folder = File::open(world.volume.join("snapshots")).expect("open");
    let id = list(&folder, &[]).expect("listed").into_iter().find(|one| one.uuid == made).expect("it").id;
    let lock = HoldLock::take(folder.as_fd()).expect("locked");
    let (begin, begun) = std::sync::mpsc::channel();
    let holding = std::thread::scope(|threads| {
        let holding = threads.spawn(|| {
            begin.send(()).expect("heard");
            set_hold(world.top().as_fd(), made, Some(&hold("late")))
        });
        begun.recv().expect("begun");
        // Also if the thread is slow, it finds no snapshot.
        subvolume::destroy_by_id(folder.as_fd(), id).expect("deleted");
        drop(lock);
        holding.join().expect("joined")
    });
    assert_eq!(holding, Ok(false), "it was deleted before");
}

#[test]
fn privileged_a_deletion_frees_what_was_measured_and_keeps_held_ones() {
    let world = World::new();
    world.file("file", 30);
    let first = world.snapshot(-3);
    world.file("file", 50);
    let second = world.snapshot(-2);
    world.file("file", 20);
    let third = world.snapshot(-1);
    let measured = world.delete(&[first, second], true);
    assert_eq!(measured.first(), Some(&DeletionEvent::Total { bytes: 80 * MIB }), "{measured:?}");
    let size = |uuid, bytes| measured.contains(&DeletionEvent::Size { uuid, bytes });
    assert!(size(first, 30 * MIB) && size(second, 50 * MIB), "{measured:?}");
    assert_eq!(world.left().len(), 3, "nothing is deleted");
    world.hold(first);
    let (before, gone) = (world.free(), Identity([9; 16]));
    let events = world.delete(&[first, second, gone], false);
    for event in [
        DeletionEvent::Kept { uuid: gone, why: KeptBecause::Missing },
        DeletionEvent::Kept { uuid: first, why: KeptBecause::Held },
        DeletionEvent::Deleted { uuid: second },
        DeletionEvent::Freed { bytes: 50 * MIB },
    ] {
        assert!(events.contains(&event), "{event:?} {events:?}");
    }
    assert_eq!(world.left(), BTreeSet::from([first, third]));
    assert!(world.free() >= before + 40 * MIB, "the space is free at the end");
}

#[test]
fn privileged_snapshots_and_their_folder_follow_a_renamed_backup() {
    let world = World::new();
    let machine = Identity([1; 16]);
    let source = world.task.lineage.sources[0];
    let made = world.snapshot(-1);
    // The folder of a drive, with the snapshot of this machine and a record of it.
    fs::create_dir_all(world.volume.join("butterdock")).expect("made");
    fs::rename(world.volume.join("snapshots"), world.volume.join("butterdock/home")).expect("moved");
    let top = world.top();
    let folder = File::open(world.volume.join("butterdock/home")).expect("open");
    let snapshot = list(&folder, &[]).expect("listed").into_iter().find(|one| one.uuid == made).expect("it");
    let origin = |machine: Identity, backup: &str| {
        Some(Origin {
            machine: machine.0,
            source: source.0,
            backup: backup.to_owned(),
            is_source: false,
            nested: None,
            members: 0,
        })
    };
    let write = |machine| {
        Record { state: snapshot.state(), asked_by: 0, origin: origin(machine, "home") }
            .write(folder.as_fd())
            .expect("written");
    };
    let (old, new) = (std::path::Path::new("butterdock/home"), std::path::Path::new("butterdock/daheim"));
    // Another machine's folder is not taken.
    write(Identity([2; 16]));
    assert_eq!(take_folder(top.as_fd(), old, new, machine), Ok(None));
    write(machine);
    assert_eq!(take_folder(top.as_fd(), old, new, machine), Ok(Some(new.to_owned())));
    assert_eq!(take_folder(top.as_fd(), old, new, machine), Ok(None), "it was done");
    let owner = Owner { machine, backup: b"daheim".to_vec(), former: vec!["home".to_owned()], sources: vec![source] };
    for _ in 0..2 {
        let mut there = list(&folder, &[]).expect("listed");
        look_up(folder.as_fd(), &mut there);
        assert_eq!(take_along(folder.as_fd(), Side::Drive(&owner), &mut there), None);
        let mut there = list(&folder, &[]).expect("listed");
        look_up(folder.as_fd(), &mut there);
        let it = there.iter().find(|one| one.uuid == made).expect("it");
        assert_eq!(it.name, Some(name::make(b"daheim", world.now - 1)));
        assert_eq!((it.state(), &it.origin), (snapshot.state(), &origin(machine, "daheim")));
    }
    assert_eq!(SubvolumeState { ..snapshot.state() }.uuid, made.0);
}
