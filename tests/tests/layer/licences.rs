//! The licences: that the recipes name them, and that the notices of what is linked are installed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::shipped;
use butterdock_tests::{TIMEOUT, run};
use toml::Table;

use super::recipe;
use super::recipes::all;

/// The licences in use, by their SPDX names, and the checksum of the text that the core layer keeps of some.
const LICENCES: [(&str, Option<&str>); 8] = [
    ("0BSD", None),
    ("Apache-2.0", None),
    ("BSD-2-Clause", None),
    ("BSD-3-Clause", None),
    ("ISC", None),
    ("MIT", Some("${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302")),
    ("Unicode-3.0", None),
    ("Zlib", None),
];

#[test]
fn licences_have_their_spdx_names_and_the_checksums_of_their_texts() -> Result<()> {
    for file in all()? {
        let kind = file.path.extension().context("a kind")?;
        let licence = file.get("LICENSE");
        if kind != "bb" {
            ensure!(licence.is_empty(), "{}: a licence of its own", file.path.display());
            continue;
        }
        let mut common = None;
        for name in licence.split(" & ") {
            let row = LICENCES.iter().find(|(known, _)| *known == name);
            let (_, text) = row.with_context(|| format!("{}: {name} is no SPDX name", file.path.display()))?;
            common = common.or(*text);
        }
        for address in file.get("LIC_FILES_CHKSUM").split_whitespace() {
            let text = address.strip_prefix("file://").context("a file")?;
            if text.starts_with("${COMMON_LICENSE_DIR}") {
                ensure!(Some(text) == common, "{}: {text}", file.path.display());
                continue;
            }
            let (text, sum) = text.split_once(";md5=").context("a checksum")?;
            let said = run(Command::new("md5sum").arg(shipped(text)), TIMEOUT)?.success()?;
            ensure!(said.out().starts_with(sum), "{}: {text} has {}", file.path.display(), said.out());
        }
    }
    let workspace: Table = fs::read_to_string(shipped("Cargo.toml"))?.parse()?;
    let package = &workspace["workspace"]["package"];
    let own = recipe()?.get("LICENSE");
    ensure!(package["license"].as_str() == own.split(" & ").next(), "Cargo.toml has another licence");
    ensure!(recipe()?.get("LIC_FILES_CHKSUM").contains("file://LICENSE;"), "the licence of the source is not checked");
    Ok(())
}

/// Every crate that is compiled into the programs, with its licence; those of the workspace are left out.
fn linked() -> Result<BTreeMap<String, String>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(shipped("")).args(["tree", "--frozen", "--prefix", "none", "--edges", "normal"]);
    tree.args([
        "--package",
        "butterdockd",
        "--package",
        "butterdock",
        "--package",
        "butterdock-net",
        "--format",
        "{p}|{l}",
    ]);
    let said = run(&mut tree, TIMEOUT)?.success()?.out();
    let mut found = BTreeMap::new();
    for line in said.lines() {
        let Some((package, licence)) = line.split_once('|') else { continue };
        if !package.contains(" (") {
            found.insert(package.to_owned(), licence.trim_end_matches(" (*)").to_owned());
        }
    }
    ensure!(found.len() > 80, "only {} crates: {said}", found.len());
    Ok(found)
}

/// Whether the terms of an SPDX expression can be met by a list of licences.
fn met(expression: &str, by: &[&str]) -> bool {
    let expression = expression.trim();
    let mut depth = 0_usize;
    for operator in [" AND ", " OR "] {
        for (at, _) in expression.match_indices(operator) {
            depth = expression[..at].matches('(').count() - expression[..at].matches(')').count();
            if depth == 0 {
                let (left, right) = (&expression[..at], &expression[at + operator.len()..]);
                let met_left = met(left, by);
                return if operator == " AND " { met_left && met(right, by) } else { met_left || met(right, by) };
            }
        }
    }
    let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inner.map_or_else(|| depth == 0 && by.contains(&expression), |inner| met(inner, by))
}

#[test]
fn spdx_expressions_are_judged() {
    let by = ["MIT", "Zlib"];
    for expression in ["MIT", "Apache-2.0 OR MIT", "(MIT OR Apache-2.0) AND Zlib", "X WITH Y OR Z OR MIT"] {
        assert!(met(expression, &by), "{expression}");
    }
    for expression in ["ISC", "MIT AND ISC", "(MIT OR Apache-2.0) AND Unicode-3.0", "(MIT AND ISC) OR X"] {
        assert!(!met(expression, &by), "{expression}");
    }
}

#[test]
fn the_recipe_lists_the_licence_of_every_linked_crate() -> Result<()> {
    let licence = recipe()?.get("LICENSE");
    let listed: Vec<_> = licence.split(" & ").collect();
    for (package, terms) in linked()? {
        ensure!(met(&terms, &listed), "{package} is under {terms}, and LICENSE is {licence}");
    }
    Ok(())
}

#[test]
fn the_notices_have_every_linked_crate() -> Result<()> {
    let said = run(&mut Command::new(shipped("daemon/data/notices")), TIMEOUT)?.success()?.out();
    for (package, terms) in linked()? {
        ensure!(said.lines().any(|line| line == format!("{package}: {terms}")), "{package} is missing");
    }
    for text in ["Copyright (c) Meta Platforms, Inc. and affiliates", "UNICODE LICENSE V3", "Apache License"] {
        ensure!(said.contains(text), "{text} is missing");
    }
    ensure!(!said.contains("GNU GENERAL PUBLIC LICENSE"), "zstd is used under its other licence");
    Ok(())
}

#[test]
fn packages_install_the_notices() -> Result<()> {
    let text = recipe()?.text;
    ensure!(text.contains("${S}/daemon/data/notices ${CARGO_VENDORING_DIRECTORY} > ${B}/third-party"), "none are made");
    // ${datadir}/${BPN} is in FILES of every package by default.
    ensure!(text.contains("${B}/third-party ${D}${datadir}/${BPN}/third-party"), "none are installed");
    let debian = fs::read_to_string(shipped("daemon/data/debian/build"))?;
    ensure!(debian.contains("daemon/data/notices"), "none are in the Debian package");
    let copyright = fs::read_to_string(shipped("daemon/data/debian/copyright"))?;
    for (name, _) in LICENCES {
        ensure!(copyright.contains(name), "debian/copyright does not name {name}");
    }
    Ok(())
}
