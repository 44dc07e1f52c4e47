//! QEMU's monitor (QMP): a command is a line of JSON, and so is the answer; events come in between.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// The connection.
#[derive(Debug)]
pub(crate) struct Monitor {
    socket: BufReader<UnixStream>,
    /// Those that came while an answer was waited for.
    events: Vec<Value>,
}

impl Monitor {
    /// Connects as soon as the socket is there, ten seconds at most.
    ///
    /// # Errors
    ///
    /// It does not come.
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let until = Instant::now() + Duration::from_secs(60);
        let socket = loop {
            match UnixStream::connect(path) {
                Ok(socket) => break socket,
                Err(error) if Instant::now() > until => return Err(error).context("QEMU's monitor does not answer"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        socket.set_read_timeout(Some(Duration::from_secs(240)))?;
        let mut monitor = Self { socket: BufReader::new(socket), events: Vec::new() };
        // It greets first.
        monitor.read()?;
        monitor.ask("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub(crate) fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.socket.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut said = self.read()?;
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = said.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            self.events.push(said);
        }
    }

    /// Waits for the event about that device.
    ///
    /// # Errors
    ///
    /// It does not come within half a minute.
    pub(crate) fn wait_for(&mut self, event: &str, device: &str) -> Result<()> {
        loop {
            let is = |said: &Value| said["event"] == event && said["data"]["device"] == device;
            if let Some(at) = self.events.iter().position(is) {
                self.events.drain(..=at);
                return Ok(());
            }
            let said = self.read().with_context(|| format!("waiting for {event} of {device}"))?;
            self.events.push(said);
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.socket.read_line(&mut line)? == 0 {
            bail!("QEMU ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}
