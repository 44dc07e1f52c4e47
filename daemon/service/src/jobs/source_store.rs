//! The source of each backup and its lineage, recorded on disk. A subvolume of no kin in its place is not sent, until an
//! administrator accepts it as the new source, or the configuration names another path, which makes the record void.
//!
//! [`SourceStore`] also opens the directories of a backup, through a function that it is given: tests give another one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::backups::{Identity, Lineage, NotOpened, SourceProblem};
use crate::config::BackupRule;
use crate::destinations::{Destination, Space};
use crate::dir_handle::DirHandle;
use crate::durable;
use crate::jobs::source_space::SourceSpaces;

/// A record has two paths of at most 4096 bytes, of which JSON writes each in up to six, and a lineage of less than six kilobytes.
const LARGEST: u64 = 64 << 10;

/// The folder of the records. A service has one; its clones share the lock. Every call blocks.
#[derive(Debug, Clone)]
pub(super) struct SourceStore {
    folder: PathBuf,
    open: OpenDirectories,
    /// What is known of the space of the sources.
    pub(super) spaces: SourceSpaces,
    /// Held while a record is written: two jobs of one backup write the same one.
    writing: Arc<Mutex<()>>,
}

/// The source and the folder for its snapshots.
pub(crate) type Opened = Result<[DirHandle; 2], NotOpened>;

/// How sources and the directories of backups are opened. Both block as long as the source and the destination do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenDirectories {
    /// Opens the directories of a backup, as [`SourceStore::open`] has it.
    pub(crate) open: fn(&BackupRule, &mut dyn Destination, (Identity, bool)) -> Opened,
    /// The lineage of the subvolume at a source's path, where it can be backed up.
    pub(crate) find_source: fn(&BackupRule) -> Option<Lineage>,
    /// Looks at the source of a backup, as [`SourceStore::look`] has it.
    pub(crate) look: fn(&BackupRule) -> Option<Look>,
}

/// The folder for the snapshots of a source, and the space of its filesystem.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) folder: DirHandle,
    pub(crate) space: Space,
}

/// One backup's source. Where the configuration names another path, another subvolume is meant.
#[derive(Debug, Serialize, Deserialize)]
struct SourceRecord {
    source: PathBuf,
    uuid: Identity,
    /// Missing in the first records.
    #[serde(default)]
    lineage: Lineage,
    /// The folder for its snapshots, to find them when the backup is not configured any more. Missing in the first records.
    #[serde(default)]
    snapshots: Option<PathBuf>,
}

impl SourceStore {
    /// In this state directory; the directories of backups are opened by `open`.
    pub(super) fn new(state: &Path, open: OpenDirectories) -> Self {
        Self { folder: state.join("sources"), open, spaces: SourceSpaces::new(), writing: Arc::default() }
    }

    /// The folder for the snapshots of a source; none if the source is not there, or has none yet.
    pub(super) fn look(&self, rule: &BackupRule) -> Option<Look> {
        (self.open.look)(rule)
    }

    /// Opens the source and the folder for its snapshots, and has the destination open its folder; `here` is this machine, and
    /// whether it made this backup there before.
    ///
    /// # Errors
    /// What cannot be opened, and what to do.
    pub(super) fn open(&self, rule: &BackupRule, destination: &mut dyn Destination, here: (Identity, bool)) -> Opened {
        (self.open.open)(rule, destination, here)
    }

    /// Whether a source that was refused with this problem can be backed up now. `ours` are the snapshots that the backup made, and
    /// those that were restored from its snapshots.
    pub(super) fn has_appeared(&self, rule: &BackupRule, problem: SourceProblem, ours: &[Identity]) -> bool {
        let Some(found) = (self.open.find_source)(rule) else { return false };
        // Another subvolume stays another one until the recorded one, or one that descends from it, is there.
        let continues = |recorded: &Lineage| found.continues(recorded, |uuid| ours.contains(&uuid));
        problem != SourceProblem::Another
            || self.of(rule).is_ok_and(|recorded| recorded.as_ref().is_some_and(continues))
    }

    /// The subvolume at the path of a source, whose lineage without the record is `found`, and those that it replaced.
    pub(super) fn sources_now(&self, rule: &BackupRule, found: Lineage) -> Vec<Identity> {
        let recorded = self.of(rule).ok().flatten().filter(|recorded| found.continues(recorded, |_other| false));
        let replaced = recorded.map(|recorded| recorded.sources).unwrap_or_default();
        found.sources.into_iter().chain(replaced).collect()
    }

    /// What is recorded of a backup's source; None before its first run.
    ///
    /// # Errors
    /// The record cannot be read: then no backup is made.
    pub(super) fn of(&self, rule: &BackupRule) -> io::Result<Option<Lineage>> {
        let Some(bytes) = durable::read(&self.file(rule), LARGEST)? else { return Ok(None) };
        let SourceRecord { source, uuid, mut lineage, snapshots: _ } = serde_json::from_slice(&bytes)?;
        if lineage.sources.first() != Some(&uuid) {
            lineage.sources.insert(0, uuid);
        }
        Ok((source == rule.source).then_some(lineage))
    }

    /// Records the subvolume that the backup was made of, with its lineage.
    ///
    /// # Errors
    /// It cannot be written; the old record stays.
    pub(super) fn remember(&self, rule: &BackupRule, lineage: Lineage) -> io::Result<()> {
        let Some(&uuid) = lineage.sources.first() else { return Ok(()) };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshots = Some(rule.snapshots.clone());
        let known = SourceRecord { source: rule.source.clone(), uuid, lineage, snapshots };
        durable::write(&self.file(rule), &serde_json::to_vec(&known)?)
    }

