//! Runs `butterdock` against a fake service.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::bus::Bus;
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
        let bus = Bus::start();
        Self { fake: Fake::start(&bus.address), bus, folder: tempfile::tempdir().expect("a folder") }
    }

    /// `butterdock` on this bus, without a terminal.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        command(&self.bus.address, words)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::from(self.command(words).output().expect("it runs"))
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
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
        Ran::from(child.wait_with_output().expect("it ends"))
    }

    /// Starts a job that stalls; returns its id.
    pub(crate) fn stalled(&self) -> String {
        let file = self.stream("stall here");
        let ran = self.run(&["receive", "tank", file.to_str().expect("a name"), "--detach"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out.trim().to_owned()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// `butterdock` on the bus at this address.
pub(crate) fn command(address: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_butterdock"));
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", address).env("TZ", "UTC0").stdin(null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn null() -> File {
    File::open("/dev/null").expect("/dev/null")
}

/// Waits until what the child prints into this file has the text.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, signal).expect("signalled");
}
