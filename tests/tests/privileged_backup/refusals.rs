//! What is refused, and that nothing comes of it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::snapshot;
use serde_json::{Value, json};

use crate::stage::{Stage, order, told, with};

/// That a backup is refused with these words, and that nothing was made.
fn refused(stage: &Stage, order: &Value, words: &str) -> Result<()> {
    let before = stage.names()?;
    let ended = stage.begin(order)?.finish()?;
    let error = ended.error()?.context("it must be refused")?;
    ensure!(error["message"].as_str().is_some_and(|text| text.contains(words)), "{error}");
    ensure!(stage.names()? == before, "{before:?} became {:?}", stage.names()?);
    Ok(())
}

#[test]
fn another_subvolume_in_the_place_of_the_source_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    let first = stage.back_up()?;
    let uuid = told(&first, "source")[0]["uuid"].clone();
    fs::rename(stage.live(""), stage.source.join("old"))?;
    snapshot::create(&stage.live(""))?;
    fs::write(stage.live("file"), "another")?;
    refused(&stage, &with(json!({"source": uuid})), "another subvolume")
}

#[test]
fn an_empty_source_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    fs::remove_file(stage.live("file"))?;
    refused(&stage, &order(), "empty")?;
    fs::write(stage.live("file"), "")?;
    stage.back_up()?;
    Ok(())
}

#[test]
fn a_folder_in_the_place_of_the_source_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    snapshot::delete(&stage.live(""))?;
    fs::create_dir(stage.live(""))?;
    fs::write(stage.live("file"), "x")?;
    refused(&stage, &order(), "not mounted")
}
