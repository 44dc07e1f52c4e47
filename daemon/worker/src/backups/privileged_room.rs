//! An estimate that arrives after the transfer has begun.

use std::cell::RefCell;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use butterdock_btrfs::subvolume;
use butterdock_fixtures::{Layout, Sandbox, Volume};
use butterdock_receive::{Control, ErrorKind, Kind, Observer, Options, Publication};

use super::error::BackupError;
use super::restore::Restore;
use super::retention::RetentionRule;
use super::run::{Ends, Run};
use super::snapshot::Identity;
use super::task::{BackupEvent, Given, Task, TaskTime};
use crate::clock::boot_time;

const KEEP_ONE: RetentionRule = RetentionRule { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

struct Silent;

impl Observer for Silent {}

/// Another writer on the drive, once the transfer has begun.
struct Neighbour {
    folder: PathBuf,
    /// MiB
    writes: AtomicUsize,
}

impl Observer for Neighbour {
    fn began(&self, _name: &[u8], _kind: Kind) {
        let writes = self.writes.swap(0, Ordering::Relaxed);
        if writes != 0 {
            let file = File::create(self.folder.join("neighbour")).expect("made");
            (&file).write_all(&noise(writes)).expect("written");
            file.sync_all().expect("synced");
        }
    }
}

struct World {
    task: Task,
    /// The timeout of the estimate.
    patience: Duration,
    /// Wall time, which advances 10 seconds with each backup, because names have seconds.
    wall: AtomicI64,
    mine: Volume,
    drive: Volume,
    _sandbox: Sandbox,
}

impl World {
    /// With a drive of this many mebibytes.
    fn new(drive: u64) -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let mine = sandbox.volume("source", &Layout::sized(2048, "")).expect("a volume");
        let drive = sandbox.volume("drive", &Layout::sized(drive, "")).expect("a volume");
        subvolume::create(File::open(mine.path()).expect("open"), c"live").expect("a source");
        fs::create_dir(mine.join("snapshots")).expect("a folder");
        let task = Task { keep: KEEP_ONE, ..Task::of(b"home", Identity([1; 16])) };
        Self {
            task,
            patience: Duration::ZERO,
            wall: AtomicI64::new(TaskTime::default().now()),
            mine,
            drive,
            _sandbox: sandbox,
        }
    }

    /// Another file in the place of the one before.
    fn fill(&self, mebibytes: usize) {
        fs::write(self.mine.join("live/large"), noise(mebibytes)).expect("written");
    }

    /// How many names there are on the drive, but for the directory of the records.
    fn on_drive(&self) -> usize {
        let names = fs::read_dir(self.drive.path()).expect("listed").flatten().map(|entry| entry.file_name());
        names.filter(|name| name != ".butterdock-staging").count()
    }

    /// Runs a backup; returns the bytes that came and the events.
    fn back_up(&self, task: &Task) -> (Result<(), BackupError>, u64, Vec<BackupEvent>) {
        self.back_up_before(task, &Silent)
    }

    fn back_up_before(&self, task: &Task, observer: &dyn Observer) -> (Result<(), BackupError>, u64, Vec<BackupEvent>) {
        let open = |path| File::open(path).expect("open").into();
        let (source, folder) = (open(self.mine.join("live")), open(self.mine.join("snapshots")));
        let ends = Ends {
            source,
            folder,
            destination: open(self.drive.path().to_owned()),
            top: None,
            publication: Publication::Rename,
        };
        let (control, told) = (Control::new().expect("a control"), Mutex::new(Vec::new()));
        let tell = |news| told.lock().expect("whole").push(news);
        let patience = self.patience;
        let given = Given { wall: self.wall.fetch_add(10, Ordering::Relaxed), boot: boot_time() };
        let task = &Task { time: TaskTime { given: Some(given), ..task.time }, ..task.clone() };
        let run = Run { ends: &ends, task, version: 2, patience, control: &control, observer, tell: &tell };
        let done = run.run();
        (done, control.progress().bytes, told.into_inner().expect("whole"))
    }
}

/// Bytes that nothing stores in less.
fn noise(mebibytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; mebibytes << 20];
    File::open("/dev/urandom").expect("open").read_exact(&mut bytes).expect("read");
    bytes
}

fn says_the_figures(trouble: &BackupError) {
    let text = trouble.to_string();
    assert!(matches!(trouble, BackupError::Said(said) if said.kind == ErrorKind::NoSpace), "{trouble:?}");
    assert!(text.contains("MiB are needed and "), "{text}");
}

#[test]
fn privileged_a_late_estimate_stops_a_transfer_without_room() {
    let world = World::new(400);
    world.fill(700);
    let (done, bytes, _) = world.back_up(&world.task);
    says_the_figures(&done.expect_err("it does not fit"));
    assert!(bytes < 200 << 20, "{} MiB came before it was stopped", bytes >> 20);
    assert_eq!(world.on_drive(), 0, "something is left");
}

