//! Common helpers: random choices, starting a job without waiting, and checking leftovers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::ErrorDetails;
use butterdock_dbus::names::interface::{DRIVE, JOB};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::Random;
use butterdock_tests::{Receiver, Scenario, TIMEOUT, names, no_options, run, seed, wait_until, word};
use zbus::OwnedObjectPath;

/// Chance, whose seed is shown where a test fails.
pub(super) fn chance() -> Result<Random> {
    Ok(Random::new(seed(1)?))
}

/// Begins a backup and answers its job.
pub(super) fn begin(scenario: &Scenario) -> Result<String> {
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    let body = scenario.fixture.client.call(&drive.path, (DRIVE, "Backup"), &no_options())?.body();
    Ok(body.deserialize::<OwnedObjectPath>()?.to_string())
}

/// How a job ended: its state, the error without its prefix, and what a person who may know names is told. What everybody
/// is told says what to do next and names no file.
pub(super) fn end(scenario: &Scenario, job: &str) -> Result<(String, String, String)> {
    let (state, error) = scenario.fixture.client.end_of(job)?;
    let everybody: String = scenario.fixture.client.get(job, JOB, "ErrorMessage")?;
    if state == "failed" {
        is_for_a_person(&everybody)?;
        ensure!(!everybody.contains('/'), "a name for everybody: {everybody}");
    }
    let details = scenario.fixture.client.call(job, (JOB, "GetErrorDetails"), &no_options())?.body();
    let message = details.deserialize::<ErrorDetails>()?.message;
    if state == "failed" {
        says(&message, &["the backup \"home\" to the drive \"Blue\": "])?;
    }
    Ok((state, error, message))
}

/// That a message says what happened, and then what to do next.
pub(super) fn is_for_a_person(message: &str) -> Result<()> {
    ensure!(message.contains("; "), "for a person: {message:?}");
    Ok(())
}

/// That a message has all these words.
pub(super) fn says(message: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
    ensure!(missing.is_empty(), "not said: {missing:?} in {message:?}");
    Ok(())
}

/// How many backups of the history have succeeded.
pub(super) fn good(scenario: &Scenario) -> Result<usize> {
    Ok(scenario.history("backup")?.iter().filter(|row| word(row, "result") == "succeeded").count())
}

/// The folder of the source's snapshots.
pub(super) fn folder(scenario: &Scenario) -> PathBuf {
    scenario.pool.join("snapshots-home")
}

/// The processes that the service has started and not yet buried.
pub(super) fn workers(scenario: &Scenario) -> Result<Vec<i32>> {
    let id = scenario.fixture.daemon.as_ref().context("it runs")?.id();
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
    }
    Ok(all)
}

/// That whatever can be seen on either side is whole.
pub(super) fn nothing_half_made(scenario: &Scenario) -> Result<()> {
    let (mine, _) = names(&folder(scenario))?;
    for name in &mine {
        ensure!(snapshot::show(&folder(scenario).join(name))?.read_only, "{name} beside the source is writable");
    }
    scenario.on_drive(|all| {
        for path in all {
            let name = path.file_name().context("a name")?.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let shown = snapshot::show(path)?;
            ensure!(shown.read_only && shown.received_uuid != "-", "{name} on the drive: {shown:?}");
        }
        Ok(())
    })
}

/// That the newest on the drive is what the source is now, that nothing hidden is left, and whether it was an increment.
pub(super) fn newest_is_the_source(scenario: &Scenario) -> Result<bool> {
    let (_, hidden) = names(&folder(scenario))?;
    ensure!(hidden.is_empty(), "hidden beside the source: {hidden:?}");
    let source = Tree::read(&scenario.source)?;
    scenario.on_drive(|all| {
        let hidden: Vec<_> = all.iter().filter(|path| path.to_string_lossy().contains("/.")).collect();
        ensure!(hidden.is_empty(), "hidden on the drive: {hidden:?}");
        let newest = all.last().context("nothing on the drive")?;
        same("the newest on the drive", &source, &Tree::read(newest)?, Rules::SOURCE_OF_INCREMENT)?;
        Ok(snapshot::show(newest)?.parent_uuid != "-")
    })
}

/// That the standard tools send what is on the drive, and receive it elsewhere.
pub(super) fn standard_tools_read_it(scenario: &Scenario) -> Result<()> {
    let stream = scenario.fixture.sandbox.join("standard");
    scenario.on_drive(|all| {
        let newest = all.last().context("nothing on the drive")?;
        snapshot::send(Proto::Two, None, newest, &stream)?;
        Receiver::Standard.receive(&stream, scenario.tank.path())?;
        let there = scenario.tank.join(newest.file_name().context("a name")?);
        same("by the standard tools", &Tree::read(newest)?, &Tree::read(&there)?, Rules::SOURCE_OF_INCREMENT)?;
        snapshot::delete(&there)
    })?;
    Ok(fs::remove_file(stream)?)
}

/// The loop devices over an image of the test's.
pub(super) fn loops(scenario: &Scenario) -> Result<Vec<String>> {
    let images = scenario.fixture.sandbox.join("");
    let listed = run(Command::new("losetup").args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"]), TIMEOUT)?;
    let listed = listed.success()?.out();
    let ours = listed.lines().filter(|line| line.contains(&*images.to_string_lossy()) && line.contains(".img"));
    let mut all: Vec<String> =
        ours.filter_map(|line| Some(line.split_whitespace().next()?.trim_start_matches("/dev/").to_owned())).collect();
    all.sort();
    Ok(all)
}

/// Waits until the service has no process beside itself.
pub(super) fn no_worker_is_left(scenario: &Scenario) -> Result<()> {
    wait_until("no worker is left", || Ok(workers(scenario)?.is_empty()))
}
