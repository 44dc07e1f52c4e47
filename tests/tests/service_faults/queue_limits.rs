//! Limits of the queue: jobs that run at the same time, and a client that exceeds every limit.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Load, Service, TIMEOUT, descriptors, memory, names, run, wait_until};

#[test]
fn max_jobs_limits_jobs_on_many_volumes() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool", "attic"], "max_jobs = 2\n")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 10, 1);
    let (first, feed) = load.half(&client, "tank")?;
    let (second, other) = load.half(&client, "pool")?;
    let (stream, rest) = load.pipe()?;
    rest.up_to(load.bytes().len());
    let waiting = client.receive("attic", &stream)?;
    drop(stream);
    // Everything is there that it needs, but a turn.
    sleep(Duration::from_millis(500));
    let states = [&first, &second, &waiting].map(|job| client.job(job).map(|job| job.state));
    let [Ok(JobState::Running), Ok(JobState::Running), Ok(JobState::Queued)] = states else {
        anyhow::bail!("with max_jobs = 2: {states:?}")
    };
    ensure!(fixture.workers()?.len() == 2, "{:?}", fixture.workers()?);
    feed.finish();
    client.ends_as(&first, &JobState::Succeeded)?;
    rest.finish();
    client.ends_as(&waiting, &JobState::Succeeded)?;
    ensure!(client.job(&second)?.state == JobState::Running, "it ended for another");
    other.finish();
    client.ends_as(&second, &JobState::Succeeded)?;
    fixture.is_tidy(&client, "attic", &[load.name()])
}

#[test]
fn a_worker_has_the_priorities_that_the_configuration_names() -> Result<()> {
    for (settings, nice, io) in [
        ("[worker]\nnice = 7\nio_class = \"best-effort\"\nio_priority = 3\n", "7", "best-effort: prio 3"),
        ("[worker]\nnice = 15\nio_class = \"idle\"\n", "15", "idle"),
        ("", "10", "best-effort: prio 6"),
    ] {
        let mut fixture = Service::with(&["tank"], settings)?;
        let client = fixture.client()?;
        let load = Load::new("s0", 5, 1);
        let (job, feed) = load.half(&client, "tank")?;
        let worker = fixture.workers()?.first().context("a worker")?.to_string();
        // Each writer thread is a thread, and has them too.
        let threads = std::fs::read_dir(format!("/proc/{worker}/task"))?;
        for thread in threads.collect::<Result<Vec<_>, _>>()? {
            let stat = std::fs::read_to_string(thread.path().join("stat"))?;
            // proc_pid_stat(5): nice is the nineteenth, and the third follows the name in brackets.
            let (_, rest) = stat.rsplit_once(") ").context("a name in brackets")?;
            ensure!(rest.split(' ').nth(16) == Some(nice), "with {settings:?}: {stat}");
            let number = thread.file_name().to_string_lossy().into_owned();
            let said = run(Command::new("ionice").args(["-p", &number]), TIMEOUT)?.success()?;
            ensure!(said.out().trim() == io, "with {settings:?}: {}", said.out());
        }
        feed.finish();
        client.ends_as(&job, &JobState::Succeeded)?;
        fixture.is_tidy(&client, "tank", &[load.name()])?;
    }
    Ok(())
}

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
