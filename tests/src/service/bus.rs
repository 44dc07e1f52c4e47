//! A bus for one test.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::rig::{PATIENCE, Rig, Running, start};

/// A bus that is a system bus to whoever is told its address.
#[derive(Debug)]
pub struct Bus {
    address: String,
    _running: Running,
}

impl Bus {
    /// Starts it; with a folder of activation files it starts what they name, itself and not through systemd.
    ///
    /// # Errors
    /// When dbus-daemon does not start, for instance because it does not understand the shipped policy.
    pub fn start(rig: &Rig, activation: Option<&Path>) -> Result<Self> {
        Self::limited(rig, activation, GENEROUS)
    }

    /// Starts it with the limits of the shipped `system.conf`: those in it, and dbus-daemon's own where it sets none.
    ///
    /// # Errors
    /// As [`Self::start`]; when there is no `system.conf`.
    pub fn with_limits_of_the_system(rig: &Rig) -> Result<Self> {
        let text = fs::read_to_string(SYSTEM).with_context(|| format!("{SYSTEM} (package dbus-system-bus-common)"))?;
        let limits: Vec<_> = text.lines().filter(|line| line.trim_start().starts_with("<limit")).collect();
        Self::limited(rig, None, &limits.join("\n"))
    }

    fn limited(rig: &Rig, activation: Option<&Path>, limits: &str) -> Result<Self> {
        let name = format!("butterdock-test-{}-{}", std::process::id(), BUSES.fetch_add(1, Ordering::Relaxed));
        let address = format!("unix:abstract={name}");
        let file = rig.join(&format!("{name}.conf"));
        fs::write(&file, configuration(&address, activation, limits))?;
        // The thread of the test may end without any Drop.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "dbus-daemon", "--nofork", "--nopidfile"]).stdin(Stdio::null());
        command.arg(format!("--config-file={}", file.display()));
        // What it activates inherits these.
        command.env("BUTTERDOCK_BUS_ADDRESS", &address).env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let mut running = start(&mut command)?;
        let began = Instant::now();
        while UnixStream::connect_addr(&SocketAddr::from_abstract_name(&name)?).is_err() {
            if running.has_ended()? || began.elapsed() > PATIENCE {
                bail!("dbus-daemon does not start: {}", running.finish(Duration::ZERO)?.err());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { address, _running: running })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// So that every bus of this process has a name of its own.
static BUSES: AtomicU32 = AtomicU32::new(0);

/// The package dbus-system-bus-common has it.
const SYSTEM: &str = "/usr/share/dbus-1/system.conf";
/// A test with many clients is no attack.
const GENEROUS: &str = "<limit name=\"max_connections_per_user\">4096</limit>";

/// The rules of Debian's system bus, then what packages add: polkit's own and ours, as they are installed.
fn configuration(address: &str, activation: Option<&Path>, limits: &str) -> String {
    let folder = activation.map_or_else(String::new, |at| format!("<servicedir>{}</servicedir>", at.display()));
    let ours = super::shipped("dbus/data/org.butterdock.Butterdock1.conf");
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  {folder}
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
    <!-- For tests that play polkit, logind or timedated. -->
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.login1"/>
    <allow own="org.freedesktop.timedate1"/>
    <allow send_destination="org.freedesktop.timedate1"/>
  </policy>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  <include>{}</include>
  {limits}
</busconfig>
"#,
        ours.display()
    )
}
