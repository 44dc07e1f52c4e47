//! Leftovers of a daemon.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The processes in the session that `leader` began, without itself: a daemon's workers, also when it is dead. Zombies count
/// while `leader` lives, because it must reap them.
///
/// # Errors
/// When there is no /proc.
pub fn workers(leader: u32) -> Result<Vec<u32>> {
    let alive = Path::new("/proc").join(leader.to_string()).exists();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that ends while it is looked at is gone.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name in brackets may hold anything.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let session = fields.get(3).and_then(|field| field.parse::<u32>().ok());
        let dead = matches!(fields.first(), Some(&"Z" | &"X"));
        if session == Some(leader) && pid != leader && (alive || !dead) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What a process has in memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most that it was.
    pub peak: u64,
}

/// The memory of a process.
///
/// # Errors
/// When it is gone.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a field of /proc/…/status")?;
        line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<u64>().context("a number")
    };
    Ok(Memory { resident: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// How many descriptors a process has open.
///
/// # Errors
/// When it is gone.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
