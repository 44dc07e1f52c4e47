//! The configured command for events: its arguments, its environment, and the order of events.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{DESTINATION, JOB};
use butterdock_dbus::{DriveState, path};
use butterdock_tests::{
    Disk, DriveFixture, Sandbox, TIMEOUT, Volume, butterdockd, no_options, run, snapshot, wait_until,
};
use zbus::OwnedObjectPath;

/// A line for each event. A label that ended a line would be seen as another one.
const HOOK: &str = "#!/bin/sh\nprintf '%s|%s|%s|%s|%s|%s|%s\\n' \"$1\" \"$BUTTERDOCK_EVENT\" \"$BUTTERDOCK_DRIVE\" \
                    \"$BUTTERDOCK_LABEL\" \"$BUTTERDOCK_JOB\" \"$BUTTERDOCK_BACKUP\" \"$BUTTERDOCK_ERROR\" >> \"$2\"\n";

/// Writes the hook into the sandbox; the line of the configuration, which runs it.
fn hook(sandbox: &Sandbox) -> Result<String> {
    let file = sandbox.join("hook");
    fs::write(&file, HOOK)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    // An argument that a shell would take apart.
    Ok(format!("on_event = [{file:?}, \"a b; $(c)\", {:?}]\n", sandbox.join("told")))
}

/// Waits until the hook has run for this number of events, and for one more that should not come.
fn commands_run(fixture: &DriveFixture, events: usize) -> Result<Vec<Vec<String>>> {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(fixture.sandbox.join("told")).unwrap_or_default();
        if text.lines().count() >= events {
            std::thread::sleep(Duration::from_millis(300));
            let text = fs::read_to_string(fixture.sandbox.join("told"))?;
            return Ok(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect());
        }
        ensure!(began.elapsed() < TIMEOUT, "waited in vain for {events} events: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn each_event_is_emitted_once_and_in_order() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let pool = Volume::make(&sandbox.join("pool.volume"), &sandbox.join("pool"), &Default::default())?;
    let (source, snapshots) = (pool.join("home"), pool.join("snapshots"));
    snapshot::create(&source)?;
    fs::write(source.join("letter"), "Dear")?;
    let more = format!(
        "{}\n[[backup]]\nname = \"home\"\nsource = {source:?}\nsnapshots = {snapshots:?}\nto = [\"Blue\"]\nschedule = \"manual\"\n",
        hook(&sandbox)?
    );
    // The volume ends before the folder that it is in.
    let (mut fixture, _pool) = (DriveFixture::with(sandbox, &more)?, pool);
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    let drive = fixture.enrol(&drive)?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    ensure!(fixture.client.end_of(job.as_str())?.0 == "succeeded");
    let mut all = commands_run(&fixture, 6)?;
    let events: Vec<_> = all.iter().map(|line| line[1].as_str()).collect();
    ensure!(events == ["unknown", "recognised", "safe", "backup-started", "backup-done", "safe"], "{all:#?}");
    // After the enrolment.
    all.remove(2);
    ensure!(all.iter().all(|line| line[0] == "a b; $(c)" && line[3] == "Blue" && line[6].is_empty()), "{all:#?}");
    let id = path::drive_id(&drive.path).context("an id")?;
    ensure!(all[1..].iter().all(|line| line[2] == id), "{id} {all:#?}");
    let of_job = |line: &[String]| line[4].len() == 36 && line[5] == "home";
    ensure!(of_job(&all[2]) && of_job(&all[3]) && all[2][4] == all[3][4] && all[4][4].is_empty(), "{all:#?}");

    // Unplugged when it is safe is no event; one whose source is gone fails.
    drop(disk);
    fixture.until("away", <[_]>::is_empty)?;
    let _disk = Disk::attach(&image)?;
    let drive =
        fixture.one("there again", |is| is.enrolled && !is.device.is_empty() && is.state != DriveState::Busy)?;
    fs::remove_file(source.join("letter"))?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    ensure!(fixture.client.end_of(job.as_str())?.0 == "failed");
    let all = commands_run(&fixture, 10)?;
    let events: Vec<_> = all[6..].iter().map(|line| line[1].as_str()).collect();
    ensure!(events == ["recognised", "backup-started", "backup-failed", "safe"], "{all:#?}");
    ensure!(all[8][6] == "Failed", "{all:#?}");
    fixture.stop().map(drop)
}

#[test]
fn a_hook_writable_by_others_is_not_run() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let line = hook(&sandbox)?;
    fs::set_permissions(sandbox.join("hook"), fs::Permissions::from_mode(0o777))?;
    let mut fixture = DriveFixture::with(sandbox, &line)?;
    let checked =
        run(Command::new(butterdockd()?).arg("check-config").arg(&fixture.configuration), TIMEOUT)?.success()?;
    ensure!(checked.out().contains("it will not run") && checked.out().contains("chmod go-w"), "{}", checked.out());
    let image = fixture.image("a", "Blue")?;
    let _disk = Disk::attach(&image)?;
    fixture.one("the drive", |is| is.filesystem_type == "btrfs")?;
    std::thread::sleep(Duration::from_millis(500));
    let (told, log) = (fixture.sandbox.join("told"), fixture.stop()?);
    ensure!(!told.exists() && log.contains("on_event did not run for unknown"), "{log}");
    Ok(())
}

/// Writes a file for each event with the whole environment; renamed into place, so that it is complete.
const ENVIRONMENT_HOOK: &str = "#!/bin/sh\nenv > \"$1/.$$\"\nmv \"$1/.$$\" \"$1/$BUTTERDOCK_EVENT\"\n";

/// A stage with the hook, and a source whose backup is `manual`.
fn set() -> Result<(DriveFixture, Volume)> {
    let sandbox = Sandbox::new()?;
    let (file, told) = (sandbox.join("hook"), sandbox.join("events"));
    fs::create_dir(&told)?;
    fs::write(&file, ENVIRONMENT_HOOK)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    let pool = Volume::make(&sandbox.join("pool.volume"), &sandbox.join("pool"), &Default::default())?;
    let (source, snapshots) = (pool.join("home"), pool.join("snapshots"));
    snapshot::create(&source)?;
    let more = format!(
        "on_event = [{file:?}, {told:?}]\n\n[[backup]]\nname = \"home\"\nsource = {source:?}\n\
         snapshots = {snapshots:?}\nto = [\"Blue\"]\nschedule = \"manual\"\n"
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
    let drive = fixture.enrol(&drive)?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    Ok(job.to_string())
}

#[test]
fn a_drive_and_its_copy_emit_refused_events() -> Result<()> {
    let (fixture, _pool) = set()?;
    let image = fixture.image("a", "Blue")?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.label == "Blue")?;
    fixture.enrol_and_mount(&drive)?;
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
