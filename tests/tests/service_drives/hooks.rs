//! The events of a drive's life for the configured command, with udev and the service.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::{DriveState, path};
use butterdock_tests::{Disk, DriveFixture, Sandbox, TIMEOUT, Volume, butterdockd, no_options, run, snapshot};
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

/// Waits until the hook was told of so many events, and for one more that should not come.
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
        "{}\n[[backup]]\nname = \"home\"\nsource = {source:?}\nsnapshots = {snapshots:?}\ndrives = [\"Blue\"]\nschedule = \"manual\"\n",
        hook(&sandbox)?
    );
    // The volume ends before the folder that it is in.
    let (mut fixture, _pool) = (DriveFixture::with(sandbox, &more)?, pool);
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    fixture.call(&drive, "Enrol", &no_options())?;
    let drive = fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Mounted)?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DRIVE, "Backup"), &no_options())?.body().deserialize()?;
    ensure!(fixture.client.end_of(job.as_str())?.0 == "succeeded");
    let all = commands_run(&fixture, 5)?;
    let events: Vec<_> = all.iter().map(|line| line[1].as_str()).collect();
    ensure!(events == ["unknown", "recognised", "backup-started", "backup-done", "safe"], "{all:#?}");
    ensure!(all.iter().all(|line| line[0] == "a b; $(c)" && line[3] == "Blue" && line[6].is_empty()), "{all:#?}");
    let id = path::drive_id(&drive.path).context("an id")?;
    ensure!(all[1..].iter().all(|line| line[2] == id), "{id} {all:#?}");
    let of_job = |line: &[String]| line[4].len() == 36 && line[5] == "home";
    ensure!(of_job(&all[2]) && of_job(&all[3]) && all[2][4] == all[3][4] && all[4][4].is_empty(), "{all:#?}");

    // Unplugged when it is safe is no event; one whose source is gone fails.
    drop(disk);
    fixture.one("away", |is| is.device.is_empty())?;
    let _disk = Disk::attach(&image)?;
    let drive =
        fixture.one("there again", |is| is.enrolled && !is.device.is_empty() && is.state != DriveState::Busy)?;
    fs::remove_file(source.join("letter"))?;
    let job: OwnedObjectPath =
        fixture.client.call(&drive.path, (DRIVE, "Backup"), &no_options())?.body().deserialize()?;
    ensure!(fixture.client.end_of(job.as_str())?.0 == "failed");
    let all = commands_run(&fixture, 9)?;
    let events: Vec<_> = all[5..].iter().map(|line| line[1].as_str()).collect();
    ensure!(events == ["recognised", "backup-started", "backup-failed", "safe"], "{all:#?}");
    ensure!(all[7][6] == "Failed", "{all:#?}");
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
