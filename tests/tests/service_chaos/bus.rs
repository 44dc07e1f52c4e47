//! The bus is restarted.

use anyhow::{Result, ensure};
use butterdock_dbus::JobState;
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Load, Service, wait_until};

#[test]
fn a_bus_that_is_restarted_ends_no_job() -> Result<()> {
    let mut fixture = Service::start()?;
    let load = Load::new("s", 40, 1);
    let (stream, feed) = load.pipe()?;
    let client = fixture.client()?;
    let job = client.receive("tank", &stream)?;
    let (waiting, waiting_feed) = load.pipe()?;
    let queued = client.receive("tank", &waiting)?;
    feed.up_to(load.bytes().len() / 2);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    fixture.bus.restart()?;
    let client = fixture.client()?;
    wait_until("the service is on the new bus", || client.has_owner(BUS_NAME))?;
    ensure!(client.job(&job)?.state == JobState::Running, "{:?}", client.job(&job)?);
    ensure!(client.job(&queued)?.state == JobState::Queued, "{:?}", client.job(&queued)?);
    client.cancel(&queued)?;
    drop(waiting_feed);
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    ensure!(client.completions(&job) == ["succeeded"], "{:?}", client.completions(&job));
    // Once more, with nothing under way: what ended is still there.
    fixture.bus.restart()?;
    let client = fixture.client()?;
    wait_until("the service is on the third bus", || client.has_owner(BUS_NAME))?;
    ensure!(client.job(&job)?.state == JobState::Succeeded, "{:?}", client.job(&job)?);
    fixture.is_tidy(&client, "tank", &["s"])
}
