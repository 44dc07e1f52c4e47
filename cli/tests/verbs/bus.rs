//! A bus for one test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

/// No test takes so long. Without a bus whoever waits for something on it ends, so that a program that waits for ever fails
/// its test instead of holding it up.
const PATIENCE: Duration = Duration::from_secs(40);

/// A dbus-daemon in a folder of its own; it ends with this.
#[derive(Debug)]
pub(crate) struct Bus {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Bus {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("bus");
        let configuration = folder.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context='default'><allow send_destination='*'/><allow receive_sender='*'/><allow own='*'/></policy>\
             </busconfig>",
            socket.display()
        );
        fs::write(&configuration, text).expect("written");
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", configuration.display()))
            .args(["--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            // Without root it complains that it may not raise its limit of descriptors.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon (package dbus) starts");
        let mut address = String::new();
        let out = daemon.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut address).expect("its address");
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            ended.recv_timeout(PATIENCE).unwrap_or_default();
            // It may have ended already.
            drop(daemon.kill());
            drop(daemon.wait());
        });
        Self { end: Some(end), thread: Some(thread), address: address.trim().to_owned(), _folder: folder }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(self.end.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}
