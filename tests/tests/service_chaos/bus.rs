//! The bus is restarted.

use anyhow::{Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::chaos::{Fixture, Load, wait_until};

#[test]
fn a_bus_that_is_restarted_ends_no_job() -> Result<()> {
    let mut fixture = Fixture::new(&["tank"])?;
    let load = Load::new("s", 40, 1);
    let (stream, feed) = load.pipe()?;
    let client = fixture.client()?;
    let job = client.receive("tank", &stream)?;
    let (waiting, waiting_feed) = load.pipe()?;
    let queued = client.receive("tank", &waiting)?;
    feed.up_to(load.bytes().len() / 2);
    client.until(&job, "reads", |job| job.bytes_received > 0)?;
    fixture.restart_bus()?;
    let client = fixture.client()?;
    wait_until("the service is on the new bus", || client.service_is_there())?;
    ensure!(client.job(&job)?.state == JobState::Running, "{:?}", client.job(&job)?);
    ensure!(client.job(&queued)?.state == JobState::Queued, "{:?}", client.job(&queued)?);
    client.cancel(&queued)??;
    drop(waiting_feed);
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    ensure!(client.completions(&job) == ["succeeded"], "{:?}", client.completions(&job));
    // Once more, with nothing under way: what ended is still there.
    fixture.restart_bus()?;
    let client = fixture.client()?;
    wait_until("the service is on the third bus", || client.service_is_there())?;
    ensure!(client.job(&job)?.state == JobState::Succeeded, "{:?}", client.job(&job)?);
    fixture.is_tidy(&client, "tank", &["s"])
}
