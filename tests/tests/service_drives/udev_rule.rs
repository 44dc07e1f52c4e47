//! The shipped udev rule: the properties that other programs see of a drive.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{TIMEOUT, run};
use butterdock_tests::{no_options, shipped};

use butterdock_tests::{Disk, DriveFixture};

/// The public properties of a drive after udev has processed it.
fn properties(disk: &Disk, filesystem: &str) -> Result<HashMap<String, String>> {
    let began = Instant::now();
    loop {
        let device = format!("/dev/{}", disk.name());
        let said = run(Command::new("udevadm").args(["info", "--query=property", &device]), TIMEOUT)?.success()?.out();
        let pairs = said.lines().filter_map(|line| line.split_once('='));
        let properties: HashMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if properties.get("ID_FS_UUID").is_some_and(|uuid| uuid == filesystem) {
            return Ok(properties);
        }
        ensure!(began.elapsed() < TIMEOUT, "udev does not see {filesystem}: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether others leave it alone; either all of it is so or nothing.
fn is_left_alone(told: &HashMap<String, String>) -> Result<bool> {
    let is = |name: &str, value: &str| told.get(name).is_some_and(|has| has == value);
    let left = [is("UDISKS_IGNORE", "1"), is("SYSTEMD_READY", "0"), !told.contains_key("ID_BTRFS_READY")];
    ensure!(left.iter().all(|one| *one == left[0]), "{left:?} {told:#?}");
    Ok(left[0])
}

#[test]
fn udev_hides_only_enrolled_drives() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let (image, other) = (fixture.image("a", "Blue")?, fixture.image("b", "Other")?);
    let _other = Disk::attach(&other)?;
    let other = fixture.one("the other", |is| is.label == "Other")?.properties;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.label == "Blue")?;
    let uuid = drive.properties.filesystem_uuid.clone();
    ensure!(!is_left_alone(&properties(&disk, &uuid)?)?, "it is not enrolled");
    fixture.enrol(&drive)?;
    drop(disk);
    fixture.until("it is gone", |drives| {
        drives.iter().all(|drive| drive.properties.device.is_empty() || drive.properties.label == "Other")
    })?;

    let disk = Disk::attach(&image)?;
    let drive = fixture.one("it is known again", |is| is.enrolled && is.state == DriveState::Mounted)?;
    ensure!(is_left_alone(&properties(&disk, &uuid)?)?, "it is enrolled");
    let device = fs::read_dir(fixture.sandbox.join("state/udev"))?.count();
    ensure!(device == 1, "{device}");
    // The same event, seen by the control beside it.
    run(Command::new("udevadm").args(["trigger", "--settle"]).arg(format!("/dev/{}", other.device)), TIMEOUT)?
        .success()?;
    let said =
        run(Command::new("udevadm").args(["info", "--query=property"]).arg(format!("/dev/{}", other.device)), TIMEOUT)?;
    ensure!(said.out().contains("ID_BTRFS_READY=1") && !said.out().contains("UDISKS_IGNORE"), "{}", said.out());

    fixture.call(&drive, "Forget", &no_options())?;
    drop(disk);
    fixture.until("it is gone", |drives| drives.len() == 1)?;
    let disk = Disk::attach(&image)?;
    fixture.one("a stranger again", |is| is.label == "Blue" && !is.enrolled)?;
    ensure!(!is_left_alone(&properties(&disk, &uuid)?)?, "it is forgotten");
    Ok(())
}

/// Runs the commands of the unit that applies the rule once /var is mounted.
fn run_udev_trigger_unit() -> Result<()> {
    let unit = fs::read_to_string(shipped("daemon/data/butterdock-udev-trigger.service"))?;
    let commands: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecStart=-")).collect();
    ensure!(!commands.is_empty(), "the unit runs nothing");
    for command in commands {
        let mut words = command.split(' ');
        run(Command::new(words.next().unwrap_or_default()).args(words), TIMEOUT)?.success()?;
    }
    Ok(())
}

#[test]
fn a_drive_seen_before_var_is_mounted_is_hidden_afterwards() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let other = Disk::attach(&fixture.image("b", "Other")?)?;
    let uuid = fixture.one("the drive", |is| is.label == "Blue")?.properties.filesystem_uuid.clone();
    let others = fixture.one("the other", |is| is.label == "Other")?.properties.filesystem_uuid.clone();
    ensure!(!is_left_alone(&properties(&disk, &uuid)?)?, "the enrolments are not readable yet");
    // What the mount of /var makes visible.
    fs::create_dir_all(fixture.sandbox.join("state/udev"))?;
    fs::write(fixture.sandbox.join("state/udev").join(&uuid), "")?;
    run_udev_trigger_unit()?;
    ensure!(is_left_alone(&properties(&disk, &uuid)?)?, "it is enrolled");
    ensure!(!is_left_alone(&properties(&other, &others)?)?, "it is not enrolled");
    Ok(())
}

#[test]
fn udev_hides_the_locked_container_of_an_enrolled_drive() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    // As much of a LUKS header (version 1) as tells what it is: magic, version, and the uuid at 168.
    let mut header = vec![0; 4 << 20];
    header[..8].copy_from_slice(b"LUKS\xba\xbe\0\x01");
    header[168..168 + uuid.len()].copy_from_slice(uuid.as_bytes());
    let image = fixture.sandbox.join("locked.img");
    fs::write(&image, header)?;
    let disk = Disk::attach(&image)?;
    let stranger = properties(&disk, uuid)?;
    ensure!(stranger["ID_FS_TYPE"] == "crypto_LUKS" && !stranger.contains_key("UDISKS_IGNORE"), "{stranger:#?}");
    drop(disk);
    // As it is when the filesystem inside is enrolled.
    fs::write(fixture.sandbox.join("state/udev").join(uuid), "")?;
    let disk = Disk::attach(&image)?;
    ensure!(is_left_alone(&properties(&disk, uuid)?)?, "no other program asks for its passphrase");
    Ok(())
}

#[test]
fn an_administrators_rule_adds_and_removes_drives() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let (image, other) = (fixture.image("a", "Blue")?, fixture.image("b", "Other")?);
    let rules =
        "ENV{ID_FS_LABEL}==\"Blue\", ENV{BUTTERDOCK}=\"1\"\nENV{ID_FS_LABEL}==\"Other\", ENV{BUTTERDOCK}=\"0\"\n";
    fs::write("/run/udev/rules.d/62-local-butterdock.rules", rules)?;
    run(Command::new("udevadm").args(["control", "--reload"]), TIMEOUT)?.success()?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("a stranger", |is| is.label == "Blue" && !is.enrolled)?;
    ensure!(is_left_alone(&properties(&disk, &drive.properties.filesystem_uuid)?)?, "the administrator wants it so");
    let disk = Disk::attach(&other)?;
    let drive = fixture.one("the other", |is| is.label == "Other")?;
    // As if it were enrolled.
    fs::create_dir_all(fixture.sandbox.join("state/udev"))?;
    fs::write(fixture.sandbox.join("state/udev").join(&drive.properties.filesystem_uuid), "")?;
    run(Command::new("udevadm").args(["trigger", "--settle"]).arg(format!("/dev/{}", disk.name())), TIMEOUT)?
        .success()
        .context("udev looks again")?;
    ensure!(
        !is_left_alone(&properties(&disk, &drive.properties.filesystem_uuid)?)?,
        "the administrator does not want it"
    );
    Ok(())
}
