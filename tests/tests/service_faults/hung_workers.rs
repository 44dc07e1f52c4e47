//! Drives and workers that hang, and the messages about them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Client, Frozen, Load, Service, moved_below, names, rounds, under_load, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn signal_workers(fixture: &Service, signal: Signal) -> Result<()> {
    for worker in fixture.workers()? {
        kill(Pid::from_raw(worker.try_into()?), signal).ok();
    }
    Ok(())
}

/// Checks that other volumes receive, and that every call is answered.
pub(crate) fn other_volumes_receive(fixture: &Service, client: &Client, name: &str) -> Result<()> {
    let (load, began) = (Load::new(name, 5, 1), Instant::now());
    let job = client.receive("pool", load.file(&fixture.join("other"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    ensure!(began.elapsed() < under_load(Duration::from_secs(10)), "it took {:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_stopped_worker_can_be_cancelled() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (job, _feed) = load.half(&client, "tank")?;
    signal_workers(&fixture, Signal::SIGSTOP)?;
    client.cancel(&job)?;
    ensure!(fixture.workers()?.is_empty(), "Cancel answered, and a worker is left");
    ensure!(names(&fixture.path("tank"))?.1.is_empty(), "Cancel answered, and something hidden is left");
    client.ends_as(&job, &JobState::Cancelled)?;
    fixture.is_tidy(&client, "tank", &[])
}

/// Nothing can be written to the volume itself: its worker cannot even be killed.
#[test]
fn a_worker_hung_in_the_kernel_blocks_only_its_volume() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (stream, feed) = load.pipe()?;
    let job = client.receive("tank", &stream)?;
    drop(stream);
    feed.up_to(load.bytes().len() / 4);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    let frozen = Frozen::new(&fixture.path("tank"))?;
    feed.up_to(load.bytes().len() / 2);
    other_volumes_receive(&fixture, &client, "p0")?;
    let refused = client.cancel(&job);
    ensure!(matches!(&refused, Err(Error::Named(ErrorName::Failed, text)) if text.contains("hangs")), "{refused:?}");
    let end = client.ends_as(&job, &JobState::Failed)?;
    ensure!(end.error_message.contains("stays busy until it ends"), "{end:?}");
    let again = client.try_receive("tank", load.file(&fixture.join("again"))?, &ReceiveOptions::default());
    ensure!(matches!(again, Err(Error::Named(ErrorName::Busy, _))), "{again:?}");
    other_volumes_receive(&fixture, &client, "p1")?;
    drop(frozen);
    drop(feed);
    wait_until("the worker is gone", || Ok(fixture.workers()?.is_empty()))?;
    wait_until("its place is given back", || {
        let job = client.try_receive("tank", load.file(&fixture.join("again"))?, &ReceiveOptions::default());
        job.map_or(Ok(false), |job| client.ends_as(&job, &JobState::Succeeded).map(|_| true))
    })?;
    fixture.is_tidy(&client, "tank", &["s0"])
}

/// Takes twenty seconds, the time after which the service answers the caller.
#[test]
fn a_slow_drive_is_reported_as_writing() -> Result<()> {
    let mut fixture = Service::with(&["below", "tank", "pool"], "")?;
    let _volume = moved_below(&mut fixture, "tank", "below")?;
    let client = fixture.client()?;
    wait_until("the volume is there again", || crate::unmounts::is_mounted(&client, "tank"))?;
    let load = Load::new("s0", 40, 1);
    let (job, feed) = load.half(&client, "tank")?;
    let frozen = Frozen::new(&fixture.path("below"))?;
    feed.finish();
    client.until_job(&job, "is written out", |job| job.state == JobState::Flushing)?;
    other_volumes_receive(&fixture, &client, "p0")?;
    let began = Instant::now();
    let told = client.cancel(&job);
    let text = "still writing data";
    ensure!(matches!(&told, Err(Error::Named(ErrorName::Busy, why)) if why.contains(text)), "{told:?}");
    ensure!(began.elapsed() < under_load(Duration::from_secs(25)), "callers do not wait for {:?}", began.elapsed());
    ensure!(client.job(&job)?.state == JobState::Flushing, "{:?}", client.job(&job)?);
    drop(frozen);
    let end = client.end(&job)?;
    let (seen, hidden) = names(&fixture.path("tank"))?;
    ensure!(hidden.is_empty(), "left hidden: {hidden:?}");
    if end.state == JobState::Succeeded {
        load.is_whole_in(&fixture.path("tank"))?;
    } else {
        ensure!(end.state == JobState::Cancelled && seen.is_empty(), "{end:?}, and there is {seen:?}");
    }
    wait_until("no worker is left", || Ok(fixture.workers()?.is_empty()))
}

/// The name exists, and the worker has not reported it: the error does not claim that nothing was left.
#[test]
fn a_kill_after_publication_reports_the_subvolume() -> Result<()> {
    let fixture = Service::start()?;
    let client = fixture.client()?;
    let mut seen = 0;
    for round in 0..40 {
        let load = Load::new(&format!("s{round}"), 40, round);
        let place = fixture.path("tank").join(load.name());
        let (job, feed) = load.half(&client, "tank")?;
        let workers = fixture.workers()?;
        feed.finish();
        while !place.exists() {
            std::hint::spin_loop();
        }
        for worker in workers {
            kill(Pid::from_raw(worker.try_into()?), Signal::SIGKILL).ok();
        }
        let end = client.end(&job)?;
        load.is_whole_in(&fixture.path("tank"))?;
        // Data that was reported as durable exists.
        if end.state == JobState::Failed && end.bytes_durable == 0 {
            seen += 1;
            ensure!(!end.error_message.contains("no incomplete"), "{}", end.error_message);
            ensure!(end.error_message.contains("is complete if it was"), "{}", end.error_message);
        }
        ensure!(names(&fixture.path("tank"))?.1.is_empty(), "something hidden is left");
        if seen == rounds(1, 3) {
            return Ok(());
        }
    }
    ensure!(seen > 0, "no worker was killed between the name and its word: this shows nothing");
    Ok(())
}