    /// Whether a source is recorded of a backup of this name.
    pub(super) fn has(&self, backup: &str) -> bool {
        self.folder.join(backup).exists()
    }

    /// What is recorded of a backup is that of another name from now on.
    ///
    /// # Errors
    /// The record cannot be renamed; it stays.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.spaces.forget(from);
        durable::rename(&self.folder.join(from), &self.folder.join(to))
    }

    fn file(&self, rule: &BackupRule) -> PathBuf {
        self.folder.join(rule.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A backup of this name.
    fn rule(name: &str) -> BackupRule {
        BackupRule {
            name: name.to_owned().try_into().expect("a name"),
            former: Vec::new(),
            source: format!("/{name}").into(),
            snapshots: format!("/{name}/.butterdock").into(),
            drives: vec!["blue".to_owned()],
            folder: name.into(),
            keep: crate::backups::RetentionRule::default(),
            protect: std::time::Duration::ZERO,
            keep_shared_for: std::time::Duration::MAX,
            source_reserve: Default::default(),
            schedule: Default::default(),
            nested: Default::default(),
            enabled: true,
            spread: std::time::Duration::ZERO,
            overdue: None,
            overdue_for: Default::default(),
        }
    }

    fn lineage(number: u8) -> Lineage {
        Lineage { sources: vec![Identity([number; 16]), Identity([1; 16])], ..Lineage::default() }
    }

    /// One whose record has a length of its own.
    fn long_lineage(number: u8) -> Lineage {
        Lineage { ancestors: vec![Identity([number; 16]); usize::from(number)], ..lineage(number) }
    }

    fn sources_in(state: &Path) -> SourceStore {
        let open = OpenDirectories {
            open: |_rule, _root, _here| Err("it is not opened".to_owned().into()),
            find_source: |rule| {
                let path = &rule.source;
                let ancestors =
                    if path.ends_with("rolled-back") { vec![Identity([8; 16]), Identity([6; 16])] } else { vec![] };
                let lineage = Lineage { sources: vec![Identity([7; 16])], ancestors, ..Lineage::default() };
                path.starts_with("/there").then_some(lineage)
            },
            look: |_rule| None,
        };
        SourceStore::new(state, open)
    }

    #[test]
    fn a_backups_source_is_recorded() {
        let state = tempfile::tempdir().expect("a folder");
        let (sources, home) = (sources_in(state.path()), rule("home"));
        assert_eq!(sources.of(&home).expect("read"), None);
        sources.remember(&home, lineage(7)).expect("written");
        assert_eq!(sources_in(state.path()).of(&home).expect("read"), Some(lineage(7)));
        assert_eq!(sources.of(&rule("etc")).expect("read"), None);
        let moved = BackupRule { source: PathBuf::from("/elsewhere"), ..home.clone() };
        assert_eq!(sources.of(&moved).expect("read"), None);
        fs::write(state.path().join("sources/home"), "{").expect("written");
        assert!(sources.of(&home).is_err(), "a file that cannot be read lets nothing pass");
    }

    #[test]
    fn a_refused_source_has_appeared_when_it_can_be_backed_up() {
        let state = tempfile::tempdir().expect("a folder");
        let (sources, home) = (sources_in(state.path()), rule("there"));
        let has_appeared = |rule: &BackupRule, problem| sources.has_appeared(rule, problem, &[]);
        assert!(!has_appeared(&rule("away"), SourceProblem::NotOpened));
        assert!(has_appeared(&home, SourceProblem::NotOpened), "before its first run any");
        assert!(!has_appeared(&home, SourceProblem::Another));
        sources.remember(&home, lineage(6)).expect("written");
        assert!(!has_appeared(&home, SourceProblem::Another), "it is still another one");
        sources.remember(&home, lineage(7)).expect("written");
        assert!(has_appeared(&home, SourceProblem::Another));
        let rolled_back = BackupRule { source: "/there/rolled-back".into(), ..rule("rolled-back") };
        sources.remember(&rolled_back, lineage(5)).expect("written");
        assert!(!has_appeared(&rolled_back, SourceProblem::Another), "its ancestors are of no kin");
        for restored in [7, 8] {
            // Made writable, or a snapshot of it.
            let ours = [Identity([restored; 16])];
            assert!(sources.has_appeared(&rolled_back, SourceProblem::Another, &ours), "it was restored: {restored}");
        }
        sources.remember(&rolled_back, lineage(6)).expect("written");
        assert!(has_appeared(&rolled_back, SourceProblem::Another), "it descends from the recorded one");
    }

    #[test]
    fn two_first_backups_at_once_are_not_confused() {
        let state = tempfile::tempdir().expect("a folder");
        let sources = sources_in(state.path());
        std::thread::scope(|threads| {
            // Two jobs of one backup may each find another subvolume.
            for (name, own, other) in [("home", 2, 3), ("home", 3, 2), ("etc", 4, 4)] {
                let sources = sources.clone();
                threads.spawn(move || {
                    for _ in 0..50 {
                        sources.remember(&rule(name), long_lineage(own)).expect("written");
                        let recorded = sources.of(&rule(name)).expect("read").expect("recorded");
                        assert!([own, other].map(long_lineage).contains(&recorded), "a mixture: {recorded:?}");
                    }
                });
            }
        });
    }
}
