//! A reload with a mistake: the service keeps its configuration, and the caller and the log get the position of the
//! mistake.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_tests::{Disk, DriveFixture, TIMEOUT, error_name, no_options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_reload_mistake_keeps_the_current_configuration() -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    let good = fs::read_to_string(&fixture.configuration)?;
    fs::write(&fixture.configuration, format!("max_job = 2\n{good}"))?;
    let place = format!("{}:1:1: unknown field `max_job`", fixture.configuration.display());
    // What the unit calls: `systemctl status` shows what it prints.
    let refused = fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options()).err().context("refused")?;
    ensure!(error_name(&refused).ends_with(".Failed"), "{refused}");
    let text = refused.to_string();
    ensure!(text.contains("keeps its current configuration") && text.contains(&place), "{text}");
    let id = fixture.daemon.as_ref().context("it runs")?.id();
    kill(Pid::from_raw(id.try_into()?), Signal::SIGHUP)?;
    // It goes by the rule of before.
    let image = fixture.image("a", "Blue")?;
    let _disk = Disk::attach(&image)?;
    fixture.one("the drive", |is| is.label == "Blue")?;
    fs::write(&fixture.configuration, good)?;
    let began = Instant::now();
    while let Err(error) = fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options()) {
        ensure!(began.elapsed() < TIMEOUT, "{error}");
    }
    let log = fixture.stop()?;
    let told: Vec<_> = log.lines().filter(|line| line.contains(&place)).collect();
    ensure!(told.len() == 2 && told.iter().all(|line| line.contains("keeps its current configuration")), "{log}");
    Ok(())
}
