//! What a receiver leaves in a destination.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;

/// The staging directory, which stays.
const STAGING: &str = ".butterdock-staging";
/// What stays in it.
const RECORDS: &str = "records";

/// The names in a folder, those of hidden subvolumes apart: `(visible, hidden)`, sorted. Those in the staging directory have
/// its name before theirs; itself and the records do not count.
///
/// # Errors
/// When it cannot be listed.
pub fn names(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    // With a plus they hold the names of snapshots.
    let is_ours = |name: &String| [".butterdock-", ".butterdock+"].iter().any(|ours| name.starts_with(ours));
    let all = listed(folder)?.into_iter().filter(|name| name != STAGING);
    let (mut hidden, visible): (Vec<_>, Vec<_>) = all.partition(is_ours);
    let staged = match listed(&folder.join(STAGING)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        staged => staged?,
    };
    hidden.extend(staged.into_iter().filter(|name| name != RECORDS).map(|name| format!("{STAGING}/{name}")));
    Ok((visible, hidden))
}

/// All of [`names`], sorted.
///
/// # Errors
/// When it cannot be listed.
pub fn all_names(folder: &Path) -> Result<Vec<String>> {
    let (visible, hidden) = names(folder)?;
    let mut all = [visible, hidden].concat();
    all.sort();
    Ok(all)
}

fn listed(folder: &Path) -> std::io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
