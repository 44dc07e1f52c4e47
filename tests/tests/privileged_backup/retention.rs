//! Which snapshots are deleted and which never are; retention with a wrong clock.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Ended, snapshot};
use serde_json::{Value, json};

use crate::fixture::{Fixture, START, at, events, incremental, now, with};

fn keeping_one(pins: &Value) -> Value {
    let keep = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    with(json!({"keep": keep, "pins": pins}))
}

/// The pin of the report.
fn mark(ended: &Ended) -> Value {
    let shared = &events(ended, "pinned")[0]["learned"]["shared"];
    json!({"here": shared["here"]["uuid"], "there": shared["there"]["uuid"]})
}

#[test]
fn both_sides_are_pruned_but_for_pinned_and_foreign_snapshots() -> Result<()> {
    let fixture = Fixture::new()?;
    snapshot::freeze(&fixture.live(""), &fixture.folder().join("home.20200101T000000Z"))?;
    snapshot::freeze(&fixture.live(""), &fixture.folder().join("by-hand"))?;
    let start = now()?;
    let first = fixture.run(&at(keeping_one(&json!([])), start)?)?;
    let first = mark(&first);
    for number in 0..3 {
        let wall = start + 10 * (number + 1);
        fs::write(fixture.live("file"), format!("{number}"))?;
        let ended = fixture.run(&at(keeping_one(&json!([first])), wall)?)?;
        ensure!(incremental(&ended)?, "{:?}", ended.reports);
        // Beside the source another drive may need anything: it is thinned apart.
        let (before, theirs) = fixture.names()?;
        ensure!(before.contains(theirs.last().context("the newest")?), "{before:?} {theirs:?}");
        ensure!(events(&ended, "pruned").iter().all(|told| told["drive"] == true), "{:?}", ended.reports);
        let mut thin = at(keeping_one(&json!([first, mark(&ended)])), wall)?;
        thin["backup"]["lineage"] = events(&ended, "lineage")[0].clone();
        let pruned = fixture.prune(&thin["backup"])?;
        ensure!(fixture.names()?.0.len() == 4, "{:?}", fixture.names()?);
        ensure!(events(&pruned, "pruned").len() == before.len() - 4, "{:?}", pruned.reports);
    }
    let (mine, theirs) = fixture.names()?;
    ensure!(mine.len() == 4 && theirs.len() == 2, "{mine:?} {theirs:?}");
    ensure!(mine.contains(&"by-hand".to_owned()) && mine.contains(&"home.20200101T000000Z".to_owned()), "{mine:?}");
    ensure!(mine.contains(theirs.first().context("the pinned one")?), "{mine:?} {theirs:?}");
    let newest = theirs.last().context("the newest")?;
    ensure!(fs::read(fixture.destination().join(newest).join("file"))? == b"2", "not the last state");
    Ok(())
}

#[test]
fn protected_snapshots_are_not_deleted() -> Result<()> {
    let fixture = Fixture::new()?;
    for number in 0..3 {
        fs::write(fixture.live("file"), format!("{number}"))?;
        let mut order = keeping_one(&json!([]));
        order["backup"]["protect"] = json!(3600);
        let ended = fixture.run(&order)?;
        order["backup"]["lineage"] = events(&ended, "lineage")[0].clone();
        fixture.prune(&order["backup"])?;
    }
    let (mine, theirs) = fixture.names()?;
    ensure!(mine.len() == 3 && theirs == mine, "{mine:?} {theirs:?}");
    Ok(())
}

const DAY: i64 = 24 * 3600;

/// Backs up a change, at the time in the order.
fn back_up(fixture: &Fixture, wall: i64, task: &Value, time: &Value) -> Result<Ended> {
    fs::write(fixture.live("file"), wall.to_string())?;
    let mut order = with(task.clone());
    order["backup"]["time"] = time.clone();
    fixture.begin(&at(order, wall)?)?.finish()?.success()
}

/// The dates in the names on the drive, each as `20261122`.
fn dates(fixture: &Fixture) -> Result<Vec<String>> {
    let (_, theirs) = fixture.names()?;
    let backups = theirs.iter().filter_map(|name| name.strip_prefix("home."));
    Ok(backups.map(|date| date.chars().take(8).collect()).collect())
}

fn last_three() -> Value {
    json!({"keep": {"last": 3, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0}})
}

