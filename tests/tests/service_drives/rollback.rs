//! A source that was replaced, as the service treats it: it continues after a rollback, and is refused if it is of no kin.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::{BackupOptions, BackupRow, DriveState};
use butterdock_tests::{Recorder, Scenario, contains_all, no_options, snapshot};

/// Plugs the drive in, and returns the job of that plug, which has ended.
fn plug(scenario: &mut Scenario) -> Result<String> {
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let before = scenario.history("backup")?.len();
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.history("backup")?.len() > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    recorder.finish(&scenario.fixture.client)?.jobs()?.pop().context("a job")
}

/// The problem in the row of the backup, and that of the drive.
fn problems(scenario: &Scenario) -> Result<[String; 2]> {
    let body = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &no_options())?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    Ok([rows[0].problem.clone().unwrap_or_default(), drive.properties.problem])
}

#[test]
fn a_rollback_continues_and_a_stranger_is_refused() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    let (old, replaced) = (scenario.pool.join("home.old"), scenario.pool.join("home.replaced"));
    fs::rename(&scenario.source, &old)?;
    snapshot::branch(&old, &scenario.source)?;
    fs::write(scenario.source.join("changed"), "after the rollback")?;
    let job = plug(&mut scenario)?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["after a rollback; its backups continue"])?;
    ensure!(scenario.newest_is_the_source()?, "everything was sent again: {note}");
    ensure!(problems(&scenario)? == ["", ""], "{:?}", problems(&scenario)?);

    scenario.unplug()?;
    fs::rename(&scenario.source, &replaced)?;
    snapshot::create(&scenario.source)?;
    fs::write(scenario.source.join("changed"), "another one")?;
    let job = plug(&mut scenario)?;
    let message: String = scenario.fixture.client.get(&job, JOB, "ErrorMessage")?;
    contains_all(&message, &["another subvolume", "butterdock backup NAME --new-source"])?;
    for problem in problems(&scenario)? {
        contains_all(&problem, &["another subvolume", "butterdock backup NAME --new-source"])?;
    }
    let options = BackupOptions { backup: Some("home".to_owned()), full: false, new_source: true };
    scenario.job("Backup", &options.to_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(!scenario.newest_is_the_source()?, "of no kin, and an increment");
    ensure!(problems(&scenario)? == ["", ""], "{:?}", problems(&scenario)?);
    fs::write(scenario.source.join("changed"), "and later")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "it is the source from then on");
    Ok(())
}
