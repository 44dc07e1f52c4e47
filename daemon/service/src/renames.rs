//! Backups that were renamed, in `renames.json` of the state directory.
//!
//! A rename is recorded before the configuration is written, and applied when the configuration has the new name and not the old
//! one. So a crash in between leaves either the old name, or a rename that the next start applies. The record stays: the snapshots
//! on a drive that is away still have the former name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::blocking::{ThreadLost, local};
use crate::config::Config;
use crate::durable::{self, Loaded};

/// A rename has two names of up to some hundred bytes.
const LARGEST: u64 = 256 << 10;
/// The largest number of recorded renames; the oldest are forgotten.
const MOST: usize = 128;
/// The largest number of former names of one backup.
const MOST_FORMER: usize = 8;

/// One rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rename {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// The recorded renames, the newest last. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Renames {
    file: PathBuf,
    all: Arc<Mutex<Vec<Rename>>>,
}

impl Renames {
    /// Reads them. A record that cannot be read is moved aside. Blocks.
    ///
    /// # Errors
    /// It cannot be read, and cannot be moved either.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let file = state.join("renames.json");
        let all = match durable::load(&file, LARGEST, |bytes| Ok(serde_json::from_slice(bytes)?))? {
            Loaded::Read(all) => all,
            Loaded::Missing | Loaded::SetAside => Vec::new(),
            Loaded::Unreadable { error, aside } => {
                let text = "on drives that were away since, the snapshots with the old names are shown as left over";
                tracing::error!(
                    "cannot read which backups were renamed: {error}; {text}; the file is now {}",
                    aside.display()
                );
                Vec::new()
            }
        };
        Ok(Self { file, all: Arc::new(Mutex::new(all)) })
    }

    /// Records a rename, durably. Blocks.
    ///
    /// # Errors
    /// It cannot be written: nothing has changed.
    pub(crate) fn add(&self, rename: Rename) -> io::Result<()> {
        self.change(|all| {
            all.retain(|known| *known != rename);
            all.push(rename);
            let surplus = all.len().saturating_sub(MOST);
            all.drain(..surplus);
        })
    }

    /// The configuration was not written. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn remove(&self, rename: &Rename) -> io::Result<()> {
        self.change(|all| all.retain(|known| known != rename))
    }

    /// Those that this configuration has made, in their order.
    pub(crate) fn made(&self, config: &Config) -> Vec<Rename> {
        let is_made = |rename: &&Rename| is_configured(config, &rename.to) && !is_configured(config, &rename.from);
        self.lock().iter().filter(is_made).cloned().collect()
    }

    /// Forgets the former names that this configuration gives to other backups. An error is logged.
    pub(crate) async fn forget_taken(&self, config: &Config) {
        let (all, config) = (self.clone(), config.clone());
        log_error(local(move || all.remove_taken(&config)).await);
    }

    /// Forgets the renames that were begun and never written: the service ended before. An error is logged.
    pub(crate) async fn forget_unwritten(&self, config: &Config) {
        let (all, config) = (self.clone(), config.clone());
        log_error(local(move || all.remove_unwritten(&config)).await);
    }

    /// The configuration with the former names of its backups.
    pub(crate) fn enter(&self, mut config: Config) -> Config {
        let names: Vec<String> = config.backups.iter().map(|rule| rule.name.as_str().to_owned()).collect();
        let all = self.lock().clone();
        for rule in &mut config.backups {
            rule.former = former(&all, rule.name.as_str());
            // Another backup has that name now.
            rule.former.retain(|name| !names.contains(name));
        }
        config
    }

    fn remove_taken(&self, config: &Config) -> io::Result<()> {
        let made = self.made(config);
        let is_taken = |at: usize, known: &Rename, all: &[Rename]| {
            let is_over_it = |later: &Rename| later.to == known.from && made.contains(later);
            all.iter().skip(at).any(is_over_it)
                || (is_configured(config, &known.from) && is_configured(config, &known.to))
        };
        self.keep(|at, known, all| !is_taken(at, known, all))
    }

    fn remove_unwritten(&self, config: &Config) -> io::Result<()> {
        self.keep(|_, known, _| !is_configured(config, &known.from) || is_configured(config, &known.to))
    }

    /// Keeps those that are wanted; is given the place of each, and all.
    fn keep(&self, is_wanted: impl Fn(usize, &Rename, &[Rename]) -> bool) -> io::Result<()> {
        let all = self.lock().clone();
        let kept: Vec<Rename> = all
            .iter()
            .enumerate()
            .filter(|&(at, known)| is_wanted(at, known, &all))
            .map(|(_, known)| known.clone())
            .collect();
        if kept.len() == all.len() { Ok(()) } else { self.change(|all| all.retain(|known| kept.contains(known))) }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Rename>)) -> io::Result<()> {
        let mut all = self.lock();
        let mut changed = all.clone();
        change(&mut changed);
        durable::write(&self.file, &serde_json::to_vec(&changed)?)?;
        *all = changed;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rename>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_error(written: Result<io::Result<()>, ThreadLost>) {
    let error = match written {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(lost) => lost.to_string(),
    };
    tracing::error!("the record of renamed backups cannot be written: {error}; check the disk of the state directory");
}

fn is_configured(config: &Config, name: &str) -> bool {
    config.backup(name).is_some()
}

/// The former names of a backup, the last one first.
fn former(all: &[Rename], name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = vec![name.to_owned()];
    while let Some(now) = open.pop() {
        for rename in all.iter().rev().filter(|rename| rename.to == now) {
            if rename.from != name && !found.contains(&rename.from) && found.len() < MOST_FORMER {
                found.push(rename.from.clone());
                open.push(rename.from.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BackupRule;

    fn rename(from: &str, to: &str) -> Rename {
        Rename { from: from.to_owned(), to: to.to_owned() }
    }

    fn configured(names: &[&str]) -> Config {
        let rule = |name: &&str| BackupRule::parse(&format!("name = \"{name}\"\nsource = \"/a\"\nto = []\n"));
        Config { backups: names.iter().map(rule).collect(), ..Config::default() }
    }

    #[test]
    fn a_rename_that_was_never_written_is_forgotten() {
        let state = tempfile::tempdir().expect("a folder");
        let renames = Renames::open(state.path()).expect("opened");
        for (from, to) in [("a", "b"), ("b", "c"), ("x", "y")] {
            renames.add(rename(from, to)).expect("written");
        }
        renames.remove_unwritten(&configured(&["c", "x"])).expect("written");
        assert_eq!(*renames.lock(), [rename("a", "b"), rename("b", "c")]);
    }

    #[test]
    fn a_backup_has_the_names_of_all_its_renames() {
        let all = [rename("a", "b"), rename("b", "c"), rename("x", "y")];
        assert_eq!(former(&all, "c"), ["b", "a"]);
        assert_eq!(former(&all, "a"), [""; 0]);
        let back = [rename("a", "b"), rename("b", "a")];
        assert_eq!(former(&back, "a"), ["b"], "it was renamed back");
    }

    #[test]
    fn a_new_name_is_the_former_name_of_no_other_backup() {
        let state = tempfile::tempdir().expect("a folder");
        let renames = Renames::open(state.path()).expect("opened");
        let all = || Renames::open(state.path()).expect("opened").lock().clone();
        renames.add(rename("home", "old")).expect("written");
        renames.remove_taken(&configured(&["old", "etc"])).expect("written");
        renames.add(rename("etc", "home")).expect("written");
        assert_eq!(all(), [rename("home", "old"), rename("etc", "home")], "the second is not made yet");
        renames.remove_taken(&configured(&["home"])).expect("written");
        assert_eq!(all(), [rename("etc", "home")]);
        renames.remove_taken(&configured(&["home", "etc"])).expect("written");
        assert_eq!(all(), [], "another backup has the former name");
        std::fs::write(state.path().join("renames.json"), "{").expect("damaged");
        assert!(Renames::open(state.path()).expect("opened").lock().is_empty());
    }
}
