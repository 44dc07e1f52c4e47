//! What bears the identity of a shared snapshot and is not it, and shared snapshots whose numbers alone have changed.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::subvolume::{self, Received};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DRIVE, JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveProperties, DriveState, SnapshotRow};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::docking::{Story, elsewhere};
use butterdock_tests::rig::{PATIENCE, run};
use butterdock_tests::service::{Recorder, no_options};
use butterdock_tests::snapshot;

use super::weather::{good, newest_is_the_source, says};

/// With one backup done, and the drive away.
fn backed_up() -> Result<Story> {
    let mut story = Story::begin()?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    story.unplug()?;
    Ok(story)
}

/// Marks the subvolume as received, as `like` is, and makes it read-only: what the owner of a subvolume may do.
fn forge(path: &Path, like: &subvolume::SubvolumeInfo) -> Result<()> {
    let root = File::open(path)?;
    subvolume::set_received(&root, &Received { uuid: like.received_uuid, stransid: like.stransid })?;
    Ok(subvolume::set_read_only(&root, true)?)
}

fn last_on(at: &Path) -> Result<std::path::PathBuf> {
    let all = butterdock_tests::docking::snapshots(&at.join("butterdock/home"))?;
    all.into_iter().next_back().context("a snapshot")
}

/// Whether the drive is shown with this problem.
fn is_shown_replaced(is: &DriveProperties) -> bool {
    is.problem.contains("snapshots of the backup \"home\" on the drive are not those that this machine sent there")
}

/// That the drive has the problem also when it was away while the service ended and began again. No backup begins by itself
/// from then on.
fn the_problem_stays(story: &mut Story) -> Result<()> {
    story.stage.one("the problem after the backup", |is| is.state == DriveState::Safe && is_shown_replaced(is))?;
    story.unplug()?;
    story.stage.one("the problem of a drive that is away", is_shown_replaced)?;
    story.stage.stop()?;
    let text = fs::read_to_string(&story.stage.configuration)?;
    fs::write(&story.stage.configuration, text.replace("schedule = \"on-plug\"", "schedule = \"manual\""))?;
    story.stage.start()?;
    let rows = story.stage.client.call(ROOT, (MANAGER, "ListBackups"), &no_options())?.body();
    let rows: Vec<BackupRow> = rows.deserialize()?;
    says(rows[0].problem.as_deref().unwrap_or_default(), &["snapshots of the backup \"home\""])?;
    story.plug()?;
    let drive = story.stage.one("the problem after the restart", |is| is.enrolled && is_shown_replaced(is))?;
    ensure!(!drive.is.problem.contains('/'), "a path for everybody: {}", drive.is.problem);
    Ok(())
}

/// Changes the source and plugs the drive in: everything is sent, it is the source, and the note says why. The drive has a
/// problem until the next increment.
fn everything_is_sent(mut story: Story) -> Result<()> {
    fs::write(story.source.join("changed"), "here")?;
    let recorder = Recorder::start(&story.stage.bus)?;
    let before = good(&story)?;
    story.plug()?;
    story.stage.client.until("the backup of the plug", |_| Ok(good(&story)? > before))?;
    story.drive("safe", &DriveState::Safe)?;
    let job = recorder.finish(&story.stage.client)?.jobs()?.pop().context("a job")?;
    let note: String = story.stage.client.get(&job, JOB, "Note")?;
    ensure!(!newest_is_the_source(&story)?, "it built on what was forged: {note}");
    says(&note, &["everything is sent, because another subvolume has the place or the identity"])?;
    the_problem_stays(&mut story)?;
    // Once that was told, increments go on from the new one.
    fs::write(story.source.join("changed"), "again")?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    ensure!(newest_is_the_source(&story)?, "no increment after it");
    story.stage.one("no problem after the increment", |is| is.enrolled && is.problem.is_empty())?;
    Ok(())
}

#[test]
fn a_counterpart_that_was_swapped_elsewhere_is_no_parent() -> Result<()> {
    let story = backed_up()?;
    elsewhere(&story.image, |at| {
        let last = last_on(at)?;
        let like = subvolume::info(File::open(&last)?)?;
        snapshot::delete(&last)?;
        snapshot::create(&last)?;
        fs::write(last.join("intruder"), "x")?;
        forge(&last, &like)
    })?;
    everything_is_sent(story)
}

#[test]
fn a_counterpart_that_was_edited_and_marked_anew_is_no_parent() -> Result<()> {
    let story = backed_up()?;
    elsewhere(&story.image, |at| {
        let last = last_on(at)?;
        let like = subvolume::info(File::open(&last)?)?;
        snapshot::set_read_only(&last, false)?;
        fs::write(last.join("intruder"), "x")?;
        forge(&last, &like)
    })?;
    everything_is_sent(story)
}

fn list(story: &Story) -> Result<Vec<SnapshotRow>> {
    let drive = story.stage.one("the drive", |is| is.enrolled)?;
    let rows = story.stage.client.call(&drive.path, (DRIVE, "ListSnapshots"), &no_options())?.body().deserialize()?;
    story.drive("safe", &DriveState::Safe)?;
    Ok(rows)
}

