//! Two drives at once, a drive that another machine has written to, and a source that is not what it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::{DESTINATION, JOB};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{
    Disk, Frozen, Receiver, Recorder, Scenario, TIMEOUT, contains_all, elsewhere, names, no_options, run, snapshots,
};
use zbus::OwnedObjectPath;

/// With one backup done, and the drive away.
fn backed_up() -> Result<Scenario> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    Ok(scenario)
}

/// Plugs it in; waits for the backup, and answers whether it was an increment.
fn next(scenario: &mut Scenario) -> Result<bool> {
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.newest_is_the_source()
}

#[test]
fn two_drives_of_one_backup_run_at_the_same_time() -> Result<()> {
    let mut scenario =
        Scenario::on(&["home"], "keep = { last = 1 }\nprotect = \"0h\"", |fixture| fixture.image("a", "Blue"))?;
    scenario.job("SafelyRemove", &no_options())?;
    scenario.unplug()?;
    let image = scenario.fixture.image("b", "Blue")?;
    let disk = Disk::attach(&image)?;
    let other = scenario
        .fixture
        .one("the other", |is| !is.enrolled && is.filesystem_type == "btrfs" && is.device == disk.name())?;
    scenario.fixture.enrol(&other)?;
    drop(disk);
    scenario.fixture.until("both away", |all| all.iter().all(|drive| drive.properties.device.is_empty()))?;
    // Both come at once, for the first time.
    scenario.plug()?;
    let mut other = Some(Disk::attach(&image)?);
    scenario.fixture.client.until("both backups", |_| Ok(scenario.good_backups()? == 2))?;
    both_are_the_source(&mut scenario, &mut other)?;
    let ids = [scenario.disk.as_ref(), other.as_ref()].map(|disk| -> Result<String> {
        let name = disk.context("attached")?.name();
        Ok(scenario.fixture.one("the drive", |is| is.device == name)?.path)
    });
    let [a, b] = ids;
    let [a, b] = [a?, b?];
    for (first, second) in [(&a, &b), (&b, &a)] {
        let (job, frozen) = halted(&scenario, first)?;
        let before = beside(&scenario)?;
        scenario.succeeds(&begin_on(&scenario, second)?)?;
        let state: String = scenario.fixture.client.get(&job, JOB, "State")?;
        let after = beside(&scenario)?;
        drop(frozen);
        ensure!(matches!(&*state, "running" | "flushing"), "they were not at work at the same time: {state}");
        ensure!(before.iter().all(|name| after.contains(name)), "who was not the last thinned: {before:?} {after:?}");
        scenario.succeeds(&job)?;
        ensure!(both_are_the_source(&mut scenario, &mut other)? == [true; 2], "beside each other: no increment");
        fs::write(scenario.source.join("small"), first)?;
        names_are_past(&scenario)?;
        for job in [begin_on(&scenario, first)?, begin_on(&scenario, second)?] {
            scenario.succeeds(&job)?;
        }
        ensure!(both_are_the_source(&mut scenario, &mut other)? == [true; 2], "afterwards: no increment");
        let (mine, _) = names(&scenario.source_snapshots())?;
        // What each needs, and needed before.
        ensure!(mine.len() <= 4, "who ended last did not thin: {mine:?}");
    }
    scenario.no_worker_is_left()
}

/// Begins a backup to the drive of this object; answers its job.
fn begin_on(scenario: &Scenario, drive: &str) -> Result<String> {
    let body = scenario.fixture.client.call(drive, (DESTINATION, "Backup"), &no_options())?.body();
    Ok(body.deserialize::<OwnedObjectPath>()?.to_string())
}

/// Waits until no snapshot is dated in the future: those of one second have the names of later seconds, and are not pruned
/// before their date.
fn names_are_past(scenario: &Scenario) -> Result<()> {
    scenario.fixture.client.until("the date of the newest snapshot", |_| {
        let now = run(Command::new("date").args(["-u", "+home.%Y%m%dT%H%M%SZ"]), TIMEOUT)?.success()?.out();
        Ok(beside(scenario)?.iter().all(|name| name.as_str() < now.trim()))
    })
}

/// The names beside the source, that of a snapshot that is being sent without what hides it.
fn beside(scenario: &Scenario) -> Result<Vec<String>> {
    let (visible, hidden) = names(&scenario.source_snapshots())?;
    let sent = hidden.iter().filter_map(|name| name.strip_prefix(".butterdock-")).map(str::to_owned);
    Ok(visible.into_iter().chain(sent).collect())
}

/// Begins a backup to this drive, and freezes the drive when the snapshot is made; answers the job.
fn halted(scenario: &Scenario, drive: &str) -> Result<(String, Frozen)> {
    for round in 0..20_u8 {
        fs::write(scenario.source.join("grown"), vec![round; 12 << 20])?;
        let before = beside(scenario)?;
        let shown = scenario.fixture.drives()?.into_iter().find(|shown| shown.path == drive).context("it is shown")?;
        let job = begin_on(scenario, drive)?;
        let ended = || -> Result<bool> {
            Ok(matches!(&*scenario.fixture.client.get::<String>(&job, JOB, "State")?, "succeeded" | "failed"))
        };
        while !ended()? && beside(scenario)?.len() == before.len() {}
        if let Some(at) = mounted(scenario, &shown.properties.device)?
            && let Ok(frozen) = Frozen::new(&at)
            && !ended()?
            && beside(scenario)?.iter().any(|name| !before.contains(name) && !has_snapshot(&at, name))
        {
            return Ok((job, frozen));
        }
        scenario.succeeds(&job)?;
    }
    anyhow::bail!("no backup could be halted in the middle")
}

