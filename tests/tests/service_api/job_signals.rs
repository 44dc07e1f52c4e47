//! The order and the rate of a job's signals.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_tests::{
    Event, Moment, Recorder, Recording, Service, Stalled, TANK, all_names, file_of, no_options, small,
};

/// That a job's story is in order, and that its last words are these. Answers whether its object was removed.
fn check(recording: &Recording, job: &str, result: &str) -> Result<bool> {
    let scenario = recording.events_of(job)?;
    let words: String = scenario.iter().map(|moment| letter(&moment.event)).collect();
    let once = |letter: char| words.matches(letter).count() == 1;
    let at = |letter: char| words.find(letter).with_context(|| format!("no {letter} in {words}"));
    ensure!(once('A') && once('R') && once('E'), "{job}: not exactly once: {words}");
    ensure!(words.starts_with('A'), "{job}: something was told of it before InterfacesAdded: {words}");
    ensure!(at('A')? < at('R')?, "{job}: the reply came before InterfacesAdded: {words}");
    let (last_change, end) = (words.rfind('c').with_context(|| format!("{job}: no change: {words}"))?, at('E')?);
    ensure!(last_change < end, "{job}: PropertiesChanged after Completed: {words}");
    let removed = words.find('X');
    ensure!(removed.is_none_or(|gone| gone > end && gone + 1 == words.len()), "{job}: removed too early: {words}");
    let mut state = String::new();
    for Moment { event, .. } in &scenario {
        match event {
            Event::Changed(changed) => {
                if let Some(told) = changed.get("State") {
                    state = String::try_from(told.try_clone()?)?;
                }
            }
            Event::Completed(told, _) => ensure!(told == result && state == result, "{job}: {told} after {state}"),
            Event::Added(_) | Event::Replied | Event::Removed => {}
        }
    }
    Ok(removed.is_some())
}

fn letter(event: &Event) -> char {
    match event {
        Event::Added(_) => 'A',
        Event::Replied => 'R',
        Event::Changed(_) => 'c',
        Event::Completed(..) => 'E',
        Event::Removed => 'X',
    }
}

#[test]
fn job_signals_arrive_in_the_documented_order() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let good = client.receive_with(file_of(small("sub").bytes())?, &no_options())?;
    ensure!(client.end_of(&good)?.0 == "succeeded", "the good one");
    let taken = client.receive_with(file_of(small("sub").bytes())?, &no_options())?;
    ensure!(client.end_of(&taken)? == ("failed".to_owned(), "Exists".to_owned()), "the one whose name is taken");
    let cancelled = Stalled::start(&client, "never")?;
    // One that waits behind it, and never runs.
    let waiting = client.receive_with(file_of(small("waits").bytes())?, &no_options())?;
    for job in [&waiting, &cancelled.job] {
        client.call(job, (JOB, "Cancel"), &no_options())?;
        ensure!(client.end_of(job)?.0 == "cancelled", "{job}");
    }
    let recording = recorder.finish(&client)?;
    let jobs = [(good, "succeeded"), (taken, "failed"), (waiting, "cancelled"), (cancelled.job, "cancelled")];
    ensure!(recording.jobs()?.len() == jobs.len(), "{:?}", recording.jobs()?);
    for (job, result) in jobs {
        ensure!(!check(&recording, &job, result)?, "{job} is forgotten already");
    }
    Ok(())
}

#[test]
fn a_job_is_removed_after_it_was_completed() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let mut jobs = Vec::new();
    for _ in 0..53 {
        jobs.push(client.receive_with(file_of(b"no stream")?, &no_options())?);
    }
    for job in jobs.iter().skip(3) {
        client.end_of(job)?;
    }
    let oldest = jobs.iter().take(3);
    client.until("the oldest go", |client| {
        Ok(oldest.clone().all(|job| !client.introspect(job).is_ok_and(|text| text.contains(JOB))))
    })?;
    let recording = recorder.finish(&client)?;
    let mut removed = 0;
    for job in &jobs {
        removed += usize::from(check(&recording, job, "failed")?);
    }
    ensure!(removed == 3, "{removed} were removed");
    Ok(())
}

#[test]
fn jobs_of_a_stopped_service_are_completed() -> Result<()> {
    let mut service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let stalled = Stalled::start(&client, "never")?;
    let waiting = client.receive_with(file_of(small("waits").bytes())?, &no_options())?;
    let ended = service.stop()?;
    ensure!(ended.code() == 0, "{} {}", ended.code(), ended.err());
    client.until("its name goes", |client| Ok(!client.has_owner(BUS_NAME)?))?;
    let recording = recorder.finish(&client)?;
    for job in [&stalled.job, &waiting] {
        check(&recording, job, "cancelled")?;
    }
    ensure!(all_names(&service.path(TANK))?.is_empty(), "something is left in the volume");
    ensure!(client.introspect(ROOT).is_err(), "it answers still");
    Ok(())
}

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
    // Reading properties causes no signal.
    client.get::<u64>(&stalled.job, JOB, "BytesReceived")?;
    let recording = recorder.finish(&client)?;
    ensure!(!recording.is_empty(), "the recorder heard nothing at all");
    let said: Vec<String> =
        recording.broadcasts().map(ToString::to_string).filter(|text| text.contains("butterdock")).collect();
    ensure!(said.is_empty(), "{said:?}");
    Ok(())
}
