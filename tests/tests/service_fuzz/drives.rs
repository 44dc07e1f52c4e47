//! Two drives below the fuzzed service, loop devices that a real udevd tells of: one that is backed up to and holds streams,
//! and one that may be formatted. No other device of the machine is shown, so none can be erased.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::{BUS_NAME, interface::DRIVE};
use butterdock_dbus::{DriveProperties, DriveState};
use butterdock_tests::{
    Client, Disk, Load, Sandbox, Service, TIMEOUT, Udevd, is_mounted, no_options, run, snapshot, trees, wait_until,
};

/// The label of the drive that has a btrfs from the beginning.
pub(crate) const BLUE: &str = "Blue";
/// The label that the other one is given.
pub(crate) const RED: &str = "Red";
/// Its bytes, by which alone it may be formatted: no other device here has as many.
pub(crate) const RED_SIZE: u64 = 384 << 20;

const BLUE_SIZE: u64 = 256 << 20;

/// The drives. They are detached when dropped: after the service, which has them mounted.
pub(crate) struct Drives {
    plugged: Vec<(PathBuf, Option<Disk>)>,
    /// Ends after the drives.
    _udevd: Udevd,
}

impl Drives {
    /// Makes them in this sandbox, before the service runs; nothing is plugged in.
    pub(crate) fn new(sandbox: &Sandbox) -> Result<Self> {
        let udevd = Udevd::start(sandbox)?;
        let (folder, fill) = (sandbox.join("drives"), sandbox.join("fill"));
        std::fs::create_dir(&folder)?;
        std::fs::create_dir_all(fill.join("streams"))?;
        std::fs::write(fill.join("streams/whole.btrfs"), Load::new("imported", 3, 7).bytes())?;
        let (blue, red) = (folder.join("blue.img"), folder.join("red.img"));
        std::fs::File::create(&blue)?.set_len(BLUE_SIZE)?;
        std::fs::File::create(&red)?.set_len(RED_SIZE)?;
        let mut mkfs = Command::new("mkfs.btrfs");
        run(mkfs.args(["-q", "-L", BLUE, "--rootdir"]).arg(&fill).arg(&blue), TIMEOUT)?.success()?;
        Ok(Self { plugged: vec![(blue, None), (red, None)], _udevd: udevd })
    }

    /// What the service's configuration says of them, at its head.
    pub(crate) fn configuration(sandbox: &Sandbox) -> String {
        let (images, source) = (sandbox.join("drives/*.img"), sandbox.join("pool/home"));
        format!(
            "[drives]\nmatch = [ {{ loop = {images:?} }} ]\n\n\
             [[backup]]\nname = \"home\"\nsource = {source:?}\ndrives = [{BLUE:?}, {RED:?}]\nschedule = \"manual\"\n\n\
             [[import]]\ndrive = {BLUE:?}\nfolder = \"streams\"\n"
        )
    }

    /// Plugs them in, makes what is backed up, and enrols the one that has a btrfs.
    pub(crate) fn plug(&mut self, fixture: &Service, client: &Client) -> Result<()> {
        let source = fixture.path("pool").join("home");
        snapshot::create(&source)?;
        trees::build(&source)?;
        for (image, disk) in &mut self.plugged {
            *disk = Some(Disk::attach(image)?);
        }
        wait_until("both drives are shown", || Ok(shown(client)?.len() == 2))?;
        let drives = shown(client)?;
        let (blue, _) = drives.iter().find(|(_, drive)| drive.label == BLUE).context("the first drive")?;
        client.block_on(client.connection().call_method(
            Some(BUS_NAME),
            blue.as_str(),
            Some(DRIVE),
            "Enrol",
            &no_options(),
        ))?;
        Ok(())
    }

    /// Nothing but these drives may be shown. One that is safe is unplugged and plugged in again.
    pub(crate) fn look(&mut self, client: &Client) -> Result<()> {
        for (path, drive) in shown(client)? {
            // One that is away, or was, is called by its size.
            let ours = |(_, disk): &(PathBuf, Option<Disk>)| {
                disk.as_ref().is_some_and(|disk| drive.device.is_empty() || disk.name() == drive.device)
            };
            ensure!(self.plugged.iter().any(ours), "a device that is not the test's is shown: {path} {drive:?}");
            ensure!([BLUE_SIZE, RED_SIZE].contains(&drive.size), "a size that no drive has: {drive:?}");
            let Some((image, disk)) = self.plugged.iter_mut().find(|one| !drive.device.is_empty() && ours(one)) else {
                continue;
            };
            if drive.state == DriveState::Safe && !is_mounted(&drive.device)? {
                replug(image, disk, client)?;
            }
        }
        Ok(())
    }

    /// The kernel has none of them mounted, or the service reported each before its timeout: a machine may be
    /// slow.
    pub(crate) fn are_unmounted(&self, told: &str) -> Result<()> {
        for disk in self.plugged.iter().filter_map(|(_, disk)| disk.as_ref()) {
            let known = told.contains("some tasks did not end in time") && told.contains("still mounted at");
            ensure!(known || !is_mounted(&disk.name())?, "{} is still mounted: {told}", disk.name());
        }
        Ok(())
    }
}

fn replug(image: &Path, disk: &mut Option<Disk>, client: &Client) -> Result<()> {
    let gone = disk.take().context("a drive")?.name();
    wait_until("the drive is seen to go", || Ok(shown(client)?.iter().all(|(_, drive)| drive.device != gone)))?;
    *disk = Some(Disk::attach(image)?);
    Ok(())
}

/// The drives there are, by path.
fn shown(client: &Client) -> Result<Vec<(String, DriveProperties)>> {
    let mut drives = Vec::new();
    for (path, interfaces) in client.objects()? {
        for (_, properties) in interfaces.into_iter().filter(|(name, _)| name.as_str() == DRIVE) {
            let mut drive = DriveProperties::default();
            for (name, value) in properties {
                drive.set(&name, &value)?;
            }
            drives.push((path.to_string(), drive));
        }
    }
    Ok(drives)
}
