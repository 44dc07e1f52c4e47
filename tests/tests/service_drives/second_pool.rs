//! A second pool of this machine as a destination: backed up to by time, listed, verified, restored from.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, MANAGER};
use butterdock_dbus::path::destination_path;
use butterdock_tests::compare::{self, Tree, same};
use butterdock_tests::{Finished, Scenario, TIMEOUT, Volume, butterdock, butterdockd, names, no_options, run};
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

fn uuid(volume: &Volume) -> Result<String> {
    let mut command = Command::new("blkid");
    let printed = run(command.args(["-s", "UUID", "-o", "value"]).arg(volume.device()?), TIMEOUT)?.success()?.out();
    Ok(printed.trim().to_owned())
}

/// The row of the backup.
fn row(scenario: &Scenario, backup: &str) -> Result<Value> {
    let rows = json(scenario, &["backups"])?;
    let rows = rows["backups"].as_array().context("rows")?;
    rows.iter().find(|row| row["name"] == backup).cloned().context("a row")
}

/// The snapshots of the backup on the second pool, the oldest first.
fn snapshots(scenario: &Scenario) -> Result<Vec<PathBuf>> {
    let folder = scenario.tank.join("backups/butterdock/home");
    let entries = if folder.exists() { fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()? } else { Vec::new() };
    let mut all: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    all.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("home.")));
    all.sort();
    Ok(all)
}

fn newest_is_the_source(scenario: &Scenario) -> Result<()> {
    let all = snapshots(scenario)?;
    let newest = all.last().context("a snapshot")?;
    same("the newest", &Tree::read(&scenario.source)?, &Tree::read(newest)?, compare::Rules::SOURCE_OF_INCREMENT)
}

/// There and back again.
fn a_renamed_backup_keeps_its_folder(scenario: &Scenario) -> Result<()> {
    ran(scenario, &["backup", "rename", "home", "family"])?.success()?;
    ensure!(json(scenario, &["history", "--backup", "family"])?["history"][0]["backup"] == "family", "no history");
    fs::write(scenario.source.join("changed"), "of the family")?;
    ran(scenario, &["backup", "family"])?.success()?;
    let job = json(scenario, &["history"])?["history"][0].clone();
    ensure!(job["result"] == "succeeded" && job["bytes_received"].as_u64() < Some(1 << 20), "no increment: {job}");
    let (all, _) = names(&scenario.tank.join("backups/butterdock/family"))?;
    ensure!(all.len() == 2 && !scenario.tank.join("backups/butterdock/home").exists(), "{all:?}");
    ran(scenario, &["backup", "rename", "family", "home"])?.success()?;
    ran(scenario, &["backup", "home"])?.success().map(drop)
}

/// Holds, releases and deletes the older of two snapshots there; and reads only snapshots of backups.
fn are_in_a_persons_hand(scenario: &Scenario, newest: &str, oldest: &str) -> Result<()> {
    let second = ["--drive", "second"];
    let snapshots_of = |words: &[&str]| ran(scenario, &[&["snapshots"][..], words, &second].concat());
    snapshots_of(&["hold", oldest, "--reason", "the old photos"])?.success()?;
    let refused = snapshots_of(&["delete", oldest, "--yes"])?;
    ensure!(refused.code() != 0 && refused.err().contains("is held (the old photos)"), "{refused:?}");
    let shared = snapshots_of(&["delete", newest, "--yes"])?;
    ensure!(shared.code() != 0 && shared.err().contains("--force"), "{shared:?}");
    snapshots_of(&["release", oldest])?.success()?;
    snapshots_of(&["delete", oldest, "--yes"])?.success()?;
    ensure!(snapshots(scenario)?.len() == 1, "{:?}", snapshots(scenario));
    newest_is_the_source(scenario)?;
    // A read-only subvolume of another program is no snapshot of a backup.
    let other = scenario.tank.join("backups/system");
    butterdock_tests::snapshot::create(&other)?;
    fs::write(other.join("shadow"), "secret")?;
    run(Command::new("btrfs").args(["property", "set"]).arg(&other).args(["ro", "true"]), TIMEOUT)?.success()?;
    let uuid = butterdock_tests::snapshot::show(&other)?.uuid;
    for words in [["ls", "second", &uuid, "--as-root"], ["cat", "second", &uuid, "shadow"]] {
        let refused = ran(scenario, &words)?;
        ensure!(refused.code() != 0 && !refused.out().contains("secret"), "{refused:?}");
    }
    // It is not restored as a whole either, and a snapshot of a backup is.
    let whole = ran(scenario, &["restore", "second", &uuid, "tank", "--as", "stolen"])?;
    ensure!(whole.code() == 77 && whole.err().contains("not on record as a snapshot of a backup"), "{whole:?}");
    ensure!(!scenario.tank.join("stolen").exists(), "it was restored");
    let known = ran(scenario, &["ls", "second", newest])?.success()?.out();
    ensure!(!known.is_empty(), "root reads those of backups");
    run(Command::new("btrfs").args(["subvolume", "delete"]).arg(&other), TIMEOUT)?.success()?;
    Ok(())
}

