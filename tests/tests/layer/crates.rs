//! The list of crates against Cargo.lock.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::rig::{PATIENCE, run};
use butterdock_tests::service::shipped;
use toml::{Table, Value};

use super::layer;
use super::metadata::Metadata;

#[test]
fn the_list_of_crates_is_that_of_the_lock_file() -> Result<()> {
    let list = Metadata::read(&layer().join("recipes-core/butterdock/butterdock-crates.inc"))?;
    let mut listed = BTreeMap::new();
    for address in list.get("SRC_URI").split_whitespace() {
        let rest = address.strip_prefix("crate://crates.io/").with_context(|| format!("{address} is no crate"))?;
        let (place, name) = rest.split_once(";name=").context("a name for its checksum")?;
        ensure!(place.replacen('/', "-", 1) == name, "{address}: its checksum has another name");
        let flag = format!("{name}.sha256sum");
        let sum = list.assignments.iter().find(|one| one.flag.as_deref() == Some(&flag));
        let sum = sum.with_context(|| format!("{name} has no checksum"))?;
        ensure!(listed.insert(place.to_owned(), sum.value.clone()).is_none(), "{place} is listed twice");
    }
    let locked = locked()?;
    ensure!(listed == locked, "run yocto/meta-butterdock/scripts/update-crates: {}", difference(&listed, &locked));
    Ok(())
}

#[test]
fn the_script_would_write_the_list_that_is_there() -> Result<()> {
    run(Command::new(layer().join("scripts/update-crates")).arg("--check"), PATIENCE)?.success()?;
    Ok(())
}

/// `name/version` and checksum of everything that comes from a registry.
fn locked() -> Result<BTreeMap<String, String>> {
    let lock: Table = fs::read_to_string(shipped("Cargo.lock"))?.parse()?;
    let mut found = BTreeMap::new();
    for package in lock["package"].as_array().context("packages")? {
        let word = |key: &str| package.get(key).and_then(Value::as_str);
        if word("source").is_none() {
            continue;
        }
        let place = format!("{}/{}", word("name").context("a name")?, word("version").context("a version")?);
        found.insert(place, word("checksum").context("a checksum")?.to_owned());
    }
    ensure!(found.len() > 100, "only {} packages in Cargo.lock", found.len());
    Ok(found)
}

fn difference(listed: &BTreeMap<String, String>, locked: &BTreeMap<String, String>) -> String {
    let missing: Vec<_> = locked.iter().filter(|(place, sum)| listed.get(*place) != Some(sum)).collect();
    let extra: Vec<_> = listed.keys().filter(|place| !locked.contains_key(*place)).collect();
    format!("missing or changed {missing:?}, too many {extra:?}")
}
