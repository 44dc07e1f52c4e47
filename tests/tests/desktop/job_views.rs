//! Progress in Plasma's job view.

use anyhow::{Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::Scenario;

use crate::desktop::{Desktop, hurry, slow_machine};
use crate::job_view_server::JobViewServer;
use crate::notification_server::NotificationServer;

const PLASMA: &[&str] = &["actions", "body", "body-markup", "persistence"];

/// The agent with the servers of Plasma, and a drive that is just plugged in, with a slow backup. They end from the last to the first.
fn plugged_in() -> Result<(Scenario, Desktop, NotificationServer, JobViewServer)> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "Plasma", PLASMA)?;
    let views = JobViewServer::start(&desktop)?;
    desktop.start_agent()?;
    scenario.plug()?;
    Ok((scenario, desktop, server, views))
}

#[test]
fn a_view_ends_when_the_drive_is_safe() -> Result<()> {
    let (scenario, _desktop, server, views) = plugged_in()?;
    let log = views.until("a percent", |log| log.percents.iter().any(|percent| *percent > 0))?;
    ensure!(log.requested == ["org.butterdock.Agent"] && log.ended.is_empty(), "{log:?}");
    ensure!(log.total > 0 && log.bytes.iter().any(|bytes| *bytes > 0), "{log:?}");
    hurry(&scenario)?;
    let log = views.until("the end", |log| !log.ended.is_empty())?;
    scenario.drive("safe when the view ends", &DriveState::Safe)?;
    ensure!(log.ended == [0] && log.percents.is_sorted() && log.percents.last() < Some(&100), "{log:?}");
    server.until_title("Blue can be unplugged")?;
    ensure!(server.titles() == ["Blue can be unplugged"], "{:?}", server.titles());
    Ok(())
}

#[test]
fn the_button_of_a_view_stops_the_backup() -> Result<()> {
    let (_scenario, _desktop, server, views) = plugged_in()?;
    views.until("an update", |log| !log.bytes.is_empty())?;
    views.cancel()?;
    let safe = server.until_title("Blue can be unplugged")?;
    ensure!(safe.body.contains("Stopped: home."), "{safe:?}");
    ensure!(views.log().ended.len() == 1, "{:?}", views.log());
    Ok(())
}

#[test]
fn a_view_that_its_server_loses_is_shown_again() -> Result<()> {
    let (scenario, desktop, server, views) = plugged_in()?;
    views.until("an update", |log| !log.bytes.is_empty())?;
    drop(views);
    let views = JobViewServer::start(&desktop)?;
    views.until("an update of the new server", |log| !log.bytes.is_empty())?;
    hurry(&scenario)?;
    views.until("the end", |log| !log.ended.is_empty())?;
    server.until_title("Blue can be unplugged")?;
    Ok(())
}

#[test]
fn a_view_that_was_not_updated_ends_all_the_same() -> Result<()> {
    let (scenario, _desktop, _server, views) = plugged_in()?;
    views.until("an update", |log| !log.bytes.is_empty())?;
    views.refuse_updates();
    views.until("a refused update", |log| log.refused > 0)?;
    hurry(&scenario)?;
    let log = views.until("the end", |log| !log.ended.is_empty())?;
    ensure!(log.ended == [0] && log.refused == 1, "{log:?}");
    Ok(())
}
