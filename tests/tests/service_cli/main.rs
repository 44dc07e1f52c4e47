//! `butterdock` on a real daemon.

mod endings;
mod streams;
mod terminal;
mod verbs;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Finished, Service, TIMEOUT, run};
use serde_json::Value;

/// Runs it without a terminal, to its end.
fn ran(fixture: &Service, words: &[&str]) -> Result<Finished> {
    run(&mut fixture.butterdock(words)?, TIMEOUT)
}

/// The one object that a verb prints.
fn object(fixture: &Service, words: &[&str]) -> Result<Value> {
    let finished = ran(fixture, &[words, &["--json"]].concat())?.success()?;
    ensure!(finished.stderr.is_empty(), "{words:?} complains: {}", finished.err());
    serde_json::from_slice(&finished.stdout).with_context(|| format!("{words:?} printed {}", finished.out()))
}

/// The objects that a run printed, one a line.
fn lines(finished: &Finished) -> Result<Vec<Value>> {
    let line = |line: &str| serde_json::from_str(line).with_context(|| format!("no object: {line}"));
    finished.out().lines().map(line).collect()
}

/// Whether a text could steer a terminal.
fn steers(text: &str) -> bool {
    text.chars().any(|letter| letter.is_control() && letter != '\n') || text.contains('\u{202e}')
}

/// Without root, by setpriv(1).
fn as_nobody(command: &Command) -> Command {
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    other.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            other.env(name, value);
        }
    }
    other
}