/// With two backups done, of which the second changes a little.
fn backed_up_twice() -> Result<Story> {
    let story = Story::begin()?;
    for content in ["one", "two"] {
        fs::write(story.source.join("changed"), content)?;
        story.job("Backup", &no_options())?;
        story.drive("safe", &DriveState::Safe)?;
    }
    Ok(story)
}

#[test]
fn a_forged_counterpart_in_a_volume_is_not_restored_upon() -> Result<()> {
    let story = backed_up_twice()?;
    let rows = list(&story)?;
    let [newest, oldest] = rows.as_slice() else { anyhow::bail!("{rows:?}") };
    // As the stream will name the parent.
    let like = story.on_drive(|all| Ok(subvolume::info(File::open(all.first().context("a snapshot")?)?)?))?;
    ensure!(oldest.received_uuid.is_some() && newest.parent_uuid.as_ref() == Some(&oldest.uuid), "{rows:?}");
    let home = story.tank.join("mallory");
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
        // The sender's ctransid is known to everybody who saw one stream, and there are few to try.
        let ctransid = if number == 0 { like.ctransid } else { like.stransid };
        forge(&forged, &subvolume::SubvolumeInfo { stransid: ctransid, ..like.clone() })?;
    }
    let job = story.job("Restore", &(&newest.uuid, "tank", no_options()))?;
    let incremental: bool = story.stage.client.get(&job, JOB, "Incremental")?;
    ensure!(!incremental, "it was built on a subvolume of another user");
    let restored = story.tank.join(std::str::from_utf8(&newest.name)?);
    ensure!(!restored.join("su").exists(), "a file of another user arrived");
    story.drive("safe", &DriveState::Safe)?;
    story.on_drive(|all| {
        let newest = all.last().context("a snapshot")?;
        same("restored", &Tree::read(newest)?, &Tree::read(&restored)?, Rules::SOURCE_OF_INCREMENT)
    })
}

#[test]
fn what_was_restored_is_built_on_by_the_next_restore() -> Result<()> {
    let story = backed_up_twice()?;
    let rows = list(&story)?;
    for (row, is_increment) in rows.iter().rev().zip([false, true]) {
        let job = story.job("Restore", &(&row.uuid, "tank", no_options()))?;
        story.drive("safe", &DriveState::Safe)?;
        let incremental: bool = story.stage.client.get(&job, JOB, "Incremental")?;
        ensure!(incremental == is_increment, "{row:?}");
    }
    Ok(())
}

#[test]
fn a_source_that_was_restored_goes_on_with_increments() -> Result<()> {
    let mut story = Story::begin()?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    let row = list(&story)?.pop().context("a snapshot")?;
    story.job("Restore", &(&row.uuid, "tank", no_options()))?;
    story.drive("safe", &DriveState::Safe)?;
    story.unplug()?;
    story.stage.stop()?;
    let (restored, source) = (story.tank.join(std::str::from_utf8(&row.name)?), story.tank.join("home"));
    snapshot::branch(&restored, &source)?;
    let text = fs::read_to_string(&story.stage.configuration)?;
    let text = text.replace(&format!("source = {:?}", story.source), &format!("source = {source:?}"));
    let (old, new) = (story.pool.join("snapshots-home"), story.tank.join("snapshots-home"));
    fs::write(&story.stage.configuration, text.replace(&format!("{old:?}"), &format!("{new:?}")))?;
    // The administrator says that it is meant.
    fs::remove_file(story.stage.rig.join("state/sources/home"))?;
    story.source = source;
    fs::write(story.source.join("changed"), "after the restore")?;
    story.stage.start()?;
    let before = good(&story)?;
    story.plug()?;
    story.stage.client.until("the backup of the plug", |_| Ok(good(&story)? > before))?;
    story.drive("safe", &DriveState::Safe)?;
    ensure!(newest_is_the_source(&story)?, "everything was sent again");
    fs::write(story.source.join("changed"), "and later")?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    ensure!(newest_is_the_source(&story)?, "everything was sent by the second");
    let rows = list(&story)?;
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
    let story = Story::begin()?;
    for name in ["one", "two"] {
        fs::write(story.source.join(name), vec![7; 128 << 10])?;
        run(Command::new("sync").arg("-f").arg(&story.source), PATIENCE)?.success()?;
    }
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    let beside = butterdock_tests::docking::snapshots(&story.pool.join("snapshots-home"))?;
    let sent = beside.first().context("a snapshot")?;
    let before = subvolume::info(File::open(sent)?)?.ctransid;
    let files = [sent.join("one"), sent.join("two")];
    run(Command::new("python3").arg("-c").arg(DEDUPLICATE).args(files), PATIENCE)?.success()?;
    run(Command::new("sync").arg("-f").arg(sent), PATIENCE)?.success()?;
    ensure!(subvolume::info(File::open(sent)?)?.ctransid > before, "deduplication left no trace");
    fs::write(story.source.join("changed"), "x")?;
    let job = story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    let incremental: bool = story.stage.client.get(&job, JOB, "Incremental")?;
    ensure!(incremental && newest_is_the_source(&story)?, "everything was sent again");
    Ok(())
}
