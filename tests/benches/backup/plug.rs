//! From the plug on: how soon the first byte of a change is on the drive, and how soon a drive is safe again whose source has
//! not changed. With the service, a private bus and a real udevd.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::JOB;
use butterdock_dbus::{DriveState, JobProperties, JobState};
use butterdock_tests::{Scenario, TIMEOUT, no_options, run};
use zbus::{OwnedObjectPath, OwnedVariant};

/// How long each of them took, once a round.
#[derive(Debug, Default)]
pub(crate) struct Plugs {
    pub(crate) first_byte: Vec<Duration>,
    pub(crate) safe: Vec<Duration>,
}

/// So much takes longer than a quarter of a second, which is how often a job tells how far it is.
const CHANGE: usize = 160 << 20;

pub(crate) fn measure(rounds: usize) -> Result<Plugs> {
    let mut scenario = Scenario::on(&["home"], "keep = { last = 1 }\nprotect = \"0h\"", |fixture| {
        let image = fixture.image("a", "Blue")?;
        fs::OpenOptions::new().write(true).open(&image)?.set_len(2 << 30)?;
        run(Command::new("mkfs.btrfs").args(["-f", "-q", "-L", "Blue"]).arg(&image), TIMEOUT)?.success()?;
        Ok(image)
    })?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let mut plugs = Plugs::default();
    for round in 0..rounds {
        scenario.unplug()?;
        // What was thinned gives its space back.
        run(Command::new("btrfs").args(["subvolume", "sync"]).arg(scenario.pool.path()), TIMEOUT)?.success()?;
        fs::write(scenario.source.join("changing"), vec![u8::try_from(round % 256)?; CHANGE])?;
        let began = Instant::now();
        scenario.plug()?;
        plugs.first_byte.push(first_byte(&scenario, began)?);
        safe(&scenario, began)?;
        scenario.unplug()?;
        let began = Instant::now();
        scenario.plug()?;
        plugs.safe.push(safe(&scenario, began)?);
    }
    Ok(plugs)
}

/// Until a running job says that bytes have come.
fn first_byte(scenario: &Scenario, began: Instant) -> Result<Duration> {
    type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;
    while began.elapsed() < TIMEOUT {
        let asked = ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
        let managed: Managed = scenario.fixture.client.call(ROOT, asked, &())?.body().deserialize()?;
        for properties in managed.into_values().filter_map(|mut interfaces| interfaces.remove(JOB)) {
            let mut job = JobProperties::default();
            for (name, value) in properties {
                job.set(&name, &value)?;
            }
            if job.state == JobState::Running && job.bytes_received > 0 {
                return Ok(began.elapsed());
            }
        }
        sleep(Duration::from_millis(2));
    }
    anyhow::bail!("no byte came")
}

/// Until the drive is there and safe.
fn safe(scenario: &Scenario, began: Instant) -> Result<Duration> {
    let drive =
        scenario.fixture.one("safe", |is| is.enrolled && !is.device.is_empty() && is.state == DriveState::Safe)?;
    ensure!(drive.properties.problem.is_empty(), "{drive:?}");
    Ok(began.elapsed())
}
