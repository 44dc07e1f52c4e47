//! A service with volumes.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use nix::mount::{MsFlags, mount};

use crate::{
    Bus, Client, Daemon, Finished, Layout, Polkit, Rules, Sandbox, Volume, butterdock, butterdockd, names, wait_until,
    workers,
};

/// The configured name of the usual volume.
pub const TANK: &str = "tank";

/// A backup without a drive, for the configuration.
pub const HOME: &str = "[[backup]]\nname = \"home\"\nsource = \"/nonexistent\"\ndrives = []\n";

/// The object path of [`TANK`].
#[must_use]
pub fn tank() -> String {
    format!("{ROOT}/volumes/{TANK}")
}

/// The parts of a service.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The names of its volumes.
    pub volumes: &'a [&'a str],
    /// The folder of the sandbox that has them.
    pub folder: &'a str,
    /// Lines for the head of its configuration.
    pub settings: &'a str,
    /// The layout of the volumes.
    pub layout: Layout,
    /// Rules for a real polkit; without them there is no polkit.
    pub rules: Option<&'a Rules>,
    /// Whether the bus has the limits of the system's bus.
    pub system_limits: bool,
}

impl Default for Setup<'_> {
    /// One volume [`TANK`], no polkit.
    fn default() -> Self {
        Self {
            volumes: &[TANK],
            folder: "",
            settings: "",
            layout: Layout::default(),
            rules: None,
            system_limits: false,
        }
    }
}

/// A service on a private bus. The fields are in the order in which they have to end.
#[derive(Debug)]
pub struct Service {
    daemon: Option<Daemon>,
    /// The process id of the last daemon.
    pid: u32,
    polkit: Option<Polkit>,
    /// The bus.
    pub bus: Bus,
    volumes: Vec<(String, Volume)>,
    /// The folder of the test.
    pub sandbox: Sandbox,
}

impl Service {
    /// A service with the volume [`TANK`], without polkit.
    ///
    /// # Errors
    /// Without root, with a sentence that says so; something cannot be started.
    pub fn start() -> Result<Self> {
        Self::new(&Setup::default())
    }

