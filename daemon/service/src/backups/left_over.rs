//! Snapshots beside a source whose backup is not configured any more, for example because it was renamed. No retention rule
//! includes them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::is_snapshot_name;

/// The snapshots of one backup.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOver {
    /// The name that the backup had.
    pub backup: String,
    /// Their folder.
    pub folder: PathBuf,
}

/// As the record of a backup's source has it.
#[derive(Deserialize)]
struct Recorded {
    source: PathBuf,
    snapshots: Option<PathBuf>,
}

/// A record is not longer than this, in bytes.
const LARGEST: u64 = 64 << 10;

/// Those of the recorded backups that are not configured. A folder that the caller may not read counts, because root's is private.
/// Blocks as long as the folders do.
pub(crate) fn left_over(state: &Path, is_configured: impl Fn(&str) -> bool) -> Vec<LeftOver> {
    let records = fs::read_dir(state.join("sources")).into_iter().flatten().flatten();
    let mut found: Vec<LeftOver> = records.filter_map(|record| of(&record.path(), &is_configured)).collect();
    found.sort_by(|one, other| one.backup.cmp(&other.backup));
    found
}

fn of(record: &Path, is_configured: impl Fn(&str) -> bool) -> Option<LeftOver> {
    let backup = record.file_name()?.to_str()?.to_owned();
    if is_configured(&backup) {
        return None;
    }
    let mut text = Vec::new();
    File::open(record).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    let Recorded { source, snapshots } = serde_json::from_slice(&text).ok()?;
    let folder = snapshots.unwrap_or_else(|| source.join(".butterdock"));
    let is_of_it = |name: OsString| is_snapshot_name(backup.as_bytes(), name.as_bytes());
    let has_some = match fs::read_dir(&folder) {
        Ok(entries) => entries.flatten().any(|entry| is_of_it(entry.file_name())),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    has_some.then_some(LeftOver { backup, folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_a_backup_that_is_not_configured_are_left_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path();
        fs::create_dir(state.join("sources")).expect("made");
        let record = |name: &str, snapshots: &Path| {
            let text = serde_json::json!({ "source": "/nowhere", "snapshots": snapshots, "uuid": "" }).to_string();
            fs::write(state.join("sources").join(name), text).expect("written");
        };
        let (with, without) = (state.join("with"), state.join("without"));
        fs::create_dir_all(with.join("home.20261122T201500Z")).expect("made");
        fs::create_dir_all(without.join("by-hand")).expect("made");
        for (name, snapshots) in [("home", &with), ("daheim", &with), ("etc", &without), ("srv", &state.join("gone"))] {
            record(name, snapshots);
        }
        fs::write(state.join("sources/home.unreadable"), "{").expect("written");
        let found = left_over(state, |name| name == "daheim");
        assert_eq!(found, [LeftOver { backup: "home".to_owned(), folder: with }]);
        assert!(left_over(state, |_| true).is_empty());
        assert!(left_over(&state.join("gone"), |_| false).is_empty());
    }
}
