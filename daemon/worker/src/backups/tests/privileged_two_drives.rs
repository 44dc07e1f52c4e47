//! Two drives of one backup at the same time, with real subvolumes: at each point of one job the other job runs from start
//! to end.

use std::ffi::CStr;
use std::fs::{self, File};
use std::mem::Discriminant;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use butterdock_btrfs::subvolume;
use butterdock_fixtures::{Layout, Sandbox, Volume};
use butterdock_receive::{Control, Observer, Publication};
use butterdock_service::prune_locks::PruneLocks;

use crate::backups::lineage::Lineage;
use crate::backups::prune::prune_source;
use crate::backups::retention::RetentionRule;
use crate::backups::run::{BackupDirectories, Run};
use crate::backups::shared_record::{RecordUpdate, SharedRecord, SharedSnapshot, for_order};
use crate::backups::snapshot::{Identity, list};
use crate::backups::task::{BackupEvent, Given, Task, TaskTime};
use crate::clock::boot_time;

/// A source, two drives, and the service's records.
struct World {
    source: PathBuf,
    drives: [PathBuf; 2],
    known: Mutex<[SharedRecord; 2]>,
    prune_locks: PruneLocks,
    written: AtomicU32,
    /// Wall time. It stands still while two jobs run, so that their snapshots would have the same name.
    wall: AtomicI64,
    _volumes: [Volume; 3],
    _sandbox: Sandbox,
}

struct Silent;

impl Observer for Silent {}

const KEEP: RetentionRule = RetentionRule { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
const FOLDER: &CStr = c"snapshots";

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let volumes =
            ["source", "a", "b"].map(|name| sandbox.volume(name, &Layout::sized(1024, "")).expect("a volume"));
        let [mine, a, b] = &volumes;
        for name in [c"live", FOLDER] {
            subvolume::create(File::open(mine.path()).expect("open"), name).expect("a subvolume");
        }
        let (source, drives) = (mine.join("live"), [a, b].map(|drive| drive.path().to_owned()));
        let (known, prune_locks, written) = (Mutex::default(), PruneLocks::default(), AtomicU32::new(0));
        // A snapshot beside the source is pruned only if its name is within 10 minutes of its creation.
        let wall = AtomicI64::new(TaskTime::default().now());
        Self { source, drives, known, prune_locks, written, wall, _volumes: volumes, _sandbox: sandbox }
    }

    fn task(&self, lineage: Lineage, drive: usize) -> Task {
        let known = self.known.lock().expect("known");
        let pins = known.iter().filter_map(SharedRecord::newest).map(SharedSnapshot::uuids).collect();
        let SharedRecord { sources, shared, .. } = known[drive].clone();
        let (own, shared) = (shared.len(), for_order([&shared[..]]));
        let given = Some(Given { wall: self.wall.load(Ordering::Relaxed), boot: boot_time() });
        let time = TaskTime { given, ..TaskTime::default() };
        Task { lineage, keep: KEEP, pins, sources, shared, own, time, ..Task::of(b"home", Identity([1; 16])) }
    }

    fn folder(&self) -> File {
        File::open(self.source.with_file_name("snapshots")).expect("open")
    }

    fn change(&self) {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        fs::write(self.source.join("diary"), format!("{number}")).expect("written");
    }

    /// The names beside the source.
    fn beside(&self) -> Vec<Vec<u8>> {
        list(self.folder(), &[]).expect("listed").into_iter().filter_map(|snapshot| snapshot.name).collect()
    }

    /// Backs up as the service and its workers do. `on_event` gets all events. Returns the parent.
    fn back_up(&self, drive: usize, on_event: &(dyn Fn(&BackupEvent) + Sync)) -> Option<Identity> {
        let share = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let share = share.block_on(self.prune_locks.join("home"));
        let directories = BackupDirectories {
            source: File::open(&self.source).expect("open").into(),
            folder: self.folder().into(),
            destination: File::open(&self.drives[drive]).expect("open").into(),
            top: None,
            publication: Publication::Rename,
            swapfiles: Vec::new(),
            nested: Ok(Default::default()),
        };
        let (task, control, events) =
            (self.task(Lineage::default(), drive), Control::new().expect("a control"), Mutex::new(Vec::new()));
        let report = |event: BackupEvent| {
            on_event(&event);
            events.lock().expect("unpoisoned").push(event);
        };
        Run {
            directories: &directories,
            task: &task,
            version: 2,
            estimate_timeout: crate::backups::ESTIMATE_TIMEOUT,
            control: &control,
            observer: &Silent,
            report: &report,
        }
        .run()
        .expect("backed up");
        let (mut lineage, mut parent) = (Lineage::default(), None);
        for event in events.into_inner().expect("unpoisoned") {
            match event {
                BackupEvent::Lineage(new) => lineage = new,
                BackupEvent::Parent { uuid, .. } => parent = uuid,
                BackupEvent::Pinned { learned } => self.known.lock().expect("known")[drive].learn(learned),
                BackupEvent::Source { .. }
                | BackupEvent::Snapshot { .. }
                | BackupEvent::Estimated { .. }
                | BackupEvent::Freeable { .. }
                | BackupEvent::Pruned { .. }
                | BackupEvent::Seen { .. }
                | BackupEvent::FlagsNotSent { .. }
                | BackupEvent::LeftOut(_)
                | BackupEvent::Nested { .. }
                | BackupEvent::FromFuture { .. } => {}
                BackupEvent::Continued
                | BackupEvent::Unchanged { .. }
                | BackupEvent::Kept { .. }
                | BackupEvent::Replaced { .. }
                | BackupEvent::RestoredNested { .. }
                | BackupEvent::Restored { .. } => {
                    panic!("unexpected: {event:?}")
                }
            }
        }
        if let Some(exclusive) = share.release() {
            assert_eq!(prune_source(&self.task(lineage, drive), self.folder().as_fd(), None, &|_| {}), None);
            drop(exclusive);
        }
        parent
    }

    /// Changes the source and backs it up; checks that it is an increment to the last backup on the drive.
    fn back_up_increment(&self, drive: usize, on_event: &(dyn Fn(&BackupEvent) + Sync)) {
        self.change();
        let needed = self.known.lock().expect("known")[drive].newest().map(|newest| newest.uuids().here);
        let parent = self.back_up(drive, on_event);
        assert!(parent.is_some() && parent == needed, "drive {drive}: {parent:?}, and {needed:?} was needed");
    }
}

