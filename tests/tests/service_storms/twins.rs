//! Two drives at once, a drive that another machine has written to, and a source that is not what it was.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::chaos::names;
use butterdock_tests::docking::{Disk, Story};
use butterdock_tests::rig::{PATIENCE, Receiver, run};
use butterdock_tests::service::{Recorder, no_options};
use butterdock_tests::snapshot::{self, Proto};

use super::weather::{begin, end, folder, good, is_for_a_person, newest_is_the_source, nothing_half_made};

/// With one backup done, and the drive away.
fn backed_up() -> Result<Story> {
    let mut story = Story::begin()?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    story.unplug()?;
    Ok(story)
}

/// Has somebody else look at the drive, who may write to it.
fn elsewhere(story: &Story, does: impl FnOnce(&std::path::Path) -> Result<()>) -> Result<()> {
    let at = story.stage.rig.join("elsewhere");
    fs::create_dir_all(&at)?;
    // No loop device over the image: the service would hear of it.
    let other = story.stage.rig.join("elsewhere.disk");
    fs::rename(&story.image, &other)?;
    run(std::process::Command::new("mount").args(["-o", "loop"]).arg(&other).arg(&at), PATIENCE)?.success()?;
    let done = does(&at);
    run(std::process::Command::new("umount").arg(&at), PATIENCE)?.success()?;
    fs::rename(&other, &story.image)?;
    done
}

/// Plugs it in; waits for the backup, and answers whether it was an increment.
fn next(story: &mut Story) -> Result<bool> {
    let before = good(story)?;
    story.plug()?;
    story.stage.client.until("the backup of the plug", |_| Ok(good(story)? > before))?;
    story.drive("safe", &DriveState::Safe)?;
    newest_is_the_source(story)
}

#[test]
fn two_drives_that_come_at_once_are_both_backed_up() -> Result<()> {
    let mut story = Story::begin()?;
    story.job("SafelyRemove", &no_options())?;
    story.unplug()?;
    let image = story.stage.image("b", "Blue")?;
    let disk = Disk::attach(&image)?;
    let other =
        story.stage.one("the other", |is| !is.enrolled && is.filesystem_type == "btrfs" && is.device == disk.name())?;
    story.stage.call(&other, "Enrol", &no_options())?;
    story.stage.one("enrolled", |is| is.enrolled && is.device == disk.name())?;
    drop(disk);
    story.stage.call(
        &story.stage.one("the other", |is| is.enrolled && is.device == other.is.device)?,
        "SafelyRemove",
        &no_options(),
    )?;
    story.stage.until("both away", |all| all.iter().all(|drive| drive.is.device.is_empty()))?;
    fs::write(story.source.join("large"), vec![b'l'; 100 << 20])?;
    story.plug()?;
    let _disk = Disk::attach(&image)?;
    story.stage.client.until("both backups", |_| Ok(good(&story)? == 2))?;
    story.stage.until("both safe", |all| all.iter().filter(|drive| drive.is.state == DriveState::Safe).count() == 2)?;
    newest_is_the_source(&story).map(drop)
}

#[test]
fn what_another_machine_received_on_the_drive_is_left_alone_and_is_no_obstacle() -> Result<()> {
    let mut story = backed_up()?;
    let live = story.tank.join("live");
    snapshot::create(&live)?;
    fs::write(live.join("file"), "of another machine")?;
    let frozen = story.tank.join("frozen");
    snapshot::freeze(&live, &frozen)?;
    let stream = story.stage.rig.join("foreign");
    snapshot::send(Proto::One, None, &frozen, &stream)?;
    elsewhere(&story, |at| Receiver::Standard.receive(&stream, &at.join("butterdock/home")))?;
    fs::write(story.source.join("changed"), "here")?;
    let before = good(&story)?;
    story.plug()?;
    story.stage.client.until("the backup", |_| Ok(good(&story)? > before))?;
    story.drive("safe", &DriveState::Safe)?;
    story.on_drive(|all| {
        ensure!(all.len() == 3, "{all:?}");
        let newest = all.iter().rfind(|path| !path.ends_with("frozen")).context("the newest")?;
        ensure!(fs::read(newest.join("changed"))? == b"here");
        ensure!(snapshot::show(newest)?.parent_uuid != "-", "it was no increment");
        Ok(())
    })
}

#[test]
fn a_snapshot_that_was_changed_on_the_drive_is_no_parent_any_more_and_it_is_said_why() -> Result<()> {
    let mut story = backed_up()?;
    elsewhere(&story, |at| {
        let folder = at.join("butterdock/home");
        for entry in fs::read_dir(folder)?.flatten() {
            snapshot::set_read_only(&entry.path(), false)?;
            fs::write(entry.path().join("changed elsewhere"), "x")?;
            snapshot::set_read_only(&entry.path(), true)?;
        }
        Ok(())
    })?;
    fs::write(story.source.join("changed"), "here")?;
    let recorder = Recorder::start(&story.stage.bus)?;
    ensure!(!next(&mut story)?, "it built on what was changed");
    let job = recorder.finish(&story.stage.client)?.jobs()?.pop().context("a job")?;
    let note: String = story.stage.client.get(&job, JOB, "Note")?;
    ensure!(note.contains("everything is sent"), "not said why: {note}");
    Ok(())
}

#[test]
fn a_source_that_another_subvolume_took_the_place_of_is_refused_and_nothing_is_lost() -> Result<()> {
    let mut story = backed_up()?;
    story.plug()?;
    story
        .stage
        .one("backed up and let go", |is| is.enrolled && !is.device.is_empty() && is.state == DriveState::Safe)?;
    let aside = story.pool.join("aside");
    fs::rename(&story.source, &aside)?;
    snapshot::create(&story.source)?;
    fs::write(story.source.join("strange"), "x")?;
    is_refused(&story, "another subvolume")?;
    // A folder is what is seen where it is not mounted.
    snapshot::delete(&story.source)?;
    fs::create_dir(&story.source)?;
    is_refused(&story, "not mounted")?;
    fs::remove_dir(&story.source)?;
    is_refused(&story, "")?;
    fs::rename(&aside, &story.source)?;
    fs::write(story.source.join("changed"), "x")?;
    story.job("Backup", &no_options())?;
    story.drive("safe", &DriveState::Safe)?;
    ensure!(newest_is_the_source(&story)?, "no increment");
    Ok(())
}

fn is_refused(story: &Story, why: &str) -> Result<()> {
    let (before, _) = names(&folder(story))?;
    let job = begin(story)?;
    let (state, error, message) = end(story, &job)?;
    let about: String = story.stage.client.get(&job, JOB, "Backup")?;
    ensure!(state == "failed" && about == "home" && message.contains(why), "{state} {error} {message} {about}");
    is_for_a_person(&message)?;
    story.drive("let go", &DriveState::Safe)?;
    ensure!(names(&folder(story))?.0 == before, "the snapshots changed");
    nothing_half_made(story)
}
