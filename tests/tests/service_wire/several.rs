//! Several streams in one descriptor, and when their bytes are durable.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::{Recorder, Service, TANK, all_names, no_options, small, unfinished};

use crate::numbers::values;

#[test]
fn streams_in_one_descriptor_are_one_job() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let (one, two) = (small("one"), small("two"));
    let first = u64::try_from(one.bytes().len())?;
    let both = first + u64::try_from(two.bytes().len())?;
    let durable = |job: &str| client.get::<u64>(job, JOB, "BytesDurable");
    let received = |job: &str| client.get::<u64>(job, JOB, "BytesReceived");
    let (reader, mut writer) = std::io::pipe()?;
    let job = client.receive_with(&reader, &no_options())?;
    drop(reader);
    let (head, tail) = one.bytes().split_at(unfinished("one").bytes().len());
    writer.write_all(head)?;
    client.until("the first is read", |_| Ok(received(&job)? > 0))?;
    ensure!(durable(&job)? == 0, "durable while it is written");
    ensure!(!service.path(TANK).join("one").exists(), "named while it is written");
    writer.write_all(tail)?;
    client.until("the first is durable", |_| Ok(durable(&job)? > 0))?;
    ensure!(durable(&job)? == first, "{} of {first}", durable(&job)?);
    ensure!(service.path(TANK).join("one").exists(), "durable before it has its name");
    writer.write_all(unfinished("two").bytes())?;
    client.until("the second is read", |_| Ok(received(&job)? > first))?;
    ensure!(durable(&job)? == first && client.get::<String>(&job, JOB, "State")? == "running", "between the two");
    // What changes within a third of a second is told together.
    std::thread::sleep(Duration::from_millis(700));
    writer.write_all(&two.bytes()[unfinished("two").bytes().len()..])?;
    drop(writer);
    ensure!(client.end_of(&job)?.0 == "succeeded", "{:?}", client.end_of(&job)?);
    ensure!(durable(&job)? == both, "{} of {both}", durable(&job)?);
    let recording = recorder.finish(&client)?;
    ensure!(recording.jobs()? == [job.to_string()], "{:?}", recording.jobs()?);
    let told: Vec<u64> = values(&recording, &job, "BytesDurable")?;
    ensure!(told == [0, first, both], "{told:?}");
    Ok(())
}

#[test]
fn what_was_published_before_a_failure_stays_durable() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let one = small("one");
    let (reader, mut writer) = std::io::pipe()?;
    let job = client.receive_with(&reader, &no_options())?;
    drop(reader);
    writer.write_all(&[one.bytes(), unfinished("two").bytes()].concat())?;
    drop(writer);
    ensure!(client.end_of(&job)? == ("failed".to_owned(), "TruncatedStream".to_owned()), "{:?}", client.end_of(&job)?);
    ensure!(client.get::<u64>(&job, JOB, "BytesDurable")? == u64::try_from(one.bytes().len())?, "the first");
    let left = all_names(&service.path(TANK))?;
    ensure!(left == ["one"], "{left:?}");
    Ok(())
}
