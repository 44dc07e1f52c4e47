//! One run, measured from inside a process of its own.
//!
//! The kernel counts CPU and peak memory of *ended children* together. So the bench starts itself again as a small
//! process whose only child is the receiver: what that process reads from getrusage(2) is that child alone.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::built_program;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::machine;

/// The first argument that turns the bench into the measuring process.
pub(crate) const WORD: &str = "measure-one";

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Until the destination was synced.
    pub(crate) wall: Duration,
    /// User and system time of the receiver.
    pub(crate) cpu: Duration,
    /// What the whole machine was busy for meanwhile, kernel threads included.
    pub(crate) machine: Duration,
    /// Peak resident memory of the receiver in KiB.
    pub(crate) peak_kib: u64,
}

/// Runs `program words…` and syncs the filesystem of `destination`.
pub(crate) fn run(destination: &Path, program: &Path, words: &[OsString]) -> Result<Cost> {
    let own = std::env::current_exe().context("the bench does not find itself")?;
    let output = Command::new(own)
        .arg(WORD)
        .arg(destination)
        .arg(program)
        .args(words)
        .output()
        .context("the measuring process does not start")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The measuring process: destination, program, its arguments.
pub(crate) fn child(mut words: impl Iterator<Item = OsString>) -> Result<()> {
    let destination = words.next().context("no destination")?;
    let program = words.next().context("no program")?;
    let volume = File::open(&destination)?;
    let machine_before = machine::busy()?;
    let start = Instant::now();
    let status = Command::new(&program)
        .args(words)
        .env("STATE_DIRECTORY", built_program("test-state")?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("{} does not start", program.display()))?;
    nix::unistd::syncfs(&volume).context("syncfs")?;
    let wall = start.elapsed();
    ensure!(status.success(), "{} ended with {status}", program.display());
    let machine = machine::busy()?.saturating_sub(machine_before);
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = micros(usage.user_time()) + micros(usage.system_time());
    writeln!(std::io::stdout(), "{} {cpu} {} {}", wall.as_micros(), machine.as_micros(), usage.max_rss())?;
    Ok(())
}

/// The words of a receiver's command line: both sides are called the same way.
pub(crate) fn command_line(stream: &Path, destination: &Path, more: &[&OsStr]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["receive".into()];
    words.extend(more.iter().map(OsString::from));
    words.extend(["-f".into(), stream.into(), destination.into()]);
    words
}

fn micros(time: TimeVal) -> i64 {
    time.num_microseconds()
}

fn parse(line: &str) -> Result<Cost> {
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("the measuring process said {line:?}"))?;
    let &[wall, cpu, machine, peak_kib] = numbers.as_slice() else {
        anyhow::bail!("the measuring process said {line:?}");
    };
    Ok(Cost {
        wall: Duration::from_micros(wall),
        cpu: Duration::from_micros(cpu),
        machine: Duration::from_micros(machine),
        peak_kib,
    })
}
