//! What is refused, and that nothing comes of it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::snapshot;
use serde_json::{Value, json};

use crate::fixture::{Fixture, events, order, with};

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
fn another_subvolume_in_the_place_of_the_source_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    let first = fixture.back_up()?;
    let uuid = events(&first, "source")[0]["uuid"].clone();
    fs::rename(fixture.live(""), fixture.source.join("old"))?;
    snapshot::create(&fixture.live(""))?;
    fs::write(fixture.live("file"), "another")?;
    refused(&fixture, &with(json!({"source": uuid})), "another subvolume")
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
fn a_folder_in_the_place_of_the_source_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    snapshot::delete(&fixture.live(""))?;
    fs::create_dir(fixture.live(""))?;
    fs::write(fixture.live("file"), "x")?;
    refused(&fixture, &order(), "not mounted")
}
