//! What the agent costs while nothing happens.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{memory, wait_until};

use crate::desktop::{Desktop, hurry, slow_machine};
use crate::notification_server::NotificationServer;

/// How long it has to sleep; a promise about time needs time.
const IDLE: Duration = Duration::from_secs(60);
/// After the last signal of the last job it may be shorter.
const QUIET: Duration = Duration::from_secs(5);

/// How often a process began to wait.
fn waits(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Ok(line.context("a field of /proc/…/status")?.trim().parse()?)
}

#[test]
fn an_idle_agent_never_wakes_up() -> Result<()> {
    let mut scenario = slow_machine()?;
    let mut desktop = Desktop::new(&scenario)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", &["body"])?;
    desktop.start_agent()?;
    scenario.plug()?;
    hurry(&scenario)?;
    server.until_title("Blue can be unplugged")?;
    let agent = desktop.agent()?;
    let threads = fs::read_dir(format!("/proc/{agent}/task"))?.count();
    ensure!(threads == 1, "{threads} threads");
    // Signals of the last job may still come.
    wait_until(&format!("it sleeps for {QUIET:?}"), || {
        let before = waits(agent)?;
        sleep(QUIET);
        Ok(waits(agent)? == before)
    })?;
    let before = waits(agent)?;
    sleep(IDLE);
    let woken = waits(agent)? - before;
    ensure!(woken == 0, "it woke up {woken} times within {IDLE:?}");
    let memory = memory(agent)?;
    eprintln!("resident: {} KiB, at most {} KiB", memory.resident, memory.peak);
    // A debug build is larger.
    ensure!(memory.resident <= 16 << 10, "{memory:?}");
    Ok(())
}
