//! QEMU's own door: JSON lines over a socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    from: BufReader<UnixStream>,
    to: UnixStream,
    /// Devices that QEMU said are gone, and nobody asked for yet.
    gone: Vec<String>,
}

impl Qmp {
    /// Connects, and waits for the socket to be there.
    ///
    /// # Errors
    /// There is none within `limit`, or it is not QEMU's.
    pub fn connect(socket: &Path, limit: Duration) -> Result<Self> {
        let to = super::console::connected(socket, limit)?;
        to.set_read_timeout(Some(ANSWER))?;
        let mut qmp = Self { from: BufReader::new(to.try_clone()?), to, gone: Vec::new() };
        qmp.line().context("QEMU's greeting")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// QEMU refuses it, and says why.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.to.write_all(line.as_bytes()).with_context(|| format!("asking QEMU to {command}"))?;
        loop {
            let answer = self.line().with_context(|| format!("QEMU's answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command} {arguments}: {error}");
            }
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            self.event(&answer);
        }
    }

    /// Waits until a device has gone.
    ///
    /// # Errors
    /// It has not within `limit`.
    pub fn wait_gone(&mut self, device: &str, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while !self.gone.iter().any(|gone| gone == device) {
            if begun.elapsed() > limit {
                bail!("{device} is still in the machine after {limit:?}");
            }
            let event = self.line().with_context(|| format!("waiting until {device} has gone"))?;
            self.event(&event);
        }
        self.gone.retain(|gone| gone != device);
        Ok(())
    }

    fn event(&mut self, line: &Value) {
        if line.get("event").and_then(Value::as_str) == Some("DEVICE_DELETED")
            && let Some(device) = line.pointer("/data/device").and_then(Value::as_str)
        {
            self.gone.push(device.to_owned());
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("QEMU has gone");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU says {line:?}"))
    }
}
