//! Streams that stall, are too slow or take too long, and streams that do not.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::{ErrorName, JobProperties, JobState};
use butterdock_tests::{
    Client, Feed, Frozen, Load, Rules, Service, answer, as_nobody, names, no_options, python, unfinished, wait_until,
};

/// A stream has to bring a KiB a second over two seconds of waiting for it.
const SHORT: &str = "[streams]\nrate_window = \"2s\"\n";

fn is_too_slow(end: &JobProperties) -> Result<()> {
    ensure!(end.error_name == ErrorName::TooSlow.as_str(), "{end:?}");
    let text = &end.error_message;
    for words in ["the stream was too slow", "1 KiB/s", "no incomplete", "least_rate", "[streams]"] {
        ensure!(text.contains(words), "{words:?} is not in {text:?}");
    }
    Ok(())
}

/// A byte, and the next when that one was counted, until the job is over: four a second.
fn trickle(client: &Client, job: &str, feed: &Feed, from: usize) -> Result<()> {
    for byte in from.. {
        feed.up_to(byte);
        let came = u64::try_from(byte)?;
        let now =
            client.until_job(job, "counts it", |job| job.bytes_received >= came || job.state == JobState::Failed)?;
        if now.state == JobState::Failed {
            break;
        }
    }
    Ok(())
}

#[test]
fn streams_that_stall_or_trickle_end_as_too_slow() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool", "attic"], SHORT)?;
    let client = fixture.client()?;
    let load = Load::new("s0", 20, 1);
    let (stalled, _feed) = load.half(&client, "tank")?;
    let (trickling, slow) = load.half(&client, "pool")?;
    // One that never begins.
    let (stream, _writer) = std::io::pipe()?;
    let silent = client.receive("attic", &stream)?;
    drop(stream);
    trickle(&client, &trickling, &slow, load.bytes().len() / 2 + 1)?;
    for job in [&stalled, &trickling, &silent] {
        is_too_slow(&client.ends_as(job, &JobState::Failed)?)?;
    }
    // Their volumes are free again.
    for volume in ["tank", "pool", "attic"] {
        let next = Load::new("next", 5, 2);
        let job = client.receive(volume, next.file(&fixture.join("next"))?)?;
        client.ends_as(&job, &JobState::Succeeded)?;
        fixture.is_tidy(&client, volume, &["next"])?;
    }
    Ok(())
}

/// The one beside it shows that time enough went by.
#[test]
fn a_stalled_volume_makes_no_stream_too_slow() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], SHORT)?;
    let client = fixture.client()?;
    // More than is read ahead.
    let load = Load::new("s0", 600, 1);
    let (stream, feed) = load.pipe()?;
    let job = client.receive("tank", &stream)?;
    drop(stream);
    feed.up_to(load.bytes().len() / 100);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    let frozen = Frozen::new(&fixture.path("tank"))?;
    feed.up_to(load.bytes().len());
    client.until_job(&job, "has no rate any more", |job| job.rate == 0)?;
    let (beside, _stalled) = Load::new("p0", 20, 2).half(&client, "pool")?;
    is_too_slow(&client.ends_as(&beside, &JobState::Failed)?)?;
    ensure!(client.job(&job)?.state == JobState::Running, "{:?}", client.job(&job)?);
    drop(frozen);
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(&client, "tank", &["s0"])
}

#[test]
fn time_limit_ends_a_users_stream_but_not_roots() -> Result<()> {
    let service = Service::with_polkit(&Rules::Allow)?;
    let text = std::fs::read_to_string(service.sandbox.join("butterdock.toml"))?;
    let limits = "[streams]\nleast_rate = \"0B/s\"\ntime_limit = \"1s\"\n";
    let other = service.sandbox.plain_volume("pool")?;
    let text = format!("{text}\n[[volume]]\nname = \"pool\"\npath = {:?}\n{limits}", other.path());
    std::fs::write(service.sandbox.join("butterdock.toml"), text)?;
    let client = service.client()?;
    client.call(ROOT, (MANAGER, "Reload"), &no_options())?;

    let stalled = butterdock_tests::Stalled::start(&client, "roots")?;
    let (reader, mut writer) = std::io::pipe()?;
    std::io::Write::write_all(&mut writer, unfinished("theirs").bytes())?;
    let mut command = python("call.py", &service.bus)?;
    command.args([ROOT, MANAGER, "Receive", "s:pool", "h:0", "o:{}"]);
    let said = answer(as_nobody(&command).stdin(reader))?;
    let theirs = said["answer"].as_str().with_context(|| said.to_string())?;
    ensure!(client.end_of(theirs)? == ("failed".to_owned(), "TooSlow".to_owned()), "{:?}", client.end_of(theirs)?);
    let message: String = client.get(theirs, JOB, "ErrorMessage")?;
    ensure!(message.contains("longer than 1 second") && message.contains("time_limit"), "{message}");
    let state: String = client.get(&stalled.job, JOB, "State")?;
    ensure!(state == "running", "root's: {state}");
    client.call(stalled.job.as_str(), (JOB, "Cancel"), &no_options())?;
    Ok(())
}

#[test]
fn a_stalled_stream_blocks_no_other_volume() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (silent, feed) = load.half(&client, "tank")?;

    for number in 0..3 {
        let other = Load::new(&format!("p{number}"), 20, number);
        let job = client.receive("pool", other.file(&fixture.join("other"))?)?;
        client.ends_as(&job, &JobState::Succeeded)?;
        other.is_whole_in(&fixture.path("pool"))?;
    }
    let job = client.until_job(&silent, "has no rate any more", |job| job.rate == 0)?;
    ensure!(job.state == JobState::Running && job.expected_end_time == 0, "{job:?}");

    ensure!(fixture.workers()?.len() == 1, "the silent worker is not there");
    client.cancel(&silent)?;
    ensure!(fixture.workers()?.is_empty(), "Cancel answered, and a worker is left: {:?}", fixture.workers()?);
    let (_, hidden) = names(&fixture.path("tank"))?;
    ensure!(hidden.is_empty(), "Cancel answered, and {hidden:?} is left");
    client.ends_as(&silent, &JobState::Cancelled)?;
    drop(feed);
    fixture.is_tidy(&client, "tank", &[])?;
    fixture.is_tidy(&client, "pool", &["p0", "p1", "p2"])
}

#[test]
fn a_stream_that_never_starts_can_be_cancelled() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let (stream, writer) = std::io::pipe()?;
    let job = client.receive("tank", &stream)?;
    drop(stream);
    client.until_job(&job, "runs", |job| job.state == JobState::Running)?;
    wait_until("its worker is there", || Ok(!fixture.workers()?.is_empty()))?;
    sleep(Duration::from_millis(100));
    client.cancel(&job)?;
    ensure!(fixture.workers()?.is_empty(), "a worker is left");
    client.ends_as(&job, &JobState::Cancelled)?;
    let error = std::io::Write::write_all(&mut &writer, b"x").expect_err("nobody reads");
    ensure!(error.kind() == std::io::ErrorKind::BrokenPipe, "{error}");
    fixture.is_tidy(&client, "tank", &[])
}
