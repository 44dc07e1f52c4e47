//! A session bus with the agent, and a machine whose backups are slow until they may be fast.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_tests::trees::Random;
use butterdock_tests::{
    Bus, Client, Finished, Running, Sandbox, Scenario, TIMEOUT, Wait, built_program, no_options, start,
};

/// The name of the agent on the session bus.
pub(crate) const AGENT: &str = "org.butterdock.Agent1";

/// The agent's line after each first look at the service.
const FOLLOWS: &str = "butterdock-agent follows the service\n";

const LIMIT: &str = "max_rate = \"64KiB/s\"\n";

/// A session. The fields are in the order in which they have to end.
#[derive(Debug)]
pub(crate) struct Desktop {
    agent: Option<Running>,
    pub(crate) client: Client,
    bus: Bus,
    system: String,
    state: PathBuf,
}

impl Desktop {
    /// A session on the machine of the scenario, without an agent.
    pub(crate) fn new(scenario: &Scenario) -> Result<Self> {
        Self::on(&scenario.fixture.sandbox, &scenario.fixture.bus)
    }

    /// A session beside this system bus, without an agent.
    pub(crate) fn on(sandbox: &Sandbox, system: &Bus) -> Result<Self> {
        let bus = Bus::without_policy(sandbox.path())?;
        let client = Client::connect(&bus.address())?;
        Ok(Self { agent: None, client, bus, system: system.address(), state: sandbox.join("session-state") })
    }

    /// A session on the machine of these drives, without an agent.
    #[cfg(feature = "screen")]
    pub(crate) fn new_on(fixture: &butterdock_tests::DriveFixture) -> Result<Self> {
        Self::on(&fixture.sandbox, &fixture.bus)
    }

    /// The address of the service's bus.
    #[cfg(feature = "screen")]
    pub(crate) fn system_address(&self) -> &str {
        &self.system
    }

    /// The address of the session bus.
    pub(crate) fn address(&self) -> String {
        self.bus.address()
    }

    /// The agent's command in this session.
    pub(crate) fn command(&self) -> Result<Command> {
        let program = built_program("butterdock-agent")?;
        ensure!(program.exists(), "{} is missing: `cargo build -p butterdock-agent`", program.display());
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).stdin(Stdio::null());
        command.env("BUTTERDOCK_BUS_ADDRESS", &self.system).env("DBUS_SESSION_BUS_ADDRESS", self.address());
        command.env("XDG_STATE_HOME", &self.state).env("LC_ALL", "C.UTF-8");
        Ok(command)
    }

    /// Starts the agent, and waits until it follows the service.
    pub(crate) fn start_agent(&mut self) -> Result<()> {
        let command = self.command()?;
        self.start_with(command)
    }

    /// Starts the agent with this command, and waits until it follows the service: what happens before that is no news for it.
    pub(crate) fn start_with(&mut self, mut command: Command) -> Result<()> {
        let mut agent = start(&mut command)?;
        let mut wait = Wait::new("the agent has its name");
        while !self.client.has_owner(AGENT)? {
            if agent.has_ended()? {
                anyhow::bail!("the agent ended: {}", agent.finish(TIMEOUT)?.err());
            }
            wait.pause("it has not")?;
        }
        self.agent = Some(agent);
        self.until_followed(1)
    }

    /// Waits until the agent has read the objects of the service, and shown them, this many times.
    pub(crate) fn until_followed(&mut self, times: usize) -> Result<()> {
        self.until_said(FOLLOWS, times)
    }

    /// Waits until the agent has written this text into its log this many times.
    pub(crate) fn until_said(&mut self, text: &str, times: usize) -> Result<()> {
        let agent = self.agent.as_mut().context("it runs")?;
        let mut wait = Wait::new(&format!("the agent says {text:?}"));
        while agent.err_so_far().matches(text).count() < times {
            ensure!(!agent.has_ended()?, "the agent ended: {}", agent.err_so_far());
            wait.pause(&agent.err_so_far())?;
        }
        Ok(())
    }

    /// The process of the agent.
    pub(crate) fn agent(&self) -> Result<u32> {
        Ok(self.agent.as_ref().context("it runs")?.id())
    }

    /// The processes of dialogs.
    pub(crate) fn dialogs(&self) -> Result<String> {
        // A child belongs to the thread that started it, and that may have ended meanwhile.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.agent()?))?;
        Ok(tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect())
    }

    /// Waits until the agent has no pinentry.
    pub(crate) fn until_no_dialog(&self) -> Result<()> {
        let mut wait = Wait::new("the dialog has ended");
        while !self.dialogs()?.is_empty() {
            wait.pause("it has not")?;
        }
        Ok(())
    }

    /// Ends the session bus, and with it the agent: how it ended.
    pub(crate) fn end(mut self) -> Result<Finished> {
        let agent = self.agent.take().context("it runs")?;
        self.bus.restart()?;
        agent.finish(TIMEOUT)
    }
}

/// A machine whose next backup to the drive Blue is slow; the drive is not plugged in.
pub(crate) fn slow_machine() -> Result<Scenario> {
    let rule = format!("\n[[destination]]\nname = \"Blue\"\nkind = \"drive\"\ndrive = \"Blue\"\n{LIMIT}");
    let mut scenario = Scenario::on(&["home"], &rule, |fixture| fixture.image("a", "Blue"))?;
    fs::write(scenario.source.join("random"), random_bytes(3 << 20))?;
    scenario.unplug()?;
    Ok(scenario)
}

/// Bytes that cannot be compressed.
fn random_bytes(length: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    let byte = |_| u8::try_from(random.below(256)).unwrap_or_default();
    (0..length).map(byte).collect()
}

/// Backups are fast from now on.
pub(crate) fn hurry(scenario: &Scenario) -> Result<()> {
    let text = fs::read_to_string(&scenario.fixture.configuration)?;
    ensure!(text.contains(LIMIT), "{text}");
    fs::write(&scenario.fixture.configuration, text.replace(LIMIT, ""))?;
    if scenario.fixture.daemon.is_some() {
        scenario.fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    }
    Ok(())
}
