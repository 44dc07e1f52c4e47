//! What arrives.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::rig::{PATIENCE, Receiver, run};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees;
use serde_json::json;

use crate::stage::{Stage, bytes, incremental, order, told, with};

#[test]
fn everything_then_changes_then_nothing() -> Result<()> {
    let stage = Stage::new()?;
    trees::build(&stage.live(""))?;
    let full = stage.back_up()?;
    ensure!(!incremental(&full)? && bytes(&full)? > 3 << 20, "{:?}", full.reports);
    ensure!(told(&full, "parent")[0]["why"] == "empty_drive");
    stage.is_restorable()?;

    fs::write(stage.live("new"), "a small change")?;
    let increment = stage.back_up()?;
    ensure!(incremental(&increment)? && bytes(&increment)? < 8 << 10, "{:?}", increment.reports);
    let pinned = told(&full, "pinned")[0]["learned"]["shared"]["here"]["uuid"].clone();
    ensure!(told(&increment, "parent")[0]["uuid"] == pinned, "{:?}", increment.reports);
    stage.is_restorable()?;

    let before = stage.names()?;
    let nothing = stage.back_up()?;
    ensure!(told(&nothing, "unchanged").len() == 1 && nothing.said("began").is_empty(), "{:?}", nothing.reports);
    let shared = |told: &serde_json::Value| told["learned"]["shared"]["here"].clone();
    ensure!(shared(told(&nothing, "unchanged")[0]) == shared(told(&increment, "pinned")[0]), "{:?}", nothing.reports);
    ensure!(stage.names()? == before, "{before:?} {:?}", stage.names()?);

    fs::write(stage.live("file"), "changed at last")?;
    let again = stage.back_up()?;
    ensure!(incremental(&again)?, "{:?}", again.reports);
    stage.is_restorable()
}

#[test]
fn a_folder_for_snapshots_inside_the_source_does_not_change_it() -> Result<()> {
    let mut stage = Stage::new()?;
    stage.folder = stage.live(".butterdock");
    snapshot::create(&stage.folder)?;
    stage.back_up()?;
    ensure!(told(&stage.back_up()?, "unchanged").len() == 1, "its own snapshot is no change");
    fs::write(stage.live("new"), "x")?;
    ensure!(incremental(&stage.back_up()?)?);
    ensure!(told(&stage.back_up()?, "unchanged").len() == 1, "its own snapshot is no change");
    fs::remove_file(stage.live("new"))?;
    fs::remove_file(stage.live("file"))?;
    let ended = stage.begin(&order())?.finish()?;
    ensure!(ended.error()?.is_some_and(|error| error["message"].as_str().is_some_and(|text| text.contains("empty"))));
    Ok(())
}

#[test]
fn what_is_written_and_not_on_disk_yet_is_a_change() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    let mut file = fs::File::options().append(true).open(stage.live("file"))?;
    std::io::Write::write_all(&mut file, b"late")?;
    let ended = stage.back_up()?;
    ensure!(told(&ended, "unchanged").is_empty() && incremental(&ended)?, "{:?}", ended.reports);
    stage.is_restorable()
}

#[test]
fn the_estimate_comes_first_and_is_near() -> Result<()> {
    let stage = Stage::new()?;
    let near = || -> Result<()> {
        let ended = stage.back_up()?;
        let estimated = told(&ended, "estimated")[0]["bytes"].as_u64().context("bytes")?;
        let came = bytes(&ended)?;
        ensure!(estimated.abs_diff(came) < came / 50, "{estimated} were estimated and {came} came");
        Ok(())
    };
    // Of everything: by the tree.
    for number in 0..3000_u32 {
        let folder = stage.live("many").join(format!("{}/deeper", number % 40));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("file-{number}")), "x".repeat(number as usize % 700))?;
    }
    near()?;
    // Of changes: by a send without data.
    for number in 0..40 {
        fs::write(stage.live("many").join(format!("{number}/new")), "y".repeat(50_000))?;
    }
    near()
}

#[test]
fn a_dry_run_tells_what_would_be_and_leaves_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let dry = stage.run(&with(json!({"dry_run": true})))?;
    ensure!(told(&dry, "estimated").len() == 1 && dry.said("began").is_empty(), "{:?}", dry.reports);
    ensure!(stage.names()? == (vec![], vec![]), "{:?}", stage.names()?);
    stage.back_up()?;
    fs::write(stage.live("new"), "x")?;
    let dry = stage.run(&with(json!({"dry_run": true})))?;
    ensure!(told(&dry, "kept").len() == 2, "{:?}", dry.reports);
    Ok(())
}

