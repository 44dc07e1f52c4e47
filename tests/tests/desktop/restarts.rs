//! The service, the bus, the notification server and the agent are killed or replaced.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Client, wait_until};

use crate::desktop::{Desktop, hurry, slow_machine};
use crate::notification_server::NotificationServer;

const GNOME: &[&str] = &["actions", "body", "body-markup", "persistence"];

const NO_SERVER: &str = "no notification server shows messages";

const RUNNING: &str = "Backing up to Blue";
const SAFE: &str = "Blue can be unplugged";

#[test]
fn a_killed_service_is_one_message_and_the_rest_follows() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    desktop.start_agent()?;
    scenario.plug()?;
    server.until_title(RUNNING)?;
    scenario.fixture.daemon.take().context("it runs")?.kill()?;
    server.until_title("The backup service stopped")?;
    hurry(&scenario)?;
    scenario.fixture.start()?;
    server.until_title(SAFE)?;
    let titles = server.titles();
    let expected = [RUNNING, "The backup service stopped", RUNNING, SAFE];
    let short = [RUNNING, "The backup service stopped", SAFE];
    ensure!(titles == expected || titles == short, "the second run may be too short to be seen: {titles:?}");
    Ok(())
}

#[test]
fn a_new_notification_server_shows_what_the_old_one_showed() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    desktop.start_agent()?;
    scenario.plug()?;
    server.until_title(RUNNING)?;
    drop(server);
    let server = NotificationServer::start(&desktop, "other", &["body"])?;
    let running = server.until_title(RUNNING)?;
    ensure!(running.actions.is_empty(), "{running:?}");
    hurry(&scenario)?;
    server.until_title(SAFE)?;
    drop(server);
    let server = NotificationServer::start(&desktop, "third", &["body"])?;
    server.until_title(SAFE)?;
    ensure!(server.shown().len() == 1, "{:#?}", server.shown());
    Ok(())
}

#[test]
fn messages_wait_for_a_notification_server() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    desktop.start_agent()?;
    scenario.plug()?;
    hurry(&scenario)?;
    let done = |drive: &butterdock_tests::ShownDrive| drive.last_backup > 0;
    scenario.fixture.one("the backup is done", done)?;
    desktop.until_said(NO_SERVER, 1)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    server.until_title(SAFE)?;
    let ended = desktop.end()?;
    ensure!(ended.err().matches(NO_SERVER).count() == 1, "{}", ended.err());
    Ok(())
}

#[test]
fn an_agent_that_starts_in_mid_job_shows_the_job() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    scenario.plug()?;
    let is_running = |job: &butterdock_dbus::JobProperties| job.bytes_received > 0 && job.state.result().is_none();
    wait_until("the backup runs", || Ok(scenario.fixture.client.jobs()?.values().any(is_running)))?;
    desktop.start_agent()?;
    server.until_title(RUNNING)?;
    hurry(&scenario)?;
    server.until_title(SAFE)?;
    ensure!(server.shown().len() == 2, "{:#?}", server.shown());
    Ok(())
}

#[test]
fn the_agent_follows_a_bus_that_was_restarted() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    desktop.start_agent()?;
    scenario.fixture.bus.restart()?;
    scenario.fixture.client = Client::connect(&scenario.fixture.bus.address())?;
    scenario.fixture.client.until("the service is back", |client| client.has_owner(BUS_NAME))?;
    desktop.until_followed(2)?;
    scenario.plug()?;
    server.until_title(RUNNING)?;
    hurry(&scenario)?;
    server.until_title(SAFE)?;
    Ok(())
}