#[test]
fn privileged_a_stopped_transfer_resumes_after_pruning() {
    let world = World::new(700);
    for _ in 0..2 {
        world.fill(200);
        let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
        world.back_up(&keep).0.expect("there is room");
    }
    world.fill(300);
    let (done, _, told) = world.back_up(&world.task);
    done.expect("the oldest made room");
    let estimated = told.iter().position(|news| matches!(news, BackupEvent::Estimated { .. })).expect("estimated");
    let thinned =
        told.iter().position(|news| matches!(news, BackupEvent::Pruned { drive: true, .. })).expect("thinned");
    assert!(estimated < thinned, "{told:?}");
}

#[test]
fn privileged_a_drive_filled_during_a_transfer_is_pruned_once() {
    let world = World { patience: Duration::from_secs(60), ..World::new(1100) };
    let neighbour = |writes| Neighbour { folder: world.drive.path().to_owned(), writes: AtomicUsize::new(writes) };
    for _ in 0..2 {
        world.fill(200);
        let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
        world.back_up(&keep).0.expect("there is room");
    }
    // 1100 MiB, less about 70 for the filesystem itself: the last 200 of these do not fit before the oldest is deleted.
    world.fill(350);
    let (done, _, told) = world.back_up_before(&world.task, &neighbour(400));
    done.expect("the oldest made room");
    assert!(told.iter().any(|news| matches!(news, BackupEvent::Pruned { drive: true, .. })), "{told:?}");
    // The second makes no room: nothing is left that the rule gives up.
    fs::remove_file(world.drive.join("neighbour")).expect("removed");
    world.fill(250);
    let before = world.on_drive();
    let (done, bytes, _) = world.back_up_before(&world.task, &neighbour(550));
    says_the_figures(&done.expect_err("it does not fit"));
    assert!(bytes > 0, "it was refused before it began");
    assert_eq!(world.on_drive(), before + 1, "something is left");
}

#[test]
fn privileged_space_of_just_deleted_snapshots_counts_as_free() {
    let world = World { patience: Duration::from_secs(60), ..World::new(500) };
    let other = world.drive.join("other");
    let file = File::create(&other).expect("made");
    (&file).write_all(&noise(300)).expect("written");
    file.sync_all().expect("synced");
    drop(file);
    world.fill(250);
    fs::remove_file(other).expect("removed");
    world.back_up(&world.task).0.expect("there is room");
}

#[test]
fn privileged_leftovers_and_pending_deletions_block_nothing() {
    for patience in [Duration::ZERO, Duration::from_secs(60)] {
        let world = World { patience, ..World::new(700) };
        let left = c".butterdock-0123456789abcdef0123456789abcdef";
        let drive = || File::open(world.drive.path()).expect("open");
        let fill = |name: &CStr| {
            subvolume::create(drive(), name).expect("a subvolume");
            let file = world.drive.join(name.to_str().expect("text")).join("large");
            fs::write(&file, noise(200)).expect("written");
            File::open(file).and_then(|file| file.sync_all()).expect("synced");
        };
        fill(left);
        fill(c"deleted");
        world.fill(400);
        subvolume::destroy(drive(), c"deleted").expect("deleted");
        world.back_up(&world.task).0.expect("there is room");
        assert!(!world.drive.join(left.to_str().expect("text")).exists(), "it was not swept");
    }
}

#[test]
fn privileged_a_restore_without_room_is_refused_with_figures() {
    let world = World::new(300);
    world.fill(500);
    subvolume::snapshot(
        File::open(world.mine.path()).expect("open"),
        c"kept",
        File::open(world.mine.join("live")).expect("open"),
        true,
    )
    .expect("a snapshot");
    let snapshot = File::open(world.mine.join("kept")).expect("open");
    let volume = File::open(world.drive.path()).expect("open");
    for (patience, most) in [(Duration::from_secs(60), 0), (Duration::ZERO, 200 << 20)] {
        let (control, told) = (Control::new().expect("a control"), Mutex::new(RefCell::new(0)));
        let tell = |_| *told.lock().expect("whole").get_mut() += 1;
        let restore = Restore {
            snapshot: std::os::fd::AsFd::as_fd(&snapshot),
            destination: std::os::fd::AsFd::as_fd(&volume),
            options: &Options::default(),
            shared: &[],
            version: 2,
            patience,
            control: &control,
            observer: &Silent,
            tell: &tell,
        };
        says_the_figures(&restore.run().expect_err("it does not fit"));
        assert!(control.progress().bytes <= most, "{patience:?}: {} came", control.progress().bytes);
    }
}
