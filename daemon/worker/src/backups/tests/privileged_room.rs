//! Backups and restores to a drive with little room, also when the estimate arrives late.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use butterdock_btrfs::{subvolume, xattr};
use butterdock_fixtures::Layout;
use butterdock_receive::{Control, ErrorKind, Kind, Observer, Options, SpaceCause};

use super::privileged_world::{KEEP_ONE, OtherWriter, Silent, World, noise};
use crate::backups::error::BackupError;
use crate::backups::restore::{NestedSnapshots, Restore};
use crate::backups::retention::RetentionRule;
use crate::backups::shared_record::SharedSnapshot;
use crate::backups::task::{BackupEvent, Task};

fn has_figures(error: &BackupError) {
    let text = error.to_string();
    assert!(matches!(error, BackupError::Other(error) if error.kind == ErrorKind::NoSpace), "{error:?}");
    assert!(text.contains("MiB are needed and "), "{text}");
}

#[test]
fn privileged_a_late_estimate_stops_a_transfer_without_room() {
    let world = World::new(400);
    world.fill(700);
    let (done, bytes, _) = world.back_up(&world.task);
    has_figures(&done.expect_err("it does not fit"));
    assert!(bytes < 200 << 20, "{} MiB were received before it was stopped", bytes >> 20);
    assert_eq!(world.on_drive(), 0, "something is left");
}

#[test]
fn privileged_a_stopped_transfer_resumes_after_pruning() {
    let world = World::new(700);
    for _ in 0..2 {
        world.fill(200);
        let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
        world.back_up(&keep).0.expect("enough space");
    }
    world.fill(300);
    let (done, _, events) = world.back_up(&world.task);
    done.expect("enough space after pruning");
    let estimated = events.iter().position(|event| matches!(event, BackupEvent::Estimated { .. })).expect("estimated");
    let pruned =
        events.iter().position(|event| matches!(event, BackupEvent::Pruned { drive: true, .. })).expect("pruned");
    assert!(estimated < pruned, "{events:?}");
}

#[test]
fn privileged_a_drive_filled_during_a_transfer_is_pruned_once() {
    let world = World { estimate_timeout: Duration::from_secs(60), ..World::new(1100) };
    let other = |writes| OtherWriter { folder: world.drive.path().to_owned(), writes: AtomicUsize::new(writes) };
    for _ in 0..2 {
        world.fill(200);
        let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
        world.back_up(&keep).0.expect("enough space");
    }
    // Of 1100 MiB the filesystem itself needs about 70: the last 200 MiB fit only after the oldest snapshot is deleted.
    world.fill(350);
    let (done, _, events) = world.back_up_with(&world.task, &other(400));
    done.expect("enough space after pruning");
    assert!(events.iter().any(|event| matches!(event, BackupEvent::Pruned { drive: true, .. })), "{events:?}");
    // Now pruning frees nothing: the rule keeps all snapshots.
    fs::remove_file(world.drive.join("other")).expect("removed");
    world.fill(250);
    let before = world.on_drive();
    let (done, bytes, _) = world.back_up_with(&world.task, &other(550));
    has_figures(&done.expect_err("it does not fit"));
    assert!(bytes > 0, "it was refused before it began");
    assert_eq!(world.on_drive(), before + 1, "something is left");
}

#[test]
fn privileged_a_full_drive_keeps_its_undamaged_snapshot() {
    let world = World::new(700);
    let mut task = world.task.clone();
    for _ in 0..2 {
        world.fill(200);
        let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..task.clone() };
        let (done, _, events) = world.back_up(&keep);
        done.expect("enough space");
        task.shared.extend(events.iter().find_map(pinned));
    }
    let newest = task.shared.last().expect("sent").uuids();
    (task.pins, task.damaged) = (vec![newest], vec![newest.there]);
    world.fill(300);
    let (done, _, events) = world.back_up(&task);
    assert_eq!(world.on_drive(), 2, "{events:?}");
    has_figures(&done.expect_err("it does not fit"));
    world.fill(50);
    world.back_up(&task).0.expect("enough space");
    assert_eq!(world.on_drive(), 1, "only the new one is left, after it is safe");
}

