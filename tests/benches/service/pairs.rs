//! The same stream through the service and through `butterdockd receive`, in pairs whose order flips.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::{Client, Layout, Service, Setup, butterdockd, names, snapshot};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{SysconfVar, sysconf};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Until the volume was synced.
    pub(crate) wall: Duration,
    /// User and system time: of the program, or of the daemon with its workers.
    pub(crate) cpu: Duration,
}

/// Two runs that followed each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairedRun {
    pub(crate) service: Cost,
    pub(crate) alone: Cost,
}

pub(crate) fn run(stream: &Path, count: u32) -> Result<Vec<PairedRun>> {
    // Space that a trimmed image gives back would be paid for by the next run alone.
    let settings = "[worker]\nnice = 0\nio_class = \"best-effort\"\nio_priority = 4\n";
    let layout = Layout::sized(5120, "nodiscard");
    let fixture = Service::new(&Setup { settings, layout, ..Setup::default() })?;
    let client = fixture.client()?;
    std::io::copy(&mut File::open(stream)?, &mut std::io::sink())?;
    // What is allocated once, of the image too, is paid for here.
    alone(&fixture, stream)?;
    service(&fixture, &client, stream)?;
    let mut pairs = Vec::new();
    for number in 0..count {
        let pair = if number % 2 == 0 {
            let service = service(&fixture, &client, stream)?;
            PairedRun { service, alone: alone(&fixture, stream)? }
        } else {
            let alone = alone(&fixture, stream)?;
            PairedRun { service: service(&fixture, &client, stream)?, alone }
        };
        crate::say(&format!(
            "pair {}: service {:.3} s, CPU {:.2} s; alone {:.3} s, CPU {:.2} s",
            number + 1,
            pair.service.wall.as_secs_f64(),
            pair.service.cpu.as_secs_f64(),
            pair.alone.wall.as_secs_f64(),
            pair.alone.cpu.as_secs_f64()
        ));
        pairs.push(pair);
    }
    Ok(pairs)
}

fn service(fixture: &Service, client: &Client, stream: &Path) -> Result<Cost> {
    let (volume, file) = (File::open(fixture.path("tank"))?, File::open(stream)?);
    let before = with_children(fixture.pid())?;
    let start = Instant::now();
    let job = client.receive("tank", &file)?;
    while client.completions(&job).is_empty() {
        std::thread::sleep(Duration::from_millis(1));
    }
    nix::unistd::syncfs(&volume)?;
    let wall = start.elapsed();
    client.ends_as(&job, &JobState::Succeeded)?;
    let cpu = with_children(fixture.pid())?.saturating_sub(before);
    clear(fixture)?;
    Ok(Cost { wall, cpu })
}

fn alone(fixture: &Service, stream: &Path) -> Result<Cost> {
    let volume = File::open(fixture.path("tank"))?;
    let mut command = Command::new(butterdockd()?);
    command.args(["receive", "-q", "-f"]).arg(stream).arg(fixture.path("tank"));
    command.env("STATE_DIRECTORY", fixture.path("state")).stdin(Stdio::null()).stdout(Stdio::null());
    let before = children()?;
    let start = Instant::now();
    let status = command.status()?;
    nix::unistd::syncfs(&volume)?;
    let wall = start.elapsed();
    ensure!(status.success(), "butterdockd receive ended with {status}");
    let cpu = children()?.saturating_sub(before);
    clear(fixture)?;
    Ok(Cost { wall, cpu })
}

/// Deletes what was received, and waits until the kernel's cleaner is through with it.
fn clear(fixture: &Service) -> Result<()> {
    let folder = fixture.path("tank");
    for name in names(&folder)?.0 {
        snapshot::delete(&folder.join(name))?;
    }
    // The first wakes the cleaner, which otherwise sleeps for half a minute.
    for words in [["filesystem", "sync"], ["subvolume", "sync"], ["filesystem", "sync"]] {
        let status = Command::new("btrfs").args(words).arg(&folder).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "btrfs {words:?} ended with {status}");
    }
    Ok(())
}

fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}

/// What a process and its children that have ended were busy for (`proc_pid_stat(5)`).
pub(crate) fn with_children(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("/proc/…/stat")?;
    let ticks: u64 = rest.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    let second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
    Ok(Duration::from_millis(ticks * 1000 / second))
}
