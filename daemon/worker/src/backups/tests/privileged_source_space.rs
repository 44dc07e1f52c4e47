//! What the snapshots beside a source hold, and which of them stay when it is short of space.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::sync::Mutex;

use butterdock_btrfs::file::clone_range;
use butterdock_btrfs::{filesystem, subvolume};
use butterdock_fixtures::{Layout, Sandbox, Volume};

use crate::backups::lineage::Lineage;
use crate::backups::name;
use crate::backups::prune::prune_source;
use crate::backups::retention::RetentionRule;
use crate::backups::shared_record::PairUuids;
use crate::backups::snapshot::Identity;
use crate::backups::task::{BackupEvent, SourcePruning, Task, TaskTime};

pub(super) const MIB: u64 = 1 << 20;

pub(super) struct World {
    pub(super) volume: Volume,
    pub(super) task: Task,
    pub(super) now: i64,
    _sandbox: Sandbox,
}

impl World {
    pub(super) fn new() -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let volume = sandbox.volume("source", &Layout::sized(600, "")).expect("a volume");
        let open = |name: &str| File::open(volume.join(name)).expect("open");
        subvolume::create(open(""), c"live").expect("a source");
        fs::create_dir(volume.join("snapshots")).expect("a folder");
        let source = Identity(subvolume::info(open("live")).expect("its facts").uuid);
        let lineage = Lineage::of(source, Identity::NONE);
        let (keep, measure) = (RetentionRule { last: 9, ..RetentionRule::NEWEST }, true);
        let task = Task { lineage, keep, measure, ..Task::of(b"home", Identity([1; 16])) };
        Self { volume, task, now: TaskTime::default().now(), _sandbox: sandbox }
    }

    pub(super) fn file(&self, name: &str, mebibytes: u64) {
        let mut bytes = vec![0; usize::try_from(mebibytes * MIB).expect("small")];
        File::open("/dev/urandom").and_then(|mut noise| noise.read_exact(&mut bytes)).expect("read");
        fs::write(self.volume.join("live").join(name), bytes).expect("written");
    }

    /// Makes the snapshot of this number, and returns its uuid.
    pub(super) fn snapshot(&self, number: i64) -> Identity {
        let name = String::from_utf8(name::make(b"home", self.now + number)).expect("text");
        self.snapshot_at("snapshots", &name)
    }

    pub(super) fn snapshot_at(&self, folder: &str, name: &str) -> Identity {
        let open = |name: &str| File::open(self.volume.join(name)).expect("open");
        let at = std::ffi::CString::new(name).expect("a name");
        filesystem::sync(open("live")).expect("synced");
        subvolume::snapshot(open(folder), &at, open("live"), true).expect("a snapshot");
        Identity(subvolume::info(open(&format!("{folder}/{name}"))).expect("its facts").uuid)
    }

    /// Prunes, and returns the number of snapshots and what they hold.
    pub(super) fn prune(&self, task: &Task) -> (u64, u64) {
        let events = Mutex::new(Vec::new());
        let (folder, top) = (File::open(self.volume.join("snapshots")).expect("open"), File::open(self.volume.path()));
        let top = top.expect("open");
        filesystem::sync(&folder).expect("synced");
        let report = |event| events.lock().expect("unpoisoned").push(event);
        assert_eq!(prune_source(task, folder.as_fd(), Some(top.as_fd()), &report), None);
        let events = events.into_inner().expect("unpoisoned");
        let held = |event: &BackupEvent| {
            let BackupEvent::Freeable { snapshots, bytes } = *event else { return None };
            Some((snapshots, bytes.expect("in time")))
        };
        events.iter().find_map(held).expect("measured")
    }

    pub(super) fn left(&self) -> BTreeSet<Identity> {
        let uuid =
            |entry: fs::DirEntry| subvolume::info(File::open(entry.path()).expect("open")).expect("its facts").uuid;
        fs::read_dir(self.volume.join("snapshots"))
            .expect("listed")
            .flatten()
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .map(|entry| Identity(uuid(entry)))
            .collect()
    }

    pub(super) fn free(&self) -> u64 {
        let space = rustix::fs::statvfs(self.volume.path()).expect("its space");
        space.f_bavail * space.f_frsize
    }
}

#[test]
fn privileged_snapshots_hold_what_deleting_them_frees() {
    let world = World::new();
    let keep = Task { source_pruning: SourcePruning::Nothing, ..world.task.clone() };
    assert_eq!(world.prune(&keep), (0, 0));
    world.file("stays", 40);
    world.file("first", 30);
    world.snapshot(-3);
    assert_eq!(world.prune(&keep), (1, 0), "the source has all of it");
    fs::remove_file(world.volume.join("live/first")).expect("removed");
    world.file("second", 20);
    world.snapshot(-2);
    assert_eq!(world.prune(&keep), (2, 30 * MIB));
    fs::remove_file(world.volume.join("live/second")).expect("removed");
    // A part of an extent keeps all of it.
    let (part, whole) = (File::create(world.volume.join("live/part")), File::open(world.volume.join("live/stays")));
    clone_range(part.expect("made"), 0, whole.expect("open"), 0, 4096).expect("cloned");
    world.snapshot(-1);
    assert_eq!(world.prune(&keep), (3, 50 * MIB));
    // A snapshot of another program shares the second file.
    world.file("third", 10);
    world.snapshot(0);
    fs::create_dir(world.volume.join("other")).expect("made");
    world.snapshot_at("other", "theirs");
    fs::remove_file(world.volume.join("live/third")).expect("removed");
    assert_eq!(world.prune(&keep), (4, 50 * MIB), "deleting ours does not free it");
}

#[test]
fn privileged_a_source_short_of_space_keeps_the_newest_and_the_pinned() {
    let world = World::new();
    let numbers = [-4, -3, -2, -1];
    let made = numbers.map(|number| {
        world.file("file", 60);
        world.snapshot(number)
    });
    let pins = vec![PairUuids { here: made[1], there: Identity([9; 16]) }];
    let task = Task { pins, protect: 3600, ..world.task.clone() };
    assert_eq!(world.prune(&task), (4, 180 * MIB), "the rule keeps all of them");
    let before = world.free();
    let short = Task { source_pruning: SourcePruning::ToNewest, ..task.clone() };
    assert_eq!(world.prune(&Task { time: TaskTime { stopped: true, ..short.time }, ..short.clone() }), (4, 180 * MIB));
    assert_eq!(world.prune(&short), (2, 60 * MIB));
    assert_eq!(world.left(), BTreeSet::from([made[1], made[3]]));
    assert!(world.free() >= before + 100 * MIB, "the space is free when the worker ends: {} {before}", world.free());
    // The pinned one was unpinned, and the newest is kept for another drive.
    let unpinned = Task { pins: Vec::new(), unpinned: vec![made[1]], ..task.clone() };
    assert_eq!(world.prune(&unpinned), (1, 0));
    assert_eq!(world.left(), BTreeSet::from([made[3]]));
    let newest = Task { unpinned: vec![made[3]], ..unpinned };
    assert_eq!(world.prune(&newest), (0, 0), "also the newest");
}
