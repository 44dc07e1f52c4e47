//! The command line with a real drive.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_dbus::{DriveState, path};
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, Finished, Scenario, ShownDrive, TIMEOUT, butterdock, no_options, run, wait_until,
};

fn ran(scenario: &Scenario, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(butterdock()?);
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", scenario.fixture.bus.address()).stdin(Stdio::null());
    run(&mut command, TIMEOUT)
}

#[test]
fn the_cli_lists_and_verifies_a_drive() -> Result<()> {
    let scenario = Scenario::begin()?;
    let mounted = ran(&scenario, &["mount", "Blue"])?.success()?;
    let at = mounted.out().trim_end().to_owned();
    ensure!(fs::metadata(&at)?.is_dir() && at.contains("run/drives"), "{at}");
    let dry = ran(&scenario, &["backups", "--dry-run"])?.success()?.out();
    ensure!(dry.contains("WOULD SEND") && dry.contains("(full)"), "{dry}");
    ensure!(dry.contains("home: full transfer, because nothing was received"), "{dry}");
    let verified = ran(&scenario, &["verify", "Blue"])?.success()?.out();
    ensure!(verified.contains("checked ") && verified.contains("no errors"), "{verified}");
    // A user has it mounted: the service unmounts it on request.
    scenario.drive("mounted still", &DriveState::Mounted)?;
    ran(&scenario, &["safely-remove", "Blue"])?.success()?;
    scenario.drive("safe", &DriveState::Safe)?;
    let none = ran(&scenario, &["import", "Blue", "--list"])?;
    ensure!(none.code() != 0 && none.err().contains("[[import]]"), "{none:?}");
    let dry = ran(&scenario, &["backups", "--dry-run", "--json"])?.success()?.out();
    let dry: serde_json::Value = serde_json::from_str(&dry).context("JSON")?;
    ensure!(dry["backups"][0]["estimate"].as_u64().is_some_and(|bytes| bytes > 0), "{dry}");
    Ok(())
}

#[test]
fn a_drive_that_is_away_is_listed_and_can_be_forgotten() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.unplug()?;
    let away = || scenario.fixture.all_drives();
    let [before] = <[DriveObject; 1]>::try_from(away()?).map_err(|all| anyhow!("{all:?}"))?;
    let ShownDrive { last_backup, free, problem, .. } = &before.properties;
    ensure!(before.properties.state == DriveState::Away && *last_backup > 0 && *free > 0, "{before:?}");
    ensure!(problem.is_empty() && before.properties.health.device_errors == Some(0), "{before:?}");
    // When it was unplugged is recorded a moment after it is shown.
    let is_recorded = || Ok(away()?.iter().all(|drive| drive.properties.last_seen > *last_backup));
    wait_until("the time of the unplug is recorded", is_recorded)?;
    let recorded = away()?.remove(0).properties;
    scenario.fixture.stop()?;
    scenario.fixture.start()?;
    let after = scenario.fixture.all_drives()?;
    ensure!(after.len() == 1 && after[0].properties == recorded, "{after:?} {recorded:?}");
    let json = |words: &[&str]| -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&ran(&scenario, &[words, &["--json"]].concat())?.out())?)
    };
    let listed = json(&["drives"])?;
    let drive = &listed["drives"][0];
    ensure!(drive["state"] == "away" && drive["origins"][0]["origin"] == "this-machine", "{listed}");
    ensure!(drive["origins"][0]["snapshots"] == 1 && drive["backups"][0] == "home", "{listed}");
    let text = ran(&scenario, &["drives"])?.success()?.out();
    ensure!(text.contains("away since 20"), "{text}");
    let refused = json(&["verify", "Blue"])?;
    ensure!(refused["error"]["name"] == "org.butterdock.Butterdock1.Error.DeviceGone", "{refused}");
    ran(&scenario, &["forget", "Blue"])?.success()?;
    wait_until("its object is removed", || Ok(scenario.fixture.all_drives()?.is_empty()))
}

#[test]
fn enrol_prints_the_new_id_of_the_drive() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    let mut command = Command::new(butterdock()?);
    command.args(["--json", "enrol", &disk.name()]).env("BUTTERDOCK_BUS_ADDRESS", fixture.bus.address());
    let printed: serde_json::Value = serde_json::from_str(&run(&mut command, TIMEOUT)?.success()?.out())?;
    let drive = fixture.one("enrolled", |is| is.enrolled)?;
    ensure!(printed["id"].as_str() == path::drive_id(&drive.path).as_deref(), "{printed} {drive:?}");
    Ok(())
}
