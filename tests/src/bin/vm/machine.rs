//! A machine that QEMU emulates, with a USB socket: it is booted, has drives plugged in and pulled out, and ends with this.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::console::{Answer, Console};
use crate::monitor::Monitor;
use crate::write_cache::SECTOR;

/// One that runs. Dropped, it has its power cut.
#[derive(Debug)]
pub(crate) struct Machine {
    qemu: Child,
    console: Console,
    monitor: Monitor,
}

/// A drive and its socket.
#[derive(Debug)]
pub(crate) struct Plug<'a> {
    /// What the monitor calls it; part of its serial number.
    pub(crate) name: &'a str,
    /// What is on it.
    pub(crate) file: &'a Path,
    /// How many bytes it takes in a second.
    pub(crate) speed: u64,
    /// Where every write and flush is written down, see `lost`.
    pub(crate) log: Option<&'a Path>,
}

/// How long a step may take, and the wait for one; the emulated processor is twenty times slower, four times that under load.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

impl Machine {
    /// Boots the image with the two disks in `folder`, `root` and `pool`.
    ///
    /// # Errors
    ///
    /// QEMU is not there, or the machine has no shell after five minutes.
    pub(crate) fn boot(image: &Path, folder: &Path) -> Result<Self> {
        let socket = folder.join("monitor");
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let disk = |name: &str| format!("if=virtio,format=raw,cache=unsafe,file={}", folder.join(name).display());
        // setpriv: it ends with us, also where we are killed. KVM is not asked for: where it opens in a machine that is itself emulated, it may hang.
        let mut qemu = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args([
                "-accel",
                "tcg,thread=multi,tb-size=512",
                "-cpu",
                "max",
                "-smp",
                "2",
                "-m",
                "1024",
                "-machine",
                "q35",
            ])
            .args(["-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(image.join("vmlinuz"))
            .arg("-initrd")
            .arg(image.join("initrd"))
            .args(["-append", "console=ttyS0 root=/dev/vda rw quiet mitigations=off nokaslr audit=0 apparmor=0"])
            .args(["-drive", &disk("root"), "-drive", &disk("pool")])
            // It reaches nothing; what is forwarded, see `forward`, reaches it.
            .args(["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="])
            .args(["-device", "qemu-xhci,id=usb", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("qemu-system-x86_64 does not start; it is in the package qemu-system-x86")?;
        let (Some(input), Some(output)) = (qemu.stdin.take(), qemu.stdout.take()) else { bail!("no pipes") };
        // From here on it ends with `machine`, if the monitor answers; else at once.
        let monitor = Monitor::connect(&socket).inspect_err(|_| {
            end(&mut qemu);
        })?;
        let mut machine = Self { qemu, console: Console::new(input, output), monitor };
        machine.console.wait_for_shell(Duration::from_secs(300))?;
        Ok(machine)
    }

    /// Runs a bash script there and expects it to succeed; gives back what it wrote.
    ///
    /// # Errors
    ///
    /// It failed, or took longer than four minutes.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        let Answer { status, text } = self.console.run(script, LIMIT)?;
        ensure!(status == 0, "exit status {status} of\n{script}\n{text}");
        Ok(text)
    }

    /// Runs a script again and again until it succeeds; gives back what it wrote then.
    ///
    /// # Errors
    ///
    /// It does not succeed.
    pub(crate) fn wait_for(&mut self, script: &str) -> Result<String> {
        let until = Instant::now() + LIMIT;
        loop {
            let Answer { status, text } = self.console.run(script, LIMIT)?;
            if status == 0 {
                return Ok(text);
            }
            ensure!(Instant::now() < until, "not so after {LIMIT:?}:\n{script}\n{text}");
        }
    }

    /// Plugs a file in as a USB drive.
    ///
    /// # Errors
    ///
    /// QEMU refuses.
    pub(crate) fn plug(&mut self, plug: &Plug<'_>) -> Result<()> {
        let Plug { name, file, speed, log } = plug;
        // The host is not cut off: it need not flush.
        let plain = |file: &Path| json!({"driver": "file", "filename": file, "cache": {"no-flush": true}});
        let file = match log {
            None => plain(file),
            Some(log) => {
                json!({"driver": "blklogwrites", "file": plain(file), "log": plain(log), "log-sector-size": SECTOR})
            }
        };
        let limits = json!({"bps-write": speed});
        self.monitor.ask(
            "object-add",
            &json!({"qom-type": "throttle-group", "id": format!("{name}-speed"), "limits": limits}),
        )?;
        self.monitor.ask(
            "blockdev-add",
            &json!({"driver": "throttle", "node-name": format!("{name}-node"), "throttle-group": format!("{name}-speed"),
                   "file": {"driver": "raw", "file": file}}),
        )?;
        self.monitor.ask(
            "device_add",
            &json!({"driver": "usb-storage", "id": name, "bus": "usb.0", "drive": format!("{name}-node"),
                   "serial": format!("SERIAL-{name}"), "removable": true}),
        )?;
        Ok(())
    }

    /// Forwards a free port of the loopback here to one there. Returns the one here.
    ///
    /// # Errors
    ///
    /// QEMU refuses.
    pub(crate) fn forward(&mut self, port: u16) -> Result<u16> {
        let mut says = |line: &str| -> Result<String> {
            let said = self.monitor.ask("human-monitor-command", &json!({ "command-line": line }))?;
            Ok(said.as_str().unwrap_or_default().to_owned())
        };
        let refused = says(&format!("hostfwd_add net tcp:127.0.0.1:0-:{port}"))?;
        ensure!(refused.is_empty(), "QEMU does not forward port {port}: {refused}");
        // "TCP[HOST_FORWARD]  12       127.0.0.1 41234       10.0.2.15  9090     0     0"
        let table = says("info usernet")?;
        let row = table.lines().find(|row| row.contains("HOST_FORWARD")).context("no port is forwarded")?;
        let here = row.split_whitespace().nth(3).context("no port in the row")?;
        here.parse().with_context(|| format!("no port: {row}"))
    }

    /// Pulls it out, whatever it does.
    ///
    /// # Errors
    ///
    /// It is not plugged in.
    pub(crate) fn pull(&mut self, name: &str) -> Result<()> {
        self.monitor.ask("device_del", &json!({"id": name}))?;
        self.monitor.wait_for("DEVICE_DELETED", name)?;
        self.monitor.ask("blockdev-del", &json!({"node-name": format!("{name}-node")}))?;
        self.monitor.ask("object-del", &json!({"id": format!("{name}-speed")}))?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        end(&mut self.qemu);
    }
}

fn end(qemu: &mut Child) {
    // It may have ended by itself.
    drop(qemu.kill());
    drop(qemu.wait());
}

/// An empty file of that size, for a disk.
///
/// # Errors
///
/// There is no room.
pub(crate) fn disk(folder: &Path, name: &str, mebibytes: u64) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::File::create(&path)?.set_len(mebibytes << 20)?;
    Ok(path)
}
