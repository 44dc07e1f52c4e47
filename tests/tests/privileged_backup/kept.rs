//! What is deleted, and what never is.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Ended, snapshot};
use serde_json::{Value, json};

use crate::fixture::{Fixture, START, at, events, incremental, with};

fn keeping_one(pins: &Value) -> Value {
    let keep = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    with(json!({"keep": keep, "pins": pins}))
}

/// What is said of the pin that was told.
fn mark(ended: &Ended) -> Value {
    let shared = &events(ended, "pinned")[0]["learned"]["shared"];
    json!({"here": shared["here"]["uuid"], "there": shared["there"]["uuid"]})
}

#[test]
fn both_sides_are_pruned_but_for_pinned_and_foreign_snapshots() -> Result<()> {
    let fixture = Fixture::new()?;
    snapshot::freeze(&fixture.live(""), &fixture.folder().join("home.20200101T000000Z"))?;
    snapshot::freeze(&fixture.live(""), &fixture.folder().join("by-hand"))?;
    let first = fixture.run(&at(keeping_one(&json!([])), START)?)?;
    let first = mark(&first);
    for number in 0..3 {
        let wall = START + 60 * (number + 1);
        fs::write(fixture.live("file"), format!("{number}"))?;
        let ended = fixture.run(&at(keeping_one(&json!([first])), wall)?)?;
        ensure!(incremental(&ended)?, "{:?}", ended.reports);
        // Beside the source another drive may need anything: it is thinned apart.
        let (before, theirs) = fixture.names()?;
        ensure!(before.contains(theirs.last().context("the newest")?), "{before:?} {theirs:?}");
        ensure!(events(&ended, "pruned").iter().all(|told| told["drive"] == true), "{:?}", ended.reports);
        let mut thin = at(keeping_one(&json!([first, mark(&ended)])), wall)?;
        thin["backup"]["source"] = events(&ended, "source")[0]["uuid"].clone();
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
fn what_is_protected_is_not_deleted() -> Result<()> {
    let fixture = Fixture::new()?;
    for number in 0..3 {
        fs::write(fixture.live("file"), format!("{number}"))?;
        let mut order = keeping_one(&json!([]));
        order["backup"]["protect"] = json!(3600);
        let ended = fixture.run(&order)?;
        order["backup"]["source"] = events(&ended, "source")[0]["uuid"].clone();
        fixture.prune(&order["backup"])?;
    }
    let (mine, theirs) = fixture.names()?;
    ensure!(mine.len() == 3 && theirs == mine, "{mine:?} {theirs:?}");
    Ok(())
}
