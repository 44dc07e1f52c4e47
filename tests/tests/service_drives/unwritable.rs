//! Drives that cannot be written, or of which a device is missing: they are listed, restored from and verified.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, JOB, MANAGER};
use butterdock_dbus::{DriveState, SnapshotRow};
use butterdock_tests::{Disk, Scenario, TIMEOUT, contains_all, elsewhere, no_options, run};
use zbus::OwnedObjectPath;

/// Lists its snapshots, restores the newest, and verifies it; it is safe afterwards, and its problem is shown.
fn is_read(scenario: &Scenario, problem: &str) -> Result<()> {
    let drive = scenario.fixture.one("its problem", |is| is.enrolled && is.problem.contains(problem))?;
    let listed = scenario.fixture.client.call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?.body();
    let rows: Vec<SnapshotRow> = listed.deserialize()?;
    let newest = rows.first().context("a snapshot")?;
    scenario.job("Restore", &(&newest.uuid, "tank", no_options()))?;
    let restored = scenario.tank.join(std::str::from_utf8(&newest.name)?);
    ensure!(fs::read_dir(restored)?.next().is_some(), "nothing is restored");
    scenario.job("Verify", &no_options())?;
    let drive = scenario.drive("released", &DriveState::Safe)?;
    ensure!(drive.properties.problem.contains(problem), "{drive:?}");
    Ok(())
}

/// A backup fails with the sentence that the drive shows.
fn takes_no_backup(scenario: &Scenario, problem: &str) -> Result<()> {
    let job = scenario.start_backup()?;
    let (state, error, message) = scenario.end_of_backup(&job)?;
    ensure!(state == "failed" && message.contains(problem), "{state} {error} {message}");
    ensure!(!message.contains("Permission denied"), "{message}");
    Ok(())
}

#[test]
fn a_write_protected_drive_is_listed_restored_and_verified() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    scenario.disk = Some(Disk::attach_write_protected(&scenario.image)?);
    let failed = |scenario: &Scenario| -> Result<usize> { Ok(scenario.history("backup")?.len()) };
    scenario.fixture.client.until("the backup of its plug has failed", |_| Ok(failed(&scenario)? == 2))?;
    scenario.drive("released", &DriveState::Safe)?;
    is_read(&scenario, "write-protected")?;
    takes_no_backup(&scenario, "write-protected")?;
    scenario.drive("released", &DriveState::Safe)?;
    scenario.unplug()?;
    fs::write(scenario.source.join("later"), "x")?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the next backup", |_| Ok(scenario.good_backups()? > before))?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    scenario.fixture.one("without a problem", |is| is.enrolled && is.problem.is_empty()).map(drop)
}

#[test]
fn a_full_drive_is_read_and_pruned() -> Result<()> {
    let rule = "keep = { last = 9 }\nprotect = \"0h\"";
    let mut scenario = Scenario::on(&["home"], rule, |fixture| fixture.image("a", "Blue"))?;
    for _ in 0..2 {
        fill_source(&scenario, 40)?;
        scenario.job("Backup", &no_options())?;
        scenario.drive("safe", &DriveState::Safe)?;
    }
    let before = scenario.on_drive(|all| Ok(all.to_vec()))?;
    scenario.unplug()?;
    elsewhere(&scenario.image, |at| {
        // Large blocks until none fits, then small ones.
        for size in [1 << 20, 4096] {
            let mut file = File::create(at.join(format!("others-{size}")))?;
            let block = vec![1; size];
            while file.write_all(&block).and_then(|()| file.sync_all()).is_ok() {}
        }
        Ok(())
    })?;
    scenario.plug()?;
    scenario.fixture.one("its problem", |is| is.enrolled && is.problem.contains("is full"))?;
    scenario.drive("released", &DriveState::Safe)?;
    is_read(&scenario, "is full")?;
    let text = fs::read_to_string(&scenario.fixture.configuration)?;
    fs::write(&scenario.fixture.configuration, text.replace("last = 9", "last = 1"))?;
    scenario.fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    fs::write(scenario.source.join("small"), "x")?;
    scenario.job("Backup", &no_options())?;
    let drive = scenario.drive("released", &DriveState::Safe)?;
    ensure!(drive.properties.problem.is_empty(), "{drive:?}");
    // The base of the increment was needed for it.
    let after = scenario.on_drive(|all| Ok(all.to_vec()))?;
    ensure!(after.len() == 2 && after.first() == before.last(), "{before:?} {after:?}");
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}