#[test]
fn a_second_pool_is_backed_up_by_time_and_restored_from() -> Result<()> {
    let mut scenario = Scenario::with(&[])?;
    fs::create_dir(scenario.tank.join("backups"))?;
    let (source, beside) = (&scenario.source, scenario.pool.join("snapshots"));
    let (second, own) = (uuid(&scenario.tank)?, uuid(&scenario.pool)?);
    let mut text = fs::read_to_string(&scenario.fixture.configuration)?;
    for (name, uuid, at) in [("second", &second, scenario.tank.join("backups")), ("own", &own, scenario.pool.join(""))]
    {
        text += &format!(
            "\n[[destination]]\nname = \"{name}\"\nkind = \"volume\"\npath = {at:?}\nuuid = \"{uuid}\"\nverify_every = \"90d\"\n"
        );
    }
    text += &format!(
        "\n[[backup]]\nname = \"home\"\nsource = {source:?}\nsnapshots = {beside:?}\nto = [\"second\"]\nschedule = \"daily 02:00\"\n\
         \n[[backup]]\nname = \"wrong\"\nsource = {source:?}\nsnapshots = {beside:?}\nto = [\"own\"]\nschedule = \"manual\"\n"
    );
    fs::write(&scenario.fixture.configuration, text)?;
    scenario.fixture.client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    // It has never run there, so that it is due at once.
    scenario.fixture.client.until("the backup by time", |_| Ok(row(&scenario, "home")?["due"] == false))?;
    newest_is_the_source(&scenario)?;
    let home = row(&scenario, "home")?;
    ensure!(home["drive"] == "second" && home["attached"] == true && home["problem"].is_null(), "{home}");
    ensure!(home["next_run"].as_u64() > home["last_good"].as_u64() && home["overdue"] == false, "{home}");
    let path = destination_path("second");
    let get = |property: &str| scenario.fixture.client.get::<String>(path.as_str(), DESTINATION, property);
    ensure!((get("Kind")?, get("State")?) == ("volume".to_owned(), "present".to_owned()), "{home}");

    let status = json(&scenario, &["status"])?;
    let known = status["destinations"].as_array().context("destinations")?;
    let shown = known.iter().find(|one| one["id"] == "second").context("the second pool")?;
    ensure!(shown["kind"] == "volume" && shown["state"] == "present" && shown["problem"].is_null(), "{shown}");
    ensure!(shown["free"].as_u64() > Some(0) && shown["last_backup"] == home["last_good"], "{shown}");
    let days =
        shown["next_verify"].as_u64().zip(home["last_good"].as_u64()).map(|(at, now)| (at - now) / 86_400_000_000);
    ensure!(days.is_some_and(|days| (89..=90).contains(&days)), "{days:?} {shown}");
    let (in_words, drives) = (ran(&scenario, &["status"])?.success()?.out(), status["drives"].as_array().map(Vec::len));
    ensure!(in_words.lines().any(|line| line.starts_with("second ")) && drives == Some(1), "{in_words}");

    // By hand it is an increment.
    fs::write(scenario.source.join("changed"), "more")?;
    ran(&scenario, &["backup", "home"])?.success()?;
    newest_is_the_source(&scenario)?;
    ensure!(snapshots(&scenario)?.len() == 2, "{:?}", snapshots(&scenario));
    let jobs = json(&scenario, &["history"])?;
    let last = jobs["history"].as_array().and_then(|all| all.first()).context("a job")?;
    ensure!(last["result"] == "succeeded" && last["bytes_received"].as_u64() < Some(1 << 20), "{last}");

    let listed = json(&scenario, &["snapshots", "--drive", "second"])?;
    let listed = listed["snapshots"].as_array().context("snapshots")?;
    ensure!(listed.len() == 2 && listed.iter().all(|one| one["backup"] == "home"), "{listed:?}");
    let newest = listed[0]["uuid"].as_str().context("a uuid")?;
    ran(&scenario, &["restore", "second", newest, "tank", "--as", "again"])?.success()?;
    let (restored, source) = (Tree::read(&scenario.tank.join("again"))?, Tree::read(&scenario.source)?);
    same("restored", &source, &restored, compare::Rules::SOURCE_OF_INCREMENT)?;
    ran(&scenario, &["verify", "second"])?.success()?;
    let oldest = listed[1]["uuid"].as_str().context("a uuid")?;
    are_in_a_persons_hand(&scenario, newest, oldest)?;

    a_renamed_backup_keeps_its_folder(&scenario)?;

    // The source's own filesystem is no destination.
    let refused = ran(&scenario, &["backup", "wrong"])?;
    ensure!(refused.code() != 0 && refused.err().contains("the same filesystem"), "{refused:?}");
    let mut command = Command::new(butterdockd()?);
    let said = run(command.arg("check-config").arg(&scenario.fixture.configuration), TIMEOUT)?.success()?.out();
    ensure!(said.contains("on the filesystem of the destination \"own\" itself, which is no backup"), "{said}");

    // What is not mounted is away, and comes back.
    scenario.tank.unmount()?;
    let state = |is: &str| scenario.fixture.client.until(is, |_| Ok(get("State")? == is));
    state("away")?;
    let refused = ran(&scenario, &["backup", "home"])?;
    ensure!(refused.code() != 0, "{refused:?}");
    scenario.tank.mount("")?;
    state("present")?;

    // Forgotten, it stays a destination, is due as a new one is, and gets everything again.
    fs::write(scenario.source.join("changed"), "once more")?;
    scenario.fixture.client.call(path.as_str(), (DESTINATION, "Forget"), &no_options())?;
    scenario.fixture.client.until("the backup of a new destination", |_| {
        let home = row(&scenario, "home")?;
        Ok(home["due"] == false && home["last_good"].is_u64())
    })?;
    newest_is_the_source(&scenario)
}
