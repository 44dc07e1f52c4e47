//! Subvolumes below a source, which its snapshot does not have.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DRIVE, JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState};
use butterdock_tests::{Scenario, TIMEOUT, butterdockd, no_options, run, snapshot};
use zbus::{OwnedObjectPath, Variant};

/// What the row of the backup says of subvolumes that are left out.
fn left_out(scenario: &Scenario, estimate: bool) -> Result<Option<String>> {
    let mut options = no_options();
    options.insert("estimate", Variant::from(estimate));
    let body = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &options)?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    let warnings = rows.into_iter().next().context("a row")?.warnings.unwrap_or_default();
    Ok(warnings.into_iter().find(|warning| warning.code == "nested-left-out").map(|warning| warning.english))
}

fn check_config(scenario: &Scenario) -> Result<String> {
    let mut command = Command::new(butterdockd()?);
    Ok(run(command.arg("check-config").arg(&scenario.fixture.configuration), TIMEOUT)?.success()?.out())
}

#[test]
fn subvolumes_below_a_source_are_named_as_left_out() -> Result<()> {
    let scenario = Scenario::begin()?;
    ensure!(left_out(&scenario, true)?.is_none() && !check_config(&scenario)?.contains("left out"), "there are none");
    fs::create_dir(scenario.source.join("sub"))?;
    for name in ["docker", "sub/deep"] {
        snapshot::create(&scenario.source.join(name))?;
        fs::write(scenario.source.join(name).join("precious"), "x")?;
    }
    snapshot::create(&scenario.source.join("docker/inner"))?;
    let names = "3 subvolumes below the source are left out (docker, docker/inner, sub/deep)";
    let said = check_config(&scenario)?;
    ensure!(said.contains(&format!("WARNING: {names}")), "{said}");
    let dry = left_out(&scenario, true)?.context("nothing is said")?;
    ensure!(dry.starts_with(names), "{dry}");
    ensure!(left_out(&scenario, false)?.is_none(), "no run has counted them yet");
    let job = scenario.job("Backup", &no_options())?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    // Everybody may read a note.
    ensure!(note.contains("3 subvolumes below the source are left out") && !note.contains("docker"), "{note}");
    let row = left_out(&scenario, false)?.context("nothing is said")?;
    ensure!(row.starts_with("3 subvolumes") && !row.contains("docker"), "{row}");
    // The snapshots of the backup itself are none.
    scenario.drive("safe", &DriveState::Safe)?;
    for name in ["docker/inner", "docker", "sub/deep"] {
        snapshot::delete(&scenario.source.join(name))?;
    }
    scenario.job("Backup", &no_options())?;
    ensure!(left_out(&scenario, false)?.is_none(), "they are gone");
    Ok(())
}

#[test]
fn a_source_of_nothing_but_subvolumes_is_called_that() -> Result<()> {
    let scenario = Scenario::begin()?;
    for entry in fs::read_dir(&scenario.source)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    snapshot::create(&scenario.source.join("alice"))?;
    let drive = scenario.fixture.one("enrolled", |is| is.enrolled)?;
    let client = &scenario.fixture.client;
    let job: OwnedObjectPath = client.call(&drive.path, (DRIVE, "Backup"), &no_options())?.body().deserialize()?;
    let (state, _) = client.end_of(job.as_str())?;
    let message: String = client.get(job.as_str(), JOB, "ErrorMessage")?;
    ensure!(state == "failed" && message.contains("nothing but other subvolumes"), "{state} {message}");
    let drive =
        scenario.fixture.one("shown with the problem", |is| is.problem.contains("nothing but other subvolumes"))?;
    ensure!(drive.properties.state == DriveState::Safe, "{drive:?}");
    Ok(())
}
