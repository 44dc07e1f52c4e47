//! A backup that gets another name with `SetBackup`: its snapshots, its shared ones and its history go with it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::{DriveState, Error, ErrorName, ManagerProxy, SetOptions};
use butterdock_tests::trees::Random;
use butterdock_tests::{Scenario, names, no_options, rounds, seed, word};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Renames a backup over the bus; the revision of the file.
fn rename(scenario: &Scenario, from: &str, to: &str, revision: Option<String>) -> Result<String, Error> {
    let client = &scenario.fixture.client;
    let options = SetOptions { revision, rename_from: Some(from.to_owned()), ..SetOptions::default() };
    client.block_on(async {
        let manager = ManagerProxy::new(client.connection()).await?;
        Ok(manager.set_backup(to, HashMap::new(), options.to_options()).await?.0)
    })
}

fn revision(scenario: &Scenario) -> Result<String> {
    let client = &scenario.fixture.client;
    client.block_on(async {
        let manager = ManagerProxy::new(client.connection()).await?;
        Ok(manager.get_settings(no_options()).await?.1)
    })
}

/// The names of the backups in the history, the newest first.
fn names_in_history(scenario: &Scenario) -> Result<Vec<String>> {
    Ok(scenario.history("backup")?.iter().map(|row| word(row, "backup")).collect())
}

/// The names of the configured backups.
fn configured(scenario: &Scenario) -> Result<Vec<String>> {
    let client = &scenario.fixture.client;
    let rows = client.block_on(async {
        let manager = ManagerProxy::new(client.connection()).await?;
        manager.list_backups(no_options()).await
    })?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

fn is_refused(done: &Result<String, Error>, name: ErrorName) -> bool {
    matches!(done, Err(Error::Named(of, _)) if *of == name)
}

#[test]
fn a_renamed_backup_continues_with_increments() -> Result<()> {
    let rule = "keep = { last = 2 }\nprotect = \"0h\"";
    let mut scenario = Scenario::on(&["home", "other"], rule, |fixture| fixture.image("a", "Blue"))?;
    scenario.job("Backup", &no_options())?;
    scenario.unplug()?;
    let first = fs::read_to_string(&scenario.fixture.configuration)?;
    let known = revision(&scenario)?;

    for (from, to, revision, name) in [
        ("home", "other", None, ErrorName::Exists),
        ("nothing", "family", None, ErrorName::NotFound),
        ("home", "family", Some("1a2b".to_owned()), ErrorName::StaleRevision),
    ] {
        let done = rename(&scenario, from, to, revision);
        ensure!(is_refused(&done, name), "{from} to {to}: {done:?}");
        ensure!(fs::read_to_string(&scenario.fixture.configuration)? == first, "{from} to {to}: the file was changed");
        ensure!(!scenario.fixture.sandbox.join("state/renames.json").exists(), "{from} to {to}: a rename is recorded");
    }
    let bad = rename(&scenario, "home", "a/b", None);
    ensure!(matches!(bad, Err(Error::InvalidArgs(_))), "{bad:?}");
    ensure!(configured(&scenario)? == ["home", "other"], "{:?}", configured(&scenario)?);

    // The drive is away.
    rename(&scenario, "home", "family", Some(known))?;
    let renamed = fs::read_to_string(&scenario.fixture.configuration)?;
    ensure!(renamed == first.replace("name = \"home\"", "name = \"family\""), "{renamed}");
    let history = names_in_history(&scenario)?;
    ensure!(history.len() == 2 && history.contains(&"family".to_owned()), "{history:?}");
    ensure!(configured(&scenario)? == ["family", "other"], "{:?}", configured(&scenario)?);
    fs::write(scenario.source.join("changed"), "after the rename")?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? == 4))?;
    scenario.drive("safe", &DriveState::Safe)?;
    let last = scenario.history("backup")?.into_iter().find(|row| word(row, "backup") == "family");
    let sent = last.as_ref().and_then(|row| u64::try_from(row.get("bytes_received")?).ok()).context("its bytes")?;
    ensure!(sent < 1 << 20, "not an increment: {sent} bytes");
    scenario.newest_is_the_source_of("family")?;

    // The rule keeps two: with the third, the oldest of the former name goes, on both sides.
    fs::write(scenario.source.join("changed"), "once more")?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.newest_is_the_source_of("family")?;
    let (beside, _) = names(&scenario.source_snapshots())?;
    ensure!(beside.len() == 2 && beside.iter().all(|name| name.starts_with("family.")), "{beside:?}");
    scenario.on_drive_in("butterdock/family", |all| {
        let is_of_it =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("family."));
        ensure!(all.len() == 2 && all.iter().all(is_of_it), "{all:?}");
        Ok(())
    })
}

#[test]
fn a_daemon_killed_during_a_rename_has_done_it_or_not() -> Result<()> {
    let mut random = Random::new(seed(1)?);
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.unplug()?;
    let began = Instant::now();
    rename(&scenario, "home", "family", None)?;
    let long = u64::try_from(began.elapsed().as_micros())?;
    let mut now = "family".to_owned();
    for round in 0..rounds(6, 60) {
        let next = format!("name{round}");
        let daemon = i32::try_from(scenario.fixture.daemon.as_ref().context("it runs")?.id())?;
        let delay = Duration::from_micros(random.below(long.saturating_mul(2).max(1)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sleep(delay);
                kill(Pid::from_raw(daemon), Signal::SIGKILL).ok();
            });
            // It may be killed before it answers.
            rename(&scenario, &now, &next, None).map(drop).unwrap_or_default();
        });
        drop(scenario.fixture.daemon.take());
        scenario.fixture.start()?;
        let all = configured(&scenario)?;
        ensure!(all == [now.as_str()] || all == [next.as_str()], "{all:?} after {delay:?}");
        now = all.concat();
        let history = names_in_history(&scenario)?;
        ensure!(history == [now.as_str()], "{history:?} is not {now} after {delay:?}");
        // Nothing is half done: what the next rename wants is free.
        let again = format!("again{round}");
        rename(&scenario, &now, &again, None)?;
        now = again;
    }
    fs::write(scenario.source.join("changed"), "after the renames")?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? == 2))?;
    scenario.drive("safe", &DriveState::Safe)?;
    ensure!(scenario.newest_is_the_source_of(&now)?, "it was no increment");
    Ok(())
}
