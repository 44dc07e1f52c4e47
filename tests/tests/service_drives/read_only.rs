//! A drive whose filesystem became read-only: what is unmounted as safe, what is not, and what is shown until when.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DRIVE, JOB, MANAGER};
use butterdock_tests::docking::{Shown, Story, word};
use butterdock_tests::rig::{PATIENCE, run, unmount};
use butterdock_tests::service::no_options;
use zbus::OwnedObjectPath;

const SAVED: &str = "all that was reported as done is on it";
const UNSAVED: &str = "may not be on it";

/// Makes the filesystem of the mounted drive read-only, as an error does: also where the service has it mounted.
fn becomes_read_only(story: &Story) -> Result<()> {
    let at = story.stage.rig.join("beside");
    fs::create_dir_all(&at)?;
    let node = format!("/dev/{}", story.device()?);
    run(Command::new("mount").arg(&node).arg(&at), PATIENCE)?.success()?;
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(&at), PATIENCE)?.success()?;
    unmount(&at)
}

/// From now on a job's end leaves the drive mounted.
fn keeps_mounted(story: &Story) -> Result<()> {
    let text = fs::read_to_string(&story.stage.configuration)?;
    fs::write(&story.stage.configuration, text.replace("on_finish = \"unmount\"", "on_finish = \"keep\""))?;
    story.stage.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    Ok(())
}

/// Has the drive do something that is a job; how it ended: state, error, note.
fn ended(story: &Story, method: &str) -> Result<(String, String, String)> {
    let drive = story.stage.one("the drive", |is| is.enrolled)?;
    let body = story.stage.client.call(&drive.path, (DRIVE, method), &no_options())?.body();
    let job: OwnedObjectPath = body.deserialize()?;
    let (state, error) = story.stage.client.end_of(job.as_str())?;
    Ok((state, error, story.stage.client.get(job.as_str(), JOB, "Note")?))
}

/// That it is unmounted and safe, with this problem.
fn is_safe_with(story: &Story, problem: &str) -> Result<Shown> {
    let drive = story.drive("safe", &DriveState::Safe)?;
    ensure!(drive.is.problem.contains(problem) && drive.is.problem.contains("had become read-only"), "{drive:?}");
    ensure!(!story.is_held()?, "still mounted");
    Ok(drive)
}

/// Removes it, which succeeds and says what was wrong, twice: what is wrong does not go by being removed again.
fn is_removed_with(story: &Story, problem: &str) -> Result<()> {
    for _ in 0..2 {
        let (state, error, note) = ended(story, "SafelyRemove")?;
        ensure!(state == "succeeded" && note.contains(problem), "{state} {error} {note}");
        is_safe_with(story, problem)?;
    }
    Ok(())
}

/// Takes it away and plugs it in again: the problem stays until it is mounted, and a backup is an increment of the last.
fn is_well_after_the_next_plug(mut story: Story, problem: &str) -> Result<()> {
    drop(story.disk.take());
    let away = story.stage.one("safe and away", |is| is.state == DriveState::Safe && is.device.is_empty())?;
    ensure!(away.is.problem.contains(problem), "{away:?}");
    let succeeded = |story: &Story| -> Result<usize> {
        Ok(story.history("backup")?.iter().filter(|row| word(row, "result") == "succeeded").count())
    };
    let before = succeeded(&story)?;
    fs::write(story.source.join("later"), "x")?;
    story.plug()?;
    story.stage.client.until("the backup of the plug", |_| Ok(succeeded(&story)? > before))?;
    story.stage.one("without a problem", |is| is.enrolled && is.problem.is_empty()).map(drop)
}

#[test]
fn a_drive_read_only_before_the_job_ends_is_safe_with_a_problem() -> Result<()> {
    let story = Story::begin()?;
    becomes_read_only(&story)?;
    // The job ends with its lease, the last one: it unmounts the drive.
    let (state, error, note) = ended(&story, "Backup")?;
    ensure!(state == "failed" && note.contains(SAVED), "{state} {error} {note}");
    is_safe_with(&story, SAVED)?;
    is_removed_with(&story, SAVED)?;
    is_well_after_the_next_plug(story, SAVED)
}

#[test]
fn a_drive_read_only_after_a_failed_job_is_safe_with_a_problem() -> Result<()> {
    let story = Story::begin()?;
    keeps_mounted(&story)?;
    let aside = story.pool.join("aside");
    fs::rename(&story.source, &aside)?;
    let (state, error, _) = ended(&story, "Backup")?;
    ensure!(state == "failed", "{state} {error}");
    fs::rename(&aside, &story.source)?;
    ensure!(story.is_held()?, "it is mounted");
    becomes_read_only(&story)?;
    is_removed_with(&story, SAVED)?;
    is_well_after_the_next_plug(story, SAVED)
}

#[test]
fn a_drive_read_only_after_a_good_job_is_safe_with_a_problem() -> Result<()> {
    let story = Story::begin()?;
    keeps_mounted(&story)?;
    let (state, error, note) = ended(&story, "Backup")?;
    ensure!(state == "succeeded" && !note.contains("read-only"), "{state} {error} {note}");
    becomes_read_only(&story)?;
    is_removed_with(&story, SAVED)?;
    story.on_drive(|all| {
        ensure!(all.len() == 1, "what was reported as done: {all:?}");
        Ok(())
    })?;
    is_well_after_the_next_plug(story, SAVED)
}

#[test]
fn a_read_only_drive_that_was_mounted_by_hand_is_not_reported_safe() -> Result<()> {
    let story = Story::begin()?;
    let drive = story.stage.one("the drive", |is| is.enrolled)?;
    story.stage.client.call(&drive.path, (DRIVE, "Mount"), &no_options())?;
    becomes_read_only(&story)?;
    let (state, error, _) = ended(&story, "SafelyRemove")?;
    ensure!((&*state, &*error) == ("failed", "Failed"), "{state} {error}");
    let drive = story.stage.one("told", |is| is.enrolled && is.problem.contains(UNSAVED))?;
    ensure!(drive.is.state != DriveState::Safe && !story.is_held()?, "{drive:?}");
    is_removed_with(&story, UNSAVED)?;
    is_well_after_the_next_plug(story, UNSAVED)
}
