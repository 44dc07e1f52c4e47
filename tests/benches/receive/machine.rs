//! Facts about the machine, recorded with the numbers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

use crate::disk;

/// What all processors were busy for since the machine started, summed; idle and waiting for a disk do not count.
pub(crate) fn busy() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq; steal and guest time are someone else's.
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|&at| ticks.get(at)).sum();
    let second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok()).unwrap_or(100);
    Ok(Duration::from_millis(busy * 1000 / second))
}

/// The lines that stand over the table.
pub(crate) fn describe(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        format!("- processor: {}, {cores} cores", processor()),
        format!("- memory: {} GiB", memory_gib()?),
        format!("- kernel: {}", disk::run("uname", ["-r"])?.trim()),
        format!("- our side: {}", disk::run(ours, ["--version"])?.trim()),
        format!("- other side: {}", disk::run(theirs, ["--version"])?.trim()),
    ])
}

/// The day and minute in UTC.
pub(crate) fn now() -> Result<String> {
    Ok(disk::run("date", ["-u", "+%Y-%m-%d %H:%M UTC"])?.trim().to_owned())
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn memory_gib() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|word| word.parse().ok())
        .unwrap_or_default();
    Ok(kib.div_ceil(1 << 20))
}
