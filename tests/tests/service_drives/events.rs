//! The rarer events of the configured command, with their environment; `hooks` has the common ones.
//!
//! `pulled` is not among them: a mounted loop device stays until it is released. The emulated machine tests it, whose
//! drives really disappear.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::{DRIVE, JOB};
use butterdock_tests::{Disk, DriveFixture, Sandbox, Volume, no_options, snapshot, wait_until};
use zbus::OwnedObjectPath;

/// A file for each event with the whole environment, written aside and renamed: what is there is whole.
const HOOK: &str = "#!/bin/sh\nenv > \"$1/.$$\"\nmv \"$1/.$$\" \"$1/$BUTTERDOCK_EVENT\"\n";

/// A stage with the hook, and a source whose backup is `manual`.
fn set() -> Result<(DriveFixture, Volume)> {
    let sandbox = Sandbox::new()?;
    let (file, told) = (sandbox.join("hook"), sandbox.join("events"));
    fs::create_dir(&told)?;
    fs::write(&file, HOOK)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    let pool = Volume::make(&sandbox.join("pool.volume"), &sandbox.join("pool"), &Default::default())?;
    let (source, snapshots) = (pool.join("home"), pool.join("snapshots"));
    snapshot::create(&source)?;
    let more = format!(
        "on_event = [{file:?}, {told:?}]\n\n[[backup]]\nname = \"home\"\nsource = {source:?}\n\
         snapshots = {snapshots:?}\ndrives = [\"Blue\"]\nschedule = \"manual\"\n"
    );
    Ok((DriveFixture::with(sandbox, &more)?, pool))
}

/// Waits for an event; its environment, in which nothing but what is documented is.
fn event(fixture: &DriveFixture, name: &str) -> Result<BTreeMap<String, String>> {
    let file = fixture.sandbox.join("events").join(name);
    wait_until(&format!("{name} was told"), || Ok(Path::new(&file).exists()))?;
    let text = fs::read_to_string(file)?;
    let all: BTreeMap<String, String> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect();
    for name in ["EVENT", "DRIVE", "LABEL", "JOB", "BACKUP", "ERROR", "MESSAGE"] {
        ensure!(all.contains_key(&format!("BUTTERDOCK_{name}")), "no {name}: {all:#?}");
    }
    // The shell sets the last three itself.
    let strange: Vec<_> = all
        .keys()
        .filter(|name| !name.starts_with("BUTTERDOCK_") && !["PATH", "PWD", "_", "SHLVL"].contains(&name.as_str()))
        .collect();
    ensure!(strange.is_empty() && all["BUTTERDOCK_EVENT"] == name && all["BUTTERDOCK_LABEL"] == "Blue", "{all:#?}");
    ensure!(!all["BUTTERDOCK_DRIVE"].is_empty(), "{all:#?}");
    Ok(all)
}

/// An enrolled drive, and a backup that is begun.
fn begun(fixture: &DriveFixture) -> Result<String> {
    let drive = fixture.one("the drive", |is| !is.enrolled && is.label == "Blue")?;
    fixture.call(&drive, "Enrol", &no_options())?;
    let drive = fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Mounted)?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DRIVE, "Backup"), &no_options())?.body().deserialize()?;
    Ok(job.to_string())
}

#[test]
fn a_drive_and_its_copy_emit_refused_events() -> Result<()> {
    let (fixture, _pool) = set()?;
    let image = fixture.image("a", "Blue")?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.label == "Blue")?;
    fixture.call(&drive, "Enrol", &no_options())?;
    fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Mounted)?;
    let copy = fixture.sandbox.join("copy.img");
    fs::copy(&image, &copy)?;
    let _clone = Disk::attach(&copy)?;
    let told = event(&fixture, "refused")?;
    ensure!(told["BUTTERDOCK_MESSAGE"].contains("it is a copy and is not used; unplug it"), "{told:#?}");
    ensure!(told["BUTTERDOCK_JOB"].is_empty() && told["BUTTERDOCK_ERROR"].is_empty(), "{told:#?}");
    Ok(())
}

#[test]
fn a_backup_without_space_fails_with_no_space() -> Result<()> {
    let (fixture, pool) = set()?;
    // Nothing of it is stored in less, and nothing twice: the drive has 256 MiB.
    let mut noise = fs::File::open("/dev/urandom")?.take(300 << 20);
    std::io::copy(&mut noise, &mut fs::File::create(pool.join("home/large"))?)?;
    let _disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let job = begun(&fixture)?;
    ensure!(fixture.client.end_of(&job)? == ("failed".to_owned(), "NoSpace".to_owned()));
    let told = event(&fixture, "full")?;
    ensure!(
        (told["BUTTERDOCK_BACKUP"].as_str(), told["BUTTERDOCK_ERROR"].as_str()) == ("home", "NoSpace"),
        "{told:#?}"
    );
    ensure!(job.replace('_', "-").ends_with(&told["BUTTERDOCK_JOB"]), "{job} {told:#?}");
    let public: String = fixture.client.get(&job, JOB, "ErrorMessage")?;
    ensure!(told["BUTTERDOCK_MESSAGE"] == public && public.contains("larger drive"), "{told:#?}");
    event(&fixture, "safe").map(drop)
}

#[test]
fn a_cancelled_backup_is_reported_as_cancelled() -> Result<()> {
    let (fixture, pool) = set()?;
    fs::write(pool.join("home/large"), vec![b'l'; 100 << 20])?;
    let _disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let job = begun(&fixture)?;
    fixture.client.call(&job, (JOB, "Cancel"), &no_options()).context("cancelled in time")?;
    let told = event(&fixture, "backup-cancelled")?;
    ensure!(told["BUTTERDOCK_ERROR"] == "Cancelled" && told["BUTTERDOCK_MESSAGE"].contains("cancelled"), "{told:#?}");
    Ok(())
}
