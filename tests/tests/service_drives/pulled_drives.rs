//! A drive that is pulled while files on it are read or restored.

use std::fs;
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::{DriveState, ErrorDetails};
use butterdock_tests::{Scenario, contains_all, names, no_options, wait_until, word};
use nix::sys::signal::{Signal, kill};

use super::files::Calls;
use super::restored_files::{into_tank, stopped_restore, with_a_large_file};

/// The job has failed because of the pull, nothing of it is left, and the drive is away and not mounted.
fn ended_by_the_pull(scenario: &Scenario, job: &str, device: &str) -> Result<()> {
    let end = scenario.fixture.client.end_of(job)?;
    ensure!(end == ("failed".to_owned(), "DeviceGone".to_owned()), "{end:?}");
    let body = scenario.fixture.client.call(job, (JOB, "GetErrorDetails"), &no_options())?.body();
    let details: ErrorDetails = body.deserialize()?;
    contains_all(&details.message, &["unplugged", "; "])?;
    scenario.no_worker_is_left()?;
    let (visible, hidden) = names(scenario.tank.path())?;
    ensure!(visible.is_empty() && hidden.is_empty(), "{visible:?} {hidden:?}");
    scenario.fixture.client.until("the drive is away", |_| {
        Ok(scenario.fixture.all_drives()?.iter().all(|drive| drive.properties.state == DriveState::Away))
    })?;
    let daemon = scenario.fixture.daemon.as_ref().context("it runs")?.id();
    let node = format!("/dev/{device}");
    wait_until("it is not mounted", || {
        let mounts = fs::read_to_string(format!("/proc/{daemon}/mountinfo"))?;
        Ok(!mounts.split([' ', '\n']).any(|word| word == node))
    })?;
    wait_until("the kernel gives it up", || Ok(scenario.loop_devices()?.is_empty()))
}

/// The drive is plugged in again, and the file is restored from it.
fn works_again(scenario: &mut Scenario) -> Result<()> {
    scenario.plug()?;
    scenario.drive("safe", &DriveState::Safe)?;
    let calls = Calls::new(scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let job = calls.begin_restore(&uuid, &[b"large"], &into_tank())?;
    scenario.succeeds(&job)?;
    let restored = fs::read(scenario.tank.join("back/large"))?;
    ensure!(restored == fs::read(scenario.source.join("large"))?, "it differs");
    scenario.drive("safe after it", &DriveState::Safe)?;
    ensure!(!scenario.is_held()?, "still mounted");
    let (_, hidden) = names(scenario.tank.path())?;
    ensure!(hidden.is_empty(), "{hidden:?}");
    Ok(())
}

/// The worker reads on, if `runs`.
fn pulled_during_a_restore(runs: bool) -> Result<()> {
    let mut scenario = with_a_large_file()?;
    let (job, worker) = stopped_restore(&scenario)?;
    let disk = scenario.disk.take().context("attached")?;
    let device = disk.name();
    if runs {
        disk.fail()?;
        kill(worker, Signal::SIGCONT)?;
    }
    disk.pull()?;
    ended_by_the_pull(&scenario, &job, &device)?;
    let history = scenario.history("restore-files")?;
    let last = history.first().context("it is in the history")?;
    ensure!(word(last, "result") == "failed" && word(last, "error_name").ends_with(".DeviceGone"), "{last:?}");
    works_again(&mut scenario)
}

#[test]
fn a_drive_pulled_during_a_restore_fails_it() -> Result<()> {
    pulled_during_a_restore(true)
}

#[test]
fn a_drive_pulled_while_its_worker_is_stopped_fails_the_restore() -> Result<()> {
    pulled_during_a_restore(false)
}

#[test]
fn a_drive_pulled_while_a_file_is_read_ends_the_content() -> Result<()> {
    let mut scenario = with_a_large_file()?;
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let (mut reader, job) = calls.open(&uuid, b"large")?;
    reader.read_exact(&mut [0; 4096])?;
    let disk = scenario.disk.take().context("attached")?;
    let device = disk.name();
    disk.pull()?;
    ended_by_the_pull(&scenario, &job, &device)?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    ensure!(rest.len() < 64 << 20, "the content is not cut off");
    works_again(&mut scenario)
}
