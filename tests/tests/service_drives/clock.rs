//! A clock that cannot be believed: nothing is deleted, everybody is told, and root ends it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState, Warning};
use butterdock_tests::chaos::butterdock;
use butterdock_tests::docking::Story;
use butterdock_tests::rig::{PATIENCE, run};
use butterdock_tests::service::{Daemon, no_options};
use nix::libc;
use serde_json::{Value, json};
use zbus::Variant;

use crate::timedate::Timedate;

/// Keeps one, and protects nothing.
const RULE: &str = "keep = { last = 1 }\nprotect = \"0h\"";

fn begin() -> Result<Story> {
    Story::on(&["home"], RULE, |stage| stage.image("a", "Blue"))
}

fn record(story: &Story) -> PathBuf {
    story.stage.rig.join("state/clock.json")
}

/// What is warned of; with `estimate` as a dry run has it.
fn warnings(story: &Story, estimate: bool) -> Result<Vec<Warning>> {
    let mut options = no_options();
    options.insert("estimate", Variant::from(estimate));
    let body = story.stage.client.call(ROOT, (MANAGER, "ListBackups"), &options)?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    Ok(rows.into_iter().next().context("a row")?.warnings.unwrap_or_default())
}

fn codes(story: &Story, estimate: bool) -> Result<Vec<String>> {
    Ok(warnings(story, estimate)?.into_iter().map(|warning| warning.code).collect())
}

/// Backs up something new. Answers with the job's note, and how many snapshots are on the drive then.
fn back_up(story: &Story, content: &str) -> Result<(String, usize)> {
    fs::write(story.source.join("changed"), content)?;
    let job = story.job("Backup", &no_options())?;
    let note: String = story.stage.client.get(&job, JOB, "Note")?;
    story.drive("safe", &DriveState::Safe)?;
    Ok((note, story.on_drive(|all| Ok(all.len()))?))
}

fn typed(story: &Story, words: &[&str]) -> Result<String> {
    let mut command = Command::new(butterdock()?);
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", story.stage.bus.address()).stdin(Stdio::null());
    Ok(run(&mut command, PATIENCE)?.success()?.out())
}

/// Kills the service as the kernel does, changes what it wrote, and starts it again.
fn killed(story: &mut Story, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    changed(story, change)?;
    story.stage.start()?;
    // The drive is there: what changed is backed up by itself.
    story.drive("safe after the start", &DriveState::Safe).map(drop)
}

/// The same; then the kernel refuses to say whether the clock is synchronised, as under the unit.
fn killed_and_refused(story: &mut Story, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    changed(story, change)?;
    // The C library calls one or the other.
    let calls = [libc::SYS_adjtimex, libc::SYS_clock_adjtime];
    story.stage.daemon = Some(Daemon::refused(&story.stage.bus, &story.stage.configuration, &calls)?);
    story.drive("safe after the start", &DriveState::Safe).map(drop)
}

fn changed(story: &mut Story, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    // Dropped, it is killed.
    drop(story.stage.daemon.take());
    let file = record(story);
    let changed = change(fs::read(&file)?)?;
    Ok(fs::write(&file, changed)?)
}

/// As if wall time had run so many days more than boot time since the last record.
fn days_ahead(record: &[u8], days: i64) -> Result<Vec<u8>> {
    let mut record: Value = serde_json::from_slice(record)?;
    let wall = record["wall"].as_i64().context("a time")?;
    record["wall"] = json!(wall - days * 24 * 3600);
    Ok(serde_json::to_vec(&record)?)
}

