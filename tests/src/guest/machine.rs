//! The machine: QEMU, its disks, and its plugs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Console, Qmp, Stick};
use crate::rig::run;

/// How long a boot may take: half a minute on a machine at rest, four times that beside others.
const BOOT: Duration = Duration::from_secs(240);

/// Where a machine's disks are, also while it is off.
#[derive(Debug)]
pub struct Place {
    image: PathBuf,
    folder: PathBuf,
}

/// A machine that runs. Its power is cut when it is dropped.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    qmp: Qmp,
    /// The shell.
    pub console: Console,
}

impl Place {
    /// A root of its own, copied from the image, and an empty disk for the source.
    ///
    /// # Errors
    /// There is no room, or no image.
    pub fn new(image: &Path, folder: &Path) -> Result<Self> {
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always", "--reflink=auto"]).arg(image.join("root.ext4")).arg(folder.join("root.ext4"));
        run(&mut copy, Duration::from_secs(120))?.success()?;
        let source = folder.join("source.btrfs");
        File::create(&source)?.set_len(2 << 30)?;
        let mut format = Command::new("mkfs.btrfs");
        format.args(["--quiet", "--label", "lab"]).arg(&source);
        run(&mut format, Duration::from_secs(60))?.success()?;
        Ok(Self { image: image.to_owned(), folder: folder.to_owned() })
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Switches it on and waits for the shell.
    ///
    /// # Errors
    /// QEMU does not start, or the machine does not boot; what it said is in `boot.log` beside its disks.
    pub fn boot(&self) -> Result<Machine> {
        let at = |name: &str| self.folder.join(name);
        for stale in ["qmp", "shell"] {
            if at(stale).exists() {
                std::fs::remove_file(at(stale))?;
            }
        }
        let disk = |name: &str| format!("file={},if=virtio,format=raw", at(name).display());
        let door = |name: &str| format!("unix:{},server=on,wait=off", at(name).display());
        let mut qemu = Command::new("setpriv");
        qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none"])
            .args(["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-machine", "q35", "-device", "qemu-xhci,id=usb"])
            .args(["-drive", &disk("root.ext4"), "-drive", &disk("source.btrfs")])
            .args(["-serial", &format!("file:{}", at("boot.log").display()), "-serial", &door("shell")])
            .args(["-qmp", &door("qmp")])
            .arg("-kernel")
            .arg(self.image.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.image.join("initrd.img"))
            .args(["-append", "root=/dev/vda rw console=ttyS0 quiet mitigations=off nokaslr audit=0 apparmor=0"]);
        let log = File::create(at("qemu.log"))?;
        let qemu = qemu.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("starting QEMU")?;
        Starting(Some(qemu)).wait(&at("qmp"), &at("shell")).with_context(|| {
            let said = |name| std::fs::read_to_string(at(name)).unwrap_or_default();
            let log = said("boot.log");
            let tail = log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            format!("the machine does not boot: {}\n{tail}", said("qemu.log"))
        })
    }
}

/// QEMU before there is anybody to talk to; it ends with this.
struct Starting(Option<Child>);

impl Starting {
    fn wait(mut self, qmp: &Path, shell: &Path) -> Result<Machine> {
        let qmp = Qmp::connect(qmp, Duration::from_secs(20))?;
        let console = Console::open(shell, BOOT)?;
        let qemu = self.0.take().context("QEMU has gone")?;
        Ok(Machine { qemu, qmp, console })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut qemu) = self.0.take() {
            drop(qemu.kill());
            drop(qemu.wait());
        }
    }
}

impl Machine {
    /// Plugs a drive in.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn plug(&mut self, stick: &Stick) -> Result<()> {
        let Stick { name, file, slow } = stick;
        let raw = json!({ "driver": "raw", "file": { "driver": "file", "filename": file } });
        let node = if *slow == 0 {
            with(raw, "node-name", name)
        } else {
            let limits =
                json!({ "qom-type": "throttle-group", "id": format!("slow-{name}"), "limits": { "bps-write": slow } });
            self.qmp.execute("object-add", &limits)?;
            json!({ "driver": "throttle", "node-name": name, "throttle-group": format!("slow-{name}"), "file": raw })
        };
        self.qmp.execute("blockdev-add", &node)?;
        let device = json!({ "driver": "usb-storage", "bus": "usb.0", "id": format!("usb-{name}"), "drive": name,
            "serial": name, "removable": true });
        self.qmp.execute("device_add", &device).map(drop)
    }

    /// Pulls a drive out, whatever it is doing.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn pull(&mut self, stick: &Stick) -> Result<()> {
        let device = format!("usb-{}", stick.name);
        self.qmp.execute("device_del", &json!({ "id": device }))?;
        self.qmp.wait_gone(&device, Duration::from_secs(30))?;
        self.qmp.execute("blockdev-del", &json!({ "node-name": stick.name }))?;
        if stick.slow != 0 {
            self.qmp.execute("object-del", &json!({ "id": format!("slow-{}", stick.name) }))?;
        }
        Ok(())
    }

    /// Cuts the power: QEMU is killed.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn cut(mut self) -> Result<()> {
        self.qemu.kill()?;
        self.qemu.wait()?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.qemu.kill());
        drop(self.qemu.wait());
    }
}

fn with(mut value: Value, key: &str, name: &str) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.insert(key.to_owned(), json!(name));
    }
    value
}
