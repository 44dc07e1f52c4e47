//! A service that hears of the test's loop devices and of no others.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveProperties;
use butterdock_dbus::names::{ROOT, interface::DRIVE};
use butterdock_tests::rig::{PATIENCE, Rig, run};
use butterdock_tests::service::{Bus, Client, Daemon, Options, shipped};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use zbus::{OwnedObjectPath, OwnedVariant};

/// The fields are in the order in which they have to end.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) daemon: Option<Daemon>,
    pub(crate) bus: Bus,
    pub(crate) configuration: PathBuf,
    _udevd: Udevd,
    pub(crate) rig: Rig,
}

/// A drive on the bus.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) path: String,
    pub(crate) is: DriveProperties,
}

impl Stage {
    /// Sets it, with a rule that shows the loop devices over the rig's images.
    pub(crate) fn set() -> Result<Self> {
        Self::with(Rig::new()?, "")
    }

    /// Sets it in this rig, with this configuration beside the rule.
    pub(crate) fn with(rig: Rig, more: &str) -> Result<Self> {
        let udevd = Udevd::start(&rig)?;
        let bus = Bus::start(&rig, None)?;
        let configuration = rig.join("butterdock.toml");
        let (state, run, images) = (rig.join("state"), rig.join("run"), rig.join("*.img"));
        fs::create_dir_all(&state)?;
        let text = format!(
            "[paths]\nstate = {state:?}\nrun = {run:?}\n\n[drives]\nmatch = [ {{ loop = {images:?} }} ]\n{more}"
        );
        fs::write(&configuration, text)?;
        let daemon = Some(Daemon::start(&bus, &configuration)?);
        let client = Client::connect(bus.address())?;
        Ok(Self { client, daemon, bus, configuration, _udevd: udevd, rig })
    }

    /// Ends the service; what it logged.
    pub(crate) fn stop(&mut self) -> Result<String> {
        Ok(self.daemon.take().context("it runs")?.stop()?.err())
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.bus, &self.configuration)?);
        Ok(())
    }

    /// An image with a btrfs of this label.
    pub(crate) fn image(&self, name: &str, label: &str) -> Result<PathBuf> {
        let image = self.rig.join(&format!("{name}.img"));
        File::create(&image)?.set_len(256 << 20)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-L", label]).arg(&image), PATIENCE)?.success()?;
        Ok(image)
    }

    pub(crate) fn drives(&self) -> Result<Vec<Shown>> {
        type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;
        let body = self.client.call(ROOT, ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), &())?.body();
        let managed: Managed = body.deserialize()?;
        let mut all = Vec::new();
        for (path, mut interfaces) in managed {
            let Some(properties) = interfaces.remove(DRIVE) else { continue };
            let mut is = DriveProperties::default();
            for (name, value) in properties {
                is.set(&name, &value)?;
            }
            all.push(Shown { path: path.to_string(), is });
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// Waits until the drives that are shown are such.
    pub(crate) fn until(&self, what: &str, are: impl Fn(&[Shown]) -> bool) -> Result<Vec<Shown>> {
        let began = Instant::now();
        loop {
            let drives = self.drives()?;
            if are(&drives) {
                return Ok(drives);
            }
            ensure!(began.elapsed() < PATIENCE, "waited in vain: {what}: {drives:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for one drive that is such.
    pub(crate) fn one(&self, what: &str, is: impl Fn(&DriveProperties) -> bool) -> Result<Shown> {
        let drives = self.until(what, |drives| drives.iter().any(|drive| is(&drive.is)))?;
        drives.into_iter().find(|drive| is(&drive.is)).context("it is there")
    }

    pub(crate) fn call(&self, drive: &Shown, method: &str, options: &Options<'_>) -> zbus::Result<()> {
        self.client.call(&drive.path, (DRIVE, method), options).map(drop)
    }

    /// The enrolments that are written down.
    pub(crate) fn records(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.rig.join("state/drives"))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

impl Drop for Stage {
    /// The service unmounts what it has mounted: the rig's folder cannot be removed before.
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// Whether the kernel has this device mounted anywhere that the test can see.
pub(crate) fn is_mounted(device: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let node = format!("/dev/{device}");
    Ok(mounts.lines().any(|line| line.split(' ').any(|field| field == node)))
}

/// A udevd that this thread and what it starts alone hear; ended when dropped.
struct Udevd(Child);

impl Udevd {
    /// In a network namespace (udevd tells by netlink) and with a `/run` of the thread's own; with a rule for loop devices,
    /// and the shipped one.
    fn start(rig: &Rig) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("a /run of its own")?;
        fs::create_dir_all("/run/udev/rules.d")?;
        let rule = "SUBSYSTEM==\"block\", KERNEL==\"loop*\", ACTION!=\"remove\", IMPORT{builtin}=\"blkid\", OPTIONS+=\"watch\"\n";
        fs::write("/run/udev/rules.d/50-test.rules", rule)?;
        // It names the system's state directory.
        let state = rig.join("state");
        let shipped = fs::read_to_string(shipped("daemon/data/63-butterdock.rules"))?;
        let shipped = shipped.replace("/var/lib/butterdock", state.to_str().context("a path in UTF-8")?);
        fs::write("/run/udev/rules.d/63-butterdock.rules", shipped)?;
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

impl Drop for Udevd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A loop device; detached when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn attach(image: &Path) -> Result<Self> {
        let found = run(Command::new("losetup").args(["--find", "--show"]).arg(image), PATIENCE)?.success()?;
        Ok(Self(PathBuf::from(found.out().trim())))
    }

    /// `loop0`
    pub(crate) fn name(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("losetup").arg("--detach").arg(&self.0), PATIENCE).ok();
    }
}
