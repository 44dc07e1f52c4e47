//! The layer's own documents.

use std::fs;

use anyhow::{Result, ensure};

use super::layer;

/// The README's headings; yocto-check-layer wants a maintainer, patches and an address besides.
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
fn the_readme_says_what_a_layer_s_must() -> Result<()> {
    let readme = fs::read_to_string(layer().join("README.md"))?;
    for heading in HEADINGS {
        ensure!(readme.lines().any(|line| line == heading), "{heading} is missing");
    }
    for word in ["patch", "@", "zstd", "externalsrc", "wrynose", "kas"] {
        ensure!(readme.contains(word), "no word of {word}");
    }
    Ok(())
}

#[test]
fn the_layer_has_security_contact_and_licence() -> Result<()> {
    ensure!(fs::read_to_string(layer().join("SECURITY.md"))?.contains("Reporting"), "SECURITY.md");
    ensure!(fs::read_to_string(layer().join("COPYING.MIT"))?.contains("Permission is hereby granted"), "COPYING.MIT");
    Ok(())
}
