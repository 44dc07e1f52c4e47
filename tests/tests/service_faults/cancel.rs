//! Cancel returns when the job has ended.

use anyhow::{Result, ensure};
use butterdock_dbus::{Error, ErrorName, JobState};
use butterdock_tests::trees::Random;
use butterdock_tests::{Load, Service, names, rounds, snapshot};

#[test]
fn cancelling_a_queued_job_keeps_the_running_one() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let (load, later) = (Load::new("s0", 30, 1), Load::new("s1", 30, 2));
    let (running, feed) = load.half(&client, "tank")?;
    let (stream, fed) = later.pipe()?;
    let queued = client.receive("tank", &stream)?;
    drop(stream);
    ensure!(client.job(&queued)?.state == JobState::Queued, "two write to one volume");
    client.cancel(&queued)?;
    let end = client.ends_as(&queued, &JobState::Cancelled)?;
    ensure!(end.error_name == ErrorName::Cancelled.as_str() && !end.cancelable, "{end:?}");
    drop(fed);
    let again = client.cancel(&queued);
    ensure!(matches!(again, Err(Error::Named(ErrorName::Failed, _))), "cancelled twice: {again:?}");
    feed.finish();
    client.ends_as(&running, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(&client, "tank", &["s0"])
}

#[test]
fn cancel_returns_when_a_running_job_is_gone() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let (load, mut random) = (Load::new("s0", 60, 1), Random::new(4));
    let (mut cancelled, cancels) = (0, rounds(8, 20_u64));
    for round in 0..cancels {
        let (stream, feed) = load.pipe()?;
        let job = client.receive("tank", &stream)?;
        drop(stream);
        let some = usize::try_from(random.below(load.bytes().len() as u64))?;
        feed.up_to(if round % 3 == 2 { load.bytes().len() } else { some });
        std::thread::sleep(std::time::Duration::from_micros(random.below(60_000)));
        let answer = client.cancel(&job);
        let (workers, (visible, hidden)) = (fixture.workers()?, names(&fixture.path("tank"))?);
        ensure!(workers.is_empty(), "round {round}: Cancel answered, and {workers:?} are left");
        ensure!(hidden.is_empty(), "round {round}: Cancel answered, and {hidden:?} is left");
        let end = client.end(&job)?;
        match (answer, &end.state) {
            // A descriptor may hold several streams: what came whole before is published, and stays.
            (Ok(()), JobState::Cancelled) if !visible.is_empty() => {
                ensure!(end.bytes_durable == load.bytes().len() as u64, "round {round}: seen and not durable: {end:?}");
            }
            (Ok(()), JobState::Cancelled) => {
                ensure!(end.bytes_durable == 0, "round {round}: {end:?}");
                cancelled += 1;
            }
            (Err(Error::Named(ErrorName::Failed, _)), JobState::Succeeded) => {}
            other => anyhow::bail!("round {round}: {other:?}"),
        }
        if !visible.is_empty() {
            load.is_whole_in(&fixture.path("tank"))?;
            snapshot::delete(&fixture.path("tank").join("s0"))?;
        }
    }
    ensure!(cancelled * 5 >= cancels * 2, "only {cancelled} of {cancels} were cancelled at work: this shows little");
    fixture.is_tidy(&client, "tank", &[])
}

#[test]
fn the_second_of_two_jobs_with_one_name_fails() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let (first, second) = (Load::new("s0", 30, 1), Load::new("s0", 30, 2));
    let one = client.receive("tank", first.file(&fixture.join("one"))?)?;
    let two = client.receive("tank", second.file(&fixture.join("two"))?)?;
    client.ends_as(&one, &JobState::Succeeded)?;
    let end = client.ends_as(&two, &JobState::Failed)?;
    ensure!(end.error_name == ErrorName::Exists.as_str(), "{end:?}");
    ensure!(!end.error_message.contains("s0"), "everybody reads a name: {}", end.error_message);
    first.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(&client, "tank", &["s0"])
}
