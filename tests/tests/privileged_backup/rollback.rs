//! A source that was replaced: by a snapshot of itself, or by a subvolume of no kin.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Ended, all_names, snapshot};
use serde_json::{Value, json};

use crate::fixture::{Fixture, at, bytes, events, incremental, now, with};

/// Its snapshots are in a subvolume in the source.
fn fixture() -> Result<Fixture> {
    let mut fixture = Fixture::new()?;
    fixture.folder = fixture.live(".butterdock");
    snapshot::create(&fixture.folder)?;
    Ok(fixture)
}

/// Changes the source and backs it up at this time. `recorded` is the lineage from the backup before.
fn back_up(fixture: &Fixture, recorded: &Value, wall: i64) -> Result<Ended> {
    fs::write(fixture.live("changed"), wall.to_string())?;
    fixture.run(&at(with(json!({"lineage": recorded})), wall)?)
}

fn lineage(ended: &Ended) -> Value {
    events(ended, "lineage")[0].clone()
}

/// Replaces the source by a snapshot of `of`; the old one gets another name.
fn roll_back(fixture: &Fixture, of: Option<&str>) -> Result<()> {
    let old = fixture.source.join("old");
    fs::rename(fixture.live(""), &old)?;
    snapshot::branch(&of.map_or(old.clone(), |name| old.join(".butterdock").join(name)), &fixture.live(""))?;
    // As the service does: a snapshot has an empty directory in place of a nested subvolume.
    fs::remove_dir(fixture.live(".butterdock"))?;
    snapshot::create(&fixture.folder)
}

/// That the newest on the drive has the files of the source.
fn newest_is_the_source(fixture: &Fixture) -> Result<()> {
    let newest = fixture.names()?.1.pop().context("nothing on the drive")?;
    for name in ["file", "changed"] {
        let there = fs::read(fixture.destination().join(&newest).join(name))?;
        ensure!(there == fs::read(fixture.live(name))?, "{name} differs in {newest}");
    }
    Ok(())
}

#[test]
fn a_rolled_back_source_gets_increments() -> Result<()> {
    for of_a_snapshot in [false, true] {
        let fixture = fixture()?;
        let start = now()?;
        let first = back_up(&fixture, &json!({"sources": []}), start)?;
        let second = back_up(&fixture, &lineage(&first), start + 10)?;
        ensure!(lineage(&first)["sources"] == lineage(&second)["sources"], "{:?}", second.reports);
        let oldest = fixture.names()?.1.first().cloned();
        roll_back(&fixture, oldest.as_deref().filter(|_| of_a_snapshot))?;
        let third = back_up(&fixture, &lineage(&second), start + 20)?;
        ensure!(incremental(&third)? && bytes(&third)? < 16 << 10, "{:?}", third.reports);
        let newest = events(&second, "pinned")[0]["learned"]["shared"]["here"]["uuid"].clone();
        ensure!(events(&third, "parent")[0]["uuid"] == newest, "not upon the newest: {:?}", third.reports);
        ensure!(third.said("backup").contains(&&json!("continued")), "{:?}", third.reports);
        newest_is_the_source(&fixture)?;
        let sources = lineage(&third)["sources"].clone();
        ensure!(sources[1] == lineage(&second)["sources"][0] && sources[0] != sources[1], "{sources}");
        // From then on it is the source.
        let fourth = back_up(&fixture, &lineage(&third), start + 30)?;
        ensure!(incremental(&fourth)? && !fourth.said("backup").contains(&&json!("continued")), "{:?}", fourth.reports);
        newest_is_the_source(&fixture)?;
    }
    Ok(())
}

