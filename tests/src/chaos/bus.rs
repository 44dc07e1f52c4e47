//! A bus for one test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A dbus-daemon, which ends with this, and with the test's thread however that ends.
#[derive(Debug)]
pub struct Bus {
    daemon: Child,
    address: String,
    services: PathBuf,
    configuration: PathBuf,
}

impl Bus {
    /// A bus whose socket lies in `folder`.
    ///
    /// # Errors
    /// When dbus-daemon does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let configuration = folder.join("bus.conf");
        let services = folder.join("services");
        std::fs::create_dir(&services)?;
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><servicedir>{}</servicedir><auth>EXTERNAL</auth><policy context='default'><allow user='*'/>\
             <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy>\
             <limit name='max_replies_per_connection'>50000</limit></busconfig>",
            folder.join("bus").display(),
            services.display()
        );
        std::fs::write(&configuration, text)?;
        let address = format!("unix:path={}", folder.join("bus").display());
        Ok(Self { daemon: listen(&configuration)?, address, services, configuration })
    }

    /// Kills it and starts another one at the same address.
    ///
    /// # Errors
    /// When dbus-daemon does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.kill()?;
        self.daemon.wait()?;
        self.daemon = listen(&self.configuration)?;
        Ok(())
    }

    /// Has it start a program when somebody calls this name.
    ///
    /// # Errors
    /// When it does not take notice.
    pub fn offer(&self, name: &str, command: &str) -> Result<()> {
        let file = self.services.join(format!("{name}.service"));
        std::fs::write(file, format!("[D-BUS Service]\nName={name}\nExec={command}\nUser=root\n"))?;
        // dbus-daemon(1): it reads its configuration and its folders of services again.
        kill(Pid::from_raw(self.daemon.id().try_into()?), Signal::SIGHUP)?;
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Starts dbus-daemon, and returns when it listens.
fn listen(configuration: &Path) -> Result<Child> {
    let mut daemon = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "dbus-daemon", "--nofork", "--print-address=1"])
        .arg(format!("--config-file={}", configuration.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("setpriv (package util-linux) does not start dbus-daemon (package dbus-daemon)")?;
    let mut address = String::new();
    if let Some(out) = daemon.stdout.take() {
        BufReader::new(out).read_line(&mut address)?;
    }
    ensure!(!address.trim().is_empty(), "dbus-daemon did not start: is the package dbus-daemon installed?");
    Ok(daemon)
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended already.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}