#[test]
fn a_snapshot_that_another_program_made_and_sent_is_no_parent_and_stays() -> Result<()> {
    let stage = Stage::new()?;
    let theirs = stage.source.join("home.20261120T2015");
    snapshot::freeze(&stage.live(""), &theirs)?;
    let stream = stage.rig.join("stream");
    snapshot::send(Proto::One, None, &theirs, &stream)?;
    Receiver::Standard.receive(&stream, stage.drive.path())?;
    fs::write(stage.live("new"), "x")?;
    let ended = stage.back_up()?;
    ensure!(!incremental(&ended)?, "it is on nobody's record: {:?}", ended.reports);
    ensure!(told(&ended, "parent")[0]["why"] == "not_recorded", "{:?}", ended.reports);
    stage.is_restorable()?;
    ensure!(theirs.exists() && stage.drive.join("home.20261120T2015").exists(), "what others made was deleted");
    Ok(())
}

#[test]
fn the_standard_tools_go_on_with_what_is_on_the_drive() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    fs::write(stage.live("new"), "x")?;
    stage.back_up()?;
    let (_, names) = stage.names()?;
    let [first, second] = names.as_slice() else { anyhow::bail!("{names:?}") };
    // Back from the drive, by their sender and their receiver.
    let restored = stage.rig.plain_volume("restored")?;
    let (full, increment) = (stage.rig.join("full"), stage.rig.join("increment"));
    let on_drive = |name: &String| stage.destination().join(name);
    snapshot::send(Proto::Two, None, &on_drive(first), &full)?;
    snapshot::send(Proto::Two, Some(&on_drive(first)), &on_drive(second), &increment)?;
    Receiver::Standard.receive(&full, restored.path())?;
    Receiver::Standard.receive(&increment, restored.path())?;
    let restored = Tree::read(&restored.join(second))?;
    same(
        "restored",
        &Tree::read(&stage.folder().join(second))?,
        &restored,
        Rules { root_times: false, ..Rules::SOURCE_OF_INCREMENT },
    )?;
    // And a snapshot of their own after ours.
    let next = stage.source.join("next");
    snapshot::freeze(&stage.live(""), &next)?;
    snapshot::send(Proto::Two, Some(&stage.folder().join(second)), &next, &stage.rig.join("next"))?;
    Receiver::Standard.receive(&stage.rig.join("next"), stage.drive.path())?;
    run(Command::new("btrfs").args(["subvolume", "show"]).arg(stage.drive.join("next")), PATIENCE)?.success()?;
    Ok(())
}

#[test]
fn a_snapshot_changed_on_the_drive_is_no_parent_any_more() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    let (_, names) = stage.names()?;
    let copy = stage.destination().join(&names[0]);
    snapshot::set_read_only(&copy, false)?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::write(copy.join("intruder"), "x")?;
    snapshot::set_read_only(&copy, true)?;
    fs::write(stage.live("new"), "x")?;
    let ended = stage.run(&order())?;
    ensure!(!incremental(&ended)?, "{:?}", ended.reports);
    stage.is_restorable()
}

#[test]
fn a_thread_that_sends_takes_no_signals() -> Result<()> {
    let stage = Stage::new()?;
    fs::write(stage.live("large"), vec![b'z'; 200 << 20])?;
    let worker = stage.begin(&order())?;
    let began = Instant::now();
    // Until the process has made it, and until it has blocked them.
    while !senders(worker.id())?.iter().any(|mask| mask.is_some_and(|mask| mask & ALL == ALL)) {
        ensure!(began.elapsed() < PATIENCE, "no thread that sends has blocked all signals");
    }
    worker.finish()?.success().map(drop)
}

/// All but SIGKILL and SIGSTOP, which nobody can block, and the two that the C library keeps for itself.
const ALL: u64 = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);

/// The masks of the threads that send.
fn senders(pid: u32) -> Result<Vec<Option<u64>>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("the worker is there")?;
    let status = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let of_senders = status.filter(|status| status.starts_with("Name:\tsender\n"));
    let mask = |status: String| {
        let digits = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"))?;
        u64::from_str_radix(digits, 16).ok()
    };
    Ok(of_senders.map(mask).collect())
}