#[test]
fn snapshots_of_a_replaced_source_stay_under_the_retention() -> Result<()> {
    let fixture = fixture()?;
    let start = now()?;
    let mut recorded = json!({"sources": []});
    for number in 0..3 {
        recorded = lineage(&back_up(&fixture, &recorded, start + 10 * number)?);
    }
    roll_back(&fixture, None)?;
    let old = fixture.source.join("old/.butterdock");
    // What root puts beside them stays, and so does what is elsewhere, whatever its name.
    snapshot::freeze(&fixture.source.join("old"), &old.join("by-hand"))?;
    let elsewhere = fixture.source.join(all_names(&old)?.pop().unwrap_or_default());
    snapshot::freeze(&fixture.source.join("old"), &elsewhere)?;
    let ended = back_up(&fixture, &recorded, start + 40)?;
    let keep = json!({"last": 2, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let order = at(with(json!({"keep": keep, "lineage": lineage(&ended)})), start + 40)?;
    fixture.prune(&order["backup"])?;
    let (mine, left) = (fixture.names()?.0, all_names(&old)?);
    ensure!(mine.len() == 1 && left.len() == 2 && left.contains(&"by-hand".to_owned()), "{mine:?} {left:?}");
    ensure!(elsewhere.exists(), "deleted outside of the folders");
    Ok(())
}

#[test]
fn snapshots_that_a_person_moved_to_keep_are_not_pruned() -> Result<()> {
    let fixture = fixture()?;
    let start = now()?;
    let (first, second) = (back_up(&fixture, &json!({"sources": []}), start)?, start + 10);
    let second = back_up(&fixture, &lineage(&first), second)?;
    let keep = fixture.source.join("keep");
    fs::create_dir(&keep)?;
    for name in fixture.names()?.0 {
        let at = fixture.folder().join(&name);
        snapshot::set_read_only(&at, false)?;
        fs::rename(&at, keep.join(&name))?;
        snapshot::set_read_only(&keep.join(&name), true)?;
    }
    // Both are in the record of the drive.
    let third = back_up(&fixture, &lineage(&second), start + 20)?;
    let folders = lineage(&third)["folders"].clone();
    ensure!(folders.as_array().is_some_and(|folders| folders.len() == 1), "its folder was recorded: {folders}");
    let newest = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let order = at(with(json!({"keep": newest, "lineage": lineage(&third)})), start + 30)?;
    fixture.prune(&order["backup"])?;
    ensure!(all_names(&keep)?.len() == 2, "deleted where a person keeps them: {:?}", all_names(&keep)?);
    ensure!(fixture.names()?.0.len() == 1, "{:?}", fixture.names()?);
    Ok(())
}

#[test]
fn the_record_of_folders_is_made_from_the_pins() -> Result<()> {
    // As after an update of butterdock: nothing is recorded but the source and the pin.
    let fixture = fixture()?;
    let start = now()?;
    let first = back_up(&fixture, &json!({"sources": []}), start)?;
    let second = back_up(&fixture, &lineage(&first), start + 10)?;
    let shared = events(&second, "pinned")[0]["learned"]["shared"].clone();
    let pins = json!([{"here": shared["here"]["uuid"], "there": shared["there"]["uuid"]}]);
    roll_back(&fixture, None)?;
    fs::write(fixture.live("changed"), "again")?;
    let recorded = json!({"sources": lineage(&second)["sources"]});
    let third = fixture.run(&at(with(json!({"lineage": recorded, "pins": pins})), start + 20)?)?;
    ensure!(incremental(&third)?, "{:?}", third.reports);
    let folders = lineage(&third)["folders"].clone();
    ensure!(folders.as_array().is_some_and(|folders| folders.len() == 2), "{folders}");
    Ok(())
}

#[test]
fn a_read_only_source_is_sent_as_it_is() -> Result<()> {
    let mut fixture = Fixture::new()?;
    let (writable, start) = (fixture.source.join("writable"), now()?);
    fs::rename(fixture.live(""), &writable)?;
    snapshot::freeze(&writable, &fixture.live(""))?;
    fixture.folder = fixture.live("");
    let back_up = |recorded: &Value, wall: i64| fixture.run(&at(with(json!({"lineage": recorded})), wall)?);
    let first = back_up(&json!({"sources": []}), start)?;
    ensure!(fixture.names()? == (vec!["file".to_owned()], vec!["live".to_owned()]), "{:?}", fixture.names()?);
    ensure!(events(&first, "pinned")[0]["learned"]["shared"]["here"]["uuid"] == lineage(&first)["sources"][0]);
    let again = back_up(&lineage(&first), start + 10)?;
    ensure!(events(&again, "unchanged").len() == 1, "{:?}", again.reports);
    // The next snapshot of the other program takes its place.
    fs::rename(fixture.live(""), fixture.source.join("older"))?;
    fs::write(writable.join("new"), "a small change")?;
    snapshot::freeze(&writable, &fixture.live(""))?;
    let next = back_up(&lineage(&first), start + 20)?;
    ensure!(incremental(&next)? && bytes(&next)? < 8 << 10, "{:?}", next.reports);
    let theirs = fixture.names()?.1;
    ensure!(theirs.len() == 2 && theirs[1].starts_with("live.2"), "{theirs:?}");
    let keep = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let order = at(with(json!({"keep": keep, "lineage": lineage(&next)})), start + 30)?;
    fixture.prune(&order["backup"])?;
    ensure!(fixture.live("file").exists() && fixture.source.join("older/file").exists(), "a source was deleted");
    Ok(())
}

#[test]
fn keep_deletes_no_read_only_source_on_the_drive() -> Result<()> {
    let mut fixture = Fixture::new()?;
    let (writable, start) = (fixture.source.join("writable"), now()?);
    fs::rename(fixture.live(""), &writable)?;
    fixture.folder = fixture.live("");
    let keep = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let mut recorded = json!({"sources": []});
    for round in 0..4 {
        if round > 0 {
            fs::rename(fixture.live(""), fixture.source.join(format!("older-{round}")))?;
        }
        fs::write(writable.join("new"), format!("{round}"))?;
        snapshot::freeze(&writable, &fixture.live(""))?;
        // The backup has the name of the subvolume: on the drive the later ones get names like those of its snapshots.
        let order = json!({"name": "6c697665", "keep": keep, "lineage": recorded});
        let ended = fixture.run(&at(with(order), start + 10 * round)?)?;
        ensure!(events(&ended, "pruned").is_empty(), "{:?}", ended.reports);
        recorded = lineage(&ended);
    }
    let theirs = fixture.names()?.1;
    ensure!(theirs.len() == 4 && theirs[3].starts_with("live.2"), "{theirs:?}");
    Ok(())
}

#[test]
fn a_snapshot_made_writable_as_the_source_is_the_reason() -> Result<()> {
    let fixture = fixture()?;
    let start = now()?;
    let first = back_up(&fixture, &json!({"sources": []}), start)?;
    let name = fixture.names()?.0.pop().context("a snapshot")?;
    let aside = fixture.source.join("aside");
    snapshot::set_read_only(&fixture.folder().join(&name), false)?;
    fs::rename(fixture.folder().join(&name), &aside)?;
    fs::rename(fixture.live(""), fixture.source.join("old"))?;
    fs::rename(&aside, fixture.live(""))?;
    fs::remove_dir(fixture.live(".butterdock"))?;
    snapshot::create(&fixture.folder)?;
    let next = back_up(&fixture, &lineage(&first), start + 10)?;
    ensure!(!incremental(&next)?, "{:?}", next.reports);
    ensure!(events(&next, "parent")[0]["why"] == "source_made_writable", "{:?}", next.reports);
    ensure!(next.said("backup").contains(&&json!("continued")), "{:?}", next.reports);
    newest_is_the_source(&fixture)
}