#[test]
fn future_backups_do_not_push_out_genuine_ones() -> Result<()> {
    let fixture = Fixture::new()?;
    for day in 0..3 {
        back_up(&fixture, START + (30 + day) * DAY, &last_three(), &json!({}))?;
    }
    let mut last = None;
    for day in 0..5 {
        last = Some(back_up(&fixture, START + day * DAY, &last_three(), &json!({}))?);
    }
    let expected = ["20261124", "20261125", "20261126", "20261222", "20261223", "20261224"];
    ensure!(dates(&fixture)? == expected, "{:?}", dates(&fixture)?);
    let last = last.context("a backup")?;
    let from_future = events(&last, "from_future");
    ensure!(from_future.iter().any(|told| **told == json!({"drive": true, "count": 3})), "{:?}", last.reports);
    // In 1970 every one of them is from the future.
    back_up(&fixture, 3600, &last_three(), &json!({}))?;
    ensure!(dates(&fixture)?.len() == expected.len() + 1, "{:?}", dates(&fixture)?);
    // When their date has come they count as any other.
    back_up(&fixture, START + 40 * DAY, &last_three(), &json!({}))?;
    ensure!(dates(&fixture)? == ["20261223", "20261224", "20270101"], "{:?}", dates(&fixture)?);
    Ok(())
}

#[test]
fn a_clock_forty_days_ahead_deletes_no_protected_snapshot() -> Result<()> {
    let mut task = last_three();
    task["keep"]["last"] = json!(2);
    task["protect"] = json!(30 * DAY);
    for (time, left) in [
        // As it was: the dates alone count. With this it is seen that the rule would delete.
        (json!({"settled_source": u64::MAX, "settled_drive": u64::MAX}), 2),
        // Nothing was seen 30 days ago, or the clock is in doubt, or both.
        (json!({}), 13),
        (json!({"settled_source": u64::MAX, "settled_drive": u64::MAX, "stopped": true}), 13),
        (json!({"stopped": true}), 13),
    ] {
        let fixture = Fixture::new()?;
        for day in 0..12 {
            back_up(&fixture, START + day * DAY, &task, &json!({}))?;
        }
        ensure!(dates(&fixture)?.len() == 12, "{:?}", dates(&fixture)?);
        let ahead = back_up(&fixture, START + 52 * DAY, &task, &time)?;
        ensure!(dates(&fixture)?.len() == left, "{time}: {:?}", dates(&fixture)?);
        ensure!(events(&ahead, "pruned").len() == 13 - left, "{:?}", ahead.reports);
        // The snapshots are reported, so that the service can store their dates.
        let seen = events(&ahead, "seen");
        let on_drive = seen.iter().rfind(|told| told["drive"] == true).context("told")?;
        ensure!(on_drive["snapshots"].as_array().map(Vec::len) == Some(13) && on_drive["last"] == true, "{seen:?}");
    }
    Ok(())
}

#[test]
fn a_full_drive_is_not_pruned_while_the_clock_is_in_doubt() -> Result<()> {
    let fixture = Fixture::sized(1024, 256)?;
    let mut task = last_three();
    task["keep"]["last"] = json!(1);
    let fill = |wall: i64, time: &Value| -> Result<Ended> {
        let mut noise = vec![0; 50 << 20];
        std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut noise)?;
        fs::write(fixture.live("large"), &noise)?;
        let mut order = with(task.clone());
        order["backup"]["time"] = time.clone();
        fixture.begin(&at(order, wall)?)?.finish()
    };
    let stopped = json!({"stopped": true});
    fill(START, &stopped)?.success()?;
    let mut day = 0;
    let refused = loop {
        day += 1;
        ensure!(day < 10, "the drive does not get full");
        let ended = fill(START + day * DAY, &stopped)?;
        if ended.said("ended").first().is_some_and(|end| !end["error"].is_null()) {
            break ended;
        }
    };
    let error = &refused.said("ended").first().context("an end")?["error"];
    ensure!(error["kind"] == "NoSpace" && events(&refused, "pruned").is_empty(), "{error}");
    ensure!(error["message"].as_str().is_some_and(|text| text.contains("butterdock trust-clock")), "{error}");
    let before = dates(&fixture)?.len();
    ensure!(before == usize::try_from(day)? && before > 1, "{:?}", dates(&fixture)?);
    // Believed again, the same order makes room.
    let believed = fill(START + day * DAY, &json!({}))?;
    ensure!(!events(&believed, "pruned").is_empty(), "{:?}", believed.reports);
    Ok(())
}
