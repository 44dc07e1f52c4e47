//! A drive whose filesystem became read-only: when it is safe, when it is not, and how long its problem is shown.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::{DRIVE, JOB};
use butterdock_tests::{DriveObject, Scenario, TIMEOUT, interface_of, mount, no_options, run, unmount, word};
use zbus::OwnedObjectPath;

const SAVED: &str = "has everything that was reported as done";
const UNSAVED: &str = "may be missing";

/// Makes the filesystem of the mounted drive read-only, as an error does: also where the service has it mounted.
fn becomes_read_only(scenario: &Scenario) -> Result<()> {
    let at = scenario.fixture.sandbox.join("beside");
    fs::create_dir_all(&at)?;
    mount(&Path::new("/dev").join(scenario.device()?), &at, "")?;
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(&at), TIMEOUT)?.success()?;
    unmount(&at)
}

/// Has the drive do something that is a job; how it ended: state, error, note.
fn ended(scenario: &Scenario, method: &str) -> Result<(String, String, String)> {
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    let body = scenario.fixture.client.call(&drive.path, (interface_of(method), method), &no_options())?.body();
    let job: OwnedObjectPath = body.deserialize()?;
    let (state, error) = scenario.fixture.client.end_of(job.as_str())?;
    Ok((state, error, scenario.fixture.client.get(job.as_str(), JOB, "Note")?))
}

/// That it is unmounted and safe, with this problem.
fn is_safe_with(scenario: &Scenario, problem: &str) -> Result<DriveObject> {
    let drive = scenario.drive("safe", &DriveState::Safe)?;
    ensure!(
        drive.properties.problem.contains(problem) && drive.properties.problem.contains("became read-only"),
        "{drive:?}"
    );
    ensure!(!scenario.is_held()?, "still mounted");
    Ok(drive)
}

/// Removes it, which succeeds and says what was wrong, twice: what is wrong does not go by being removed again.
fn is_removed_with(scenario: &Scenario, problem: &str) -> Result<()> {
    for _ in 0..2 {
        let (state, error, note) = ended(scenario, "SafelyRemove")?;
        ensure!(state == "succeeded" && note.contains(problem), "{state} {error} {note}");
        is_safe_with(scenario, problem)?;
    }
    Ok(())
}

/// Takes it away and plugs it in again: the problem stays until it is mounted, and a backup is an increment of the last.
fn is_well_after_the_next_plug(mut scenario: Scenario, problem: &str) -> Result<()> {
    drop(scenario.disk.take());
    let away = scenario.fixture.one("safe and away", |is| is.state == DriveState::Safe && is.device.is_empty())?;
    ensure!(away.properties.problem.contains(problem), "{away:?}");
    let succeeded = |scenario: &Scenario| -> Result<usize> {
        Ok(scenario.history("backup")?.iter().filter(|row| word(row, "result") == "succeeded").count())
    };
    let before = succeeded(&scenario)?;
    fs::write(scenario.source.join("later"), "x")?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(succeeded(&scenario)? > before))?;
    scenario.fixture.one("without a problem", |is| is.enrolled && is.problem.is_empty()).map(drop)
}

#[test]
fn a_drive_read_only_before_the_job_ends_is_safe_with_a_problem() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.fixture.set_on_finish("keep")?;
    ended(&scenario, "Verify")?;
    scenario.fixture.set_on_finish("unmount")?;
    becomes_read_only(&scenario)?;
    // The job ends with its lease, the last one: it unmounts the drive.
    let (state, error, note) = ended(&scenario, "Backup")?;
    ensure!(state == "failed" && note.contains(SAVED), "{state} {error} {note}");
    is_safe_with(&scenario, SAVED)?;
    is_removed_with(&scenario, SAVED)?;
    is_well_after_the_next_plug(scenario, SAVED)
}

#[test]
fn a_drive_read_only_after_a_failed_job_is_safe_with_a_problem() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.fixture.set_on_finish("keep")?;
    let aside = scenario.pool.join("aside");
    fs::rename(&scenario.source, &aside)?;
    let (state, error, _) = ended(&scenario, "Backup")?;
    ensure!(state == "failed", "{state} {error}");
    ensure!(scenario.is_held()?, "it is mounted");
    becomes_read_only(&scenario)?;
    is_removed_with(&scenario, SAVED)?;
    // Only now: the backup begins again by itself when its source appears and mounts change.
    fs::rename(&aside, &scenario.source)?;
    is_well_after_the_next_plug(scenario, SAVED)
}

#[test]
fn a_drive_read_only_after_a_good_job_is_safe_with_a_problem() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.fixture.set_on_finish("keep")?;
    let (state, error, note) = ended(&scenario, "Backup")?;
    ensure!(state == "succeeded" && !note.contains("read-only"), "{state} {error} {note}");
    becomes_read_only(&scenario)?;
    is_removed_with(&scenario, SAVED)?;
    scenario.on_drive(|all| {
        ensure!(all.len() == 1, "what was reported as done: {all:?}");
        Ok(())
    })?;
    is_well_after_the_next_plug(scenario, SAVED)
}

#[test]
fn a_manually_mounted_read_only_drive_is_not_safe() -> Result<()> {
    let scenario = Scenario::begin()?;
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    scenario.fixture.client.call(&drive.path, (DRIVE, "Mount"), &no_options())?;
    becomes_read_only(&scenario)?;
    let (state, error, _) = ended(&scenario, "SafelyRemove")?;
    ensure!((&*state, &*error) == ("failed", "Failed"), "{state} {error}");
    let drive = scenario.fixture.one("told", |is| is.enrolled && is.problem.contains(UNSAVED))?;
    ensure!(drive.properties.state != DriveState::Safe && !scenario.is_held()?, "{drive:?}");
    is_removed_with(&scenario, UNSAVED)?;
    is_well_after_the_next_plug(scenario, UNSAVED)
}
