//! The udevd of one test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{PATIENCE, Rig};
use crate::service::shipped;

/// A udevd that this thread and what it starts alone hear; ended when dropped.
#[derive(Debug)]
pub struct Udevd(Child);

impl Udevd {
    /// In a network namespace (udevd tells by netlink) and with a `/run` of the thread's own; with a rule for loop devices,
    /// the shipped one, and those in the rig's folder `rules.d`, where there is one.
    ///
    /// # Errors
    /// Without root, and where there is no udevd.
    pub fn start(rig: &Rig) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("a /run of its own")?;
        fs::create_dir_all("/run/udev/rules.d")?;
        let rule = "SUBSYSTEM==\"block\", KERNEL==\"loop*\", ACTION!=\"remove\", IMPORT{builtin}=\"blkid\", OPTIONS+=\"watch\"\n";
        fs::write("/run/udev/rules.d/50-test.rules", rule)?;
        // It names the system's state directory.
        let state = rig.join("state");
        // Whoever watches a disk has the kernel read its table when it was written to, by which parts that no table tells of go.
        let rule = "SUBSYSTEM==\"block\", ATTR{loop/partscan}==\"1\", OPTIONS+=\"nowatch\"\n";
        fs::write("/run/udev/rules.d/99-test.rules", rule)?;
        let shipped = fs::read_to_string(shipped("daemon/data/63-butterdock.rules"))?;
        let shipped = shipped.replace("/var/lib/butterdock", state.to_str().context("a path in UTF-8")?);
        fs::write("/run/udev/rules.d/63-butterdock.rules", shipped)?;
        if let Ok(rules) = fs::read_dir(rig.join("rules.d")) {
            for rule in rules.flatten() {
                fs::copy(rule.path(), Path::new("/run/udev/rules.d").join(rule.file_name()))?;
            }
        }
        let tool = std::env::var_os("BUTTERDOCK_UDEVD").unwrap_or_else(|| "/lib/systemd/systemd-udevd".into());
        let child = Command::new(&tool).stderr(Stdio::null()).spawn();
        let child =
            child.with_context(|| format!("this test needs udev: install it ({})", Path::new(&tool).display()))?;
        let begun = Instant::now();
        while !Path::new("/run/udev/control").exists() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It listens to the kernel before it makes its own socket, but tells nobody when it is ready.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Self(child))
    }
}

/// A udevd that tells of nothing; it goes on when this is dropped.
#[derive(Debug)]
pub struct Silenced(Pid);

impl Udevd {
    /// Stops it for a while.
    ///
    /// # Errors
    /// When it is gone.
    pub fn silence(&self) -> Result<Silenced> {
        let pid = Pid::from_raw(self.0.id().try_into()?);
        kill(pid, Signal::SIGSTOP)?;
        Ok(Silenced(pid))
    }
}

impl Drop for Silenced {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

impl Drop for Udevd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
