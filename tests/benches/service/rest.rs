//! The daemon at rest, and before it was there.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use butterdock_dbus::JobState;
use butterdock_tests::{Load, Service, memory};

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(20);

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    /// Of all its threads.
    pub(crate) wakeups_a_second: f64,
    pub(crate) resident_kib: u64,
    pub(crate) resident_after_a_job_kib: u64,
    /// From a call to its answer, where the bus starts the daemon in between.
    pub(crate) cold: [Duration; 3],
}

pub(crate) fn run() -> Result<Rest> {
    let mut fixture = Service::start()?;
    std::thread::sleep(Duration::from_secs(4));
    let resident_kib = memory(fixture.pid())?.resident;
    let client = fixture.client()?;
    let load = Load::new("s0", 60, 1);
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    // Threads that have nothing to do end by and by.
    std::thread::sleep(Duration::from_secs(4));
    let before = wakeups(fixture.pid())?;
    std::thread::sleep(WATCHED);
    let count = wakeups(fixture.pid())?.saturating_sub(before);
    let resident_after_a_job_kib = memory(fixture.pid())?.resident;
    fixture.activatable()?;
    std::thread::sleep(Duration::from_millis(500));
    let mut cold = [Duration::ZERO; 3];
    for one in &mut cold {
        let start = Instant::now();
        client.objects()?;
        *one = start.elapsed();
        client.end_the_service()?;
    }
    let wakeups_a_second = f64::from(u32::try_from(count)?) / WATCHED.as_secs_f64();
    Ok(Rest { wakeups_a_second, resident_kib, resident_after_a_job_kib, cold })
}

/// How often its threads have begun to run after they waited.
fn wakeups(pid: u32) -> Result<u64> {
    let mut all = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all += line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(all)
}
