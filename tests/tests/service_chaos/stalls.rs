//! A stream whose writer stalls.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::{Load, Service, names, wait_until};

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
