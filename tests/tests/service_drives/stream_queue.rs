//! Members of the group hand in more streams than the service can receive; root's jobs and the drive are not blocked.

use std::fs;
use std::io::PipeReader;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, JOB, MANAGER};
use butterdock_tests::{
    Frozen, Polkit, Rules, Scenario, TIMEOUT, Volume, answer, as_user, no_options, python, snapshot, start, word,
};
use serde_json::Value;
use zbus::{OwnedObjectPath, Variant};

/// Two users of the system that are not root.
const MEMBERS: [u32; 2] = [1, 65534];

/// Has a user call a method so many times, with a stalled pipe at hand; what came of each.
fn call(scenario: &Scenario, uid: u32, times: u32, words: &[&str], pipe: &PipeReader) -> Result<Vec<Value>> {
    let mut command = python("call.py", &scenario.fixture.bus)?;
    command.arg(format!("--times={times}")).args(words);
    let said = answer(as_user(uid, &command).stdin(pipe.try_clone()?))?;
    Ok(said.as_array().context("a list")?.clone())
}

fn push(scenario: &Scenario, uid: u32, times: u32, pipe: &PipeReader) -> Result<Vec<Value>> {
    call(scenario, uid, times, &[ROOT, MANAGER, "Receive", "s:tank", "h:0", "o:{}"], pipe)
}

/// A backup that is on the drive, by the uuid of its snapshot there.
fn backed_up(scenario: &Scenario) -> Result<String> {
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.on_drive(|all| Ok(snapshot::show(&all[0])?.uuid))
}

#[test]
fn stalled_streams_of_members_do_not_block_root() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    let attic = Volume::make(
        &scenario.fixture.sandbox.join("attic.volume"),
        &scenario.fixture.sandbox.join("attic"),
        &Default::default(),
    )?;
    let mut text = fs::read_to_string(&scenario.fixture.configuration)?;
    text += &format!("\n[[volume]]\nname = \"attic\"\npath = {:?}\n", attic.path());
    fs::write(&scenario.fixture.configuration, text)?;
    scenario.fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    let uuid = backed_up(&scenario)?;
    let drive = scenario.drive("safe", &DriveState::Safe)?;
    scenario.fixture.call(&drive, "Mount", &no_options())?;

    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Allow)?;
    let (pipe, _writer) = std::io::pipe()?;
    for uid in MEMBERS {
        let said = push(&scenario, uid, 100, &pipe)?;
        ensure!(said.iter().all(|said| said["answer"].is_string()), "{uid}: {said:?}");
        // One more is refused.
        let said = push(&scenario, uid, 1, &pipe)?;
        ensure!(said[0]["error"].as_str().is_some_and(|name| name.ends_with(".Busy")), "{uid}: {said:?}");
    }

    // Root makes the drive safe, then a member does.
    ensure!(scenario.is_held()?, "it is not mounted");
    scenario.job("SafelyRemove", &no_options())?;
    ensure!(!scenario.is_held()?, "still mounted");
    scenario.fixture.call(&drive, "Mount", &no_options())?;
    let said = call(&scenario, MEMBERS[0], 1, &[&drive.path, DRIVE, "SafelyRemove", "o:{}"], &pipe)?;
    let job = said[0]["answer"].as_str().with_context(|| format!("{said:?}"))?;
    scenario.succeeds(job)?;
    ensure!(!scenario.is_held()?, "still mounted");

    scenario.job("Restore", &(&uuid, "attic", no_options())).context("a restore into another volume")?;
    fs::write(scenario.source.join("changed"), [7; 10_000])?;
    scenario.job("Backup", &no_options()).context("a backup that root asks for")?;
    scenario.drive("safe after it", &DriveState::Safe)?;
    let before = scenario.history("backup")?.len();
    scenario.unplug()?;
    fs::write(scenario.source.join("changed"), [8; 10_000])?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.history("backup")?.len() > before))?;
    let made = scenario.history("backup")?;
    ensure!(made.iter().all(|row| word(row, "result") == "succeeded"), "{made:?}");
    // No stream ended meanwhile.
    ensure!(scenario.history("receive")?.is_empty(), "{:?}", scenario.history("receive")?);
    drop(attic);
    Ok(())
}

