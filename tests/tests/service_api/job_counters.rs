//! Counters never go back; several streams in one descriptor, and when their bytes are durable.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::wire::Stream;
use butterdock_tests::{Event, Recorder, Recording, Service, TANK, all_names, no_options, small, unfinished};
use zbus::OwnedVariant;

/// Never less than before.
const GROWING: [&str; 4] = ["BytesReceived", "BytesDurable", "EncodedWrites", "FallbackWrites"];
/// Set before the work; they do not change after that.
const FIXED: [&str; 2] = ["BytesTotal", "TotalSource"];

/// Every value of one property, in order; the first is that of `InterfacesAdded`.
pub(crate) fn values<T>(recording: &Recording, job: &str, property: &str) -> Result<Vec<T>>
where
    T: TryFrom<OwnedVariant>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let mut all = Vec::new();
    let mut take = |told: &HashMap<String, OwnedVariant>| -> Result<()> {
        if let Some(value) = told.get(property) {
            all.push(T::try_from(value.try_clone()?)?);
        }
        Ok(())
    };
    for moment in recording.events_of(job)? {
        match &moment.event {
            Event::Added(told) | Event::Changed(told) => take(told)?,
            Event::Replied | Event::Completed(..) | Event::Removed => {}
        }
    }
    Ok(all)
}

#[test]
fn progress_and_counters_never_go_back_and_are_always_numbers() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let mut stream = unfinished("sub");
    for number in 0..60 {
        let zeros = zstd::bulk::compress(&[0; 131_072], 3)?;
        stream = stream.encoded("d/f", (number + 1) << 17, (1 << 17, 1 << 17, 0), 2, zeros);
    }
    let bytes = stream.end().bytes().to_vec();
    let (reader, mut writer) = std::io::pipe()?;
    let mut options = no_options();
    let total = u64::try_from(bytes.len())?;
    options.insert("total", total.into());
    let job = client.receive_with(&reader, &options)?;
    drop(reader);
    for part in bytes.chunks(bytes.len() / 40) {
        writer.write_all(part)?;
        std::thread::sleep(Duration::from_millis(30));
    }
    drop(writer);
    ensure!(client.end_of(&job)?.0 == "succeeded", "{:?}", client.end_of(&job)?);
    let recording = recorder.finish(&client)?;
    for property in GROWING {
        let all: Vec<u64> = values(&recording, &job, property)?;
        ensure!(all.is_sorted() && all.first() == Some(&0), "{property}: {all:?}");
    }
    for property in FIXED {
        let told = recording.events_of(&job)?.len();
        let all = recording.events_of(&job)?.into_iter().filter(|moment| match &moment.event {
            Event::Changed(changed) => changed.contains_key(property),
            Event::Added(_) | Event::Replied | Event::Completed(..) | Event::Removed => false,
        });
        ensure!(all.count() == 0, "{property} changed, among {told}");
    }
    let received: Vec<u64> = values(&recording, &job, "BytesReceived")?;
    ensure!(received.len() > 3 && received.last() == Some(&total), "too few steps to tell: {received:?}");
    let progress: Vec<f64> = values(&recording, &job, "Progress")?;
    ensure!(progress.iter().all(|share| (0.0..=1.0).contains(share)), "{progress:?}");
    ensure!(progress.is_sorted() && progress.last() == Some(&1.0), "{progress:?}");
    let written: Vec<u64> = values(&recording, &job, "EncodedWrites")?;
    ensure!(written.last() == Some(&60), "{written:?}");
    Ok(())
}

#[test]
fn a_job_without_a_total_has_no_progress_that_is_not_a_number() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let (reader, writer) = std::io::pipe()?;
    let job = client.receive_with(&reader, &no_options())?;
    // Not a single byte comes.
    drop((reader, writer));
    let (state, error) = client.end_of(&job)?;
    ensure!(state == "failed", "{state} {error}");
    let mut options = no_options();
    options.insert("total", 1_u64.into());
    let (reader, mut writer) = std::io::pipe()?;
    let longer = client.receive_with(&reader, &options)?;
    drop(reader);
    writer.write_all(Stream::new(2).subvol("longer").end().bytes())?;
    drop(writer);
    ensure!(client.end_of(&longer)?.0 == "succeeded", "more came than was said");
    let recording = recorder.finish(&client)?;
    for job in [&job, &longer] {
        let progress: Vec<f64> = values(&recording, job, "Progress")?;
        ensure!(progress.iter().all(|share| (0.0..=1.0).contains(share)), "{progress:?}");
        let first = recording.events_of(job)?.into_iter().next().context("InterfacesAdded")?;
        ensure!(matches!(first.event, Event::Added(told) if told.contains_key("Progress")), "{job}");
    }
    let valid: Vec<bool> = values(&recording, &job, "ProgressValid")?;
    ensure!(valid == [false], "{valid:?}");
    let progress: Vec<f64> = values(&recording, &job, "Progress")?;
    ensure!(progress == [0.0], "of an unknown total: {progress:?}");
    Ok(())
}

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
    // Changes within a third of a second come in one signal.
    recorder.until("the signal between the two", |recording| {
        Ok(values::<u64>(recording, &job, "BytesDurable")?.contains(&first))
    })?;
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
fn subvolumes_published_before_a_failure_stay_durable() -> Result<()> {
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