/// Has the superblocks of the filesystem in this image name a log that is not there.
fn damage_log(image: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(image)?;
    for offset in [64 << 10, 64 << 20] {
        let mut superblock = [0; 4096];
        file.read_exact_at(&mut superblock, offset)?;
        superblock[0x60..0x68].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        let sum = crc32c(&superblock[0x20..]).to_le_bytes();
        superblock[..4].copy_from_slice(&sum);
        file.write_all_at(&superblock, offset)?;
    }
    Ok(())
}

fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}

#[test]
fn a_log_that_cannot_be_replayed_is_named_with_the_way_out() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    damage_log(&scenario.image)?;
    scenario.plug()?;
    let drive =
        scenario.fixture.one("its problem", |is| is.enrolled && is.problem.contains("btrfs rescue zero-log"))?;
    scenario.drive("released", &DriveState::Safe)?;
    let listed = scenario.fixture.client.call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?.body();
    let rows: Vec<SnapshotRow> = listed.deserialize()?;
    let newest = rows.first().context("a snapshot")?;
    let failed = |method: &str, body: &zbus::Message| -> Result<String> {
        let job: OwnedObjectPath = body.body().deserialize()?;
        let (state, _) = scenario.fixture.client.end_of(job.as_str())?;
        ensure!(state == "failed", "{method}: {state}");
        scenario.drive("released", &DriveState::Safe)?;
        scenario.fixture.client.get(job.as_str(), JOB, "ErrorMessage")
    };
    let options = (&newest.uuid, "tank", no_options());
    let restoring = scenario.fixture.client.call(&drive.path, (DESTINATION, "Restore"), &options)?;
    contains_all(&failed("Restore", &restoring)?, &["without the log which a crash left", "the problem of the drive"])?;
    let verifying = scenario.fixture.client.call(&drive.path, (DESTINATION, "Verify"), &no_options())?;
    contains_all(&failed("Verify", &verifying)?, &["btrfs rescue zero-log"])?;
    // The way out.
    scenario.unplug()?;
    run(Command::new("btrfs").args(["rescue", "zero-log"]).arg(&scenario.image), TIMEOUT)?.success()?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the next backup", |_| Ok(scenario.good_backups()? > before))?;
    is_read_without_problem(&scenario, &newest.uuid)
}

/// It has no problem, and the snapshot is restored.
fn is_read_without_problem(scenario: &Scenario, snapshot: &str) -> Result<()> {
    scenario.fixture.one("without a problem", |is| is.enrolled && is.problem.is_empty())?;
    scenario.job("Restore", &(snapshot, "tank", no_options())).map(drop)
}

/// Gives the source a new incompressible file.
fn fill_source(scenario: &Scenario, mebibytes: u64) -> Result<()> {
    let mut noise = std::io::Read::take(File::open("/dev/urandom")?, mebibytes << 20);
    std::io::copy(&mut noise, &mut File::create(scenario.source.join("large"))?)?;
    Ok(())
}

#[test]
fn a_mirror_with_a_missing_disk_is_listed_and_restored() -> Result<()> {
    let mut disks = Vec::new();
    let mut scenario = Scenario::on(&["home"], "", |fixture| {
        let images = ["a.img", "b.img"].map(|name| fixture.sandbox.join(name));
        for image in &images {
            File::create(image)?.set_len(300 << 20)?;
        }
        let mut mkfs = Command::new("mkfs.btrfs");
        let profile = ["-q", "-L", "Blue", "-d", "raid1", "-m", "raid1"];
        run(mkfs.args(profile).args(&images), TIMEOUT)?.success()?;
        disks.push(Disk::attach(&images[1])?);
        Ok(images[0].clone())
    })?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    disks.clear();
    scenario.unplug()?;
    scenario.plug()?;
    const MISSING: &str = "1 of the 2 devices";
    let drive = scenario.fixture.one("its problem", |is| is.enrolled && is.problem.contains(MISSING))?;
    ensure!(drive.properties.state == DriveState::Present && !scenario.is_held()?, "{drive:?}");
    is_read(&scenario, MISSING)?;
    takes_no_backup(&scenario, MISSING)?;
    let job = scenario.job("Verify", &no_options())?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["only the attached devices", MISSING])?;
    fs::write(scenario.source.join("later"), "x")?;
    let before = scenario.good_backups()?;
    disks.push(Disk::attach(&scenario.image.with_file_name("b.img"))?);
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before))?;
    scenario.fixture.one("without a problem", |is| is.enrolled && is.problem.is_empty()).map(drop)
}
