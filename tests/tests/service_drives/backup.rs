//! The life of a drive: backed up to on request and at a plug, removed, and restored from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, JOB};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::{
    DriveObject, Event, Recorder, Recording, Row, Sandbox, Scenario, TIMEOUT, butterdockd, error_name, no_options, run,
    snapshot, snapshots, word,
};
use zbus::{OwnedObjectPath, Variant};

#[test]
fn a_requested_backup_ends_safe_and_in_the_history() -> Result<()> {
    let scenario = Scenario::begin()?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let job = scenario.job("Backup", &no_options())?;
    let drive = scenario.drive("safe", &DriveState::Safe)?;
    ensure!(drive.properties.last_backup > 0 && drive.properties.problem.is_empty(), "{drive:?}");
    ensure!(!scenario.is_held()?, "still mounted");
    let recording = recorder.finish(&scenario.fixture.client)?;
    let ends = recording.events_of(&job)?.iter().filter(|moment| matches!(moment.event, Event::Completed(..))).count();
    ensure!(ends == 1, "Completed came {ends} times");
    let history = scenario.history("backup")?;
    let told = history.first().map(|row| ["result", "backup", "drive_label"].map(|key| word(row, key)));
    ensure!(history.len() == 1 && told == Some(["succeeded", "home", "Blue"].map(str::to_owned)), "{history:?}");
    let source = Tree::read(&scenario.source)?;
    scenario.on_drive(|all| {
        ensure!(all.len() == 1, "{all:?}");
        same("the snapshot on the drive", &source, &Tree::read(&all[0])?, Rules::SOURCE)
    })?;
    Ok(())
}

#[test]
fn a_replugged_drive_gets_an_increment() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    let first = scenario.drive("safe", &DriveState::Safe)?.properties.last_backup;
    scenario.unplug()?;
    fs::write(scenario.source.join("changed"), [7; 10_000])?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    scenario.plug()?;
    let client = &scenario.fixture.client;
    client.until("the second backup", |_| Ok(scenario.history("backup")?.len() == 2))?;
    scenario.drive("safe again", &DriveState::Safe)?;
    let drive = scenario.fixture.one("its backup noted", |is| is.last_backup >= first)?;
    let jobs = recorder.finish(client)?.jobs()?;
    ensure!(jobs.len() == 1, "{jobs:?}");
    scenario.succeeds(&jobs[0])?;
    let incremental: bool = client.get(&jobs[0], JOB, "Incremental")?;
    let received: u64 = client.get(&jobs[0], JOB, "BytesReceived")?;
    let by: u32 = client.get(&jobs[0], JOB, "StartedByUid")?;
    ensure!(incremental && (10_000..20_000).contains(&received) && by == 0, "{incremental} {received} {by}");
    ensure!(drive.properties.problem.is_empty() && !scenario.is_held()?, "{drive:?}");
    let source = Tree::read(&scenario.source)?;
    scenario.on_drive(|all| {
        ensure!(all.len() == 2, "{all:?}");
        same("the second snapshot", &source, &Tree::read(&all[1])?, Rules::SOURCE_OF_INCREMENT)
    })?;
    // Where nothing changed, nothing is sent.
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe once more", &DriveState::Safe)?;
    scenario.on_drive(|all| {
        ensure!(all.len() == 2, "{all:?}");
        Ok(())
    })
}

#[test]
fn a_safely_removed_drive_is_not_in_use() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    let drive = scenario.drive("enrolled", &DriveState::Safe)?;
    scenario.fixture.call(&drive, "Mount", &no_options())?;
    ensure!(scenario.is_held()?, "mounted before");
    scenario.job("SafelyRemove", &no_options())?;
    // Not later: a user who sees the end unplugs the drive.
    let drives = scenario.fixture.drives()?;
    ensure!(drives.iter().all(|drive| drive.properties.state == DriveState::Safe), "{drives:?}");
    ensure!(!scenario.is_held()?, "still mounted");
    let removed = scenario.history("remove")?;
    ensure!(removed.len() == 1 && word(&removed[0], "result") == "succeeded", "{removed:?}");
    scenario.unplug()?;
    // What was not backed up before is when it comes again.
    scenario.plug()?;
    scenario.fixture.client.until("the backup", |_| Ok(scenario.history("backup")?.len() == 1))?;
    scenario.drive("safe", &DriveState::Safe).map(drop)
}

