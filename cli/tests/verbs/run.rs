//! Runs `butterdock` against a fake service.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use butterdock_fixtures::Bus;
use butterdock_fixtures::{Finished, Running, TIMEOUT, run, start};
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::Fake;

/// A bus, a service on it, and a folder for streams.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) fake: Fake,
    pub(crate) bus: Bus,
    pub(crate) folder: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = Bus::without_policy(folder.path()).expect("a bus");
        Self { fake: Fake::start(&bus.address()), bus, folder }
    }

    /// `butterdock` on this bus, without a terminal.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        command(&self.bus.address(), words)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(&mut self.command(words))
    }

    /// Starts it; it is killed if the test fails.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        start(&mut self.command(words)).expect("it runs")
    }

    /// Runs it with `--json`; it must succeed and print one object.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--json"]].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
        serde_json::from_str(&ran.out).expect("one object")
    }

    /// A stream in a file.
    pub(crate) fn stream(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("stream");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// `butterdock receive tank` of a stream that is written to its standard input.
    pub(crate) fn piped(&self, words: &[&str], text: &str) -> Ran {
        let mut running = start(self.command(words).stdin(Stdio::piped())).expect("it runs");
        running.input().expect("piped").write_all(text.as_bytes()).expect("written");
        Ran::from(running)
    }

    /// Starts a job that stalls; returns its id.
    pub(crate) fn stalled(&self) -> String {
        let file = self.stream("stall here");
        let ran = self.run(&["receive", "tank", file.to_str().expect("a name"), "--detach"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out.trim().to_owned()
    }
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        run(command, TIMEOUT).expect("it ends").into()
    }

    /// The objects that it printed, one a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}"));
        self.out.lines().map(parse).collect()
    }
}

impl From<Finished> for Ran {
    fn from(done: Finished) -> Self {
        Self { code: done.status.code(), out: done.out(), err: done.err() }
    }
}

impl From<Running> for Ran {
    fn from(running: Running) -> Self {
        running.finish(TIMEOUT).expect("it ends").into()
    }
}

/// `butterdock` on the bus at this address.
pub(crate) fn command(address: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_butterdock"));
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", address).env("TZ", "UTC0").stdin(Stdio::null());
    command
}
