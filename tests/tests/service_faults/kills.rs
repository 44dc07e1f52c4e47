//! SIGKILL for the worker, the daemon and the client, at any moment.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::{ErrorName, JobState};
use butterdock_tests::trees::Random;
use butterdock_tests::{Client, Feed, Load, Service, names, rounds, snapshot, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many blows there are, and how many have to hit something at work.
fn kills() -> (u64, u32) {
    (rounds(8, 20), rounds(3, 8))
}

fn load() -> Load {
    Load::new("s0", 60, 7)
}

/// Gives the stream up to somewhere, and lets a moment pass: in a third of the rounds all of it, so that the end is hit too.
fn up_to_somewhere(feed: &Feed, load: &Load, random: &mut Random, round: u64) {
    let some = usize::try_from(random.below(load.bytes().len() as u64)).unwrap_or(0);
    feed.up_to(if round % 3 == 2 { load.bytes().len() } else { some });
    sleep(Duration::from_micros(random.below(60_000)));
}

/// What can be seen must be whole; then it is taken away. Answers whether it was there.
fn take_away(fixture: &Service, load: &Load) -> Result<bool> {
    let (visible, _) = names(&fixture.path("tank"))?;
    let whole = visible == [load.name()];
    ensure!(whole || visible.is_empty(), "there are {visible:?}");
    if whole {
        load.is_whole_in(&fixture.path("tank"))?;
        snapshot::delete(&fixture.path("tank").join(load.name()))?;
    }
    Ok(whole)
}

/// Whether a job is in what the service has on disk.
fn is_noted(fixture: &Service, job: &str) -> Result<bool> {
    let id = butterdock_dbus::path::job_id(job).context("a job's path")?;
    Ok(fixture.join(&format!("state/jobs/{id}.json")).exists())
}

fn whole_run(fixture: &mut Service, client: &Client, load: &Load) -> Result<()> {
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(client, "tank", &[load.name()])
}

#[test]
fn a_killed_worker_fails_its_job_once() -> Result<()> {
    let mut fixture = Service::start()?;
    let (client, load, mut random) = (fixture.client()?, load(), Random::new(1));
    let (mut killed, (kills, enough)) = (0, kills());
    for round in 0..kills {
        let (stream, feed) = load.pipe()?;
        let job = client.receive("tank", &stream)?;
        drop(stream);
        up_to_somewhere(&feed, &load, &mut random, round);
        for worker in fixture.workers()? {
            kill(Pid::from_raw(worker.try_into()?), Signal::SIGKILL).ok();
        }
        feed.finish();
        let end = client.end(&job)?;
        let there = take_away(&fixture, &load)?;
        match end.state {
            JobState::Succeeded => ensure!(there, "told as succeeded, and it is not there"),
            JobState::Queued | JobState::Running | JobState::Flushing | JobState::Failed | JobState::Cancelled => {
                ensure!(end.error_name == ErrorName::Failed.as_str(), "round {round}: {end:?}");
                // One that dies between publishing and telling leaves its work.
                killed += 1;
            }
        }
        fixture.is_tidy(&client, "tank", &[]).with_context(|| format!("round {round}"))?;
        ensure!(client.history_of(&job)?.result == end.state.to_string(), "round {round}: the history says otherwise");
    }
    ensure!(killed >= enough, "only {killed} of {kills} were killed at work: this shows little");
    whole_run(&mut fixture, &client, &load)
}

#[test]
fn a_killed_daemon_ends_its_workers_and_sweeps_later() -> Result<()> {
    let mut fixture = Service::start()?;
    let (client, load, mut random) = (fixture.client()?, load(), Random::new(2));
    let (mut unfinished, (kills, enough)) = (0, kills());
    for round in 0..kills {
        let (stream, feed) = load.pipe()?;
        let job = client.receive("tank", &stream)?;
        let queued = client.receive("tank", &stream)?;
        drop(stream);
        up_to_somewhere(&feed, &load, &mut random, round);
        fixture.kill().with_context(|| format!("round {round}"))?;
        let (noted, queue_noted) = (is_noted(&fixture, &job)?, is_noted(&fixture, &queued)?);
        drop(feed);
        let there = take_away(&fixture, &load)?;
        let before = client.completions(&job).len();
        fixture.start_daemon()?;
        fixture.is_tidy(&client, "tank", &[]).with_context(|| format!("round {round}, after the restart"))?;
        ensure!(client.jobs()?.is_empty(), "a restarted daemon shows jobs");
        // What was taken on a moment before the kill may not have been written down.
        ensure!(client.history_of(&queued).is_ok() == queue_noted, "round {round}: the job behind it: {queue_noted}");
        let entry = client.history_of(&job);
        ensure!(entry.is_ok() == noted, "round {round}: written down: {noted}, and then {entry:?}");
        let Ok(entry) = entry else { continue };
        let says = (entry.result.as_str(), entry.error_name.as_deref());
        match says {
            ("succeeded", None) => ensure!(there, "round {round}: remembered as succeeded, and it was not there"),
            ("failed", Some(name)) => {
                ensure!(name == ErrorName::Failed.as_str() && entry.error_message.is_some(), "{entry:?}");
                unfinished += 1;
            }
            _ => anyhow::bail!("round {round}: the history says {entry:?}"),
        }
        ensure!(client.completions(&job).len() == before, "the end was told by a daemon that did not see it");
    }
    ensure!(unfinished >= enough, "only {unfinished} of {kills} were killed at work: this shows little");
    whole_run(&mut fixture, &client, &load)
}

#[test]
fn a_killed_client_does_not_end_its_job() -> Result<()> {
    let mut fixture = Service::start()?;
    let (client, load, mut random) = (fixture.client()?, load(), Random::new(3));
    let (mut outlived, (kills, enough)) = (0, kills());
    for round in 0..kills {
        let (stream, feed) = load.pipe()?;
        let known = client.jobs()?;
        let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
        let mut program =
            command.stdin(stream).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("butterdock")?;
        // Its copy of the pipe ends with it, and with the command that it was started by.
        drop(command);
        let mut new = None;
        let seen = wait_until("the job is there", || {
            new = client.jobs()?.into_keys().find(|job| !known.contains_key(job));
            Ok(new.is_some())
        });
        if seen.is_ok() {
            up_to_somewhere(&feed, &load, &mut random, round);
        }
        program.kill()?;
        program.wait()?;
        seen?;
        let job = new.context("a job")?;
        outlived += u32::from(client.job(&job)?.state.result().is_none());
        feed.finish();
        client.ends_as(&job, &JobState::Succeeded).with_context(|| format!("round {round}"))?;
        ensure!(take_away(&fixture, &load)?, "round {round}: it is not there");
        fixture.is_tidy(&client, "tank", &[])?;
    }
    ensure!(outlived >= enough, "only {outlived} of {kills} jobs outlived their client: this shows little");
    ensure!(client.history()?.len() as u64 == kills, "the history is not whole");
    Ok(())
}
