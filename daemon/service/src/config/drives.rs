//! `[drives]`: which drives are shown, and what happens after their backups. `[[import]]`: the folders of stream files on drives.

use std::path::PathBuf;

use serde::Deserialize;
use uuid::Uuid;

use super::backup::Folder;
use super::command::Command;
use super::validated::AbsolutePath;

/// The rules for drives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveRules {
    /// Which drives are shown in addition to USB and removable drives.
    pub matches: Vec<MatchRule>,
    /// The action after the last backup of a plug.
    pub on_finish: OnFinish,
    /// The program that runs for each event.
    pub on_event: Option<Command>,
    /// Keys that unlock drives without a prompt; up to one for each drive.
    pub keys: Vec<KeyRule>,
}

/// A device that matches all given patterns; at least one is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Match")]
pub struct MatchRule {
    /// The path in sysfs: `/devices/pci0000:00/…/block/sda`.
    pub devpath: Option<String>,
    /// The serial number.
    pub serial: Option<String>,
    /// The port, as in udev's `ID_PATH`.
    pub id_path: Option<String>,
    /// The file under a loop device. Only such a rule matches loop devices.
    pub loop_file: Option<String>,
}

/// The action after the backups of a drive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFinish {
    /// It stays mounted.
    Keep,
    /// It is unmounted and locked.
    #[default]
    Unmount,
    /// It is also switched off, if its hardware can.
    PowerOff,
}

/// A key for one enrolled drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// The id of its enrolment.
    pub drive: Uuid,
    /// The key, readable only by root.
    pub file: PathBuf,
}

/// `[drives]`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drives {
    #[serde(rename = "match")]
    matches: Option<Vec<MatchRule>>,
    on_finish: Option<OnFinish>,
    on_event: Option<OnEvent>,
    key_file: Option<Keys>,
}

impl Drives {
    /// Replaces the keys that were read before.
    pub(super) fn apply(self, rules: &mut DriveRules) {
        let Self { matches, on_finish, on_event, key_file } = self;
        super::apply::set(&mut rules.matches, matches);
        super::apply::set(&mut rules.on_finish, on_finish);
        super::apply::set(&mut rules.on_event, on_event.map(|said| said.0));
        super::apply::set(&mut rules.keys, key_file.map(|keys| keys.0));
    }
}

impl DriveRules {
    /// The rules in words, for `check-config`.
    pub(crate) fn words(&self) -> Vec<String> {
        let Self { matches, on_finish, on_event, keys } = self;
        let mut all = vec![
            "USB drives and removable drives are shown; the service touches no drive until it is enrolled.".to_owned(),
        ];
        all.extend(matches.iter().map(|rule| format!("Also shown: drives {}.", rule.words())));
        let end = match on_finish {
            OnFinish::Keep => "stays mounted",
            OnFinish::Unmount => "is unmounted and locked",
            OnFinish::PowerOff => "is unmounted, locked and switched off if its hardware can",
        };
        all.push(format!("After its backups a drive {end}."));
        all.extend(on_event.iter().map(|command| {
            let now = command.hindrance().map_or_else(String::new, |why| format!(", but it will not run: {why}"));
            format!("Events of drives run {command}{now}.")
        }));
        let unlocked = |key: &KeyRule| format!("The key {1} unlocks the drive {0}.", key.drive, key.file.display());
        all.extend(keys.iter().map(unlocked));
        all
    }
}

impl MatchRule {
    fn words(&self) -> String {
        let Self { devpath, serial, id_path, loop_file } = self;
        let all = [("devpath", devpath), ("serial", serial), ("id_path", id_path), ("loop", loop_file)];
        let said = all.iter().filter_map(|(key, pattern)| Some(format!("whose {key} is like {}", pattern.as_ref()?)));
        said.collect::<Vec<_>>().join(" and ")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    devpath: Option<String>,
    serial: Option<String>,
    id_path: Option<String>,
    #[serde(rename = "loop")]
    loop_file: Option<String>,
}

impl TryFrom<Match> for MatchRule {
    type Error = &'static str;

    fn try_from(said: Match) -> Result<Self, Self::Error> {
        let Match { devpath, serial, id_path, loop_file } = said;
        if [&devpath, &serial, &id_path, &loop_file].iter().all(|pattern| pattern.is_none()) {
            return Err("a match has at least one of devpath, serial, id_path and loop");
        }
        Ok(Self { devpath, serial, id_path, loop_file })
    }
}

/// A command; an empty list removes the maker's command.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct OnEvent(Option<Command>);

impl TryFrom<Vec<String>> for OnEvent {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        if words.is_empty() { Ok(Self(None)) } else { Command::try_from(words).map(|command| Self(Some(command))) }
    }
}

