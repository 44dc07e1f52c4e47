//! Clients in Python, clients of another user, and many calls at the same time.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{Bus, TIMEOUT, run, shipped};

/// A script of `tests/clients`, to be run by the distribution's Python, which has python3-dbus and python3-gi. Its text
/// goes along, because another user need not be able to read the repository.
///
/// # Errors
/// When there is no such script.
pub fn python(script: &str, bus: &Bus) -> Result<Command> {
    let path = shipped("tests/clients").join(script);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", &text]).env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).stdin(Stdio::null()).current_dir("/");
    Ok(command)
}

/// The same command, of the user nobody, in no group and with no capability. Its stdin is empty until it is set.
#[must_use]
pub fn as_nobody(command: &Command) -> Command {
    as_user(65534, command)
}

/// The same command, of another user and the group of the same number, with no capability. Its stdin is empty until it is set.
#[must_use]
pub fn as_user(uid: u32, command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    let id = uid.to_string();
    other.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--"]);
    other.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()).current_dir("/");
    for (name, value) in command.get_envs() {
        other.env(name, value.unwrap_or(OsStr::new("")));
    }
    other
}

/// Runs `call.py` and answers what it printed: `{"answer": …}` or `{"error": NAME, "message": TEXT}`.
///
/// # Errors
/// When it cannot be run.
pub fn answer(command: &mut Command) -> Result<Value> {
    let done = run(command, TIMEOUT)?.success()?;
    serde_json::from_str(done.out().trim()).with_context(|| done.out())
}

/// `tests/clients/flood.py`, which runs until this is dropped.
#[derive(Debug)]
pub struct Flood {
    child: Child,
    // It ends when this is closed.
    _input: ChildStdin,
    lines: Receiver<String>,
}

impl Flood {
    /// Starts it as this user, with what the script takes, and waits until every connection has sent a call.
    ///
    /// # Errors
    /// When it cannot be started, or the bus refuses it.
    pub fn start(bus: &Bus, uid: u32, wanted: &Value) -> Result<Self> {
        let mut command = python("flood.py", bus)?;
        command.arg(wanted.to_string());
        let mut command = as_user(uid, &command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("flood.py")?;
        let input = child.stdin.take().context("its input")?;
        let output = child.stdout.take().context("its output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut flood = Self { child, _input: input, lines };
        while flood.line()? != "ready" {}
        Ok(flood)
    }

    /// The next line that it prints: `sent`, `return`, or the name of an error.
    ///
    /// # Errors
    /// When it has ended, or prints nothing for long.
    pub fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(TIMEOUT) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("the flood printed nothing for a minute"),
            Err(RecvTimeoutError::Disconnected) => bail!("the flood has ended"),
        }
    }

    /// The next line, where there is one already.
    ///
    /// # Errors
    /// When it has ended.
    pub fn line_now(&mut self) -> Result<Option<String>> {
        match self.lines.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("the flood has ended"),
        }
    }

    /// So many answers, in the order in which they came.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub fn answers(&mut self, count: usize) -> Result<Vec<String>> {
        let mut answers = Vec::new();
        while answers.len() < count {
            let line = self.line().with_context(|| format!("{} of {count} answers came", answers.len()))?;
            if line != "sent" {
                answers.push(line);
            }
        }
        Ok(answers)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