#[test]
fn roots_restore_runs_before_queued_streams() -> Result<()> {
    let limits = "\n[streams]\nrate_window = \"2s\"\n";
    let scenario = Scenario::on(&["home"], limits, |fixture| fixture.image("a", "Blue"))?;
    let uuid = backed_up(&scenario)?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Allow)?;
    let (pipe, _writer) = std::io::pipe()?;
    let said = push(&scenario, MEMBERS[0], 40, &pipe)?;
    ensure!(said.iter().all(|said| said["answer"].is_string()), "{said:?}");
    let mut options = no_options();
    options.insert("name", Variant::from("restored"));
    let drive = scenario.drive("the drive", &DriveState::Safe)?;
    let body = scenario.fixture.client.call(&drive.path, (DESTINATION, "Restore"), &(&uuid, "tank", options))?.body();
    let job: OwnedObjectPath = body.deserialize()?;
    let before = scenario.history("receive")?.len();
    scenario.succeeds(job.as_str())?;
    // The one that ran is over, and one may have ended and another begun before the count.
    let row = scenario.history("restore")?;
    let ended = scenario.history("receive")?;
    let earlier = ended.iter().filter(|of| time(of, "end_time") <= time(&row[0], "end_time")).count();
    ensure!(
        earlier <= before + 1,
        "{earlier} streams ended before the restore, {before} of them before it was asked for"
    );
    ensure!(ended.iter().all(|row| word(row, "error_name").ends_with(".TooSlow")), "{ended:?}");
    let by: u32 = scenario.fixture.client.get(job.as_str(), JOB, "StartedByUid")?;
    ensure!(by == 0, "{by}");
    Ok(())
}

fn time(row: &butterdock_tests::Row, key: &str) -> u64 {
    row.get(key).and_then(|value| u64::try_from(value.clone()).ok()).unwrap_or_default()
}

#[test]
fn a_listing_ends_when_the_drive_is_released() -> Result<()> {
    let scenario = Scenario::begin()?;
    // The folder for snapshots is there from now on.
    backed_up(&scenario)?;
    let drive = scenario.drive("safe", &DriveState::Safe)?;
    scenario.fixture.call(&drive, "Mount", &no_options())?;
    fs::write(scenario.source.join("changed"), [7; 10_000])?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Allow)?;
    // The estimate's worker cannot make its snapshot, and stops for good when it could.
    let frozen = Frozen::new(scenario.pool.path())?;
    let mut command = python("call.py", &scenario.fixture.bus)?;
    command.args([ROOT, MANAGER, "ListBackups", "o:{\"estimate\": true}"]);
    let asking = start(&mut as_user(MEMBERS[0], &command))?;
    scenario.stop_worker()?;
    drop(frozen);

    scenario.job("SafelyRemove", &no_options())?;
    ensure!(!scenario.is_held()?, "still mounted");
    let told = asking.finish(TIMEOUT)?.success()?;
    ensure!(told.out().contains("made safe to unplug"), "{}", told.out());
    Ok(())
}

#[test]
fn a_members_backup_does_not_block_roots() -> Result<()> {
    let scenario = Scenario::begin()?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Allow)?;
    let (pipe, _writer) = std::io::pipe()?;
    let drive = scenario.drive("the drive", &DriveState::Safe)?;
    // It has the drive, and the backup waits for it.
    let verify = call(&scenario, MEMBERS[0], 1, &[&drive.path, DESTINATION, "Verify", "o:{}"], &pipe)?;
    let theirs = call(&scenario, MEMBERS[0], 1, &[&drive.path, DESTINATION, "Backup", "o:{}"], &pipe)?;
    for said in [&verify, &theirs] {
        ensure!(said[0]["answer"].is_string(), "{said:?}");
    }
    let job = scenario.job("Backup", &no_options())?;
    let by: u32 = scenario.fixture.client.get(&job, JOB, "StartedByUid")?;
    ensure!(by == 0, "{by}");
    scenario.succeeds(theirs[0]["answer"].as_str().context("a job")?)
}
