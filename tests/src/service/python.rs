//! Clients in Python, and clients of another user.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Bus, shipped};
use crate::rig::{PATIENCE, run};

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

/// The same command, of the user nobody, in no group and with no capability. Its stdin has to be set anew.
#[must_use]
pub fn as_nobody(command: &Command) -> Command {
    as_user(65534, command)
}

/// The same command, of another user and the group of the same number, with no capability. Its stdin has to be set anew.
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
    let done = run(command, PATIENCE)?.success()?;
    serde_json::from_str(done.out().trim()).with_context(|| done.out())
}
