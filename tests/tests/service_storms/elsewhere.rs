//! A drive that another machine has changed: the messages, and that the next backup is a full one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::{Recorder, Scenario, elsewhere, no_options, snapshot, snapshots};

use super::weather::{good, newest_is_the_source, says};

/// With one backup done, the drive away, and what another machine does to it.
fn changed(does: impl FnOnce(&Path) -> Result<()>) -> Result<Scenario> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    elsewhere(&scenario.image, does)?;
    Ok(scenario)
}

fn each(at: &Path, does: impl Fn(&Path) -> Result<()>) -> Result<()> {
    snapshots(&at.join("butterdock/home"))?.iter().try_for_each(|path| does(path))
}

/// Plugs it in; that everything is sent, and that the job's note says why.
fn everything_is_sent(mut scenario: Scenario, why: &str) -> Result<()> {
    fs::write(scenario.source.join("changed"), "here")?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let before = good(&scenario)?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(good(&scenario)? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    let job = recorder.finish(&scenario.fixture.client)?.jobs()?.pop().context("a job")?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    says(&note, &["full transfer", why])?;
    ensure!(!note.contains("nothing was received"), "{note}");
    ensure!(!newest_is_the_source(&scenario)?, "it built on what was changed");
    Ok(())
}

#[test]
fn a_deleted_last_backup_is_reported() -> Result<()> {
    everything_is_sent(changed(|at| each(at, snapshot::delete))?, "was deleted there")
}

#[test]
fn a_writable_last_backup_is_reported() -> Result<()> {
    everything_is_sent(changed(|at| each(at, |path| snapshot::set_read_only(path, false)))?, "was made writable")
}

#[test]
fn a_drive_without_its_token_is_refused() -> Result<()> {
    let mut scenario = changed(|at| {
        let tokens = fs::read_dir(at)?.flatten().map(|entry| entry.path());
        let token = |path: &PathBuf| path.to_string_lossy().contains(".butterdock-drive.");
        Ok(fs::remove_file(tokens.into_iter().find(token).context("a token")?)?)
    })?;
    scenario.plug()?;
    let drive = scenario.fixture.one("refused", |is| is.enrolled && !is.problem.is_empty())?;
    says(&drive.properties.problem, &["Blue", "has no token", "deleted or damaged", "forget it and enrol it again"])?;
    ensure!(!scenario.is_held()? && good(&scenario)? == 1, "{drive:?}");
    Ok(())
}
