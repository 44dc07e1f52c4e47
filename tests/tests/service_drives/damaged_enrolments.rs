//! Damaged enrolments: their drives are unknown and stay protected, and no other drive is affected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_dbus::{DriveState, path};
use butterdock_tests::{Disk, DriveFixture, is_mounted};

/// Enrols the drive of this label; the id of its enrolment.
fn enrolled(fixture: &DriveFixture, label: &str) -> Result<String> {
    let drive = fixture.one("the drive", |is| !is.enrolled && is.label == label)?;
    let drive = fixture.enrol_and_mount(&drive)?;
    path::drive_id(&drive.path).ok_or_else(|| anyhow::anyhow!("no id: {drive:?}"))
}

/// Spoils the enrolment of one of two drives while the service does not run; it says so, and serves the other.
fn spoilt(spoil: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    let bad = Disk::attach(&fixture.image("a", "Blue")?)?;
    let id = enrolled(&fixture, "Blue")?;
    let good = Disk::attach(&fixture.image("b", "Red")?)?;
    enrolled(&fixture, "Red")?;
    fixture.stop()?;
    let file = fixture.sandbox.join("state/drives").join(format!("{id}.json"));
    spoil(&file)?;
    fixture.start()?;
    fixture.one("the other", |is| is.enrolled && is.label == "Red" && is.state == DriveState::Mounted)?;
    let drive = fixture.one("it is unknown", |is| is.label == "Blue" && !is.enrolled)?;
    ensure!(drive.properties.state == DriveState::Present && !is_mounted(&bad.name())?, "{drive:?}");
    ensure!(drive.properties.problem.contains(&format!("cannot be read ({id}")), "{drive:?}");
    let claim = fixture.sandbox.join("state/udev").join(&drive.properties.filesystem_uuid);
    ensure!(claim.exists(), "udev does not leave the drive to the service any more");
    ensure!(is_mounted(&good.name())?, "the other is not mounted");
    ensure!(file.symlink_metadata().is_ok(), "the file is gone");
    let log = fixture.stop()?;
    // Enrolling it again ends that.
    fixture.start()?;
    enrolled(&fixture, "Blue")?;
    ensure!(file.symlink_metadata().is_err(), "the file is still there");
    ensure!(file.with_extension("json.unreadable").symlink_metadata().is_ok(), "the file was deleted");
    fixture.stop()?;
    ensure!(log.contains(&format!("{id}.json: ")) && log.contains("enrol the drive again"), "{log}");
    Ok(())
}

#[test]
fn a_truncated_enrolment_affects_only_its_drive() -> Result<()> {
    spoilt(|file| {
        let bytes = fs::read(file)?;
        Ok(fs::write(file, &bytes[..bytes.len() / 2])?)
    })
}

#[test]
fn a_garbage_enrolment_affects_only_its_drive() -> Result<()> {
    spoilt(|file| Ok(fs::write(file, [0xff, 0, 0x7b, 0x80].repeat(1000))?))
}

#[test]
fn a_symlink_as_enrolment_is_not_followed() -> Result<()> {
    spoilt(|file| {
        // Whole, but not where root alone writes.
        let elsewhere = file.with_file_name("elsewhere");
        fs::rename(file, &elsewhere)?;
        Ok(symlink(&elsewhere, file)?)
    })
}

#[test]
fn an_endless_enrolment_does_not_block_the_start() -> Result<()> {
    spoilt(|file| {
        fs::remove_file(file)?;
        Ok(symlink("/dev/zero", file)?)
    })
}
