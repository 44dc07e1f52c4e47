//! How many jobs run at the same time, and how they share the machine.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::{Load, Service, TIMEOUT, run};

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