#[test]
fn a_snapshot_on_a_drive_is_restored_into_a_volume() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    let (name, uuid) = scenario.on_drive(|all| {
        let name = all[0].file_name().context("a name")?.to_owned();
        Ok((name, snapshot::show(&all[0])?.uuid))
    })?;
    scenario.job("Restore", &(&uuid, "tank", no_options()))?;
    let source = Tree::read(&scenario.source)?;
    same("what was restored", &source, &Tree::read(&scenario.tank.join(&name))?, Rules::SOURCE)?;
    scenario.drive("safe after it", &DriveState::Safe)?;
    ensure!(!scenario.is_held()?, "still mounted");
    // The name is taken now.
    let again = scenario.job("Restore", &(&uuid, "tank", no_options())).err().context("refused")?;
    ensure!(again.to_string().contains("failed Exists"), "{again}");
    let mut options = no_options();
    options.insert("name", Variant::from("other"));
    scenario.job("Restore", &(&uuid, "tank", options))?;
    same("under another name", &source, &Tree::read(&scenario.tank.join("other"))?, Rules::SOURCE)
}

/// How many signals said that this drive is safe.
fn times_safe(recording: &Recording, drive: &DriveObject) -> usize {
    let of_it = recording.broadcasts().filter(|message| message.header().path().is_some_and(|at| *at == *drive.path));
    of_it
        .filter(|message| {
            let changed = message
                .body()
                .deserialize::<(String, Row, Vec<String>)>()
                .map(|(interface, changed, _)| (interface, word(&changed, "State")));
            changed.is_ok_and(|(interface, state)| interface == DRIVE && state == "safe")
        })
        .count()
}

#[test]
fn a_drive_is_released_after_its_last_backup() -> Result<()> {
    let scenario = Scenario::with(&["home", "work"])?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let drive = scenario.drive("the drive", &DriveState::Safe)?;
    let client = &scenario.fixture.client;
    let first: OwnedObjectPath =
        client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    let again = scenario.fixture.call(&drive, "Backup", &no_options()).err().context("refused")?;
    let remove = scenario.fixture.call(&drive, "SafelyRemove", &no_options()).err().context("refused")?;
    ensure!(error_name(&again).ends_with(".Busy") && error_name(&remove).ends_with(".Busy"), "{again} {remove}");
    client.until("both", |_| Ok(scenario.history("backup")?.len() == 2))?;
    scenario.drive("safe", &DriveState::Safe)?;
    // The service sends changes of a drive up to three times a second.
    recorder.until("the signal that it is safe", |recording| Ok(times_safe(recording, &drive) > 0))?;
    let recording = recorder.finish(client)?;
    let jobs = recording.jobs()?;
    ensure!(jobs.len() == 2 && jobs[0] == first.as_str(), "{jobs:?} {first}");
    for (job, name) in jobs.iter().zip(["home", "work"]) {
        scenario.succeeds(job)?;
        let backup: String = client.get(job, JOB, "BackupName")?;
        ensure!(backup == name, "{backup}");
    }
    let safe = times_safe(&recording, &drive);
    ensure!(safe == 1, "it was safe {safe} times");
    // Each has its own, though nothing changed since the first.
    scenario.on_drive(|all| {
        let folder = all[0].parent().and_then(Path::parent).context("a folder")?;
        let counts = (all.len(), snapshots(&folder.join("work"))?.len());
        ensure!(counts == (1, 1), "{counts:?}");
        Ok(())
    })
}

#[test]
fn releasing_a_drive_is_not_an_unmount_error() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    // And where the job failed before, that stays the reason.
    let aside = scenario.pool.join("aside");
    fs::rename(&scenario.source, &aside)?;
    let drive = scenario.drive("there", &DriveState::Safe)?;
    let body = scenario.fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body();
    let job: OwnedObjectPath = body.deserialize()?;
    let (state, error) = scenario.fixture.client.end_of(job.as_str())?;
    let message: String = scenario.fixture.client.get(job.as_str(), JOB, "ErrorMessage")?;
    ensure!(state == "failed" && error == "Failed" && !message.contains("unmounted"), "{state} {error} {message}");
    scenario.drive("let go", &DriveState::Safe)?;
    let log = scenario.fixture.stop()?;
    ensure!(!log.contains("unmounted under the job"), "{log}");
    Ok(())
}

