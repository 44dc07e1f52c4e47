//! What the agent remembers for its user, in a file below `$XDG_STATE_HOME`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What was shown already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// The problems that are not resolved and were shown.
    pub(crate) told: BTreeSet<String>,
    /// The drives that the person never wants to be asked about.
    pub(crate) never: BTreeSet<String>,
    /// When each overdue backup was shown, by its path; in microseconds since 1970.
    pub(crate) overdue: BTreeMap<String, u64>,
}

/// The file of the settings.
#[derive(Debug)]
pub(crate) struct SettingsFile {
    path: Option<PathBuf>,
    /// What it holds.
    written: Settings,
}

impl SettingsFile {
    /// The file of the user: `butterdock/agent.json` in `$XDG_STATE_HOME` or `~/.local/state`. Without either nothing is remembered.
    pub(crate) fn of_user() -> Self {
        let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")));
        Self::at(state.map(|state| state.join("butterdock/agent.json")))
    }

    fn at(path: Option<PathBuf>) -> Self {
        Self { path, written: Settings::default() }
    }

    /// Reads it. A file that cannot be read counts as empty: then messages come once more.
    pub(crate) fn read(&mut self) -> Settings {
        let text = self.path.as_ref().and_then(|path| fs::read(path).ok());
        self.written = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        self.written.clone()
    }

    /// Writes it if it changed.
    ///
    /// # Errors
    /// It cannot be written; it is not tried again until the settings change.
    pub(crate) fn write(&mut self, settings: &Settings) -> io::Result<()> {
        if self.written == *settings {
            return Ok(());
        }
        self.written = settings.clone();
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(settings)?)?;
        fs::rename(&new, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_back_and_a_damaged_file_is_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("butterdock/agent.json");
        let mut file = SettingsFile::at(Some(path.clone()));
        assert_eq!(file.read(), Settings::default());
        let told = BTreeSet::from(["/drives/a drive-full  0".to_owned()]);
        let settings = Settings {
            told,
            never: BTreeSet::from(["uuid".to_owned()]),
            overdue: BTreeMap::from([("/backups/home".to_owned(), 7)]),
        };
        file.write(&settings).expect("written");
        assert_eq!(SettingsFile::at(Some(path.clone())).read(), settings);
        fs::write(&path, b"{\"told\": 7").expect("written");
        assert_eq!(SettingsFile::at(Some(path.clone())).read(), Settings::default());
        fs::write(&path, b"{\"later\": true}").expect("written");
        assert_eq!(SettingsFile::at(Some(path)).read(), Settings::default());
    }
}
