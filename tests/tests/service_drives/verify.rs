//! Verifying a drive: intact, damaged, repaired, cancelled, and with a service that is killed meanwhile.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::{DESTINATION, JOB};
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, Sandbox, ShownDrive, TIMEOUT, error_name, no_options, run, under_load,
};
use zbus::OwnedObjectPath;

const PATTERN: &[u8] = b"a pattern that stands nowhere else on the drive!";
const LENGTH: usize = 20 << 20;

/// An enrolled drive with a file on it.
struct Scenario {
    _disks: Vec<Disk>,
    image: PathBuf,
    fixture: DriveFixture,
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
    /// The profile of data is that of the options of mkfs.
    fn begin(data: &str) -> Result<Self> {
        Self::on(&["a.img"], data)
    }

    /// On so many devices.
    fn on(images: &[&str], data: &str) -> Result<Self> {
        let fixture = DriveFixture::with(Sandbox::new()?, "on_finish = \"keep\"\n")?;
        let images: Vec<PathBuf> = images.iter().map(|name| fixture.sandbox.join(name)).collect();
        for image in &images {
            File::create(image)?.set_len(512 << 20)?;
        }
        let mut mkfs = Command::new("mkfs.btrfs");
        run(mkfs.args(["-q", "-L", "Blue", "-d", data]).args(&images), TIMEOUT)?.success()?;
        let disks = images.iter().map(|image| Disk::attach(image)).collect::<Result<Vec<_>>>()?;
        let (image, count) = (images.into_iter().next().context("one")?, disks.len());
        let scenario = Self { _disks: disks, image, fixture };
        // A filesystem of several devices is one drive.
        let is_complete = |is: &ShownDrive| is.label == "Blue" && is.devices.len() == count;
        scenario.fixture.one("all of it", is_complete)?;
        let drive = scenario.fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
        scenario.fixture.call(&drive, "Enrol", &no_options())?;
        let drive = scenario.fixture.one("mounted", |is| is.enrolled && is.state == DriveState::Mounted)?;
        let at = scenario.at(&drive)?;
        let content: Vec<u8> = PATTERN.iter().copied().cycle().take(LENGTH).collect();
        fs::write(at.join("file"), content)?;
        run(Command::new("sync").arg("-f").arg(&at), TIMEOUT)?.success()?;
        scenario.fixture.set_on_finish("unmount")?;
        Ok(scenario)
    }

    fn drive(&self) -> Result<DriveObject> {
        self.fixture.one("enrolled", |is| is.enrolled)
    }

    /// Where it is mounted.
    fn at(&self, drive: &DriveObject) -> Result<PathBuf> {
        let id = butterdock_dbus::path::drive_id(&drive.path).context("an id")?;
        Ok(self.fixture.sandbox.join("run/drives").join(id))
    }

    /// Writes over a part of a block, behind the filesystem's back.
    fn damage(&self) -> Result<()> {
        let image = fs::read(&self.image)?;
        let block = image.chunks(4096).position(|block| block.starts_with(PATTERN)).context("the file")?;
        let file = OpenOptions::new().write(true).open(&self.image)?;
        Ok(file.write_all_at(b"another", u64::try_from(block * 4096)?)?)
    }

    /// From now on the kernel scrubs so slowly that there is time to look.
    fn slow_down(&self) -> Result<()> {
        let uuid = self.drive()?.properties.filesystem_uuid.clone();
        let limit = Path::new("/sys/fs/btrfs").join(uuid).join("devinfo/1/scrub_speed_max");
        Ok(fs::write(limit, "2m")?)
    }

    fn verify(&self) -> Result<String> {
        let call = self.fixture.client.call(&self.drive()?.path, (DESTINATION, "Verify"), &no_options())?;
        Ok(call.body().deserialize::<OwnedObjectPath>()?.to_string())
    }

    fn begun(&self) -> Result<String> {
        let job = self.verify()?;
        self.fixture.client.until("it reads", |client| Ok(client.get::<u64>(&job, JOB, "BytesReceived")? > 0))?;
        Ok(job)
    }
}

#[test]
fn a_good_drive_is_verified_and_released() -> Result<()> {
    let scenario = Scenario::begin("single")?;
    let job = scenario.verify()?;
    let client = &scenario.fixture.client;
    ensure!(client.end_of(&job)?.0 == "succeeded");
    let words = ["Kind", "TotalSource", "Note"].map(|name| client.get::<String>(&job, JOB, name));
    let words = words.into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(words == ["verify", "estimate", ""], "{words:?}");
    let (total, read) = (client.get::<u64>(&job, JOB, "BytesTotal")?, client.get::<u64>(&job, JOB, "BytesReceived")?);
    ensure!(read > LENGTH as u64 && total.abs_diff(read) < 2 << 20, "{read} of {total}");
    let drive = scenario.drive()?;
    ensure!(drive.properties.state == DriveState::Safe && drive.properties.problem.is_empty(), "{drive:?}");
    Ok(())
}

