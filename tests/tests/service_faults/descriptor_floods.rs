//! Descriptors that callers pass, in great number.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_tests::{
    Flood, Service, Setup, SilentPolkit, TANK, descriptors, error_name, file_of, no_options, small, wait_until,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

const NOBODY: u32 = 65534;
const FULL: &str = "org.freedesktop.DBus.Error.LimitsExceeded";
const BUSY: &str = "org.butterdock.Butterdock1.Error.Busy";

/// The hard limit of descriptors.
const HARD: u64 = 1024;

/// The service may have no more descriptors than this.
fn limit(service: &Service, most: u64) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(service.pid())?).context("a process")?;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(most), maximum: Some(HARD) })?;
    Ok(())
}

fn root_receives(service: &Service, name: &str) -> Result<()> {
    let client = service.client()?;
    let stream = file_of(small(name).bytes())?;
    let mut job = None;
    // While 64 descriptors wait for the service to read them the bus itself refuses more (`max_outgoing_unix_fds`).
    client.until("the bus takes the call", |client| match client.receive_with(&stream, &no_options()) {
        Ok(taken) => {
            job = Some(taken);
            Ok(true)
        }
        Err(error) if error_name(&error) == FULL => Ok(false),
        Err(error) => Err(error.into()),
    })?;
    let (state, _) = client.end_of(&job.context("a job")?)?;
    ensure!(state == "succeeded", "{state}");
    Ok(())
}

#[test]
fn a_flood_of_descriptors_ends_neither_connection_nor_jobs() -> Result<()> {
    let mut service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    limit(&service, HARD)?;
    let before = descriptors(service.pid())?;
    let mut floods = Vec::new();
    for (uid, count) in [(NOBODY, 1), (1, 16)] {
        let wanted = json!({
            "connections": 50, "calls": 100, "call": [ROOT, MANAGER, "Receive"], "strings": [TANK], "options": true,
            "descriptors": count
        });
        floods.push(Flood::start(&service.bus, uid, &wanted)?);
        root_receives(&service, &format!("beside{count}"))?;
    }
    for flood in &mut floods {
        while flood.line()? != "sent" {}
    }
    root_receives(&service, "after")?;
    ensure!(!service.daemon_has_ended()?, "the service has ended");
    wait_until("all are closed", || Ok(descriptors(service.pid())? <= before + 4))?;
    drop(floods);
    client.introspect(ROOT)?;
    Ok(())
}

#[test]
fn a_method_that_takes_no_descriptor_keeps_none() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let before = descriptors(service.pid())?;
    // The call waits, and what came with it does not.
    let polkit = SilentPolkit::start(&service.bus.address())?;
    let wanted = json!({
        "connections": 1, "calls": 8, "call": [ROOT, MANAGER, "Reload"], "options": true, "interactive": true,
        "descriptors": 16, "argument": false
    });
    let _flood = Flood::start(&service.bus, NOBODY, &wanted)?;
    polkit.has_been_asked(8)?;
    wait_until("all are closed", || Ok(descriptors(service.pid())? <= before + 4))
}

#[test]
fn a_call_whose_descriptors_do_not_fit_is_refused() -> Result<()> {
    let mut service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    client.introspect(ROOT)?;
    let pid = service.pid();
    // Threads that have ended take their descriptors with them.
    let mut now = descriptors(pid)?;
    wait_until("nothing comes and goes", || {
        let before = std::mem::replace(&mut now, descriptors(pid)?);
        std::thread::sleep(Duration::from_millis(20));
        Ok(before == now)
    })?;
    limit(&service, u64::try_from(now)? + 1)?;
    for (uid, count) in [(0, 1), (NOBODY, 1), (0, 16), (NOBODY, 16)] {
        let wanted = json!({
            "connections": 1, "calls": 1, "call": [ROOT, MANAGER, "Receive"], "strings": [TANK], "options": true,
            "descriptors": count, "read": true
        });
        let answers = Flood::start(&service.bus, uid, &wanted)?.answers(1)?;
        ensure!(answers != ["return"] && !service.daemon_has_ended()?, "{uid}, {count} descriptors: {answers:?}");
        ensure!(count != 16 || answers == [BUSY], "{uid}, {count} descriptors: {answers:?}");
        client.introspect(ROOT)?;
    }
    limit(&service, HARD)?;
    root_receives(&service, "after")
}