#[test]
fn a_clock_that_ran_ahead_stops_pruning_until_root_trusts_it() -> Result<()> {
    let mut story = begin()?;
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    killed(&mut story, |record| days_ahead(&record, 2))?;
    ensure!(codes(&story, false)? == ["clock-ahead"], "{:?}", warnings(&story, false)?);
    ensure!(codes(&story, true)? == ["clock-ahead"], "in a dry run");
    let text = &warnings(&story, false)?[0].english;
    ensure!(text.contains("2 days ahead") && text.contains("butterdock trust-clock"), "{text}");
    ensure!(typed(&story, &["backups"])?.contains("2 days ahead"), "the command line says nothing");
    let first = story.on_drive(|all| Ok(all.len()))?;
    for number in first + 1..=first + 4 {
        let (note, left) = back_up(&story, &number.to_string())?;
        ensure!(left == number && note.contains("old snapshots are not deleted"), "{left} {note}");
    }
    // It is known after another kill.
    killed(&mut story, Ok)?;
    ensure!(codes(&story, false)? == ["clock-ahead"]);
    ensure!(typed(&story, &["trust-clock"])?.contains("trusted"));
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    let (note, left) = back_up(&story, "trusted")?;
    // The one that the increment was built on is kept once more.
    ensure!(left == 2 && !note.contains("not deleted"), "{left} {note}");
    killed(&mut story, Ok)?;
    ensure!(warnings(&story, false)?.is_empty(), "the trust is remembered");
    let log = story.stage.stop()?;
    story.stage.start()?;
    ensure!(!log.contains("not deleted"), "{log}");
    Ok(())
}

#[test]
fn a_record_of_the_clocks_that_cannot_be_read_stops_pruning() -> Result<()> {
    let mut story = begin()?;
    for content in [&b""[..], b"{\"version\":1", b"\xff\0\xff"] {
        killed(&mut story, |_| Ok(content.to_vec()))?;
        ensure!(codes(&story, false)? == ["clock-record-unreadable"], "{:?}", warnings(&story, false)?);
        let aside = record(&story).with_extension("json.unreadable");
        ensure!(fs::read(&aside)? == content, "it was not set aside");
        // No restart ends it.
        killed(&mut story, Ok)?;
        ensure!(codes(&story, false)? == ["clock-record-unreadable"], "{:?}", warnings(&story, false)?);
    }
    story.stage.client.call(ROOT, (MANAGER, "TrustClock"), &no_options())?;
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    Ok(())
}

#[test]
fn where_the_kernel_refuses_systemd_says_whether_the_clock_is_synchronised() -> Result<()> {
    let mut story = begin()?;
    let timedate = Timedate::start(story.stage.bus.address(), Some(false))?;
    killed_and_refused(&mut story, |record| days_ahead(&record, 2))?;
    ensure!(timedate.asked() > 0, "systemd is not asked at the start");
    ensure!(codes(&story, false)? == ["clock-ahead"], "{:?}", warnings(&story, false)?);
    let (note, left) = back_up(&story, "not synchronised")?;
    ensure!(note.contains("old snapshots are not deleted"), "{left} {note}");

    timedate.says(Some(true));
    let before = timedate.asked();
    let (note, left) = back_up(&story, "synchronised")?;
    ensure!(timedate.asked() > before, "systemd is not asked before a backup");
    ensure!(left == 2 && !note.contains("not deleted"), "{left} {note}");
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    let log = story.stage.stop()?;
    for said in ["is not synchronised", "is synchronised"] {
        ensure!(log.matches(&format!("systemd-timedated says that the clock {said}")).count() == 1, "{log}");
    }
    // It is written down: from now on there is nothing to ask about.
    timedate.says(Some(false));
    killed_and_refused(&mut story, Ok)?;
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    Ok(())
}

#[test]
fn where_systemd_does_not_answer_the_clock_is_not_synchronised() -> Result<()> {
    let mut story = begin()?;
    killed_and_refused(&mut story, |record| days_ahead(&record, 2))?;
    ensure!(codes(&story, false)? == ["clock-ahead"], "nothing has the name: {:?}", warnings(&story, false)?);
    let timedate = Timedate::start(story.stage.bus.address(), None)?;
    let began = Instant::now();
    ensure!(codes(&story, false)? == ["clock-ahead"], "it is silent: {:?}", warnings(&story, false)?);
    let waited = began.elapsed();
    ensure!(waited >= Duration::from_secs(2) && waited < PATIENCE, "{waited:?}");
    let (note, left) = back_up(&story, "silent")?;
    ensure!(note.contains("old snapshots are not deleted"), "{left} {note}");
    // The report is right before the next backup.
    timedate.says(Some(true));
    ensure!(warnings(&story, false)?.is_empty(), "{:?}", warnings(&story, false)?);
    Ok(())
}
