//! What a source keeps for its drives, and when it is short of space.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Scenario, TIMEOUT, butterdock, contains_all, no_options, run, word};
use serde_json::Value;

fn typed(scenario: &Scenario, words: &[&str]) -> Result<String> {
    let mut command = Command::new(butterdock()?);
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", scenario.fixture.bus.address()).stdin(Stdio::null());
    Ok(run(&mut command, TIMEOUT)?.success()?.out())
}

/// The names of the snapshots beside the source, the oldest first.
fn beside(scenario: &Scenario) -> Result<Vec<String>> {
    let names = fs::read_dir(scenario.source_snapshots())?.flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != ".butterdock-staging");
    names.sort();
    Ok(names)
}

/// Replaces the source's file by other data that cannot be compressed.
fn change(scenario: &Scenario) -> Result<()> {
    let mut noise = vec![0; 5 << 20];
    File::open("/dev/urandom")?.read_exact(&mut noise)?;
    Ok(fs::write(scenario.source.join("file"), noise)?)
}

#[test]
fn a_source_short_of_space_keeps_what_a_drive_needs_until_unpin() -> Result<()> {
    // No disk has so much: the source is always short of space. The rule would keep all.
    let rule = "keep = { last = 9 }\nsource_reserve = \"900000GiB\"";
    let mut scenario = Scenario::on(&["home"], rule, |fixture| fixture.image("a", "Blue"))?;
    for _ in 0..3 {
        change(&scenario)?;
        scenario.job("Backup", &no_options())?;
        scenario.drive("safe", &DriveState::Safe)?;
    }
    // The newest, and the one that the drive needed when the last job began.
    let kept = beside(&scenario)?;
    ensure!(kept.len() == 2, "{kept:?}");
    change(&scenario)?;
    drop(scenario.disk.take());
    let listed = || Ok::<Value, anyhow::Error>(serde_json::from_str(&typed(&scenario, &["backups", "--json"])?)?);
    scenario.fixture.client.until("away", |_| Ok(listed()?["backups"][0]["attached"] == false))?;
    // A dry run looks at the source at once.
    typed(&scenario, &["backups", "--dry-run"])?;
    let all = listed()?;
    let row = &all["backups"][0];
    ensure!(
        row["source_snapshots"] == 1 && row["source_freeable"].as_u64().is_some_and(|held| held >= 5 << 20),
        "{row}"
    );
    ensure!(row["problems"][0]["code"] == "source-low-space", "{row}");
    contains_all(row["problem"].as_str().context("a sentence")?, &["MiB free", "\"Blue\"", "butterdock unpin"])?;
    ensure!(beside(&scenario)? == kept[1..], "not only the one that the drive needs: {:?}", beside(&scenario)?);
    contains_all(&typed(&scenario, &["unpin", "Blue"])?, &["no longer keep"])?;
    ensure!(beside(&scenario)?.is_empty(), "{:?}", beside(&scenario)?);
    scenario.plug()?;
    scenario.fixture.client.until("the next backup", |_| Ok(scenario.good_backups()? == 4))?;
    let notes: Vec<String> = scenario.history("backup")?.iter().map(|row| word(row, "note")).collect();
    contains_all(&notes[0], &["full transfer", "deleted by a command"])
}

/// What a dry run says of the only row.
fn dry_run(scenario: &Scenario) -> Result<Value> {
    let all: Value = serde_json::from_str(&typed(scenario, &["backups", "--dry-run", "--json"])?)?;
    Ok(all["backups"][0].clone())
}

/// The note of the newest backup in the history.
fn last_note(scenario: &Scenario) -> Result<String> {
    scenario.history("backup")?.first().map(|row| word(row, "note")).context("a backup in the history")
}

#[test]
fn a_dry_run_after_unpin_shows_what_the_next_run_does() -> Result<()> {
    // Without an older shared snapshot everything is sent; with one, which the rule keeps, what changed since that.
    for backups in [1, 2] {
        let scenario = Scenario::on(&["home"], "", |fixture| fixture.image("a", "Blue"))?;
        for _ in 0..backups {
            change(&scenario)?;
            scenario.job("Backup", &no_options())?;
            scenario.drive("safe", &DriveState::Safe)?;
        }
        let is_full = backups == 1;
        ensure!(dry_run(&scenario)?["incremental"] == true, "{backups} backups");
        typed(&scenario, &["unpin", "Blue"])?;
        ensure!(beside(&scenario)?.len() == backups - 1, "{:?}", beside(&scenario)?);
        let row = dry_run(&scenario)?;
        ensure!(row["incremental"] == !is_full, "{backups} backups: {row}");
        let note = row["note"].as_str().unwrap_or_default();
        ensure!(note.contains("deleted by a command") == is_full, "{backups} backups: {row}");
        scenario.job("Backup", &no_options())?;
        scenario.drive("safe after it", &DriveState::Safe)?;
        let note = last_note(&scenario)?;
        ensure!(note.contains("full transfer") == is_full, "{backups} backups: {note}");
        ensure!(dry_run(&scenario)?["incremental"] == true, "the new snapshot is kept again");
    }
    Ok(())
}
