//! SIGTERM and the state that a daemon keeps; a restart of the bus.

use std::time::Duration;

use anyhow::{Result, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_dbus::{ErrorName, JobState};
use butterdock_tests::{Fuse, Load, Service, TIMEOUT, butterdockd, names, start, under_load, wait_until, workers};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// What the unit and the contract promise. The test waits longer, to tell a late end from a hang.
const PROMISED: Duration = Duration::from_secs(10);

#[test]
fn sigterm_ends_jobs_and_records_them() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let mut feeds = Vec::new();
    let mut jobs = Vec::new();
    for number in 0..12 {
        let (stream, feed) = load.pipe()?;
        let volume = if number % 2 == 0 { "tank" } else { "pool" };
        jobs.push(client.receive(volume, &stream)?);
        feed.up_to(load.bytes().len() / 2);
        feeds.push(feed);
    }
    for job in &jobs[..2] {
        client.until_job(job, "reads", |job| job.bytes_received > 0)?;
    }
    let session = fixture.pid();
    let began = std::time::Instant::now();
    let finished = fixture.stop()?;
    let took = began.elapsed();
    ensure!(finished.code() == 0, "ended with {}: {}", finished.code(), finished.err());
    ensure!(took < under_load(PROMISED), "it took {took:?}, and {PROMISED:?} are promised");
    ensure!(workers(session)?.is_empty(), "workers are left: {:?}", workers(session)?);
    for volume in ["tank", "pool"] {
        let (visible, hidden) = names(&fixture.path(volume))?;
        ensure!(visible.is_empty() && hidden.is_empty(), "{volume}: left {visible:?} {hidden:?}");
    }
    wait_until("every end was heard", || Ok(jobs.iter().all(|job| !client.completions(job).is_empty())))?;
    for job in &jobs {
        ensure!(client.completions(job) == ["cancelled"], "{:?}", client.completions(job));
    }
    fixture.start_daemon()?;
    for job in &jobs {
        let entry = client.history_of(job)?;
        ensure!(entry.result == "cancelled", "{entry:?}");
        ensure!(entry.error_name.as_deref() == Some(ErrorName::Cancelled.as_str()), "{entry:?}");
        ensure!(entry.end_time >= entry.start_time, "{entry:?}");
    }
    fixture.is_tidy(&client, "tank", &[])
}

#[test]
fn an_idle_daemon_ends_at_once_and_starts_again() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 5, 1);
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    let finished = fixture.stop()?;
    ensure!(finished.code() == 0, "ended with {}: {}", finished.code(), finished.err());
    ensure!(!client.has_owner(BUS_NAME)?, "somebody has its name");
    fixture.start_daemon()?;
    ensure!(client.history_of(&job)?.result == "succeeded", "forgotten");
    load.is_whole_in(&fixture.path("tank"))
}

/// A file whose reader waits for ever, as on a disk that hangs.
fn hang(path: &std::path::Path) -> Result<()> {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(())
}

#[test]
fn a_start_on_a_hung_disk_can_be_terminated() -> Result<()> {
    let mut fixture = Service::start()?;
    fixture.stop()?;
    let _hung = Fuse::hung(&fixture.join("state/jobs"))?;
    let mut command = std::process::Command::new(butterdockd()?);
    command.args(["serve", "--config"]).arg(fixture.join("butterdock.toml"));
    let mut daemon = start(command.env("BUTTERDOCK_BUS_ADDRESS", "unix:abstract=nobody"))?;
    std::thread::sleep(Duration::from_millis(500));
    ensure!(!daemon.has_ended()?, "it did not wait for the disk: this shows nothing");
    let began = std::time::Instant::now();
    daemon.signal(Signal::SIGTERM)?;
    let finished = daemon.finish(TIMEOUT)?;
    ensure!(finished.code() == 0, "ended with {}: {}", finished.code(), finished.err());
    ensure!(began.elapsed() < under_load(PROMISED), "it took {:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_start_on_a_hung_configuration_can_be_terminated() -> Result<()> {
    let mut fixture = Service::start()?;
    std::fs::remove_file(fixture.join("butterdock.toml"))?;
    hang(&fixture.join("butterdock.toml"))?;
    kill(Pid::from_raw(fixture.pid().try_into()?), Signal::SIGHUP)?;
    std::thread::sleep(Duration::from_millis(500));
    let began = std::time::Instant::now();
    let finished = fixture.stop()?;
    ensure!(finished.code() == 0, "ended with {}: {}", finished.code(), finished.err());
    ensure!(began.elapsed() < under_load(PROMISED), "it took {:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_bus_that_is_restarted_ends_no_job() -> Result<()> {
    let mut fixture = Service::start()?;
    let load = Load::new("s", 40, 1);
    let (stream, feed) = load.pipe()?;
    let client = fixture.client()?;
    let job = client.receive("tank", &stream)?;
    let (waiting, waiting_feed) = load.pipe()?;
    let queued = client.receive("tank", &waiting)?;
    feed.up_to(load.bytes().len() / 2);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    fixture.bus.restart()?;
    let client = fixture.client()?;
    wait_until("the service is on the new bus", || client.has_owner(BUS_NAME))?;
    ensure!(client.job(&job)?.state == JobState::Running, "{:?}", client.job(&job)?);
    ensure!(client.job(&queued)?.state == JobState::Queued, "{:?}", client.job(&queued)?);
    client.cancel(&queued)?;
    drop(waiting_feed);
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    ensure!(client.completions(&job) == ["succeeded"], "{:?}", client.completions(&job));
    // Once more, with nothing under way: what ended is still there.
    fixture.bus.restart()?;
    let client = fixture.client()?;
    wait_until("the service is on the third bus", || client.has_owner(BUS_NAME))?;
    ensure!(client.job(&job)?.state == JobState::Succeeded, "{:?}", client.job(&job)?);
    fixture.is_tidy(&client, "tank", &["s"])
}