#[test]
fn privileged_space_of_just_deleted_snapshots_counts_as_free() {
    let world = World { estimate_timeout: Duration::from_secs(60), ..World::new(500) };
    let other = world.drive.join("other");
    let file = File::create(&other).expect("made");
    (&file).write_all(&noise(300)).expect("written");
    file.sync_all().expect("synced");
    drop(file);
    world.fill(250);
    fs::remove_file(other).expect("removed");
    world.back_up(&world.task).0.expect("enough space");
}

#[test]
fn privileged_leftovers_and_pending_deletions_block_nothing() {
    for estimate_timeout in [Duration::ZERO, Duration::from_secs(60)] {
        let world = World { estimate_timeout, ..World::new(700) };
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
        world.back_up(&world.task).0.expect("enough space");
        assert!(!world.drive.join(left.to_str().expect("text")).exists(), "it was not swept");
    }
}

fn pinned(event: &BackupEvent) -> Option<SharedSnapshot> {
    if let BackupEvent::Pinned { learned } = event { Some(learned.shared) } else { None }
}

fn estimated(events: &[BackupEvent]) -> u64 {
    let bytes = |event: &BackupEvent| if let BackupEvent::Estimated { bytes } = event { Some(*bytes) } else { None };
    events.iter().find_map(bytes).expect("estimated")
}

#[test]
fn privileged_data_that_files_share_needs_space_once() {
    for estimate_timeout in [Duration::ZERO, Duration::from_secs(60)] {
        let world = World { estimate_timeout, ..World::new(300) };
        let mut task = world.task.clone();
        for (name, mebibytes) in [("full", 40), ("increment", 30)] {
            world.share(name, mebibytes, 9);
            let (done, bytes, events) = world.back_up(&task);
            done.expect("enough space");
            let most = (mebibytes as u64 + 2) << 20;
            assert!(bytes < most && estimated(&events) < most, "{bytes} bytes were sent: {events:?}");
            task.shared.extend(events.iter().find_map(pinned));
        }
    }
}

#[test]
fn privileged_data_that_files_share_is_restored_where_it_fits_once() {
    let world = World::new(300);
    world.share("large", 40, 9);
    let open = |name: &str| File::open(world.mine.join(name)).expect("open");
    subvolume::snapshot(open(""), c"kept", open("live"), true).expect("a snapshot");
    let (snapshot, volume) = (open("kept"), File::open(world.drive.path()).expect("open"));
    let restore = Restore {
        snapshot: std::os::fd::AsFd::as_fd(&snapshot),
        nested: &NestedSnapshots::default(),
        destination: std::os::fd::AsFd::as_fd(&volume),
        options: &Options::default(),
        shared: &[],
        version: 2,
        estimate_timeout: Duration::from_secs(60),
        control: &Control::new().expect("a control"),
        observer: &Silent,
        report: &|_event| {},
    };
    restore.run().expect("enough space");
}

/// Three backups, of which the rule keeps one: pruning would delete snapshots.
fn back_up_three(world: &World) {
    let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
    for number in 0..3_u8 {
        fs::write(world.mine.join("live/small"), [number]).expect("written");
        world.back_up(&keep).0.expect("enough space");
    }
}

/// The kind of the receiver's error, and why the drive refused to write.
fn refusal(error: &BackupError) -> (ErrorKind, Option<SpaceCause>) {
    match error {
        BackupError::Receive(failure) => (failure.error.kind(), failure.error.space_cause()),
        BackupError::Other(other) => (other.kind, None),
    }
}

fn is_pruned(events: &[BackupEvent]) -> bool {
    events.iter().any(|event| matches!(event, BackupEvent::Pruned { .. }))
}

