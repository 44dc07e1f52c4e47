//! A client that exceeds every limit.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Load, Service, descriptors, memory, names, wait_until};

/// A daemon with a hundred jobs stays below this, in KiB, also one built without optimisation.
const MOST: u64 = 64 << 10;

#[test]
fn a_thousand_receives_of_one_client_are_limited() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "[queue]\nmax = 150\nmax_per_user = 100\n")?;
    let (greedy, other) = (fixture.client()?, fixture.client()?);
    let before = descriptors(fixture.pid())?;
    // Their writer never says anything.
    let (stream, writer) = std::io::pipe()?;
    let mut jobs = Vec::new();
    let mut refused = 0;
    for number in 0..1000 {
        match greedy.try_receive("tank", &stream, &ReceiveOptions::default()) {
            Ok(job) => jobs.push(job),
            Err(Error::Named(ErrorName::Busy, sentence)) => {
                ensure!(sentence.contains("100 of your jobs"), "{sentence}");
                refused += 1;
            }
            Err(error) => anyhow::bail!("receive {number}: {error:?}"),
        }
        if number % 100 == 0 {
            ensure!(other.jobs()?.len() == jobs.len(), "not every job is shown");
        }
    }
    drop(stream);
    ensure!((jobs.len(), refused) == (100, 900), "{} were taken and {refused} refused", jobs.len());
    let now = memory(fixture.pid())?;
    ensure!(now.peak < MOST, "{} KiB resident with a hundred jobs", now.peak);
    let held = descriptors(fixture.pid())?.saturating_sub(before);
    ensure!(held < 130, "{held} descriptors for a hundred jobs: those of refused receives are kept");
    ensure!(fixture.workers()?.len() == 1, "one volume has {} writers", fixture.workers()?.len());

    let load = Load::new("s0", 10, 1);
    for job in &jobs[90..] {
        greedy.cancel(job)?;
    }
    let job = other.receive("pool", load.file(&fixture.join("stream"))?)?;
    other.ends_as(&job, &JobState::Succeeded).context("another volume beside the flood")?;
    for job in &jobs[..90] {
        greedy.cancel(job)?;
    }
    wait_until("every end was heard", || Ok(jobs.iter().all(|job| !greedy.completions(job).is_empty())))?;
    for job in &jobs {
        ensure!(greedy.completions(job) == ["cancelled"], "{:?}", greedy.completions(job));
    }
    ensure!(other.jobs()?.len() == 50, "more ended jobs than fifty are shown: {}", other.jobs()?.len());
    drop(writer);
    let (_, hidden) = names(&fixture.path("tank"))?;
    ensure!(hidden.is_empty(), "{hidden:?}");
    fixture.is_tidy(&other, "tank", &[])?;
    wait_until("all descriptors are closed", || Ok(descriptors(fixture.pid())? <= before + 4))
}

#[test]
fn descriptors_that_cannot_be_streams_are_refused() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let before = descriptors(fixture.pid())?;
    let (_reader, writer) = std::io::pipe()?;
    for _ in 0..50 {
        let folder = std::fs::File::open(fixture.join("tank"))?;
        for refused in [
            client.try_receive("tank", &folder, &ReceiveOptions::default()),
            client.try_receive("tank", &writer, &ReceiveOptions::default()),
        ] {
            ensure!(matches!(refused, Err(Error::InvalidArgs(_))), "{refused:?}");
        }
    }
    wait_until("all of them are closed", || Ok(descriptors(fixture.pid())? <= before + 1))?;
    ensure!(client.jobs()?.is_empty(), "jobs were made");
    fixture.is_tidy(&client, "tank", &[])
}
