//! `measured REPORT PROGRAM ARGUMENT…`: runs a program and writes its largest resident set, in KiB, to a file.
//!
//! A process of its own, because the kernel keeps one maximum for all children that a process had.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let report = arguments.next().context("which file takes the report?")?;
    let program = arguments.next().context("which program?")?;
    // If this process is killed, the program must end too.
    let status = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&program)
        .args(arguments)
        .status()
        .with_context(|| program.display().to_string())?;
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    std::fs::write(report, used.max_rss().to_string())?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code)?))
}
