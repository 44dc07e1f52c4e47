//! A service that sees only the test's loop devices.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use butterdock_dbus::authority::{Row, TABLE};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, MANAGER};
use butterdock_dbus::{DestinationProperties, DriveProperties, DriveState, Problem};
use zbus::Variant;

use crate::{Bus, Client, Daemon, Options, Sandbox, TIMEOUT, Udevd, Wait, no_options, run};

/// A service with drives: loop devices over images of the test. The fields are in the order in which they have to end.
#[derive(Debug)]
pub struct DriveFixture {
    /// A client.
    pub client: Client,
    /// The daemon, while it runs.
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
    pub properties: ShownDrive,
}

/// The properties of a drive, with those of the destination that it is if it is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownDrive {
    drive: DriveProperties,
    /// The sentences of all problems; empty without a problem.
    pub problem: String,
    /// `Destination.Free`
    pub free: u64,
    /// `Destination.LastBackup`
    pub last_backup: u64,
    /// `Destination.Backups`
    pub backups: Vec<String>,
}

impl std::ops::Deref for ShownDrive {
    type Target = DriveProperties;

    fn deref(&self) -> &DriveProperties {
        &self.drive
    }
}

impl ShownDrive {
    fn new(drive: DriveProperties, destination: Option<DestinationProperties>) -> Self {
        let problem = Problem::sentence(destination.as_ref().map_or(&drive.problems, |it| &it.problems));
        let DestinationProperties { free, last_backup, backups, .. } = destination.unwrap_or_default();
        Self { drive, problem, free, last_backup, backups }
    }
}

impl DriveFixture {
    /// Starts it; the service sees the loop devices over `*.img` in the sandbox.
    ///
    /// # Errors
    /// As [`Self::with`].
    pub fn set() -> Result<Self> {
        Self::with(Sandbox::new()?, "")
    }

    /// Starts it in this sandbox, with more lines in its configuration.
    ///
    /// # Errors
    /// Without root; something does not start.
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

    /// Ends the daemon; its log.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop(&mut self) -> Result<String> {
        Ok(self.daemon.take().context("it runs")?.stop()?.err())
    }

    /// Starts the daemon again.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.bus, &self.configuration)?);
        Ok(())
    }

    /// Makes an image with a btrfs of this label.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn image(&self, name: &str, label: &str) -> Result<PathBuf> {
        let image = self.sandbox.join(&format!("{name}.img"));
        File::create(&image)?.set_len(256 << 20)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-L", label]).arg(&image), TIMEOUT)?.success()?;
        Ok(image)
    }

    /// The drives on the bus, also those that are away.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn all_drives(&self) -> Result<Vec<DriveObject>> {
        let mut all = Vec::new();
        for (path, interfaces) in self.client.objects()? {
            let (mut drive, mut destination) = (None, None);
            for (name, values) in interfaces {
                if name.as_str() == DRIVE {
                    let drive = drive.insert(DriveProperties::default());
                    values.iter().try_for_each(|(name, value)| drive.set(name, value))?;
                } else if name.as_str() == DESTINATION {
                    let destination = destination.insert(DestinationProperties::default());
                    values.iter().try_for_each(|(name, value)| destination.set(name, value))?;
                }
            }
            let Some(drive) = drive else { continue };
            all.push(DriveObject { path: path.to_string(), properties: ShownDrive::new(drive, destination) });
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// The drives on the bus that are not away.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn drives(&self) -> Result<Vec<DriveObject>> {
        let mut drives = self.all_drives()?;
        drives.retain(|drive| drive.properties.state != DriveState::Away);
        Ok(drives)
    }

    /// Waits for a condition on the drives.
    ///
    /// # Errors
    /// It never is true.
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

    /// Waits for a drive that satisfies a condition.
    ///
    /// # Errors
    /// There never is one.
    pub fn one(&self, what: &str, is: impl Fn(&ShownDrive) -> bool) -> Result<DriveObject> {
        let drives = self.until(what, |drives| drives.iter().any(|drive| is(&drive.properties)))?;
        drives.into_iter().find(|drive| is(&drive.properties)).context("it is there")
    }

    /// Calls a method of a drive, or of the destination that it is, that has only options.
    ///
    /// # Errors
    /// The error that the service answers.
    pub fn call(&self, drive: &DriveObject, method: &str, options: &Options<'_>) -> zbus::Result<()> {
        self.client.call(&drive.path, (interface_of(method), method), options).map(drop)
    }

    /// Enrols a drive without beginning a backup; it is released then. What it is afterwards.
    ///
    /// # Errors
    /// The service refuses.
    pub fn enrol(&self, drive: &DriveObject) -> Result<DriveObject> {
        let device = &drive.properties.device;
        self.call(drive, "Enrol", &HashMap::from([("no_backup", Variant::from(true))]))?;
        self.one("enrolled", |is| is.enrolled && is.device == *device && is.state == DriveState::Safe)
    }

    /// The same, and then mounts it as for a person.
    ///
    /// # Errors
    /// As for [`Self::enrol`].
    pub fn enrol_and_mount(&self, drive: &DriveObject) -> Result<DriveObject> {
        let enrolled = self.enrol(drive)?;
        self.call(&enrolled, "Mount", &no_options())?;
        let device = &drive.properties.device;
        self.one("mounted", |is| is.enrolled && is.device == *device && is.state == DriveState::Mounted)
    }

    /// Changes what happens to a drive after its last job: `keep` or `unmount`, and the configuration has the other word.
    ///
    /// # Errors
    /// The service does not take it.
    pub fn set_on_finish(&self, word: &str) -> Result<()> {
        let other = if word == "keep" { "unmount" } else { "keep" };
        let line = |word: &str| format!("on_finish = \"{word}\"");
        let text = fs::read_to_string(&self.configuration)?.replace(&line(other), &line(word));
        fs::write(&self.configuration, text)?;
        self.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
        Ok(())
    }

    /// The files of the enrolments.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn records(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.sandbox.join("state/drives"))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

impl Drop for DriveFixture {
    /// The service unmounts its drives: before that the sandbox's folder cannot be removed.
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// Which interface of the object of an enrolled drive has a method.
#[must_use]
pub fn interface_of(method: &str) -> &'static str {
    let has = |row: &&Row| row.interface == DESTINATION && row.method == method;
    TABLE.iter().find(has).map_or(DRIVE, |row| row.interface)
}

/// Whether this device is mounted in the mount namespace of the test.
///
/// # Errors
/// There is no /proc.
pub fn is_mounted(device: &str) -> Result<bool> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let node = format!("/dev/{device}");
    Ok(mounts.lines().any(|line| line.split(' ').any(|field| field == node)))
}
