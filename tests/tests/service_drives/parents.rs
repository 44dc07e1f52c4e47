//! Subvolumes with the identity of a shared snapshot that are not it, and shared snapshots of which only the numbers
//! changed.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::subvolume::{self, Received};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState, SnapshotRow};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::{Recorder, Scenario, ShownDrive, TIMEOUT, contains_all, elsewhere, no_options, run, snapshot};

/// With one backup done, and the drive away.
fn backed_up() -> Result<Scenario> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    Ok(scenario)
}

/// Marks the subvolume as received, as `like` is, and makes it read-only: what the owner of a subvolume may do.
fn forge(path: &Path, like: &subvolume::SubvolumeInfo) -> Result<()> {
    let root = File::open(path)?;
    subvolume::set_received(&root, &Received { uuid: like.received_uuid, stransid: like.stransid })?;
    Ok(subvolume::set_read_only(&root, true)?)
}

fn last_on(at: &Path) -> Result<std::path::PathBuf> {
    let all = butterdock_tests::snapshots(&at.join("butterdock/home"))?;
    all.into_iter().next_back().context("a snapshot")
}

/// Whether the drive is shown with this problem.
fn is_shown_replaced(is: &ShownDrive) -> bool {
    is.problem.contains("snapshots of the backup \"home\" on the drive differ from what this machine sent")
}

/// That the backup is listed with this problem.
fn is_listed_replaced(scenario: &Scenario) -> Result<()> {
    let rows = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &no_options())?.body();
    let rows: Vec<BackupRow> = rows.deserialize()?;
    contains_all(rows[0].problem.as_deref().unwrap_or_default(), &["snapshots of the backup \"home\""])
}

/// That the drive has the problem also when it was away while the service ended and began again. No backup begins by itself
/// from then on.
fn the_problem_stays(scenario: &mut Scenario) -> Result<()> {
    scenario.fixture.one("the problem after the backup", |is| is.state == DriveState::Safe && is_shown_replaced(is))?;
    scenario.unplug()?;
    is_listed_replaced(scenario)?;
    scenario.fixture.stop()?;
    let text = fs::read_to_string(&scenario.fixture.configuration)?;
    fs::write(&scenario.fixture.configuration, text.replace("schedule = \"on-plug\"", "schedule = \"manual\""))?;
    scenario.fixture.start()?;
    is_listed_replaced(scenario)?;
    scenario.plug()?;
    let drive = scenario.fixture.one("the problem after the restart", |is| is.enrolled && is_shown_replaced(is))?;
    ensure!(!drive.properties.problem.contains('/'), "a path for everybody: {}", drive.properties.problem);
    Ok(())
}

/// Changes the source and plugs the drive in: everything is sent, it is the source, and the note says why. The drive has a
/// problem until the next increment.
fn everything_is_sent(mut scenario: Scenario) -> Result<()> {
    fs::write(scenario.source.join("changed"), "here")?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    let job = recorder.finish(&scenario.fixture.client)?.jobs()?.pop().context("a job")?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    ensure!(!scenario.newest_is_the_source()?, "it built on what was forged: {note}");
    contains_all(&note, &["full transfer, because another subvolume has the place or the identity"])?;
    the_problem_stays(&mut scenario)?;
    // After that report, increments continue from the new one.
    fs::write(scenario.source.join("changed"), "again")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "no increment after it");
    scenario.fixture.one("no problem after the increment", |is| is.enrolled && is.problem.is_empty())?;
    Ok(())
}

#[test]
fn a_counterpart_that_was_swapped_elsewhere_is_no_parent() -> Result<()> {
    let scenario = backed_up()?;
    elsewhere(&scenario.image, |at| {
        let last = last_on(at)?;
        let like = subvolume::info(File::open(&last)?)?;
        snapshot::delete(&last)?;
        snapshot::create(&last)?;
        fs::write(last.join("intruder"), "x")?;
        forge(&last, &like)
    })?;
    everything_is_sent(scenario)
}

#[test]
fn an_edited_counterpart_is_no_parent() -> Result<()> {
    let scenario = backed_up()?;
    elsewhere(&scenario.image, |at| {
        let last = last_on(at)?;
        let like = subvolume::info(File::open(&last)?)?;
        snapshot::set_read_only(&last, false)?;
        fs::write(last.join("intruder"), "x")?;
        forge(&last, &like)
    })?;
    everything_is_sent(scenario)
}

fn list(scenario: &Scenario) -> Result<Vec<SnapshotRow>> {
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    let rows = scenario
        .fixture
        .client
        .call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?
        .body()
        .deserialize()?;
    scenario.drive("safe", &DriveState::Safe)?;
    Ok(rows)
}

/// With two backups done, of which the second changes a little.
fn backed_up_twice() -> Result<Scenario> {
    let scenario = Scenario::begin()?;
    for content in ["one", "two"] {
        fs::write(scenario.source.join("changed"), content)?;
        scenario.job("Backup", &no_options())?;
        scenario.drive("safe", &DriveState::Safe)?;
    }
    Ok(scenario)
}

