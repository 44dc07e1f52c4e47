//! The file that keeps the tables, newest first.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Everything above this line is written by hand and stays.
const MARK: &str = "<!-- newest first: written by `make bench` -->";

const HEAD: &str = "# Results of `make bench`

Each block is one run on one machine; ratios are ours / theirs, smaller is better. `receive/main.rs` and `receive/cases.rs`
describe the measurement and the letters.

";

/// Puts a block under the mark.
pub(crate) fn keep(file: &Path, block: &str) -> Result<()> {
    let old = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{HEAD}{MARK}\n"),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", file.display()));
        }
    };
    let new = match old.split_once(MARK) {
        Some((head, blocks)) => format!("{head}{MARK}\n\n{}\n{}", block.trim_end(), blocks),
        None => format!("{}\n\n{MARK}\n\n{block}", old.trim_end()),
    };
    std::fs::write(file, new).with_context(|| format!("{} cannot be written", file.display()))
}
