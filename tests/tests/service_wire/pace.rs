//! The rate of signals.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::{Event, Recorder, Service, Stalled, file_of, no_options, small};

#[test]
fn a_jobs_properties_change_at_most_four_times_a_second() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    // Many subvolumes: each has several phases, and makes bytes durable.
    let all: Vec<u8> = (0..100).flat_map(|number| small(&format!("sub{number}")).bytes().to_vec()).collect();
    let job = client.receive_with(file_of(&all)?, &no_options())?;
    ensure!(client.end_of(&job)?.0 == "succeeded", "{:?}", client.end_of(&job)?);
    let recording = recorder.finish(&client)?;
    let scenario = recording.events_of(&job)?;
    let times: Vec<Instant> =
        scenario.iter().filter(|moment| matches!(moment.event, Event::Changed(_))).map(|moment| moment.at).collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { anyhow::bail!("nothing changed") };
    let allowed = (last.duration_since(*first).as_millis() * 4).div_ceil(1000) + 1;
    ensure!(times.len() as u128 <= allowed, "{} changes, {allowed} are allowed", times.len());
    for five in times.windows(5) {
        let [first, .., last] = five else { continue };
        // A second, and less for what a busy machine delays on the way.
        ensure!(
            last.duration_since(*first) >= Duration::from_millis(600),
            "five within {:?}",
            last.duration_since(*first)
        );
    }
    Ok(())
}

#[test]
fn no_change_emits_no_signal() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    client.until("the rate is nothing", |client| Ok(client.get::<u64>(&stalled.job, JOB, "Rate")? == 0))?;
    std::thread::sleep(Duration::from_millis(500));
    let recorder = Recorder::start(&service.bus)?;
    std::thread::sleep(Duration::from_secs(2));
    // Whoever reads does not make anybody speak.
    client.get::<u64>(&stalled.job, JOB, "BytesReceived")?;
    let recording = recorder.finish(&client)?;
    ensure!(!recording.is_empty(), "the recorder heard nothing at all");
    let said: Vec<String> =
        recording.broadcasts().map(ToString::to_string).filter(|text| text.contains("butterdock")).collect();
    ensure!(said.is_empty(), "{said:?}");
    Ok(())
}