#[test]
fn a_forged_counterpart_is_no_parent_of_a_restore() -> Result<()> {
    let scenario = backed_up_twice()?;
    let rows = list(&scenario)?;
    let [newest, oldest] = rows.as_slice() else { anyhow::bail!("{rows:?}") };
    // As the stream will name the parent.
    let like = scenario.on_drive(|all| Ok(subvolume::info(File::open(all.first().context("a snapshot")?)?)?))?;
    ensure!(oldest.received_uuid.is_some() && newest.parent_uuid.as_ref() == Some(&oldest.uuid), "{rows:?}");
    let home = scenario.tank.join("mallory");
    fs::create_dir(&home)?;
    chown(&home, Some(1000), Some(1000))?;
    for number in 0..3 {
        let forged = home.join(format!("forged-{number}"));
        snapshot::create(&forged)?;
        fs::write(forged.join("su"), "#!/bin/sh\n")?;
        // What the increment changes is there, so that it could be received upon this.
        fs::write(forged.join("changed"), "one")?;
        chown(&forged, Some(1000), Some(1000))?;
        fs::set_permissions(forged.join("su"), fs::Permissions::from_mode(0o4755))?;
        // Every user who saw one stream knows the sender's ctransid, and there are few candidates.
        let ctransid = if number == 0 { like.ctransid } else { like.stransid };
        forge(&forged, &subvolume::SubvolumeInfo { stransid: ctransid, ..like.clone() })?;
    }
    let job = scenario.job("Restore", &(&newest.uuid, "tank", no_options()))?;
    let incremental: bool = scenario.fixture.client.get(&job, JOB, "Incremental")?;
    ensure!(!incremental, "it was built on a subvolume of another user");
    let restored = scenario.tank.join(std::str::from_utf8(&newest.name)?);
    ensure!(!restored.join("su").exists(), "a file of another user arrived");
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.on_drive(|all| {
        let newest = all.last().context("a snapshot")?;
        same("restored", &Tree::read(newest)?, &Tree::read(&restored)?, Rules::SOURCE_OF_INCREMENT)
    })
}

#[test]
fn the_next_restore_is_an_increment() -> Result<()> {
    let scenario = backed_up_twice()?;
    let rows = list(&scenario)?;
    for (row, is_increment) in rows.iter().rev().zip([false, true]) {
        let job = scenario.job("Restore", &(&row.uuid, "tank", no_options()))?;
        scenario.drive("safe", &DriveState::Safe)?;
        let incremental: bool = scenario.fixture.client.get(&job, JOB, "Incremental")?;
        ensure!(incremental == is_increment, "{row:?}");
    }
    Ok(())
}

#[test]
fn a_restored_source_gets_increments() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let row = list(&scenario)?.pop().context("a snapshot")?;
    scenario.job("Restore", &(&row.uuid, "tank", no_options()))?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    scenario.fixture.stop()?;
    let (restored, source) = (scenario.tank.join(std::str::from_utf8(&row.name)?), scenario.tank.join("home"));
    snapshot::branch(&restored, &source)?;
    let text = fs::read_to_string(&scenario.fixture.configuration)?;
    let text = text.replace(&format!("source = {:?}", scenario.source), &format!("source = {source:?}"));
    let (old, new) = (scenario.pool.join("snapshots-home"), scenario.tank.join("snapshots-home"));
    fs::write(&scenario.fixture.configuration, text.replace(&format!("{old:?}"), &format!("{new:?}")))?;
    // The administrator says that it is meant.
    fs::remove_file(scenario.fixture.sandbox.join("state/sources/home"))?;
    scenario.source = source;
    fs::write(scenario.source.join("changed"), "after the restore")?;
    scenario.fixture.start()?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "everything was sent again");
    fs::write(scenario.source.join("changed"), "and later")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "everything was sent by the second");
    let rows = list(&scenario)?;
    ensure!(rows.iter().all(|row| row.origin.as_deref() == Some("this-machine")), "{rows:?}");
    Ok(())
}

/// Has the kernel share the extents of the second file with the first, also in a read-only snapshot.
const DEDUPLICATE: &str = "
import fcntl, os, struct, sys
one, two = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
argument = bytearray(struct.pack('=QQHHI', 0, 131072, 1, 0, 0) + struct.pack('=qQQiI', two, 0, 0, 0, 0))
fcntl.ioctl(one, 0xc0189436, argument)
shared, status = struct.unpack_from('=Qi', argument, 24 + 16)
sys.exit(status != 0 or shared != 131072)
";

#[test]
fn a_snapshot_that_was_deduplicated_is_still_a_parent() -> Result<()> {
    let scenario = Scenario::begin()?;
    for name in ["one", "two"] {
        fs::write(scenario.source.join(name), vec![7; 128 << 10])?;
        run(Command::new("sync").arg("-f").arg(&scenario.source), TIMEOUT)?.success()?;
    }
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let beside = butterdock_tests::snapshots(&scenario.pool.join("snapshots-home"))?;
    let sent = beside.first().context("a snapshot")?;
    let before = subvolume::info(File::open(sent)?)?.ctransid;
    let files = [sent.join("one"), sent.join("two")];
    run(Command::new("python3").arg("-c").arg(DEDUPLICATE).args(files), TIMEOUT)?.success()?;
    run(Command::new("sync").arg("-f").arg(sent), TIMEOUT)?.success()?;
    ensure!(subvolume::info(File::open(sent)?)?.ctransid > before, "deduplication left no trace");
    fs::write(scenario.source.join("changed"), "x")?;
    let job = scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let incremental: bool = scenario.fixture.client.get(&job, JOB, "Incremental")?;
    ensure!(incremental && scenario.newest_is_the_source()?, "everything was sent again");
    Ok(())
}
