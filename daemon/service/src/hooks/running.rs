//! Runs one command to its end.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use butterdock_btrfs::best_effort;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::event::Event;
use crate::config::Command;

/// The `PATH` of the command.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a command, and kills its process group at its end or after the timeout.
///
/// # Errors
/// Why it did not succeed.
pub(super) fn run(command: &Command, event: &Event, limit: Duration) -> Result<(), String> {
    if let Some(hindrance) = command.hindrance() {
        return Err(hindrance);
    }
    started(command, event, limit)
}

fn started(command: &Command, event: &Event, limit: Duration) -> Result<(), String> {
    let program = command.program.display();
    let failed = |error: io::Error| format!("cannot run {program}: {error}");
    let mut child = std::process::Command::new(&command.program)
        .args(&command.arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(event.environment())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let in_time = ends_within(&child, limit);
    // The child was not waited for, so its process group still exists. It fails if the whole group has ended.
    best_effort(kill_process_group(Pid::from_child(&child), Signal::KILL));
    let status = child.wait().map_err(failed)?;
    match in_time {
        Ok(true) if status.success() => Ok(()),
        Ok(true) => Err(format!("{program} failed: {}", said(status))),
        Ok(false) => Err(format!("{program} was killed after {} s, its time limit; make it faster", limit.as_secs())),
        Err(error) => Err(failed(error)),
    }
}

/// Waits for its end, without reaping it.
fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    let descriptor = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    // This thread has no signal handlers, so no signal interrupts the call.
    Ok(poll(&mut polled, limit)? != 0)
}

fn said(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("it ended with {code}"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::hooks::Kind;

    fn sh(script: &str, limit: Duration) -> Result<(), String> {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let command = Command::try_from(words).expect("a command");
        started(&command, &Event::of(Kind::Safe, "id", "Blue"), limit)
    }

    #[test]
    fn a_command_has_only_the_documented_environment() {
        let limit = Duration::from_secs(100);
        let all = "test \"$BUTTERDOCK_EVENT $BUTTERDOCK_DRIVE $BUTTERDOCK_LABEL\" = 'safe id Blue'";
        assert_eq!(sh(all, limit), Ok(()));
        // `cargo test` has set it.
        assert_eq!(sh("test -z \"$CARGO_MANIFEST_DIR\" && test -z \"$HOME\"", limit), Ok(()));
        assert!(sh("exit 3", limit).is_err_and(|why| why.contains("ended with 3")));
    }

    #[test]
    fn a_slow_program_is_killed_with_its_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let begun = Instant::now();
        let script = format!("sleep 600 & echo $! > {}; sleep 600", pid.display());
        let why = sh(&script, Duration::from_millis(500)).expect_err("killed");
        assert!(why.contains("was killed"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(500));
        let pid = std::fs::read_to_string(&pid).expect("written");
        // The process that adopts orphans reaps it later.
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(begun.elapsed() < Duration::from_secs(500), "{}", state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
