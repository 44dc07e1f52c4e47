//! Full backups, increments, estimates, and the snapshots that serve as parents.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Receiver, TIMEOUT, run, trees};
use serde_json::json;

use crate::fixture::{Fixture, bytes, events, incremental, order, with};

#[test]
fn a_full_backup_then_changes_then_no_changes() -> Result<()> {
    let fixture = Fixture::new()?;
    trees::build(&fixture.live(""))?;
    let full = fixture.back_up()?;
    ensure!(!incremental(&full)? && bytes(&full)? > 3 << 20, "{:?}", full.reports);
    ensure!(events(&full, "parent")[0]["why"] == "empty_drive");
    fixture.is_restorable()?;

    fs::write(fixture.live("new"), "a small change")?;
    let increment = fixture.back_up()?;
    ensure!(incremental(&increment)? && bytes(&increment)? < 8 << 10, "{:?}", increment.reports);
    let pinned = events(&full, "pinned")[0]["learned"]["shared"]["here"]["uuid"].clone();
    ensure!(events(&increment, "parent")[0]["uuid"] == pinned, "{:?}", increment.reports);
    fixture.is_restorable()?;

    let before = fixture.names()?;
    let nothing = fixture.back_up()?;
    ensure!(events(&nothing, "unchanged").len() == 1 && nothing.said("began").is_empty(), "{:?}", nothing.reports);
    let shared = |told: &serde_json::Value| told["learned"]["shared"]["here"].clone();
    ensure!(
        shared(events(&nothing, "unchanged")[0]) == shared(events(&increment, "pinned")[0]),
        "{:?}",
        nothing.reports
    );
    ensure!(fixture.names()? == before, "{before:?} {:?}", fixture.names()?);

    fs::write(fixture.live("file"), "changed at last")?;
    let again = fixture.back_up()?;
    ensure!(incremental(&again)?, "{:?}", again.reports);
    fixture.is_restorable()
}

#[test]
fn a_requested_full_backup_sends_an_unchanged_source() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    ensure!(events(&fixture.back_up()?, "unchanged").len() == 1);
    let full = fixture.run(&with(json!({"full": true})))?;
    ensure!(!incremental(&full)? && bytes(&full)? > 3 << 20, "{:?}", full.reports);
    ensure!(events(&full, "parent")[0]["why"] == "requested", "{:?}", full.reports);
    fixture.is_restorable()?;
    ensure!(fixture.names()?.1.len() == 2, "the older one stays: {:?}", fixture.names()?);
    fs::write(fixture.live("new"), "a small change")?;
    ensure!(incremental(&fixture.back_up()?)?, "the next one builds on it");
    fixture.is_restorable()
}

#[test]
fn the_snapshots_folder_does_not_change_the_source() -> Result<()> {
    let mut fixture = Fixture::new()?;
    fixture.folder = fixture.live(".butterdock");
    snapshot::create(&fixture.folder)?;
    fixture.back_up()?;
    ensure!(events(&fixture.back_up()?, "unchanged").len() == 1, "its own snapshot is no change");
    fs::write(fixture.live("new"), "x")?;
    ensure!(incremental(&fixture.back_up()?)?);
    ensure!(events(&fixture.back_up()?, "unchanged").len() == 1, "its own snapshot is no change");
    fs::remove_file(fixture.live("new"))?;
    fs::remove_file(fixture.live("file"))?;
    let ended = fixture.begin(&order())?.finish()?;
    ensure!(ended.error()?.is_some_and(|error| error["message"].as_str().is_some_and(|text| text.contains("empty"))));
    Ok(())
}

#[test]
fn data_in_the_page_cache_is_backed_up() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    let mut file = fs::File::options().append(true).open(fixture.live("file"))?;
    std::io::Write::write_all(&mut file, b"late")?;
    let ended = fixture.back_up()?;
    ensure!(events(&ended, "unchanged").is_empty() && incremental(&ended)?, "{:?}", ended.reports);
    fixture.is_restorable()
}

#[test]
fn the_estimate_comes_first_and_is_close() -> Result<()> {
    let fixture = Fixture::new()?;
    let near = || -> Result<()> {
        let ended = fixture.back_up()?;
        let estimated = events(&ended, "estimated")[0]["bytes"].as_u64().context("bytes")?;
        let came = bytes(&ended)?;
        ensure!(estimated.abs_diff(came) < came / 50, "{estimated} were estimated and {came} came");
        Ok(())
    };
    // Of everything: by the tree.
    for number in 0..3000_u32 {
        let folder = fixture.live("many").join(format!("{}/deeper", number % 40));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("file-{number}")), "x".repeat(number as usize % 700))?;
    }
    near()?;
    // Of changes: by a send without data.
    for number in 0..40 {
        fs::write(fixture.live("many").join(format!("{number}/new")), "y".repeat(50_000))?;
    }
    near()
}

