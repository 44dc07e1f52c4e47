//! Clients that share no code with the service: those of `GLib`, of systemd and of libdbus; and a bus that starts the
//! service for them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use crate::cli::ran;
use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{MANAGER, VOLUME};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_tests::{Bus, Client, Finished, Service, TANK, TIMEOUT, file_of, no_options, python, run, small, tank};

/// So many ended jobs stay readable; the next one takes the oldest away.
const KEPT: usize = 50;

fn gdbus(bus: &Bus, method: &str, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new("gdbus");
    command.args(["call", "--system", "--dest", BUS_NAME, "--object-path", ROOT, "--method", method]).args(arguments);
    run(command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).stdin(Stdio::null()), TIMEOUT)
}

fn busctl(bus: &Bus, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new("busctl");
    command.arg(format!("--address={}", bus.address())).args(["--no-pager"]).args(arguments);
    run(command.stdin(Stdio::null()), TIMEOUT)
}

#[test]
fn gdbus_and_busctl_read_every_object() -> Result<()> {
    let service = Service::start()?;
    let bus = &service.bus;
    let said = gdbus(bus, &format!("{MANAGER}.ListHistory"), &["{}"])?.success()?;
    ensure!(said.out().trim() == "(@aa{sv} [],)", "{}", said.out());
    let said = busctl(bus, &["tree", BUS_NAME])?.success()?;
    ensure!(said.out().contains(&tank()), "{}", said.out());
    let said = busctl(bus, &["introspect", BUS_NAME, &tank()])?.success()?;
    let line = |word: &str| said.out().lines().any(|line| line.split_whitespace().eq(word.split_whitespace()));
    ensure!(line(".Receive method ha{sv} o -"), "{}", said.out());
    ensure!(line(".Mounted property b true emits-change"), "{}", said.out());
    let said = busctl(bus, &["get-property", BUS_NAME, &tank(), VOLUME, "Name"])?.success()?;
    ensure!(said.out().trim() == "s \"tank\"", "{}", said.out());
    Ok(())
}

#[test]
fn a_call_without_its_descriptor_is_harmless() -> Result<()> {
    let mut service = Service::start()?;
    // gdbus knows the type, but passes no descriptor; busctl does not know the type.
    let said = gdbus(&service.bus, &format!("{MANAGER}.Receive"), &["tank", "handle 0", "{}"])?;
    ensure!(said.code() != 0, "received from nothing: {}", said.out());
    let said = busctl(&service.bus, &["call", BUS_NAME, &tank(), VOLUME, "Receive", "ha{sv}", "0", "0"])?;
    ensure!(said.code() != 0, "received from nothing: {}", said.out());
    ensure!(!service.daemon_has_ended()?, "the service ended");
    let client = service.client()?;
    let job = client.receive_with(file_of(small("sub").bytes())?, &no_options())?;
    ensure!(client.end_of(&job)?.0 == "succeeded", "the next job");
    Ok(())
}

#[test]
fn python_passes_a_descriptor_and_follows_the_job_to_its_end() -> Result<()> {
    let service = Service::start()?;
    let stream = small("sub");
    for (name, bytes, result) in [("good", stream.bytes(), "succeeded"), ("again", stream.bytes(), "failed")] {
        let done = run(python("follow.py", &service.bus)?.stdin(file_of(bytes)?), TIMEOUT)?.success()?;
        let told: serde_json::Value = serde_json::from_str(&done.out())?;
        ensure!(told["result"] == result && told["times"] == 1, "{name}: {told}");
        let last = |property: &str| told["seen"][property].as_array().and_then(|all| all.last()).cloned();
        ensure!(last("State") == Some(result.into()), "{name}: {told}");
        if result == "succeeded" {
            ensure!(told["details"]["bytes_durable"] == bytes.len(), "{name}: {told}");
            ensure!(last("BytesDurable") == Some(bytes.len().into()), "{name}: {told}");
        } else {
            let error = format!("{BUS_NAME}.Error.Exists");
            ensure!(
                told["details"]["error_name"] == error && last("ErrorName") == Some(error.into()),
                "{name}: {told}"
            );
        }
    }
    ensure!(fs::read(service.path(TANK).join("sub/d/f"))? == [b'x'; 8192], "the file");
    Ok(())
}

#[test]
fn a_gio_object_manager_client_sees_jobs() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let mut watcher = python("objects.py", &service.bus)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(watcher.stdout.take().context("its words")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    ensure!(line == "ready\n", "{line:?}");
    let mut jobs = Vec::new();
    for _ in 0..KEPT + 2 {
        // One that fails at once is as good as another.
        jobs.push(client.receive_with(file_of(b"no stream")?, &no_options())?.to_string());
    }
    for job in jobs.iter().skip(2) {
        ensure!(client.end_of(job)?.0 == "failed", "{job}");
    }
    client.until("the oldest jobs go", |client| Ok(jobs.iter().take(2).all(|job| !is_there(client, job))))?;
    drop(watcher.stdin.take());
    let mut told = String::new();
    lines.read_to_string(&mut told)?;
    ensure!(watcher.wait()?.success(), "the client failed");
    let said = |word: &str| told.lines().filter_map(|line| line.strip_prefix(word)).collect::<Vec<_>>();
    ensure!(said("added ") == jobs, "{told}");
    let mut removed = said("removed ");
    removed.sort_unstable();
    let mut oldest: Vec<_> = jobs.iter().take(2).map(String::as_str).collect();
    oldest.sort_unstable();
    ensure!(removed == oldest, "{told}");
    let left = said("left ");
    ensure!(left.len() == KEPT + 2 && left.contains(&tank().as_str()), "the jobs, the volume and the root: {told}");
    Ok(())
}

fn is_there(client: &Client, job: &str) -> bool {
    client.introspect(job).is_ok_and(|text| text.contains(".Job\""))
}

#[test]
fn metrics_do_not_start_the_service() -> Result<()> {
    let mut service = Service::start()?;
    service.activatable()?;
    let client = service.client()?;
    let ran = ran(&service, &["metrics"])?;
    ensure!(ran.code() == 69 && ran.out().ends_with("\nbutterdock_up 0\n"), "{ran:?}");
    ensure!(!client.has_owner(BUS_NAME)?, "it was started");
    Ok(())
}

#[test]
fn the_first_call_starts_the_service_and_is_answered() -> Result<()> {
    let mut service = Service::start()?;
    service.activatable()?;
    let client = service.client()?;
    ensure!(!client.has_owner(BUS_NAME)?, "it runs before anybody called");
    let stream = small("sub");
    let job = client.receive_with(file_of(stream.bytes())?, &no_options()).context("the first call")?;
    let end = client.end_of(&job)?;
    client.end_the_service()?;
    ensure!(end.0 == "succeeded" && service.path(TANK).join("sub/d/f").exists(), "{end:?}");
    Ok(())
}
