//! A bus for one test.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// A dbus-daemon, which ends with this, and with the test's thread however that ends.
#[derive(Debug)]
pub struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    /// A bus whose socket lies in `folder`.
    ///
    /// # Errors
    /// When dbus-daemon does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let configuration = folder.join("bus.conf");
        let text = format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context='default'>\
             <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy>\
             <limit name='max_replies_per_connection'>50000</limit></busconfig>",
            folder.join("bus").display()
        );
        std::fs::write(&configuration, text)?;
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
        let bus = Self { daemon, address: address.trim().to_owned() };
        ensure!(!bus.address.is_empty(), "dbus-daemon did not start: is the package dbus-daemon installed?");
        Ok(bus)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended already.
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}
