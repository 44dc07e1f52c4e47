//! What a person sees of a plug.

use std::time::Duration;

use anyhow::{Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{run, wait_until};

use crate::desktop::{Desktop, hurry, slow_machine};
use crate::notification_server::NotificationServer;

const DUNST: &[&str] = &["actions", "body", "body-markup"];
const GNOME: &[&str] = &["actions", "body", "body-markup", "icon-static", "persistence", "sound"];

const RUNNING: &str = "Backing up to Blue";
const SAFE: &str = "Blue can be unplugged";

#[test]
fn a_plug_is_shown_until_the_drive_is_gone() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "dunst", DUNST)?;
    desktop.start_agent()?;
    scenario.plug()?;
    let progress = server.until("a bar", |shown| shown.value().is_some_and(|value| value > 0))?;
    ensure!(progress.title == RUNNING && progress.actions.get(1).is_some_and(|label| label == "Stop"), "{progress:?}");
    ensure!(progress.body.starts_with("home: ") && progress.body.contains(" % of about "), "{progress:?}");
    hurry(&scenario)?;
    let safe = server.until_title(SAFE)?;
    scenario.drive("safe when it is shown", &DriveState::Safe)?;
    ensure!(safe.id == progress.id && safe.body == "Backed up: home." && safe.expires == 0, "{safe:?}");
    ensure!(server.titles() == [RUNNING, SAFE], "{:?}", server.titles());
    let values: Vec<_> = server.shown().iter().filter_map(|shown| shown.value()).collect();
    ensure!(values.is_sorted() && values.iter().all(|value| *value < 100), "{values:?}");
    scenario.unplug()?;
    server.until_closed(safe.id)
}

#[test]
fn a_server_without_a_bar_shows_the_start_and_the_end() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    desktop.start_agent()?;
    scenario.plug()?;
    server.until_title(RUNNING)?;
    hurry(&scenario)?;
    server.until_title(SAFE)?;
    ensure!(server.shown().len() == 2, "{:#?}", server.shown());
    Ok(())
}

#[test]
fn the_button_stops_the_backup() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    desktop.start_agent()?;
    scenario.plug()?;
    let running = server.until_title(RUNNING)?;
    server.press(running.id)?;
    let safe = server.until_title(SAFE)?;
    ensure!(safe.body.contains("Stopped: home."), "{safe:?}");
    scenario.drive("safe", &DriveState::Safe)?;
    Ok(())
}

#[test]
fn a_bar_that_a_person_closes_stays_closed() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "dunst", DUNST)?;
    desktop.start_agent()?;
    scenario.plug()?;
    let running = server.until_title(RUNNING)?;
    server.dismiss(running.id)?;
    hurry(&scenario)?;
    let safe = server.until_title(SAFE)?;
    let shown = server.shown();
    let bars = shown.iter().filter(|shown| shown.title == RUNNING && shown.id != running.id).count();
    ensure!(bars == 0 && safe.id != running.id, "{shown:#?}");
    // The server may mean one that the agent has replaced: it closes what is not true any more in any case.
    server.dismiss(safe.id)?;
    scenario.unplug()?;
    server.until_closed(safe.id)
}

#[test]
fn messages_are_in_the_language_of_the_session() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", GNOME)?;
    let mut command = desktop.command()?;
    command.env("LC_ALL", "de_DE.UTF-8");
    desktop.start_with(command)?;
    scenario.plug()?;
    hurry(&scenario)?;
    server.until_title("Blue kann abgezogen werden")?;
    Ok(())
}

#[test]
fn a_session_has_one_agent() -> Result<()> {
    let scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    desktop.start_agent()?;
    let second = run(&mut desktop.command()?, Duration::from_secs(180))?;
    ensure!(second.code() == 0 && second.err().contains("another butterdock-agent runs"), "{}", second.err());
    let ended = desktop.end()?;
    ensure!(ended.code() == 1 && ended.err().contains("the session bus is gone"), "{}", ended.err());
    wait_until("the drive is away", || Ok(scenario.fixture.drives()?.is_empty()))
}
