//! SIGKILL for a worker and for the daemon, and Cancel, at random moments of a backup.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::trees::Random;
use butterdock_tests::{InterruptDelay, Scenario, contains_all, no_options, rounds, seed, word};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where fewer of the blows hit, little was tried: then there are more rounds, up to [`MOST`].
const ENOUGH: usize = 2;
const MOST: u8 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Worker,
    Daemon,
    Cancel,
}

/// Backs up again and again, and never undisturbed.
fn storm(blow: Blow) -> Result<()> {
    let mut random = Random::new(seed(1)?);
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let grown = scenario.source.join("grown");
    let began = Instant::now();
    fs::write(&grown, vec![b'x'; 12 << 20])?;
    scenario.job("Backup", &no_options())?;
    let mut delay = InterruptDelay::within(began.elapsed());
    scenario.drive("safe", &DriveState::Safe)?;
    let mut hit = 0;
    for round in 0..MOST {
        if round >= rounds(3, 10) && hit >= ENOUGH {
            break;
        }
        fs::write(&grown, vec![round; 12 << 20])?;
        let before = scenario.good_backups()?;
        let job = scenario.start_backup()?;
        sleep(delay.next(&mut random));
        let state = strike(&mut scenario, blow, &job)?;
        let struck = state != "succeeded" && state != "missed";
        hit += usize::from(struck);
        delay.adjust(struck);
        (|| {
            if blow == Blow::Daemon {
                // The drive is there when the service comes: that is as good as a plug.
                scenario
                    .fixture
                    .client
                    .until("the backup of a new start", |_| Ok(scenario.good_backups()? > before))?;
            } else {
                scenario.drive("let go", &DriveState::Safe)?;
                scenario.nothing_is_incomplete()?;
                fs::write(scenario.source.join("small"), [round])?;
                let before = scenario.good_backups()?;
                scenario.unplug()?;
                scenario.plug()?;
                scenario.fixture.client.until("the backup of a new plug", |_| Ok(scenario.good_backups()? > before))?;
            }
            scenario.drive("safe", &DriveState::Safe)?;
            scenario.nothing_is_incomplete()?;
            ensure!(scenario.newest_is_the_source()?, "it was no increment");
            scenario.no_worker_is_left()
        })()
        .with_context(|| format!("{blow:?}, round {round}, {state}"))?;
    }
    ensure!(hit >= ENOUGH, "only {hit} of {MOST} blows fell while the job ran");
    scenario.standard_tools_read_it()
}

/// Answers how the job ended.
fn strike(scenario: &mut Scenario, blow: Blow, job: &str) -> Result<String> {
    match blow {
        Blow::Worker => {
            for worker in scenario.workers()? {
                kill(Pid::from_raw(worker.try_into()?), Signal::SIGKILL).ok();
            }
        }
        Blow::Daemon => {
            let daemon = scenario.fixture.daemon.take().context("it runs")?;
            let ran: String = scenario.fixture.client.get(job, JOB, "State")?;
            kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGKILL)?;
            drop(daemon);
            // What it had mounted stays so; its workers go with it.
            sleep(Duration::from_millis(20));
            scenario.fixture.start()?;
            // Had it ended in between, the history would say so.
            let id = job.rsplit('/').next().context("an id")?.replace('_', "-");
            let history = scenario.history("backup")?;
            let row = history.iter().find(|row| word(row, "id").replace('_', "-") == id);
            let row = row.with_context(|| format!("job {id} is not in the history: {history:?}"))?;
            let hit = ["running", "flushing"].contains(&ran.as_str()) && word(row, "result") != "succeeded";
            if hit {
                contains_all(
                    &word(row, "error_message"),
                    &["the service was killed before it recorded this job's end", "start the job again"],
                )?;
            }
            return Ok(if hit { "killed with the daemon" } else { "missed" }.to_owned());
        }
        Blow::Cancel => {
            // It may have ended.
            scenario.fixture.client.call(job, (JOB, "Cancel"), &no_options()).map(drop).unwrap_or_default();
        }
    }
    let (state, error, message) = scenario.end_of_backup(job)?;
    match (blow, state.as_str()) {
        (_, "succeeded") => {}
        (Blow::Cancel, "cancelled") => ensure!(error == "Cancelled", "{error} {message}"),
        (Blow::Worker, "failed") => {
            contains_all(&message, &["the worker was killed or crashed", "then start the job again"])?
        }
        _ => anyhow::bail!("{blow:?}: {state} {error} {message}"),
    }
    Ok(state)
}

#[test]
fn a_worker_killed_at_any_moment_leaves_nothing_incomplete() -> Result<()> {
    storm(Blow::Worker)
}

#[test]
fn a_daemon_killed_at_any_moment_leaves_nothing_incomplete() -> Result<()> {
    storm(Blow::Daemon)
}

#[test]
fn a_backup_cancelled_at_any_moment_leaves_nothing_incomplete() -> Result<()> {
    storm(Blow::Cancel)
}
