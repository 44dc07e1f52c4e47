//! Queries without a job: the snapshots on a drive, and estimates.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState, SnapshotRow};
use butterdock_tests::{Client, Frozen, Scenario, no_options, snapshot};
use zbus::Variant;

fn backups(scenario: &Scenario, estimate: bool) -> Result<BackupRow> {
    let mut options = no_options();
    options.insert("estimate", Variant::from(estimate));
    let body = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &options)?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    ensure!(rows.len() == 1, "{rows:?}");
    rows.into_iter().next().context("a row")
}

/// The snapshots beside the source, hidden ones too.
fn beside(scenario: &Scenario) -> Result<usize> {
    let folder = scenario.source.parent().context("a folder")?.join("snapshots-home");
    Ok(if folder.exists() { fs::read_dir(folder)?.count() } else { 0 })
}

#[test]
fn an_estimate_leaves_nothing_behind() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    let plain = backups(&scenario, false)?;
    ensure!((plain.estimate, plain.incremental, plain.last_good) == (None, None, Some(0)), "{plain:?}");
    let first = backups(&scenario, true)?;
    ensure!(first.estimate.is_some_and(|bytes| bytes > 0) && first.incremental == Some(false), "{first:?}");
    ensure!(first.note.as_ref().is_some_and(|text| text.starts_with("full transfer, because")), "{first:?}");
    ensure!(first.problem.is_none() && beside(&scenario)? == 0, "{first:?}");
    scenario.drive("released as before", &DriveState::Safe)?;
    let job = scenario.job("Backup", &no_options())?;
    let sent: u64 = scenario.fixture.client.get(&job, JOB, "BytesReceived")?;
    ensure!(first.estimate.is_some_and(|bytes| sent <= bytes + bytes / 100), "{sent} of {first:?}");
    scenario.drive("safe", &DriveState::Safe)?;
    let none = backups(&scenario, true)?;
    ensure!((none.estimate, none.incremental, none.note.as_ref()) == (Some(0), Some(true), None), "{none:?}");
    fs::write(scenario.source.join("changed"), [7; 10_000])?;
    let second = backups(&scenario, true)?;
    ensure!(second.estimate.is_some_and(|bytes| (10_000..30_000).contains(&bytes)), "{second:?}");
    ensure!(second.incremental == Some(true) && beside(&scenario)? == 1, "{second:?}");
    scenario.drive("safe again", &DriveState::Safe)?;
    scenario.unplug()?;
    let away = backups(&scenario, true)?;
    ensure!((away.attached, away.estimate) == (Some(false), None), "{away:?}");
    Ok(())
}

#[test]
fn too_small_a_drive_is_reported_with_the_estimate() -> Result<()> {
    let scenario = Scenario::begin()?;
    // More than the drive has.
    fs::write(scenario.source.join("large"), vec![7; 400 << 20])?;
    let row = backups(&scenario, true)?;
    ensure!(row.estimate.is_some_and(|bytes| bytes > 400 << 20), "{row:?}");
    ensure!(row.problem.as_ref().is_some_and(|text| text.contains("MiB are needed")), "{row:?}");
    ensure!(beside(&scenario)? == 0, "something is left");
    // It is no problem of the drive's.
    let drive = scenario.drive("released as before", &DriveState::Safe)?;
    ensure!(drive.properties.problem.is_empty() && backups(&scenario, false)?.problem.is_none(), "{drive:?}");
    Ok(())
}

#[test]
fn list_snapshots_has_the_known_fields() -> Result<()> {
    let scenario = Scenario::begin()?;
    let list = || -> Result<Vec<SnapshotRow>> {
        let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
        Ok(scenario
            .fixture
            .client
            .call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?
            .body()
            .deserialize()?)
    };
    let drive = scenario.drive("released", &DriveState::Safe)?;
    scenario.fixture.call(&drive, "Mount", &no_options())?;
    ensure!(list()?.is_empty() && backups(&scenario, true)?.estimate.is_some());
    scenario.drive("mounted as before", &DriveState::Mounted)?;
    scenario.job("SafelyRemove", &no_options())?;
    for content in ["one", "two"] {
        fs::write(scenario.source.join("changed"), content)?;
        scenario.job("Backup", &no_options())?;
        scenario.drive("safe", &DriveState::Safe)?;
    }
    let told = list()?;
    // It was not mounted before, and is unmounted again.
    scenario.drive("safe after it", &DriveState::Safe)?;
    let there = scenario.on_drive(|all| {
        let one = |path: &std::path::PathBuf| -> Result<_> {
            let name = path.file_name().context("a name")?.to_string_lossy().into_owned().into_bytes();
            Ok((name, snapshot::show(path)?))
        };
        all.iter().map(one).collect::<Result<Vec<_>>>()
    })?;
    ensure!(told.len() == 2 && there.len() == 2, "{told:?} {there:?}");
    // The newest first.
    for (row, (name, is)) in told.iter().zip(there.iter().rev()) {
        ensure!(row.name == *name && row.uuid == is.uuid, "{row:?} {is:?}");
        ensure!(row.received_uuid.as_ref() == Some(&is.received_uuid), "{row:?} {is:?}");
        ensure!(row.backup.as_deref() == Some("home") && row.created.is_some_and(|time| time > 0), "{row:?}");
    }
    ensure!(told[0].pinned == Some(true) && told[1].pinned == Some(false), "{told:?}");
    ensure!(told[0].parent_uuid.as_ref() == Some(&told[1].uuid) && told[1].parent_uuid.is_none(), "{told:?}");
    ensure!(told[0].created > told[1].created, "{told:?}");
    Ok(())
}

#[test]
fn an_estimate_that_outlasts_a_job_releases_the_drive() -> Result<()> {
    let scenario = Scenario::begin()?;
    let asking = Client::connect(&scenario.fixture.bus.address())?;
    // The estimate cannot make its snapshot.
    let frozen = Frozen::new(scenario.pool.path())?;
    std::thread::scope(|scope| {
        let mut options = no_options();
        options.insert("estimate", Variant::from(true));
        let estimate = scope.spawn(move || asking.call(ROOT, (MANAGER, "ListBackups"), &options).map(drop));
        scenario.drive("held by the estimate", &DriveState::Busy)?;
        let job = scenario.job("Verify", &no_options())?;
        let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
        ensure!(note.is_empty() && scenario.is_held()?, "{note}");
        drop(frozen);
        estimate.join().map_err(|_panic| anyhow::anyhow!("the call panicked"))??;
        // The estimate's answer comes after the release.
        let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
        ensure!(drive.properties.state == DriveState::Safe && drive.properties.problem.is_empty(), "{drive:?}");
        ensure!(!scenario.is_held()?, "still mounted");
        Ok(())
    })
}
