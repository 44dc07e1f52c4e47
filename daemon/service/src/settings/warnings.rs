//! What a caller should know of a table that it has changed: the values are good, and what they name is not as it has to be.

use crate::backups;
use crate::config::{BackupRule, Config, Nested, VolumeRule};
use crate::volumes;

use super::{SettingChange, SettingList};

/// Something that keeps a table from working now, or that it does not include.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingWarning {
    /// For programs.
    pub code: &'static str,
    /// The name of the table.
    pub name: String,
    /// One sentence, with what to do.
    pub english: String,
}

/// What is to be looked at after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// A backup that is enabled.
    Backup(Box<BackupRule>),
    /// A volume.
    Volume(VolumeRule),
}

impl Subject {
    /// The table that was changed, where it can be looked at.
    pub(super) fn of(change: &SettingChange, config: &Config) -> Option<Self> {
        let SettingChange::Set { list, name, .. } = change else { return None };
        match list {
            SettingList::Backup => {
                let rule = config.backup(name).filter(|rule| rule.enabled)?;
                Some(Self::Backup(Box::new(rule.clone())))
            }
            SettingList::Volume => {
                let rule = config.volumes.iter().find(|rule| rule.name.as_str() == name)?;
                Some(Self::Volume(rule.clone()))
            }
            SettingList::Destination => None,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Backup(rule) => rule.name.as_str(),
            Self::Volume(rule) => rule.name.as_str(),
        }
    }

    /// What is wrong with the directories that it names. Blocks as long as they do.
    pub(super) fn look(&self) -> Vec<SettingWarning> {
        let warning = |code, english: String| SettingWarning { code, name: self.name().to_owned(), english };
        match self {
            Self::Volume(rule) => {
                let why = volumes::open(rule).map(drop).err();
                let text = |why| format!("the volume \"{}\" is not usable now: {why}", rule.name);
                why.into_iter().map(|why| warning("volume-unusable", text(why))).collect()
            }
            Self::Backup(rule) => {
                let BackupRule { source, snapshots, .. } = &**rule;
                let include = rule.nested == Nested::Include;
                if let Err(why) = backups::check_source(source, snapshots, include) {
                    return vec![warning("source-unusable", format!("this backup fails as things are: {why}"))];
                }
                let folder = backups::check_folder(source, snapshots).err();
                let folder = folder.map(|why| warning("snapshots-unusable", format!("this backup will fail: {why}")));
                let left_out =
                    backups::left_out(source, snapshots, include).map(|text| warning("nested-left-out", text));
                folder.into_iter().chain(left_out).collect()
            }
        }
    }

    /// The names of destinations that the service does not know.
    pub(super) fn unknown(&self, is_known: impl Fn(&str) -> bool) -> Vec<SettingWarning> {
        let Self::Backup(rule) = self else { return Vec::new() };
        let warning =
            |english: String| SettingWarning { code: "destination-unknown", name: self.name().to_owned(), english };
        if rule.drives.is_empty() {
            return vec![warning("the backup has no destination, so it never runs; name one in `to`".to_owned())];
        }
        let text = |name: &String| {
            format!(
                "no enrolled drive or other destination is called \"{name}\"; butterdock enrol enrols a drive, and butterdock drives lists the names"
            )
        };
        rule.drives.iter().filter(|name| !is_known(name)).map(|name| warning(text(name))).collect()
    }
}
