//! Subvolumes below a source, which its snapshot does not have.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState, SnapshotRow};
use butterdock_tests::compare::{Rules, Tree, same};
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
    let job: OwnedObjectPath =
        client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    let (state, _) = client.end_of(job.as_str())?;
    let message: String = client.get(job.as_str(), JOB, "ErrorMessage")?;
    ensure!(state == "failed" && message.contains("nothing but other subvolumes"), "{state} {message}");
    let drive =
        scenario.fixture.one("shown with the problem", |is| is.problem.contains("nothing but other subvolumes"))?;
    ensure!(drive.properties.state == DriveState::Safe, "{drive:?}");
    Ok(())
}

#[test]
fn included_subvolumes_are_restored_with_the_source() -> Result<()> {
    let scenario = Scenario::on(&["home"], "nested = \"include\"", |fixture| fixture.image("a", "Blue"))?;
    let said = check_config(&scenario)?;
    ensure!(said.contains("and the writable subvolumes below it to \"Blue\""), "{said}");
    fs::create_dir(scenario.source.join("gone"))?;
    for path in ["alice", "alice/inner", "gone/deep"] {
        snapshot::create(&scenario.source.join(path))?;
    }
    let mut old_tree = None;
    for (round, note) in
        [("one", "with 3 subvolumes below the source, in full"), ("two", "with 2 subvolumes below the source")]
    {
        fs::write(scenario.source.join("alice/file"), round)?;
        fs::write(scenario.source.join("alice/inner/file"), round)?;
        let job = scenario.job("Backup", &no_options())?;
        let said: String = scenario.fixture.client.get(&job, JOB, "Note")?;
        ensure!(said.contains(note) && said.contains("full") == (round == "one"), "{said}");
        ensure!(!said.contains("left out"), "{said}");
        scenario.drive("safe", &DriveState::Safe)?;
        if round == "one" {
            old_tree = Some(Tree::read(&scenario.source)?);
            snapshot::delete(&scenario.source.join("gone/deep"))?;
            fs::remove_dir(scenario.source.join("gone"))?;
        }
    }
    let drive = scenario.fixture.one("enrolled", |is| is.enrolled)?;
    let client = &scenario.fixture.client;
    let rows: Vec<SnapshotRow> =
        client.call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?.body().deserialize()?;
    let listed: Vec<_> = rows.iter().map(|row| (row.nested_path.as_deref(), row.run.as_deref(), row.pinned)).collect();
    let (new, old) = (rows.first().context("rows")?.uuid.as_str(), rows.get(3).context("two runs")?.uuid.as_str());
    let run = |uuid, pinned, paths: &[&'static str]| {
        let nested = paths.iter().map(|path| (Some(path.as_bytes()), Some(uuid), Some(pinned)));
        [(None, None, Some(pinned))].into_iter().chain(nested).collect::<Vec<_>>()
    };
    let runs = [run(new, true, &["alice", "alice/inner"]), run(old, false, &["alice", "alice/inner", "gone/deep"])];
    ensure!(listed == runs.concat(), "{rows:?}");
    // The second one is an increment to the first one, which has a subvolume in a directory that is gone.
    for (row, tree, note, is_increment) in [
        (&rows[3], old_tree.context("read")?, "with 3 subvolumes below the source in place", false),
        (&rows[0], Tree::read(&scenario.source)?, "with 2 subvolumes below the source in place", true),
    ] {
        scenario.drive("safe", &DriveState::Safe)?;
        let job = scenario.job("Restore", &(&row.uuid, "tank", no_options()))?;
        let (said, incremental): (String, bool) =
            (client.get(&job, JOB, "Note")?, client.get(&job, JOB, "Incremental")?);
        ensure!(said.contains(note) && incremental == is_increment, "{said} {incremental}");
        let restored = Tree::read(&scenario.tank.join(std::str::from_utf8(&row.name)?))?;
        same("restored", &tree, &restored, Rules::SOURCE_OF_INCREMENT)?;
    }
    Ok(())
}
