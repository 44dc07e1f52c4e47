//! The daemon of one test.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use butterdock_dbus::names::BUS_NAME;
use nix::libc;
use nix::sys::signal::Signal;

use super::{Bus, Client, python};
use crate::rig::{Finished, PATIENCE, Running, butterdockd, start};

/// `butterdockd serve`. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
}

impl Daemon {
    /// Starts it, and waits until it has its name.
    ///
    /// # Errors
    /// When it was not built or does not start, with what it logged.
    pub fn start(bus: &Bus, configuration: &Path) -> Result<Self> {
        Self::with(bus, configuration, &[])
    }

    /// As [`Self::start`], with more in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with(bus: &Bus, configuration: &Path, environment: &[(&str, &OsStr)]) -> Result<Self> {
        Self::run(bus, configuration, environment, Command::new(butterdockd()?))
    }

    /// As [`Self::start`]; the kernel refuses it these system calls with `EPERM`, as it does under a unit that filters them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn refused(bus: &Bus, configuration: &Path, calls: &[libc::c_long]) -> Result<Self> {
        let mut command = python("refused.py", bus)?;
        let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
        command.arg(calls.join(",")).arg(butterdockd()?);
        Self::run(bus, configuration, &[], command)
    }

    fn run(bus: &Bus, configuration: &Path, environment: &[(&str, &OsStr)], mut command: Command) -> Result<Self> {
        command.args(["serve", "--config"]).arg(configuration).env("BUTTERDOCK_BUS_ADDRESS", bus.address());
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").stdin(Stdio::null());
        command.envs(environment.iter().copied());
        let mut running = start(&mut command)?;
        let client = Client::connect(bus.address())?;
        let began = Instant::now();
        while !client.has_owner(BUS_NAME)? {
            if running.has_ended()? || began.elapsed() > PATIENCE {
                bail!("the service does not start: {}", running.finish(Duration::ZERO)?.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { running })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub fn has_ended(&mut self) -> Result<bool> {
        self.running.has_ended()
    }

    /// Ends it as a service manager does; answers how it ended and what it logged.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<Finished> {
        self.running.signal(Signal::SIGTERM)?;
        self.running.finish(PATIENCE)
    }
}