#[test]
fn a_backup_cancelled_during_mount_leaves_the_drive_safe() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    for round in 0..5 {
        let drive = scenario.drive("safe", &DriveState::Safe)?;
        fs::write(scenario.source.join("changing"), vec![round; 4 << 20])?;
        let body = scenario.fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body();
        let job: OwnedObjectPath = body.deserialize()?;
        // It may have ended.
        scenario.fixture.client.call(job.as_str(), (JOB, "Cancel"), &no_options()).map(drop).unwrap_or_default();
    }
    scenario.drive("safe at last", &DriveState::Safe)?;
    // It is not mounted behind its back either.
    std::thread::sleep(Duration::from_millis(500));
    scenario.drive("safe still", &DriveState::Safe)?;
    ensure!(!scenario.is_held()?, "still mounted");
    Ok(())
}

#[test]
fn a_users_link_does_not_redirect_a_backup() -> Result<()> {
    let scenario = Scenario::begin()?;
    let elsewhere = scenario.pool.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, scenario.pool.join("snapshots-home"))?;
    std::os::unix::fs::chown(scenario.pool.path(), Some(1000), Some(1000))?;
    let foretold = check_config(&scenario.fixture.configuration)?;
    let drive = scenario.drive("the drive", &DriveState::Safe)?;
    let client = &scenario.fixture.client;
    let job: OwnedObjectPath =
        client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body().deserialize()?;
    let (state, error) = client.end_of(job.as_str())?;
    let message: String = client.get(job.as_str(), JOB, "ErrorMessage")?;
    ensure!(state == "failed" && message.contains("the folder for snapshots is not used"), "{state} {error} {message}");
    let (_, why) = message.split_once("the folder for snapshots ").context("a reason")?;
    ensure!(foretold.contains(why.trim_end_matches('.')), "check-config says otherwise: {foretold}");
    ensure!(fs::read_dir(&elsewhere)?.next().is_none(), "something was made elsewhere");
    Ok(())
}

fn check_config(file: &Path) -> Result<String> {
    Ok(run(Command::new(butterdockd()?).arg("check-config").arg(file), TIMEOUT)?.success()?.out())
}

#[test]
fn check_config_warns_of_a_folder_that_the_backup_refuses() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (source, file) = (sandbox.join("home"), sandbox.join("butterdock.toml"));
    fs::create_dir(&source)?;
    let checked = |snapshots: &Path| {
        let text =
            format!("[[backup]]\nname = \"home\"\nsource = {source:?}\nsnapshots = {snapshots:?}\nto = [\"Blue\"]\n");
        fs::write(&file, text)?;
        check_config(&file)
    };
    for missing in [source.join("missing"), sandbox.join("missing")] {
        let said = checked(&missing)?;
        ensure!(!said.contains("WARNING") && !missing.exists(), "the backup makes it: {said}");
    }
    let (link, users, open, below) =
        (source.join("link"), sandbox.join("users"), source.join("open"), sandbox.join("users/below"));
    std::os::unix::fs::symlink(sandbox.join(""), &link)?;
    for folder in [&users, &open, &below] {
        fs::create_dir(folder)?;
    }
    ensure!(!checked(&users)?.contains("WARNING"), "root's alone");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    std::os::unix::fs::chown(&users, Some(1000), Some(1000))?;
    for (snapshots, why, next) in [
        (&link, "a symbolic link or a file that", "remove it"),
        (&open, "users other than root can write to it", "chmod go-w"),
        (&users, "users other than root can write to it", "chown root:root"),
        (&below, "users other than root can write to a directory on its path", "set `snapshots` to a folder"),
    ] {
        let said = checked(snapshots)?;
        let warning =
            said.lines().find(|line| line.contains("WARNING")).with_context(|| format!("no warning: {said}"))?;
        let which = format!("the folder for snapshots {} is not used", snapshots.display());
        ensure!(warning.contains(&which) && warning.contains(why) && warning.contains(next), "{warning}");
    }
    Ok(())
}
