//! A bus, volumes, and a daemon that may be killed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use super::traces::family;
use super::wait_until;
use super::{Bus, Client};
use crate::rig::{Finished, Layout, PATIENCE, Rig, Running, Volume, butterdockd, helper, names, start};

/// One test's world. Everything in it ends with it, the daemon first.
#[derive(Debug)]
pub struct Fixture {
    daemon: Option<Running>,
    /// The session that the last daemon began.
    session: u32,
    bus: Bus,
    volumes: Vec<(String, Volume)>,
    rig: Rig,
}

impl Fixture {
    /// Volumes of these names, and a daemon that serves them.
    ///
    /// # Errors
    /// Without root, and where something does not start.
    pub fn new(volumes: &[&str]) -> Result<Self> {
        Self::with(volumes, "")
    }

    /// As [`Self::new`], with these lines more at the head of the configuration.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(volumes: &[&str], settings: &str) -> Result<Self> {
        Self::of(volumes, settings, &Layout::default())
    }

    /// As [`Self::with`], on volumes that are made so.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(volumes: &[&str], settings: &str, layout: &Layout) -> Result<Self> {
        Self::over(Rig::new()?, volumes, settings, layout)
    }

    /// As [`Self::of`], in a rig that the test has made something of already.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn over(rig: Rig, volumes: &[&str], settings: &str, layout: &Layout) -> Result<Self> {
        // As systemd has it: what is unmounted here is unmounted in the namespaces of workers.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED, None::<&str>)
            .context("sharing the test's mounts with the workers that it starts")?;
        let mut text = settings.to_owned();
        let mut made = Vec::new();
        for name in volumes {
            let volume = rig.volume(name, layout)?;
            text.push_str(&format!("\n[[volume]]\nname = {name:?}\npath = {:?}\n", volume.path()));
            made.push(((*name).to_owned(), volume));
        }
        text.push_str(&format!("\n[paths]\nstate = {:?}\nrun = {:?}\n", rig.join("state"), rig.join("run")));
        std::fs::write(rig.join("butterdock.toml"), text)?;
        let bus = Bus::start(rig.path())?;
        let mut fixture = Self { daemon: None, session: 0, bus, volumes: made, rig };
        fixture.start()?;
        Ok(fixture)
    }

    /// Starts the daemon, and waits until it can be found.
    ///
    /// # Errors
    /// With what it complained of, when it ends.
    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new("setpriv");
        // A session of its own, by which everything that it starts is found; and it ends with the test's thread.
        command.args(["--pdeathsig", "KILL", "setsid"]).arg(butterdockd()?).args(["serve", "--config"]);
        command.arg(self.rig.join("butterdock.toml")).env("BUTTERDOCK_BUS_ADDRESS", self.bus.address());
        let mut daemon = start(command.stdin(Stdio::null()))?;
        self.session = daemon.id();
        let client = self.client()?;
        while !client.service_is_there()? {
            if daemon.has_ended()? {
                let finished = daemon.finish(PATIENCE)?;
                anyhow::bail!("the daemon ended with {}: {}", finished.code(), finished.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Kills the bus and starts another one at its address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart_bus(&mut self) -> Result<()> {
        self.bus.restart()
    }

    /// SIGKILL; returns when nothing of the daemon and its workers is left.
    ///
    /// # Errors
    /// When it does not end.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)?;
        wait_until("the workers of the killed daemon are gone", || Ok(family(self.session)?.is_empty()))
    }

    /// SIGTERM; returns when it has ended, with what it said.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<Finished> {
        self.end(Signal::SIGTERM)
    }

    fn end(&mut self, signal: Signal) -> Result<Finished> {
        let mut daemon = self.daemon.take().context("a daemon")?;
        daemon.signal(signal)?;
        daemon.finish(PATIENCE)
    }

    /// Has the bus start the daemon when somebody calls it, as a system's bus does.
    ///
    /// # Errors
    /// When the bus does not take notice.
    pub fn activatable(&self) -> Result<()> {
        let (config, address) = (self.rig.join("butterdock.toml"), self.bus.address());
        let program = butterdockd()?;
        let (program, config) = (program.display(), config.display());
        self.bus.offer(
            "org.butterdock.Butterdock1",
            &format!("/usr/bin/env BUTTERDOCK_BUS_ADDRESS={address} {program} serve --config {config}"),
        )
    }

    /// Somebody on its bus.
    ///
    /// # Errors
    /// When the bus is gone.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.bus.address())
    }

    /// `butterdock` on its bus, without a terminal.
    ///
    /// # Errors
    /// When it was not built.
    pub fn butterdock(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(butterdock()?);
        command.args(words).env("BUTTERDOCK_BUS_ADDRESS", self.bus.address()).stdin(Stdio::null());
        Ok(command)
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.session
    }

    /// Whether the daemon has ended by itself.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub fn daemon_has_ended(&mut self) -> Result<bool> {
        self.daemon.as_mut().map_or(Ok(true), Running::has_ended)
    }

    /// The processes that the daemon started.
    ///
    /// # Errors
    /// When there is no /proc.
    pub fn workers(&self) -> Result<Vec<u32>> {
        family(self.session)
    }

    /// A path in the test's folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.rig.join(name)
    }

    /// The test's folder.
    #[must_use]
    pub const fn rig(&self) -> &Rig {
        &self.rig
    }

    /// Where a volume is mounted.
    #[must_use]
    pub fn path(&self, volume: &str) -> PathBuf {
        self.rig.join(volume)
    }

    /// A volume.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn volume(&mut self, name: &str) -> Result<&mut Volume> {
        let found = self.volumes.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, volume)| volume).with_context(|| format!("no volume {name}"))
    }

    /// That no worker is left, nothing hidden is, and only these names can be seen; and that the daemon answers.
    ///
    /// # Errors
    /// With what is left.
    pub fn is_tidy(&mut self, client: &Client, volume: &str, visible: &[&str]) -> Result<()> {
        wait_until("no worker is left", || Ok(family(self.session)?.is_empty()))?;
        let (seen, hidden) = names(&self.path(volume))?;
        ensure!(hidden.is_empty(), "left hidden: {hidden:?}");
        ensure!(seen == visible, "there are {seen:?}, and should be {visible:?}");
        ensure!(!self.daemon_has_ended()?, "the daemon has ended");
        client.objects().context("the daemon does not answer")?;
        Ok(())
    }
}

/// The command line, as Cargo built it beside the tests, or what `BUTTERDOCK` names.
///
/// # Errors
/// When it is not there.
pub fn butterdock() -> Result<PathBuf> {
    if let Some(asked) = std::env::var_os("BUTTERDOCK") {
        return Ok(PathBuf::from(asked));
    }
    let built = helper("butterdock")?;
    let there: &Path = &built;
    ensure!(there.exists(), "{} is missing: build it first with `cargo build -p butterdock`", built.display());
    Ok(built)
}