#[test]
fn privileged_a_large_attribute_is_named_and_prunes_nothing() {
    let source = Layout { mkfs: ["-n", "65536"].map(str::to_owned).to_vec(), ..Layout::sized(300, "") };
    let drive = Layout { mkfs: ["-n", "16384"].map(str::to_owned).to_vec(), ..Layout::sized(300, "") };
    let world = World { estimate_timeout: Duration::from_secs(60), ..World::with(&source, &drive) };
    back_up_three(&world);
    let before = world.on_drive();
    let file = File::create(world.mine.join("live/report")).expect("made");
    // The largest one that fits, and one byte more.
    xattr::set(&file, c"user.big", &[b'v'; 16_228 - 8]).expect("set");
    let keep = Task { keep: RetentionRule { last: 9, ..KEEP_ONE }, ..world.task.clone() };
    world.back_up(&keep).0.expect("it fits");
    xattr::set(&file, c"user.big", &[b'v'; 16_229 - 8]).expect("set");
    let (done, _, events) = world.back_up(&world.task);
    let error = done.expect_err("it does not fit");
    assert!(!is_pruned(&events), "{events:?}");
    assert_eq!(world.on_drive(), before + 1);
    let text = error.to_string();
    let parts = ["\"user.big\"", "16229 bytes", "holds 16228", "on \"report\"", "--nodesize 65536"];
    assert!(parts.iter().all(|part| text.contains(part)) && !text.contains("full"), "{text}");
    let space = SpaceCause::Attribute { size: 16_229, most: 16_228 };
    assert_eq!(refusal(&error), (ErrorKind::Failed, Some(space)));
}

/// Limits the new subvolume on the drive, after the transfer has begun.
struct Limit {
    drive: PathBuf,
}

impl Observer for Limit {
    fn began(&self, _name: &[u8], _kind: Kind) {
        let names = fs::read_dir(&self.drive).expect("listed").flatten();
        for hidden in names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".butterdock-")) {
            btrfs(&["qgroup", "limit", "5M"], &hidden.path());
        }
    }
}

fn btrfs(arguments: &[&str], path: &std::path::Path) {
    let ended = std::process::Command::new("btrfs").args(arguments).arg(path).output().expect("btrfs runs");
    // A directory that is no subvolume has no quota.
    drop(ended);
}

#[test]
fn privileged_a_used_up_quota_is_named() {
    let world = World { estimate_timeout: Duration::from_secs(60), ..World::new(300) };
    btrfs(&["quota", "enable"], world.drive.path());
    world.fill(20);
    let (done, _, _) = world.back_up_with(&world.task, &Limit { drive: world.drive.path().to_owned() });
    let error = done.expect_err("it does not fit");
    assert_eq!(refusal(&error), (ErrorKind::NoSpace, Some(SpaceCause::Quota)), "{error}");
    let text = error.to_string();
    assert!(text.contains("\"large\"") && text.contains("raise the quota"), "{text}");
}

#[test]
fn privileged_a_backup_larger_than_the_drive_prunes_nothing() {
    let world = World { estimate_timeout: Duration::from_secs(60), ..World::new(200) };
    back_up_three(&world);
    let before = world.on_drive();
    world.fill(300);
    let (done, bytes, events) = world.back_up(&world.task);
    let error = done.expect_err("it does not fit");
    assert!(error.to_string().contains("no old snapshots were deleted"), "{error}");
    has_figures(&error);
    assert!(bytes == 0 && !is_pruned(&events), "{events:?}");
    assert_eq!(world.on_drive(), before);
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
    for (estimate_timeout, most) in [(Duration::from_secs(60), 0), (Duration::ZERO, 200 << 20)] {
        let control = Control::new().expect("a control");
        let report = |_event| {};
        let restore = Restore {
            snapshot: std::os::fd::AsFd::as_fd(&snapshot),
            nested: &NestedSnapshots::default(),
            destination: std::os::fd::AsFd::as_fd(&volume),
            options: &Options::default(),
            shared: &[],
            version: 2,
            estimate_timeout,
            control: &control,
            observer: &Silent,
            report: &report,
        };
        has_figures(&restore.run().expect_err("it does not fit"));
        assert!(
            control.progress().bytes <= most,
            "{estimate_timeout:?}: {} bytes were received",
            control.progress().bytes
        );
    }
}
