//! A polkit whose agents never answer.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_tests::{Flood, Service, Setup, SilentPolkit, no_options};
use serde_json::json;

const BUSY: &str = "org.butterdock.Butterdock1.Error.Busy";

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
    // No place is left: one who has asked for nothing yet is told so.
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
