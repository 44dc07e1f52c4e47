//! Runs with a subvolume below the source: a drive that becomes full between their streams, and subvolumes that cannot be listed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use butterdock_btrfs::{Errno, Error as Fault, subvolume};
use butterdock_receive::{ErrorKind, Kind, Observer, Published};

use super::privileged_world::{KEEP_ONE, World, noise};
use crate::backups::error::BackupError;
use crate::backups::retention::RetentionRule;
use crate::backups::snapshot::Identity;
use crate::backups::task::Task;

/// Another writer on the drive, after the first stream has arrived. It counts what arrives.
struct Between {
    file: PathBuf,
    began: AtomicUsize,
    arrived: AtomicUsize,
}

impl Between {
    fn new(world: &World) -> Self {
        let (began, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { file: world.drive.path().join("other"), began, arrived }
    }
}

impl Observer for Between {
    fn began(&self, _name: &[u8], _kind: Kind) {
        if self.began.fetch_add(1, Ordering::Relaxed) == 1 {
            let mut file = File::create(&self.file).expect("made");
            file.write_all(&noise(180)).expect("written");
            file.sync_all().expect("synced");
        }
    }

    fn published(&self, _subvolume: &Published) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }
}

/// With two runs of a source and a subvolume below it on the drive, and both changed.
fn world(keep: &Task) -> World {
    let mut world = World::new(800);
    world.estimate_timeout = Duration::from_secs(60);
    subvolume::create(File::open(world.mine.join("live")).expect("open"), c"nested").expect("a subvolume");
    for run in 0..3 {
        fs::write(world.mine.join("live/nested/large"), noise(100)).expect("written");
        world.fill(100);
        if run < 2 {
            world.back_up(keep).0.expect("enough space");
        }
    }
    world
}

#[test]
fn privileged_the_rest_of_a_run_is_sent_after_pruning() {
    let keep = |last| {
        let keep = RetentionRule { last, ..KEEP_ONE };
        Task { nested: true, keep, ..Task::of(b"home", Identity([1; 16])) }
    };
    let (keep_all, keep_one) = (keep(9), keep(1));
    let world = world(&keep_all);
    assert_eq!(world.on_drive(), 4);
    // Nothing is pruned: what has arrived is deleted.
    let between = Between::new(&world);
    let error = world.back_up_with(&keep_all, &between).0.expect_err("it does not fit");
    assert!(matches!(&error, BackupError::Other(error) if error.kind == ErrorKind::NoSpace), "{error:?}");
    assert_eq!((between.arrived.into_inner(), world.on_drive()), (1, 4 + 1), "only the other file is new");
    fs::remove_file(world.drive.path().join("other")).expect("removed");
    // The first run is pruned, and what has arrived is not sent again.
    let between = Between::new(&world);
    world.back_up_with(&keep_one, &between).0.expect("enough space after pruning");
    assert_eq!((between.arrived.into_inner(), world.on_drive()), (2, 2 + 1), "the newest run, and the other file");
}

#[test]
fn privileged_a_run_fails_if_the_subvolumes_below_cannot_be_listed() {
    let task = |nested| Task { nested, keep: KEEP_ONE, ..Task::of(b"home", Identity([1; 16])) };
    let mut world = World::new(800);
    subvolume::create(File::open(world.mine.join("live")).expect("open"), c"nested").expect("a subvolume");
    world.fill(1);
    world.back_up(&task(true)).0.expect("a run");
    assert_eq!(world.on_drive(), 2);
    world.unlisted = Some(Fault { call: "BTRFS_IOC_INO_LOOKUP", errno: Errno::EIO });
    world.fill(2);
    let error = world.back_up(&task(true)).0.expect_err("the subvolumes are not known").to_string();
    assert!(
        error.starts_with("cannot list and open the subvolumes below the source") && error.contains("EIO"),
        "{error}"
    );
    assert_eq!(world.on_drive(), 2, "the run that has the subvolume stays");
    world.back_up(&task(false)).0.expect("a backup without them needs no list");
}
