//! A source that was replaced, as the service treats it: it continues after a rollback, and is refused if it is of no kin.

use std::fs;

use anyhow::{Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::{BackupOptions, BackupRow, DriveState};
use butterdock_tests::{Scenario, contains_all, no_options, snapshot, snapshots};

/// The problem in the row of the backup, and that of the drive.
fn problems(scenario: &Scenario) -> Result<[String; 2]> {
    let body = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &no_options())?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    Ok([rows[0].problem.clone().unwrap_or_default(), drive.properties.problem])
}

#[test]
fn a_rollback_continues_and_a_stranger_is_refused() -> Result<()> {
    let rule = "keep = { last = 2 }\nprotect = \"0h\"";
    let scenario = Scenario::on(&["home"], rule, |fixture| fixture.image("a", "Blue"))?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let (old, replaced) = (scenario.pool.join("home.old"), scenario.pool.join("home.replaced"));
    fs::rename(&scenario.source, &old)?;
    snapshot::branch(&old, &scenario.source)?;
    fs::write(scenario.source.join("changed"), "after the rollback")?;
    let job = scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["after a rollback; its backups continue"])?;
    ensure!(scenario.newest_is_the_source()?, "everything was sent again: {note}");
    ensure!(problems(&scenario)? == ["", ""], "{:?}", problems(&scenario)?);

    fs::rename(&scenario.source, &replaced)?;
    snapshot::create(&scenario.source)?;
    fs::write(scenario.source.join("changed"), "another one")?;
    let job = scenario.start_backup()?;
    let (state, _, message) = scenario.end_of_backup(&job)?;
    ensure!(state == "failed", "{state}");
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
    // The rule keeps two snapshots on each side: none of the superseded source.
    let accepted = snapshot::show(&scenario.source)?.uuid;
    let beside = snapshots(&scenario.source_snapshots())?;
    ensure!(beside.len() == 2, "{beside:?}");
    for path in &beside {
        ensure!(snapshot::show(path)?.parent_uuid == accepted, "{path:?} is one of the superseded source");
    }
    scenario.on_drive(|all| {
        ensure!(all.len() == 2, "{all:?}");
        Ok(())
    })
}