/// Whether the drive mounted at `at` has this snapshot under its final name. If not, a frozen drive does not get it: the job is in
/// its transfer, and not in the pruning after it.
fn has_snapshot(at: &Path, name: &str) -> bool {
    at.join("butterdock/home").join(name).exists()
}

/// Where the service has this device mounted.
fn mounted(scenario: &Scenario, device: &str) -> Result<Option<PathBuf>> {
    let id = scenario.fixture.daemon.as_ref().context("it runs")?.id();
    let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo"))?;
    let node = format!("/dev/{device}");
    let line = mounts.lines().find(|line| line.split(' ').any(|field| field == node));
    let at = line.and_then(|line| line.split(' ').nth(4));
    Ok(at.map(|at| PathBuf::from(format!("/proc/{id}/root{at}"))))
}

/// That the newest on both drives is what the source is now, and of each whether it was an increment.
fn both_are_the_source(scenario: &mut Scenario, other: &mut Option<Disk>) -> Result<[bool; 2]> {
    scenario
        .fixture
        .until("both safe", |all| all.iter().filter(|drive| drive.properties.state == DriveState::Safe).count() == 2)?;
    let one = scenario.newest_is_the_source();
    std::mem::swap(&mut scenario.disk, other);
    let both = scenario.newest_is_the_source();
    std::mem::swap(&mut scenario.disk, other);
    Ok([one.context("the one")?, both.context("the other")?])
}

#[test]
fn snapshots_of_another_machine_are_kept() -> Result<()> {
    let mut scenario = backed_up()?;
    let live = scenario.tank.join("live");
    snapshot::create(&live)?;
    fs::write(live.join("file"), "of another machine")?;
    let frozen = scenario.tank.join("frozen");
    snapshot::freeze(&live, &frozen)?;
    let stream = scenario.fixture.sandbox.join("foreign");
    snapshot::send(Proto::One, None, &frozen, &stream)?;
    elsewhere(&scenario.image, |at| Receiver::Standard.receive(&stream, &at.join("butterdock/home")))?;
    fs::write(scenario.source.join("changed"), "here")?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.on_drive(|all| {
        ensure!(all.len() == 3, "{all:?}");
        let newest = all.iter().rfind(|path| !path.ends_with("frozen")).context("the newest")?;
        ensure!(fs::read(newest.join("changed"))? == b"here");
        ensure!(snapshot::show(newest)?.parent_uuid != "-", "it was no increment");
        Ok(())
    })
}

#[test]
fn a_changed_snapshot_is_no_parent_with_a_note() -> Result<()> {
    let mut scenario = backed_up()?;
    elsewhere(&scenario.image, |at| {
        let folder = at.join("butterdock/home");
        for path in snapshots(&folder)? {
            snapshot::set_read_only(&path, false)?;
            fs::write(path.join("changed elsewhere"), "x")?;
            snapshot::set_read_only(&path, true)?;
        }
        Ok(())
    })?;
    fs::write(scenario.source.join("changed"), "here")?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    ensure!(!next(&mut scenario)?, "it built on what was changed");
    let job = recorder.finish(&scenario.fixture.client)?.jobs()?.pop().context("a job")?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    ensure!(note.contains("full transfer"), "not said why: {note}");
    Ok(())
}

#[test]
fn a_replaced_source_is_refused() -> Result<()> {
    let mut scenario = backed_up()?;
    scenario.plug()?;
    scenario
        .fixture
        .one("backed up and let go", |is| is.enrolled && !is.device.is_empty() && is.state == DriveState::Safe)?;
    let aside = scenario.pool.join("aside");
    fs::rename(&scenario.source, &aside)?;
    snapshot::create(&scenario.source)?;
    fs::write(scenario.source.join("strange"), "x")?;
    is_refused(&scenario, "another subvolume")?;
    // A folder is what is seen where it is not mounted.
    snapshot::delete(&scenario.source)?;
    fs::create_dir(&scenario.source)?;
    is_refused(&scenario, "not mounted")?;
    fs::remove_dir(&scenario.source)?;
    is_refused(&scenario, "")?;
    fs::write(aside.join("changed"), "x")?;
    let before = scenario.good_backups()?;
    // The backup begins when its source appears.
    fs::rename(&aside, &scenario.source)?;
    scenario.fixture.client.until("the backup", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}

fn is_refused(scenario: &Scenario, why: &str) -> Result<()> {
    let (before, _) = names(&scenario.source_snapshots())?;
    let job = scenario.start_backup()?;
    let (state, error, message) = scenario.end_of_backup(&job)?;
    let about: String = scenario.fixture.client.get(&job, JOB, "BackupName")?;
    ensure!(state == "failed" && about == "home" && message.contains(why), "{state} {error} {message} {about}");
    contains_all(&message, &["; "])?;
    scenario.drive("let go", &DriveState::Safe)?;
    ensure!(names(&scenario.source_snapshots())?.0 == before, "the snapshots changed");
    scenario.nothing_is_incomplete()
}
