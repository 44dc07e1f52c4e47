//! Files in snapshots with the command line: what a person sees who lists, prints and restores them, and the exit statuses.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Finished, Scenario, TIMEOUT, butterdock, contains_all, no_options, run};
use serde_json::Value;

fn ran(scenario: &Scenario, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(butterdock()?);
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", scenario.fixture.bus.address()).stdin(Stdio::null());
    run(&mut command, TIMEOUT)
}

fn json(scenario: &Scenario, words: &[&str]) -> Result<Value> {
    let words = [&["--json"][..], words].concat();
    serde_json::from_str(&ran(scenario, &words)?.success()?.out()).context("JSON")
}

/// A call that fails with this status says all this, and prints nothing.
fn fails(scenario: &Scenario, words: &[&str], code: i32, says: &[&str]) -> Result<()> {
    let done = ran(scenario, words)?;
    ensure!(done.code() == code && done.out().is_empty(), "{words:?}: {} {} {}", done.code(), done.out(), done.err());
    contains_all(&done.err(), says)
}

/// Two snapshots of a file with two contents.
fn with_two_versions() -> Result<Scenario> {
    let scenario = Scenario::begin()?;
    let docs = scenario.source.join("docs");
    fs::create_dir(&docs)?;
    symlink("docs", scenario.source.join("link"))?;
    for text in ["one\n", "two and more\n"] {
        fs::write(docs.join("report"), text)?;
        scenario.job("Backup", &no_options())?;
    }
    Ok(scenario)
}

#[test]
fn files_are_listed_printed_and_restored_by_name() -> Result<()> {
    let scenario = with_two_versions()?;
    let docs = scenario.source.join("docs");
    for place in ["Blue", "home"] {
        let listed = ran(&scenario, &["ls", place])?.success()?.out();
        ensure!(listed.lines().count() == 3 && listed.starts_with("SNAPSHOT"), "{listed}");
        let files = ran(&scenario, &["ls", place, "latest", "/docs/"])?.success()?.out();
        contains_all(&files, &["-rw-r--r--", "13 B", "report"])?;
        let link = ran(&scenario, &["ls", place, "latest", "link"])?.success()?.out();
        ensure!(link.contains("link -> docs"), "{link}");
        ensure!(ran(&scenario, &["cat", place, "latest", "docs/report"])?.success()?.out() == "two and more\n");
        let versions = json(&scenario, &["versions", place, "docs/report"])?;
        let versions = versions["versions"].as_array().context("versions")?;
        ensure!(versions.iter().map(|row| row["size"].as_u64()).eq([Some(13), Some(4)]), "{versions:?}");
        let old = versions[1]["snapshot"].as_str().context("a uuid")?;
        ensure!(ran(&scenario, &["cat", place, &old[..8], "docs/report"])?.success()?.out() == "one\n");
        let rows = json(&scenario, &["ls", place, old, "docs"])?;
        ensure!(rows["files"][0]["name"] == "report" && rows["snapshot"] == old, "{rows}");
        let done =
            ran(&scenario, &["restore", place, old, "--file", "docs/report", "--conflict", "replace"])?.success()?;
        contains_all(&done.out(), &["restored 4 B", "1 file restored\n"])?;
        ensure!(fs::read_to_string(docs.join("report"))? == "one\n");
    }
    for folder in ["mine", "mine-2"] {
        let done =
            ran(&scenario, &["restore", "Blue", "latest", "tank", "--file", "docs", "--as", "mine"])?.success()?;
        ensure!(done.out().contains("has -2 at the end") == (folder == "mine-2"), "{}", done.out());
        ensure!(fs::read_to_string(scenario.tank.join(folder).join("docs/report"))? == "two and more\n");
    }
    // The newest snapshot as a whole has that name too.
    ran(&scenario, &["restore", "Blue", "latest", "tank", "--as", "whole"])?.success()?;
    ensure!(fs::read_to_string(scenario.tank.join("whole/docs/report"))? == "two and more\n");
    Ok(())
}

#[test]
fn a_mistake_about_files_says_what_to_do() -> Result<()> {
    let scenario = with_two_versions()?;
    let here = |words: &[&str], code, says: &[&str]| fails(&scenario, words, code, says);
    here(&["ls", "Nope"], 64, &["there is no destination and no backup \"Nope\"", "butterdock backups"])?;
    here(&["ls", "Blue", "monday"], 64, &["there is no snapshot monday"])?;
    here(&["ls", "Blue", "latest", "gone"], 1, &["the snapshot has no such file", "butterdock ls"])?;
    here(&["ls", "Blue", "latest", "link/report"], 1, &["links are never followed"])?;
    here(&["cat", "Blue", "latest", "docs"], 1, &["butterdock: \"docs\": it is no regular file", "butterdock ls"])?;
    here(&["cat", "Blue", "latest", "../x"], 64, &["relative to the root of the snapshot"])?;
    here(&["restore", "home", "latest", "tank"], 64, &["home is a backup", "--file"])?;
    here(&["restore", "Blue", "latest", "--file", "/"], 64, &["restore the whole snapshot into a volume"])?;
    here(&["restore", "Blue", "latest", "nope", "--file", "docs"], 1, &["there is no volume \"nope\""])?;
    let taken = ran(&scenario, &["restore", "Blue", "latest", "--file", "docs/report", "--conflict", "fail"])?;
    ensure!(taken.code() == 1, "{}", taken.code());
    contains_all(&taken.err(), &["a file with that name exists", "move it away"])?;
    let error = ran(&scenario, &["--json", "cat", "Blue", "latest", "gone"])?;
    let error: Value = serde_json::from_str(&error.out())?;
    ensure!(error["error"]["name"] == "org.butterdock.Butterdock1.Error.NotFound", "{error}");
    Ok(())
}
