//! Checks the documents' statements about the sources.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::shipped;

/// All of Rust below a folder, without what was built.
fn sources(folder: &Path, into: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[test]
fn every_test_that_the_security_page_names_is_there() -> Result<()> {
    let page = fs::read_to_string(shipped("SECURITY.md"))?;
    let rows = page.split("## Which test shows it").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = rows.context("a section")?.lines().filter(|line| line.starts_with('|')).collect::<String>();
    let named: Vec<&str> = rows.split('`').skip(1).step_by(2).collect();
    ensure!(named.len() > 20, "only {} tests are named", named.len());
    let mut all = String::new();
    for folder in ["daemon", "dbus", "cli", "tests"] {
        sources(&shipped(folder), &mut all)?;
    }
    for name in named {
        ensure!(all.contains(&format!("fn {name}(")), "there is no test {name}");
    }
    Ok(())
}
