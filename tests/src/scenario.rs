//! A machine with a source, and an enrolled drive.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DRIVE, JOB, MANAGER};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::{
    Disk, DriveFixture, DriveObject, Sandbox, TIMEOUT, Volume, all_names, is_mounted, no_options, run, snapshot, trees,
    unmount,
};

/// A source, a volume to restore to, and an enrolled drive. The service ends first; the fields are in the order in which
/// they have to end.
#[derive(Debug)]
pub struct Scenario {
    /// The drive, while it is plugged in.
    pub disk: Option<Disk>,
    /// What the drive is made of.
    pub image: PathBuf,
    /// The subvolume that is backed up.
    pub source: PathBuf,
    /// Where the source and its snapshots are.
    pub pool: Volume,
    /// A volume to restore to.
    pub tank: Volume,
    /// The service.
    pub fixture: DriveFixture,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        #[expect(clippy::print_stderr, reason = "a test that fails shows what the service logged")]
        {
            eprintln!("{}", self.fixture.stop().unwrap_or_default());
        }
    }
}

impl Scenario {
    /// Begins it, with one backup.
    ///
    /// # Errors
    /// As [`DriveFixture::with`].
    pub fn begin() -> Result<Self> {
        Self::with(&["home"])
    }

    /// With these backups, all of one source.
    ///
    /// # Errors
    /// As [`DriveFixture::with`].
    pub fn with(backups: &[&str]) -> Result<Self> {
        Self::on(backups, "", |fixture| fixture.image("a", "Blue"))
    }

    /// With these backups, these lines more for each of them, and a drive on an image that is made so.
    ///
    /// # Errors
    /// As [`DriveFixture::with`], and where the image cannot be made.
    pub fn on(backups: &[&str], rule: &str, image: impl FnOnce(&DriveFixture) -> Result<PathBuf>) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        // Not *.img: what the service may look at are drives alone.
        let volume = |name: &str| {
            Volume::make(&sandbox.join(&format!("{name}.volume")), &sandbox.join(name), &Default::default())
        };
        let (pool, tank) = (volume("pool")?, volume("tank")?);
        let source = pool.join("home");
        snapshot::create(&source)?;
        trees::build(&source)?;
        let mut more = format!("on_finish = \"unmount\"\n\n[[volume]]\nname = \"tank\"\npath = {:?}\n", tank.path());
        for name in backups {
            let snapshots = pool.join(format!("snapshots-{name}"));
            more += &format!(
                "\n[[backup]]\nname = {name:?}\nsource = {source:?}\nsnapshots = {snapshots:?}\ndrives = [\"Blue\"]\n\
                 schedule = \"on-plug\"\n{rule}\n"
            );
        }
        let fixture = DriveFixture::with(sandbox, &more)?;
        let image = image(&fixture)?;
        let disk = Some(Disk::attach(&image)?);
        let scenario = Self { disk, image, source, pool, tank, fixture };
        let drive = scenario.fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
        scenario.fixture.call(&drive, "Enrol", &no_options())?;
        let drive = scenario.drive("enrolled and mounted", &DriveState::Mounted)?;
        ensure!(drive.properties.backups == backups, "{drive:?}");
        Ok(scenario)
    }

    /// Waits until the drive is in this state.
    ///
    /// # Errors
    /// When it never is.
    pub fn drive(&self, what: &str, state: &DriveState) -> Result<DriveObject> {
        self.fixture.one(what, |is| is.enrolled && is.state == *state)
    }

    /// Has the drive do something that is a job, and waits until that has succeeded.
    ///
    /// # Errors
    /// When it has not.
    pub fn job(&self, method: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Result<String> {
        let drive = self.fixture.one("the drive", |is| is.enrolled)?;
        let body = self.fixture.client.call(&drive.path, (DRIVE, method), body)?.body();
        let job: OwnedObjectPath = body.deserialize()?;
        self.succeeds(job.as_str())?;
        Ok(job.to_string())
    }

    /// Waits for a job's end, which must be a good one.
    ///
    /// # Errors
    /// When it is not.
    pub fn succeeds(&self, job: &str) -> Result<()> {
        let (state, error) = self.fixture.client.end_of(job)?;
        let message: String = self.fixture.client.get(job, JOB, "ErrorMessage")?;
        ensure!(state == "succeeded", "{job}: {state} {error} {message}");
        Ok(())
    }

    /// Takes the drive away, which is safe.
    ///
    /// # Errors
    /// When the service does not see it go.
    pub fn unplug(&mut self) -> Result<()> {
        drop(self.disk.take());
        self.fixture.one("safe and away", |is| is.state == DriveState::Safe && is.device.is_empty()).map(drop)
    }

    /// Plugs it in.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn plug(&mut self) -> Result<()> {
        self.disk = Some(Disk::attach(&self.image)?);
        Ok(())
    }

    /// `loop0`
    ///
    /// # Errors
    /// When it is not plugged in.
    pub fn device(&self) -> Result<String> {
        Ok(self.disk.as_ref().context("attached")?.name())
    }

    /// The snapshots on the drive, the oldest first, looked at beside the service.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn on_drive<T>(&self, look: impl FnOnce(&[PathBuf]) -> Result<T>) -> Result<T> {
        self.on_drive_in("butterdock/home", look)
    }

    /// The same of those in this folder on the drive.
    ///
    /// # Errors
    /// As [`Self::on_drive`].
    pub fn on_drive_in<T>(&self, folder: &str, look: impl FnOnce(&[PathBuf]) -> Result<T>) -> Result<T> {
        let at = self.fixture.sandbox.join("look");
        fs::create_dir_all(&at)?;
        let node = format!("/dev/{}", self.device()?);
        run(Command::new("mount").args(["-o", "ro"]).arg(&node).arg(&at), TIMEOUT)?.success()?;
        let done = snapshots(&at.join(folder)).and_then(|all| look(&all));
        unmount(&at)?;
        done
    }

    /// Whether the service has the drive mounted.
    ///
    /// # Errors
    /// When the service does not run.
    pub fn is_held(&self) -> Result<bool> {
        let id = self.fixture.daemon.as_ref().context("it runs")?.id();
        let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo"))?;
        let node = format!("/dev/{}", self.device()?);
        Ok(mounts.lines().any(|line| line.split(' ').any(|field| field == node)) || is_mounted(&self.device()?)?)
    }

    /// What became of the jobs of one kind, the newest first.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn history(&self, of: &str) -> Result<Vec<Row>> {
        let body = self.fixture.client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?.body();
        let rows: Vec<Row> = body.deserialize()?;
        Ok(rows.into_iter().filter(|row| word(row, "kind") == of).collect())
    }
}

/// A row of the history.
pub type Row = HashMap<String, OwnedVariant>;

/// The text under a key; empty where there is none.
#[must_use]
pub fn word(row: &Row, key: &str) -> String {
    row.get(key).and_then(|value| String::try_from(value.clone()).ok()).unwrap_or_default()
}

/// What is in a folder but the staging directory, sorted.
///
/// # Errors
/// When it cannot be listed.
pub fn snapshots(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(all_names(folder)?.into_iter().map(|name| folder.join(name)).collect())
}
