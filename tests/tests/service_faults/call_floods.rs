//! Many calls whose answers are never read, or for which polkit does not answer. The bus has the limits of the shipped
//! system.conf.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_tests::{Client, Flood, Service, Setup, SilentPolkit, memory, no_options};
use serde_json::{Value, json};

const NOBODY: u32 = 65534;
const BUSY: &str = "org.butterdock.Butterdock1.Error.Busy";
const INTROSPECT: [&str; 3] = [ROOT, "org.freedesktop.DBus.Introspectable", "Introspect"];
const OBJECTS: [&str; 3] = [ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects"];
/// In KiB. The service stays below it, also one built without optimisation.
const MOST: u64 = 128 << 10;

/// A service with so many jobs to tell of, which wait for a pipe.
fn fixture(client: &Client) -> Result<std::io::PipeWriter> {
    let (reader, writer) = std::io::pipe()?;
    for _ in 0..80 {
        client.receive_with(&reader, &no_options())?;
    }
    Ok(writer)
}

fn unread(call: [&str; 3]) -> Value {
    json!({ "connections": 100, "calls": 40, "call": call })
}

/// What root asks while others flood the service.
fn root_is_answered(client: &Client) -> Result<()> {
    client.introspect(ROOT)?;
    client.call(ROOT, (OBJECTS[1], OBJECTS[2]), &())?;
    client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?;
    Ok(())
}

fn is_small(service: &Service) -> Result<()> {
    let peak = memory(service.pid())?.peak;
    ensure!(peak < MOST, "the service took {peak} KiB");
    Ok(())
}

#[test]
fn unread_answers_of_others_delay_no_answer_to_root() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    let _writer = fixture(&client)?;
    for (uid, call) in [(NOBODY, INTROSPECT), (1, OBJECTS)] {
        let mut flood = Flood::start(&service.bus, uid, &unread(call))?;
        let (mut rounds, mut longest) = (0, std::time::Duration::ZERO);
        // Until the flood has sent all it has, and once more when the bus has taken all of it.
        loop {
            let is_sent = flood.line_now()?.is_some();
            let began = Instant::now();
            root_is_answered(&client)?;
            longest = longest.max(began.elapsed());
            rounds += 1;
            is_small(&service)?;
            if is_sent {
                break;
            }
        }
        println!("{}: root asked three things {rounds} times, and had them in {longest:?} at most", call[2]);
        println!("{}: {:?}", call[2], memory(service.pid())?);
    }
    Ok(())
}

#[test]
fn calls_without_a_reply_are_counted_too() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    let _writer = fixture(&client)?;
    let wanted = json!({ "connections": 20, "calls": 200, "call": OBJECTS, "silent": true });
    let mut flood = Flood::start(&service.bus, NOBODY, &wanted)?;
    while flood.line_now()?.is_none() {
        root_is_answered(&client)?;
        is_small(&service)?;
    }
    Ok(())
}

#[test]
fn many_calls_of_one_user_fail_with_busy() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    let _writer = fixture(&client)?;
    let wanted = json!({ "connections": 1, "calls": 100, "call": INTROSPECT, "read": true });
    let mut greedy = Flood::start(&service.bus, NOBODY, &wanted)?;
    let answers = greedy.answers(100)?;
    ensure!(answers.iter().any(|answer| answer == BUSY), "{answers:?}");
    ensure!(answers.iter().all(|answer| answer == BUSY || answer == "return"), "{answers:?}");
    Ok(())
}

#[test]
fn too_long_a_call_is_refused_unread() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let client = service.client()?;
    let wanted = json!({
        "connections": 4, "calls": 4, "call": [ROOT, MANAGER, "Receive"], "strings": [1 << 20], "read": true
    });
    let answers = Flood::start(&service.bus, NOBODY, &wanted)?.answers(16)?;
    ensure!(answers.iter().all(|answer| answer == "org.freedesktop.DBus.Error.InvalidArgs"), "{answers:?}");
    root_is_answered(&client)
}

#[test]
fn root_is_served_while_polkit_hangs() -> Result<()> {
    let service = Service::new(&Setup { system_limits: true, ..Setup::default() })?;
    let polkit = SilentPolkit::start(&service.bus.address())?;
    let client = service.client()?;
    // Each user has two connections, so that the bus' own limit of a connection is not what is met.
    let wanted = json!({
        "connections": 2, "calls": 100, "call": [ROOT, MANAGER, "Reload"], "options": true, "interactive": true,
        "read": true
    });
    let mut floods = Vec::new();
    for uid in [65534, 1, 2, 3, 4] {
        let mut flood = Flood::start(&service.bus, uid, &wanted)?;
        // Most of them are refused at once; the others wait.
        let answers = flood.answers(100)?;
        ensure!(answers.iter().all(|answer| answer == BUSY), "{uid}: {answers:?}");
        client.call(ROOT, (MANAGER, "Reload"), &no_options()).with_context(|| format!("root beside {uid}"))?;
        floods.push(flood);
    }
    polkit.has_been_asked(1)?;
    client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?;
    // No place is left: the first call of another user fails with Busy.
    let once = json!({
        "connections": 1, "calls": 1, "call": [ROOT, MANAGER, "Reload"], "options": true, "interactive": true,
        "read": true
    });
    let answers = Flood::start(&service.bus, 5, &once)?.answers(1)?;
    ensure!(answers == [BUSY], "{answers:?}");
    // Who leaves gives the places back.
    drop(floods);
    let asked = polkit.asked();
    client.until("another is asked about", |_| {
        let _flood = Flood::start(&service.bus, 5, &once)?;
        Ok(polkit.asked() > asked)
    })
}
