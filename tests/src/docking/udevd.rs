//! The udevd of one test.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::{Patience, Rig};
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
        // The kernel tells every udevd of every device: those of other tests and other programs are left alone, and above all
        // not watched, which would have the kernel tell everybody once more whenever somebody has written to one.
        let ours = format!("ATTRS{{loop/backing_file}}==\"{}/*\"", rig.path().to_str().context("a path in UTF-8")?);
        let rules = format!(
            "SUBSYSTEM!=\"block\", GOTO=\"end\"\n\
             {ours}, GOTO=\"ours\"\n\
             OPTIONS:=\"nowatch\", ENV{{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}}=\"1\"\n\
             GOTO=\"end\"\n\
             LABEL=\"ours\"\n\
             ACTION!=\"remove\", IMPORT{{builtin}}=\"blkid\", OPTIONS+=\"watch\"\n\
             LABEL=\"end\"\n"
        );
        fs::write("/run/udev/rules.d/50-test.rules", rules)?;
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
        // sd_notify(3): it tells so when it hears the kernel.
        let notify = rig.join("udevd.notify");
        let told = UnixDatagram::bind(&notify)?;
        told.set_read_timeout(Some(Duration::from_millis(100)))?;
        // The thread of the test may end without any Drop.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&tool);
        let child = command.env("NOTIFY_SOCKET", &notify).stderr(Stdio::null()).spawn();
        let child =
            child.with_context(|| format!("this test needs udev: install it ({})", Path::new(&tool).display()))?;
        let mut udevd = Self(child);
        let (mut patience, mut message) = (Patience::new("udevd says that it is ready"), [0; 512]);
        loop {
            let length = told.recv(&mut message).unwrap_or_default();
            if message.get(..length).is_some_and(|said| said.starts_with(b"READY=1")) {
                fs::remove_file(notify)?;
                return Ok(udevd);
            }
            ensure!(udevd.0.try_wait()?.is_none(), "{} has ended at once", Path::new(&tool).display());
            patience.pause("it does not say so; this test needs that of systemd (BUTTERDOCK_UDEVD names one)")?;
        }
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