#[test]
fn privileged_a_job_ending_beside_another_takes_nothing_from_it() {
    let world = World::new();
    for drive in 0..2 {
        world.change();
        world.back_up(drive, &|_| {});
    }
    let none = Identity::NONE;
    let state = butterdock_receive::SubvolumeState::default();
    let shared = SharedSnapshot { here: state, there: state, time: 0 };
    // Beside the source there is no new snapshot yet; a hidden one; one that is about to be sent; a visible one that is not
    // recorded yet.
    let points = [
        BackupEvent::Source { uuid: none },
        BackupEvent::Snapshot { name: Vec::new(), uuid: none },
        BackupEvent::Parent { uuid: None, why: None },
        BackupEvent::Pinned {
            learned: RecordUpdate { shared, nested: Vec::new(), sources: Vec::new(), lost: Vec::new() },
        },
    ];
    for (at, point) in points.iter().enumerate() {
        let (one, other) = (at % 2, (at + 1) % 2);
        let point: Discriminant<BackupEvent> = std::mem::discriminant(point);
        world.back_up_increment(one, &|event| {
            if std::mem::discriminant(event) == point {
                world.back_up_increment(other, &|_| {});
            }
        });
        // Snapshots of one second have the names of later seconds, and snapshots dated in the future are not pruned.
        for drive in [other, one] {
            world.wall.fetch_add(10, Ordering::Relaxed);
            world.back_up_increment(drive, &|_| {});
        }
        let names = world.beside();
        assert_eq!(names.len(), 2, "unneeded snapshots are pruned in the end: {names:?}");
        assert!(names.iter().all(|name| !name.starts_with(b".")), "{names:?}");
    }
    let newest = |drive: &PathBuf| {
        let mut all: Vec<PathBuf> = fs::read_dir(drive).expect("listed").flatten().map(|entry| entry.path()).collect();
        all.sort();
        fs::read(all.last().expect("a snapshot").join("diary")).expect("read")
    };
    let last = world.written.load(Ordering::Relaxed);
    assert_eq!(newest(&world.drives[0]), format!("{}", last - 2).into_bytes());
    assert_eq!(newest(&world.drives[1]), format!("{}", last - 1).into_bytes());
}