#[test]
fn a_damaged_block_is_reported_without_a_file_name() -> Result<()> {
    let scenario = Scenario::begin("single")?;
    scenario.damage()?;
    let job = scenario.verify()?;
    let client = &scenario.fixture.client;
    ensure!(client.end_of(&job)?.0 == "failed");
    let message: String = client.get(&job, JOB, "ErrorMessage")?;
    ensure!(
        message.starts_with("the drive is damaged: of ") && message.contains(" 1 block cannot be read"),
        "{message}"
    );
    ensure!(!message.contains('/') && !message.contains("file "), "{message}");
    let name: String = client.get(&job, JOB, "ErrorName")?;
    ensure!(name.ends_with(".Failed"), "{name}");
    ensure!(scenario.drive()?.properties.state == DriveState::Safe);
    Ok(())
}

#[test]
fn verify_repairs_a_block_with_a_good_copy() -> Result<()> {
    let scenario = Scenario::begin("dup")?;
    scenario.damage()?;
    let client = &scenario.fixture.client;
    for note in ["1 block put right from a good copy", ""] {
        let job = scenario.verify()?;
        ensure!(client.end_of(&job)?.0 == "succeeded");
        let told: String = client.get(&job, JOB, "Note")?;
        ensure!(told == note, "{told}");
    }
    Ok(())
}

#[test]
fn verify_reads_every_device() -> Result<()> {
    let scenario = Scenario::on(&["a.img", "b.img"], "raid1")?;
    scenario.damage()?;
    let job = scenario.verify()?;
    let client = &scenario.fixture.client;
    ensure!(client.end_of(&job)?.0 == "succeeded", "{}", client.get::<String>(&job, JOB, "ErrorMessage")?);
    let (total, read) = (client.get::<u64>(&job, JOB, "BytesTotal")?, client.get::<u64>(&job, JOB, "BytesReceived")?);
    ensure!(read > 2 * LENGTH as u64 && total.abs_diff(read) < 2 << 20, "{read} of {total}");
    let told: String = client.get(&job, JOB, "Note")?;
    ensure!(told == "1 block put right from a good copy", "{told}");
    Ok(())
}

#[test]
fn a_cancelled_verify_ends_at_once() -> Result<()> {
    let scenario = Scenario::begin("single")?;
    scenario.slow_down()?;
    let job = scenario.begun()?;
    let (client, drive) = (&scenario.fixture.client, scenario.drive()?);
    ensure!(drive.properties.state == DriveState::Busy, "{drive:?}");
    for method in ["Verify", "SafelyRemove"] {
        let refused = scenario.fixture.call(&drive, method, &no_options()).err().context("refused")?;
        ensure!(error_name(&refused).ends_with(".Busy"), "{method}: {refused}");
    }
    let (progress, valid) = (client.get::<f64>(&job, JOB, "Progress")?, client.get(&job, JOB, "ProgressValid")?);
    ensure!(valid && progress > 0.0 && progress < 1.0, "{progress}");
    let asked = Instant::now();
    client.call(&job, (JOB, "Cancel"), &no_options())?;
    ensure!(client.get::<String>(&job, JOB, "State")? == "cancelled", "answered before it was so");
    ensure!(asked.elapsed() < under_load(Duration::from_secs(5)), "{:?}", asked.elapsed());
    ensure!(scenario.drive()?.properties.state == DriveState::Safe);
    Ok(())
}

#[test]
fn a_drive_is_usable_after_a_kill_during_verify() -> Result<()> {
    let mut scenario = Scenario::begin("single")?;
    scenario.slow_down()?;
    scenario.begun()?;
    let killed = scenario.fixture.daemon.take().context("it runs")?;
    run(Command::new("kill").args(["-KILL", &killed.id().to_string()]), TIMEOUT)?.success()?;
    drop(killed);
    scenario.fixture.start()?;
    let again = Instant::now();
    let job = scenario.verify()?;
    ensure!(scenario.fixture.client.end_of(&job)?.0 == "succeeded");
    ensure!(again.elapsed() < under_load(Duration::from_secs(8)), "the old scrub continued: {:?}", again.elapsed());
    Ok(())
}
