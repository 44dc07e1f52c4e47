//! Damaged data: on a drive, where it is remembered, and at a source.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{DESTINATION, JOB};
use butterdock_dbus::{DriveState, ErrorDetails};
use butterdock_tests::{
    Scenario, ShownDrive, TIMEOUT, contains_all, interface_of, mount, no_options, run, snapshot, unmount,
};
use zbus::OwnedObjectPath;

const PATTERN: &[u8] = b"a pattern that stands nowhere else in the image!";

/// Writes a file into the source, to be found in an image.
fn write_pattern(scenario: &Scenario) -> Result<()> {
    let content: Vec<u8> = PATTERN.iter().copied().cycle().take(1 << 20).collect();
    fs::write(scenario.source.join("precious"), content)?;
    run(Command::new("sync").arg("-f").arg(scenario.pool.path()), TIMEOUT)?.success().map(drop)
}

/// Writes over the file's beginning, behind the filesystem's back.
fn damage(image: &Path) -> Result<()> {
    let bytes = fs::read(image)?;
    let block = bytes.chunks(4096).position(|block| block.starts_with(PATTERN)).context("the file")?;
    let file = OpenOptions::new().write(true).open(image)?;
    Ok(file.write_all_at(b"another", u64::try_from(block * 4096)?)?)
}

/// The end of a job: its state, the public message, and the one for those who may see names.
fn end(scenario: &Scenario, method: &str) -> Result<(String, String, String)> {
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    let client = &scenario.fixture.client;
    let job = client
        .call(&drive.path, (interface_of(method), method), &no_options())?
        .body()
        .deserialize::<OwnedObjectPath>()?;
    let (state, _) = client.end_of(job.as_str())?;
    let public: String = client.get(job.as_str(), JOB, "ErrorMessage")?;
    let details = client.call(job.as_str(), (JOB, "GetErrorDetails"), &no_options())?.body();
    Ok((state, public, details.deserialize::<ErrorDetails>()?.message))
}

fn is_damaged(is: &ShownDrive) -> bool {
    is.problem.starts_with("a verify found damage on the drive: 1 block cannot be read, in 1 file and 1 snapshot;")
}

/// With a drive that has space for three full backups.
fn with_space() -> Result<Scenario> {
    Scenario::on(&["home"], "", |fixture| {
        let image = fixture.sandbox.join("a.img");
        File::create(&image)?.set_len(768 << 20)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-L", "Blue"]).arg(&image), TIMEOUT)?.success()?;
        Ok(image)
    })
}

#[test]
fn damage_on_a_drive_is_remembered_until_a_clean_verify() -> Result<()> {
    let mut scenario = with_space()?;
    write_pattern(&scenario)?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    damage(&scenario.image)?;
    let (state, public, message) = end(&scenario, "Verify")?;
    ensure!(state == "failed" && !public.contains("precious"), "{state}: {public}");
    contains_all(&public, &["damaged files: 1; the job's error details name them"])?;
    contains_all(&message, &["butterdock/home/", "/precious\""])?;
    scenario.fixture.one("damaged", |is| is.state == DriveState::Safe && is_damaged(is))?;
    // The service begins again, and with it the backup of the plug, although the source has not changed.
    scenario.fixture.stop()?;
    scenario.fixture.start()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? == 2))?;
    scenario.fixture.one("damaged after a restart", |is| is.state == DriveState::Safe && is_damaged(is))?;
    ensure!(!scenario.newest_is_the_source()?, "it built on the damaged file");
    fs::write(scenario.source.join("changed"), "again")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "no increment on the good one");
    // Without the damaged snapshot the drive is good.
    let at = scenario.fixture.sandbox.join("look");
    fs::create_dir_all(&at)?;
    mount(&Path::new("/dev").join(scenario.device()?), &at, "")?;
    let deleted = butterdock_tests::snapshots(&at.join("butterdock/home"))
        .and_then(|all| snapshot::delete(all.first().context("the oldest")?))
        .and_then(|()| run(Command::new("btrfs").args(["subvolume", "sync"]).arg(&at), TIMEOUT)?.success());
    unmount(&at)?;
    deleted?;
    scenario.job("Verify", &no_options())?;
    scenario.fixture.one("good", |is| is.state == DriveState::Safe && is.problem.is_empty())?;
    Ok(())
}

#[test]
fn a_restore_names_the_damaged_file_on_the_drive() -> Result<()> {
    let scenario = Scenario::begin()?;
    write_pattern(&scenario)?;
    scenario.job("Backup", &no_options())?;
    let drive = scenario.drive("safe", &DriveState::Safe)?;
    damage(&scenario.image)?;
    let uuid = scenario.on_drive(|all| Ok(snapshot::show(all.last().context("a snapshot")?)?.uuid))?;
    let client = &scenario.fixture.client;
    let job = client.call(&drive.path, (DESTINATION, "Restore"), &(uuid, "tank", no_options()))?.body();
    let job: OwnedObjectPath = job.deserialize()?;
    ensure!(client.end_of(job.as_str())? == ("failed".to_owned(), "Failed".to_owned()));
    let public: String = client.get(job.as_str(), JOB, "ErrorMessage")?;
    ensure!(public.starts_with("a file of the snapshot on the drive is damaged"), "{public}");
    let details = client.call(job.as_str(), (JOB, "GetErrorDetails"), &no_options())?.body();
    contains_all(&details.deserialize::<ErrorDetails>()?.message, &["the file \"precious\": "])
}

#[test]
fn a_backup_names_the_damaged_file_of_the_source() -> Result<()> {
    let scenario = Scenario::begin()?;
    // The first pages of the file are read from the device for the snapshot.
    write_pattern(&scenario)?;
    damage(&scenario.fixture.sandbox.join("pool.volume"))?;
    let (state, public, message) = end(&scenario, "Backup")?;
    ensure!(state == "failed" && public.starts_with("a file of the source is damaged"), "{state}: {public}");
    contains_all(&message, &["the file \"precious\": "])?;
    fs::remove_file(scenario.source.join("precious"))?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(!scenario.newest_is_the_source()?);
    Ok(())
}
