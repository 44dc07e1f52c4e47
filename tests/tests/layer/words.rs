//! The layer's own documents.

use std::fs;

use anyhow::{Result, ensure};
use butterdock_tests::shipped;

use super::{layer, recipe};

/// The README's headings. yocto-check-layer also requires a maintainer, a word about patches, and an address.
const HEADINGS: [&str; 10] = [
    "## Series and layers",
    "## Quick start",
    "## PACKAGECONFIG",
    "## The kernel",
    "## Read-only root and state",
    "## Working on a checkout",
    "## Updating the crates",
    "## Testing",
    "## Releases",
    "## Maintainer",
];

#[test]
fn the_readme_has_what_a_layers_readme_needs() -> Result<()> {
    let readme = fs::read_to_string(layer().join("README.md"))?;
    for heading in HEADINGS {
        ensure!(readme.lines().any(|line| line == heading), "{heading} is missing");
    }
    for word in ["patch", "@", "zstd", "externalsrc", "wrynose", "kas"] {
        ensure!(readme.contains(word), "{word} is missing");
    }
    Ok(())
}

#[test]
fn every_kas_command_of_the_readme_builds_a_checkout() -> Result<()> {
    let readme = fs::read_to_string(layer().join("README.md"))?.replace("\\\n", " ");
    let commands: Vec<_> = readme.lines().filter(|line| line.contains("kas build ")).collect();
    ensure!(commands.len() >= 2, "{commands:?}");
    for command in commands {
        let (before, files) = command.split_once("kas build ").unwrap_or_default();
        for file in files.trim().split(':') {
            let place = file.trim().strip_prefix("butterdock/").unwrap_or_default();
            ensure!(shipped(place).is_file(), "{command}: there is no {file}");
        }
        // Without a release there is nothing to fetch.
        let released = recipe()?.get("SRCREV").bytes().any(|digit| digit != b'0');
        let checkout = files.contains("kas/checkout.yml") && before.contains("BUTTERDOCK_SOURCE=");
        ensure!(released || checkout, "{command}");
    }
    Ok(())
}

#[test]
fn the_layer_has_security_contact_and_licence() -> Result<()> {
    ensure!(fs::read_to_string(layer().join("SECURITY.md"))?.contains("Reporting"), "SECURITY.md");
    ensure!(fs::read_to_string(layer().join("COPYING.MIT"))?.contains("Permission is hereby granted"), "COPYING.MIT");
    Ok(())
}