#[test]
fn a_dry_run_estimates_and_changes_nothing() -> Result<()> {
    let fixture = Fixture::new()?;
    let dry = fixture.run(&with(json!({"dry_run": true})))?;
    ensure!(events(&dry, "estimated").len() == 1 && dry.said("began").is_empty(), "{:?}", dry.reports);
    ensure!(fixture.names()? == (vec![], vec![]), "{:?}", fixture.names()?);
    fixture.back_up()?;
    fs::write(fixture.live("new"), "x")?;
    let dry = fixture.run(&with(json!({"dry_run": true})))?;
    ensure!(events(&dry, "kept").len() == 2, "{:?}", dry.reports);
    Ok(())
}

#[test]
fn snapshots_of_other_programs_are_kept_but_no_parents() -> Result<()> {
    let fixture = Fixture::new()?;
    let theirs = fixture.source.join("home.20261120T2015");
    snapshot::freeze(&fixture.live(""), &theirs)?;
    let stream = fixture.sandbox.join("stream");
    snapshot::send(Proto::One, None, &theirs, &stream)?;
    Receiver::Standard.receive(&stream, fixture.drive.path())?;
    fs::write(fixture.live("new"), "x")?;
    let ended = fixture.back_up()?;
    ensure!(!incremental(&ended)?, "it is in no record: {:?}", ended.reports);
    ensure!(events(&ended, "parent")[0]["why"] == "not_recorded", "{:?}", ended.reports);
    fixture.is_restorable()?;
    ensure!(theirs.exists() && fixture.drive.join("home.20261120T2015").exists(), "what others made was deleted");
    Ok(())
}

#[test]
fn btrfs_tools_can_use_the_backups() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    fs::write(fixture.live("new"), "x")?;
    fixture.back_up()?;
    let (_, names) = fixture.names()?;
    let [first, second] = names.as_slice() else { anyhow::bail!("{names:?}") };
    // Back from the drive, by their sender and their receiver.
    let restored = fixture.sandbox.plain_volume("restored")?;
    let (full, increment) = (fixture.sandbox.join("full"), fixture.sandbox.join("increment"));
    let on_drive = |name: &String| fixture.destination().join(name);
    snapshot::send(Proto::Two, None, &on_drive(first), &full)?;
    snapshot::send(Proto::Two, Some(&on_drive(first)), &on_drive(second), &increment)?;
    Receiver::Standard.receive(&full, restored.path())?;
    Receiver::Standard.receive(&increment, restored.path())?;
    let restored = Tree::read(&restored.join(second))?;
    same(
        "restored",
        &Tree::read(&fixture.folder().join(second))?,
        &restored,
        Rules { root_times: false, ..Rules::SOURCE_OF_INCREMENT },
    )?;
    // And a snapshot of their own after ours.
    let next = fixture.source.join("next");
    snapshot::freeze(&fixture.live(""), &next)?;
    snapshot::send(Proto::Two, Some(&fixture.folder().join(second)), &next, &fixture.sandbox.join("next"))?;
    Receiver::Standard.receive(&fixture.sandbox.join("next"), fixture.drive.path())?;
    run(Command::new("btrfs").args(["subvolume", "show"]).arg(fixture.drive.join("next")), TIMEOUT)?.success()?;
    Ok(())
}

#[test]
fn a_snapshot_changed_on_the_drive_is_no_parent() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    let (_, names) = fixture.names()?;
    let copy = fixture.destination().join(&names[0]);
    snapshot::set_read_only(&copy, false)?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::write(copy.join("intruder"), "x")?;
    snapshot::set_read_only(&copy, true)?;
    fs::write(fixture.live("new"), "x")?;
    let ended = fixture.run(&order())?;
    ensure!(!incremental(&ended)?, "{:?}", ended.reports);
    fixture.is_restorable()
}

#[test]
fn a_thread_that_sends_takes_no_signals() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::write(fixture.live("large"), vec![b'z'; 200 << 20])?;
    let worker = fixture.begin(&order())?;
    let began = Instant::now();
    // Until the process has made it, and until it has blocked them.
    while !senders(worker.id())?.iter().any(|mask| mask.is_some_and(|mask| mask & ALL == ALL)) {
        ensure!(began.elapsed() < TIMEOUT, "no thread that sends has blocked all signals");
    }
    worker.finish()?.success().map(drop)
}

/// All signals but SIGKILL and SIGSTOP, which cannot be blocked, and the two of the C library.
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
