//! A service that sees only the test's loop devices.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use butterdock_dbus::DriveProperties;
use butterdock_dbus::names::interface::DRIVE;

use crate::{Bus, Client, Daemon, Options, Sandbox, TIMEOUT, Udevd, Wait, run};

/// The fields are in the order in which they have to end.
#[derive(Debug)]
pub struct DriveFixture {
    /// A client.
    pub client: Client,
    /// The service, while it runs.
    pub daemon: Option<Daemon>,
    /// The bus.
    pub bus: Bus,
    /// The configuration of the service.
    pub configuration: PathBuf,
    /// The udevd that reports devices to the service.
    pub udevd: Udevd,
    /// The folder of the test.
    pub sandbox: Sandbox,
}

/// A drive on the bus.
#[derive(Debug, Clone)]
pub struct DriveObject {
    /// Its object.
    pub path: String,
    /// Its properties.
    pub properties: DriveProperties,
}

impl DriveFixture {
    /// Sets it, with a rule that shows the loop devices over the sandbox's images.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn set() -> Result<Self> {
        Self::with(Sandbox::new()?, "")
    }

    /// Sets it in this sandbox, with this configuration beside the rule.
    ///
    /// # Errors
    /// Without root, and where something does not start.
    pub fn with(sandbox: Sandbox, more: &str) -> Result<Self> {
        let udevd = Udevd::start(&sandbox)?;
        let bus = Bus::start(sandbox.path())?;
        let configuration = sandbox.join("butterdock.toml");
        let (state, run, images) = (sandbox.join("state"), sandbox.join("run"), sandbox.join("*.img"));
        fs::create_dir_all(&state)?;
        let text = format!(
            "[paths]\nstate = {state:?}\nrun = {run:?}\n\n[drives]\nmatch = [ {{ loop = {images:?} }} ]\n{more}"
        );
        fs::write(&configuration, text)?;
        let daemon = Some(Daemon::start(&bus, &configuration)?);
        let client = Client::connect(&bus.address())?;
        Ok(Self { client, daemon, bus, configuration, udevd, sandbox })
    }

    /// Ends the service; what it logged.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self) -> Result<String> {
        Ok(self.daemon.take().context("it runs")?.stop()?.err())
    }

    /// Starts the service again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.bus, &self.configuration)?);
        Ok(())
    }

    /// An image with a btrfs of this label.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn image(&self, name: &str, label: &str) -> Result<PathBuf> {
        let image = self.sandbox.join(&format!("{name}.img"));
        File::create(&image)?.set_len(256 << 20)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-L", label]).arg(&image), TIMEOUT)?.success()?;
        Ok(image)
    }

    /// What the service shows.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn drives(&self) -> Result<Vec<DriveObject>> {
        let mut all = Vec::new();
        for (path, interfaces) in self.client.objects()? {
            let Some((_, values)) = interfaces.into_iter().find(|(name, _)| name.as_str() == DRIVE) else { continue };
            let mut properties = DriveProperties::default();
            values.iter().try_for_each(|(name, value)| properties.set(name, value))?;
            all.push(DriveObject { path: path.to_string(), properties });
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// Waits until the drives that are shown are such.
    ///
    /// # Errors
    /// When they never are.
    pub fn until(&self, what: &str, are: impl Fn(&[DriveObject]) -> bool) -> Result<Vec<DriveObject>> {
        let mut wait = Wait::new(what);
        loop {
            let drives = self.drives()?;
            if are(&drives) {
                return Ok(drives);
            }
            wait.pause(&format!("{drives:#?}"))?;
        }
    }

    /// Waits for one drive that is such.
    ///
    /// # Errors
    /// When there never is one.
    pub fn one(&self, what: &str, is: impl Fn(&DriveProperties) -> bool) -> Result<DriveObject> {
        let drives = self.until(what, |drives| drives.iter().any(|drive| is(&drive.properties)))?;
        drives.into_iter().find(|drive| is(&drive.properties)).context("it is there")
    }

    /// Calls a method of a drive without other arguments.
    ///
    /// # Errors
    /// What the service answers.
    pub fn call(&self, drive: &DriveObject, method: &str, options: &Options<'_>) -> zbus::Result<()> {
        self.client.call(&drive.path, (DRIVE, method), options).map(drop)
    }

    /// The enrolments that are written down.
    ///
    /// # Errors
    /// When there are none to be read.
    pub fn records(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.sandbox.join("state/drives"))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

impl Drop for DriveFixture {
    /// The service unmounts what it has mounted: the sandbox's folder cannot be removed before.
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// Whether the kernel has this device mounted anywhere that the test can see.
///
/// # Errors
/// When there is no /proc.
pub fn is_mounted(device: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let node = format!("/dev/{device}");
    Ok(mounts.lines().any(|line| line.split(' ').any(|field| field == node)))
}
