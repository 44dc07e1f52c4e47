//! The daemon of one test.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};
use butterdock_dbus::names::BUS_NAME;
use nix::libc;
use nix::sys::signal::Signal;

use crate::{Bus, Client, Finished, Running, TIMEOUT, Wait, butterdockd, python, start, wait_until, workers};

/// `butterdockd serve` in a session of its own, by which its workers are found. Killed when dropped, and with the thread of
/// the test.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
}

impl Daemon {
    /// Starts it, and waits until it has its name.
    ///
    /// # Errors
    /// It was not built or does not start, with its log.
    pub fn start(bus: &Bus, configuration: &Path) -> Result<Self> {
        Self::with(bus, configuration, &[])
    }

    /// As [`Self::start`], with more in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with(bus: &Bus, configuration: &Path, environment: &[(&str, &OsStr)]) -> Result<Self> {
        Self::run(bus, configuration, environment, &Command::new(butterdockd()?))
    }

    /// As [`Self::start`]; the kernel refuses it these system calls with `EPERM`, as under a unit that filters them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn refused(bus: &Bus, configuration: &Path, calls: &[libc::c_long]) -> Result<Self> {
        let mut command = python("refused.py", bus)?;
        let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
        command.arg(calls.join(",")).arg(butterdockd()?);
        Self::run(bus, configuration, &[], &command)
    }

    fn run(bus: &Bus, configuration: &Path, environment: &[(&str, &OsStr)], program: &Command) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "setsid"]).arg(program.get_program()).args(program.get_args());
        command.args(["serve", "--config"]).arg(configuration).env("BUTTERDOCK_BUS_ADDRESS", bus.address());
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").stdin(Stdio::null());
        command.envs(environment.iter().copied());
        let mut running = start(&mut command)?;
        let client = Client::connect(&bus.address())?;
        let mut wait = Wait::new("the service has its name");
        while !client.has_owner(BUS_NAME)? {
            if running.has_ended()? {
                let finished = running.finish(Duration::ZERO)?;
                bail!("the service does not start, it ended with {}: {}", finished.code(), finished.err());
            }
            wait.pause("it does not")?;
        }
        Ok(Self { running })
    }

    /// Its process id, which is its session's as well.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// The kernel cannot say.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.running.has_ended()
    }

    /// SIGTERM, like a service manager; how it ended and its log.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<Finished> {
        self.running.signal(Signal::SIGTERM)?;
        self.running.finish(TIMEOUT)
    }

    /// SIGKILL; returns when the daemon and its workers have ended.
    ///
    /// # Errors
    /// They do not end.
    pub fn kill(mut self) -> Result<()> {
        let session = self.id();
        self.running.signal(Signal::SIGKILL)?;
        self.running.finish(TIMEOUT)?;
        wait_until("the workers of the killed daemon have ended", || Ok(workers(session)?.is_empty()))
    }
}