/// The keys, up to one for each drive.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Key>")]
struct Keys(Vec<KeyRule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    drive: Uuid,
    file: AbsolutePath,
}

impl TryFrom<Vec<Key>> for Keys {
    type Error = String;

    fn try_from(keys: Vec<Key>) -> Result<Self, Self::Error> {
        let mut rules: Vec<KeyRule> = Vec::new();
        for Key { drive, file } in keys {
            if rules.iter().any(|rule| rule.drive == drive) {
                return Err(format!("the drive {drive} has two keys"));
            }
            rules.push(KeyRule { drive, file: file.0 });
        }
        Ok(Self(rules))
    }
}

/// `[[import]]`, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    drive: String,
    folder: Option<Folder>,
    #[serde(default = "super::file::enabled")]
    enabled: bool,
}

/// Stream files on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRule {
    /// What an enrolled drive is called; the uuid of the filesystem of a drive without btrfs.
    pub drive: String,
    /// The folder, relative to the top of the drive; empty for the top.
    pub folder: PathBuf,
}

impl Import {
    /// The rule; none if it is not enabled.
    pub(super) fn rule(self) -> Option<ImportRule> {
        let Self { drive, folder, enabled } = self;
        enabled.then(|| ImportRule { drive, folder: folder.map(|folder| folder.0).unwrap_or_default() })
    }
}

impl ImportRule {
    /// The rule in words, for `check-config`.
    pub(crate) fn words(&self) -> String {
        let Self { drive, folder } = self;
        let place =
            if folder.as_os_str().is_empty() { "its top".to_owned() } else { folder.to_string_lossy().into_owned() };
        format!(
            "Import: butterdock import receives the files *.btrfs and *.send in {place} on the drive \"{drive}\"; a \
             drive without btrfs is mounted read-only for this."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DriveRules, String> {
        let drives: Drives = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut rules = DriveRules::default();
        drives.apply(&mut rules);
        Ok(rules)
    }

    #[test]
    fn drive_rules_are_parsed_and_described() {
        let id = Uuid::from_u128(7);
        let rules = read(&format!(
            "match = [ {{ loop = \"/srv/*.img\" }}, {{ serial = \"S*\", id_path = \"pci-*\" }} ]\non_finish = \"power-off\"\n\
             on_event = [ \"/nonexistent/light\", \"on\" ]\nkey_file = [ {{ drive = \"{id}\", file = \"/etc/butterdock/key\" }} ]\n"
        ))
        .expect("read");
        assert_eq!((rules.matches.len(), rules.on_finish), (2, OnFinish::PowerOff));
        assert_eq!(rules.keys, [KeyRule { drive: id, file: PathBuf::from("/etc/butterdock/key") }]);
        let words = rules.words().join("\n");
        for expected in [
            "whose loop is like /srv/*.img",
            "serial is like S* and whose id_path",
            "switched off if",
            "run /nonexistent/light \"on\", but",
        ] {
            assert!(words.contains(expected), "{expected}: {words}");
        }
    }

    #[test]
    fn empty_matches_and_duplicate_keys_are_refused() {
        assert!(read("match = [ {} ]").expect_err("refused").contains("at least one"));
        assert!(read("on_event = [ \"light\" ]").is_err());
        assert_eq!(read("on_event = []").expect("read").on_event, None);
        assert!(read("match = [ { serail = \"x\" } ]").is_err());
        let key = format!("{{ drive = \"{}\", file = \"/k\" }}", Uuid::from_u128(7));
        assert!(read(&format!("key_file = [ {key}, {key} ]")).expect_err("refused").contains("two keys"));
    }

    fn import(text: &str) -> Result<ImportRule, toml::de::Error> {
        toml::from_str::<Import>(text).map(|import| import.rule().expect("enabled"))
    }

    #[test]
    fn the_import_folder_defaults_to_the_root() {
        let top = import("drive = \"blue\"\n").expect("good");
        assert!(top.folder.as_os_str().is_empty() && top.words().contains("in its top on the drive \"blue\""));
        let folder = import("drive = \"1234-ABCD\"\nfolder = \"a/streams\"\n").expect("good");
        assert!(folder.words().contains("in a/streams on"), "{}", folder.words());
        assert!(import("drive = \"blue\"\nfolder = \"../x\"\n").is_err());
        assert!(import("folder = \"x\"\n").is_err());
    }
}
