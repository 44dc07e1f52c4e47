//! What is refused, with nothing left of it; a drive that is too small.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::snapshot;
use serde_json::{Value, json};

use crate::fixture::{Fixture, at, events, incremental, now, order, with};

/// That a backup is refused with these words, and that nothing was made.
fn refused(fixture: &Fixture, order: &Value, words: &str) -> Result<()> {
    let before = fixture.names()?;
    let ended = fixture.begin(order)?.finish()?;
    let error = ended.error()?.context("it must be refused")?;
    ensure!(error["message"].as_str().is_some_and(|text| text.contains(words)), "{error}");
    ensure!(fixture.names()? == before, "{before:?} became {:?}", fixture.names()?);
    Ok(())
}

#[test]
fn another_subvolume_as_source_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    let first = fixture.back_up()?;
    let uuid = events(&first, "source")[0]["uuid"].clone();
    fs::rename(fixture.live(""), fixture.source.join("old"))?;
    snapshot::create(&fixture.live(""))?;
    fs::write(fixture.live("file"), "another")?;
    refused(&fixture, &with(json!({"lineage": {"sources": [uuid]}})), "another subvolume")
}

#[test]
fn an_empty_source_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    fs::remove_file(fixture.live("file"))?;
    refused(&fixture, &order(), "empty")?;
    fs::write(fixture.live("file"), "")?;
    fixture.back_up()?;
    Ok(())
}

#[test]
fn a_directory_as_source_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    snapshot::delete(&fixture.live(""))?;
    fs::create_dir(fixture.live(""))?;
    fs::write(fixture.live("file"), "x")?;
    refused(&fixture, &order(), "not mounted")
}

/// Bytes that do not compress, another each time.
fn noise(mebibytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.take(mebibytes << 17).flat_map(u64::to_le_bytes).collect()
}

#[test]
fn a_backup_that_does_not_fit_is_refused_first() -> Result<()> {
    let fixture = Fixture::sized(1024, 300)?;
    fs::write(fixture.live("large"), noise(400, 7))?;
    let ended = fixture.begin(&order())?.finish()?;
    let error = ended.error()?.context("it cannot fit")?;
    ensure!(error["kind"] == "NoSpace" && ended.said("began").is_empty(), "{:?}", ended.reports);
    ensure!(error["message"].as_str().is_some_and(|text| text.contains("MiB are needed")), "{error}");
    ensure!(fixture.names()? == (vec![], vec![]), "{:?}", fixture.names()?);
    Ok(())
}

#[test]
fn a_full_drive_is_pruned_once_and_the_backup_fits() -> Result<()> {
    let fixture = Fixture::sized(1500, 500)?;
    let keep = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let start = now()?;
    for round in 0..2 {
        fs::write(fixture.live("large"), noise(110, 3 + round))?;
        fixture.run(&at(order(), start + 10 * i64::try_from(round)?)?)?;
    }
    ensure!(fixture.names()?.1.len() == 2);
    fs::write(fixture.live("large"), noise(150, 99))?;
    let ended = fixture.run(&at(with(json!({"keep": keep})), start + 60)?)?;
    ensure!(incremental(&ended)? && !events(&ended, "pruned").is_empty(), "{:?}", ended.reports);
    fixture.is_restorable()
}