    /// A service with these volumes and these lines at the head of its configuration.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with(volumes: &[&str], settings: &str) -> Result<Self> {
        Self::new(&Setup { volumes, settings, ..Setup::default() })
    }

    /// A service that asks polkit.
    ///
    /// # Errors
    /// As [`Self::start`]; polkitd is not installed.
    pub fn with_polkit(rules: &Rules) -> Result<Self> {
        Self::new(&Setup { rules: Some(rules), ..Setup::default() })
    }

    /// A service of these parts.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn new(setup: &Setup<'_>) -> Result<Self> {
        Self::in_sandbox(Sandbox::new()?, setup)
    }

    /// The same in a sandbox that the test has prepared.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn in_sandbox(sandbox: Sandbox, setup: &Setup<'_>) -> Result<Self> {
        // As under systemd: what is unmounted here is unmounted in the namespaces of workers.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SHARED, None::<&str>)
            .context("sharing the test's mounts with the workers")?;
        let mut text = setup.settings.to_owned();
        let mut volumes = Vec::new();
        for name in setup.volumes {
            let at = sandbox.join(setup.folder).join(name);
            let volume = Volume::make(&sandbox.join(&format!("{name}.img")), &at, &setup.layout)?;
            text.push_str(&format!("\n[[volume]]\nname = {name:?}\npath = {:?}\n", volume.path()));
            volumes.push(((*name).to_owned(), volume));
        }
        text.push_str(&format!("\n[paths]\nstate = {:?}\nrun = {:?}\n", sandbox.join("state"), sandbox.join("run")));
        std::fs::write(sandbox.join("butterdock.toml"), text)?;
        let folder = sandbox.path();
        let bus = if setup.system_limits { Bus::with_limits_of_the_system(folder)? } else { Bus::start(folder)? };
        let polkit = setup.rules.map(|rules| Polkit::start(&sandbox, &bus, rules)).transpose()?;
        let mut service = Self { daemon: None, pid: 0, polkit, bus, volumes, sandbox };
        service.start_daemon()?;
        Ok(service)
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_daemon(&mut self) -> Result<()> {
        let daemon = Daemon::start(&self.bus, &self.configuration())?;
        self.pid = daemon.id();
        self.daemon = Some(daemon);
        Ok(())
    }

    /// SIGTERM to the daemon; how it ended and its log.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<Finished> {
        self.daemon.take().context("the daemon runs")?.stop()
    }

    /// SIGKILL to the daemon; returns when it and its workers have ended.
    ///
    /// # Errors
    /// They do not end.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().context("the daemon runs")?.kill()
    }

    /// Stops the daemon and lets the bus start it at the next call.
    ///
    /// # Errors
    /// The daemon does not end, or the bus does not read the file.
    pub fn activatable(&mut self) -> Result<()> {
        self.stop()?;
        let program = butterdockd()?;
        let exec = format!("{} serve --config {}", program.display(), self.configuration().display());
        self.bus.activate(BUS_NAME, &format!("[D-BUS Service]\nName={BUS_NAME}\nExec={exec}\nUser=root\n"))
    }

    /// Starts polkit again with other rules.
    ///
    /// # Errors
    /// As [`Polkit::start`].
    pub fn rule(&mut self, rules: &Rules) -> Result<()> {
        // The old one has to be off the bus, and its mounts away.
        drop(self.polkit.take());
        self.polkit = Some(Polkit::start(&self.sandbox, &self.bus, rules)?);
        Ok(())
    }

    /// Its configuration.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.sandbox.join("butterdock.toml")
    }

    /// A client of root.
    ///
    /// # Errors
    /// The bus refuses it.
    pub fn client(&self) -> Result<Client> {
        Client::connect(&self.bus.address())
    }

    /// `butterdock` on its bus, without a terminal.
    ///
    /// # Errors
    /// It was not built.
    pub fn butterdock(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(butterdock()?);
        command.args(words).env("BUTTERDOCK_BUS_ADDRESS", self.bus.address()).stdin(Stdio::null());
        Ok(command)
    }

    /// The process id of the daemon, or of the last one.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the daemon has ended.
    ///
    /// # Errors
    /// The kernel cannot say.
    pub fn daemon_has_ended(&mut self) -> Result<bool> {
        self.daemon.as_mut().map_or(Ok(true), Daemon::has_ended)
    }

    /// The processes that the daemon started.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn workers(&self) -> Result<Vec<u32>> {
        workers(self.pid)
    }

    /// A path in the test's folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.sandbox.join(name)
    }

    /// Where a volume is mounted.
    #[must_use]
    pub fn path(&self, volume: &str) -> PathBuf {
        let found = self.volumes.iter().find(|(known, _)| known == volume);
        found.map_or_else(|| self.sandbox.join(volume), |(_, volume)| volume.path().to_owned())
    }

    /// A volume.
    ///
    /// # Errors
    /// It has none of this name.
    pub fn volume(&mut self, name: &str) -> Result<&mut Volume> {
        let found = self.volumes.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, volume)| volume).with_context(|| format!("no volume {name}"))
    }

    /// Checks that no worker and nothing hidden is left, that only these names are visible, and that the daemon answers.
    ///
    /// # Errors
    /// The differences.
    pub fn is_tidy(&mut self, client: &Client, volume: &str, visible: &[&str]) -> Result<()> {
        wait_until("no worker is left", || Ok(self.workers()?.is_empty()))?;
        let (seen, hidden) = names(&self.path(volume))?;
        ensure!(hidden.is_empty(), "left hidden: {hidden:?}");
        ensure!(seen == visible, "there are {seen:?}, and should be {visible:?}");
        ensure!(!self.daemon_has_ended()?, "the daemon has ended");
        client.objects().context("the daemon does not answer")?;
        Ok(())
    }
}
