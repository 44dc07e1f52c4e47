//! `[[backup]]`: a source, its drives and its retention.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::source_reserve::SourceReserve;
use super::validated::AbsolutePath;
use crate::backups::{LONGEST_NAME, MOST_PINS, RetentionRule, default_folder};
use crate::schedule::{OverdueFor, Schedule};

/// `[[backup]]`, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    pub(super) name: Spanned<BackupName>,
    source: AbsolutePath,
    snapshots: Option<AbsolutePath>,
    to: Destinations,
    folder: Option<Folder>,
    #[serde(default)]
    keep: KeepRule,
    protect: Option<Span>,
    keep_shared_for: Option<Span>,
    #[serde(default)]
    source_reserve: SourceReserve,
    #[serde(default)]
    schedule: Schedule,
    #[serde(default)]
    nested: Nested,
    #[serde(default = "super::file::enabled")]
    enabled: bool,
    spread: Option<Spread>,
    overdue: Option<Span>,
    #[serde(default)]
    overdue_for: OverdueFor,
}

/// A subvolume that is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRule {
    /// Its unique name, with which the names of its snapshots begin.
    pub name: BackupName,
    /// The names that it had before, from the service's record: its snapshots may still have them.
    pub former: Vec<String>,
    /// The subvolume; absolute.
    pub source: PathBuf,
    /// The folder for its snapshots, on the same filesystem; created if missing.
    pub snapshots: PathBuf,
    /// What its destinations are called: the name of a configured one; of an enrolled drive its id, its label at the enrolment,
    /// or its label at the last mount.
    pub drives: Vec<String>,
    /// The folder on a drive in which the snapshots appear: relative to its top, created if missing.
    pub folder: PathBuf,
    /// The retention rule.
    pub keep: RetentionRule,
    /// Younger snapshots are not deleted.
    pub protect: Duration,
    /// A drive that is away keeps the snapshot that the source shares with it for this time.
    pub keep_shared_for: Duration,
    /// With less free space, the source keeps only the newest snapshot and the shared ones.
    pub source_reserve: SourceReserve,
    /// When it starts.
    pub schedule: Schedule,
    /// The subvolumes below the source.
    pub nested: Nested,
    /// Whether it runs at all.
    pub enabled: bool,
    /// Its times are later by a part of this, which differs between machines.
    pub spread: Duration,
    /// Without a good run for this time it is overdue (default: by the schedule).
    pub overdue: Option<Duration>,
    /// On which destinations.
    pub overdue_for: OverdueFor,
}

/// What happens to the subvolumes below a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nested {
    /// They are left out, and reported.
    #[default]
    Ignore,
    /// The writable ones are backed up with the source.
    Include,
}

/// The name of a backup: the names of its snapshots begin with it, so it is one visible part of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct BackupName(String);

/// Names of destinations, up to the limit of pins in an order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Destinations(Vec<String>);

/// A relative path without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Folder(pub(super) PathBuf);

/// A duration such as `36h`, `7d` or `2w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

/// `keep = { … }`: a missing key is 0; without any key the default rule applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepRule {
    last: Option<u16>,
    hourly: Option<u16>,
    daily: Option<u16>,
    weekly: Option<u16>,
    monthly: Option<u16>,
    yearly: Option<u16>,
}

impl Backup {
    /// The rule, with its defaults.
    pub(super) fn rule(self) -> BackupRule {
        let Self { name, source: AbsolutePath(source), snapshots, to, folder, keep, protect, enabled, .. } = self;
        let (keep_shared_for, source_reserve, nested) = (self.keep_shared_for, self.source_reserve, self.nested);
        let Self { schedule, spread, overdue, overdue_for, .. } = self;
        let name = name.into_inner();
        BackupRule {
            snapshots: snapshots.map_or_else(|| source.join(".butterdock"), |path| path.0),
            folder: folder.map_or_else(|| default_folder(name.as_str()), |folder| folder.0),
            protect: protect.map_or(DAY, |protect| protect.0),
            keep_shared_for: keep_shared_for.map_or(HALF_A_YEAR, |keep| keep.0),
            source_reserve,
            keep: keep.keep(),
            former: Vec::new(),
            name,
            source,
            drives: to.0,
            schedule,
            nested,
            enabled,
            spread: spread.map_or(Duration::ZERO, |spread| spread.0),
            overdue: overdue.map(|overdue| overdue.0),
            overdue_for,
        }
    }
}

impl KeepRule {
    fn keep(self) -> RetentionRule {
        if self == Self::default() {
            return RetentionRule::default();
        }
        let Self { last, hourly, daily, weekly, monthly, yearly } = self;
        let [last, hourly, daily, weekly, monthly, yearly] =
            [last, hourly, daily, weekly, monthly, yearly].map(Option::unwrap_or_default);
        RetentionRule { last, hourly, daily, weekly, monthly, yearly }
    }
}

#[cfg(test)]
impl BackupRule {
    /// The rule with these keys.
    pub(crate) fn parse(text: &str) -> Self {
        toml::from_str::<Backup>(text).map(Backup::rule).expect("a backup")
    }
}

impl BackupRule {
    /// The rule in words, for `check-config`.
    pub fn words(&self) -> String {
        let Self { name, source, snapshots, drives, folder, keep, protect, .. } = self;
        let Self { keep_shared_for, source_reserve, nested, enabled, .. } = self;
        let when = if *enabled { self.schedule.words() } else { "never, because it is not enabled".to_owned() };
        let drives = match drives.as_slice() {
            [] => "no drive, so it never runs".to_owned(),
            drives => drives.iter().map(|drive| format!("\"{drive}\"")).collect::<Vec<_>>().join(" and "),
        };
        let nested = match nested {
            Nested::Ignore => "",
            Nested::Include => " and the writable subvolumes below it",
        };
        format!(
            "Backup \"{}\": {}{nested} to {drives}, {when}; snapshots in {}, on a drive in {}; kept {}; nothing younger than {} is \
             deleted, nor what a drive needs for its next increment until it has been away for {}, nor what this machine did \
             not make; with less than {} free, the source keeps only the newest snapshot and what the drives need.",
            name.0,
            source.display(),
            snapshots.display(),
            folder.display(),
            kept(keep),
            span(*protect),
            span(*keep_shared_for),
            source_reserve.words(),
        )
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const HALF_A_YEAR: Duration = Duration::from_secs(180 * 24 * 3600);

fn kept(keep: &RetentionRule) -> String {
    let RetentionRule { last, hourly, daily, weekly, monthly, yearly } = *keep;
    let each = [(hourly, "hours"), (daily, "days"), (weekly, "weeks"), (monthly, "months"), (yearly, "years")];
    let mut parts: Vec<String> = Vec::new();
    if last > 0 {
        parts.push(format!("are the last {last}"));
    }
    parts.extend(each.iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("one each of {count} {of}")));
    if parts.is_empty() { "is only the newest".to_owned() } else { parts.join(", ") }
}

fn span(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    match hours {
        1 => "an hour".to_owned(),
        24 => "a day".to_owned(),
        _ if hours.is_multiple_of(24) => format!("{} days", hours / 24),
        _ => format!("{hours} hours"),
    }
}

impl BackupName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BackupName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(format!("a backup's name has 1 to {LONGEST_NAME} bytes"));
        }
        if name.starts_with('.') || name.contains('/') || name.chars().any(char::is_control) || name.trim() != name {
            return Err(
                "a backup's name has no slash, no control character, no leading dot and no blank at either end".into(),
            );
        }
        Ok(Self(name))
    }
}

impl TryFrom<Vec<String>> for Destinations {
    type Error = String;

    fn try_from(drives: Vec<String>) -> Result<Self, Self::Error> {
        if drives.len() > MOST_PINS {
            Err(format!("a backup has up to {MOST_PINS} destinations"))
        } else {
            Ok(Self(drives))
        }
    }
}

impl TryFrom<String> for Folder {
    type Error = &'static str;

    fn try_from(path: String) -> Result<Self, Self::Error> {
        let path = PathBuf::from(path);
        let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if path.as_os_str().is_empty() || !plain || path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err("a folder on a drive is a relative path without . and ..");
        }
        Ok(Self(path))
    }
}

impl TryFrom<String> for Span {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a time is a number and h, d or w: \"36h\", \"7d\", \"2w\"; up to ten years";
        const HOUR: u64 = 3600;
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            Some("h") => HOUR,
            Some("d") => 24 * HOUR,
            Some("w") => 7 * 24 * HOUR,
            _ => return Err(WRONG),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        number
            .filter(|&seconds| seconds <= 87_660 * HOUR)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or(WRONG)
    }
}

/// How far the same times of several machines are spread: `30m` or `2h`, up to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Spread(Duration);

impl TryFrom<String> for Spread {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a spread is a number and m or h: \"30m\", \"2h\"; up to 24 hours";
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            Some("m") => 60,
            Some("h") => 3600,
            _ => return Err(WRONG),
        };
        let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        seconds.filter(|&seconds| seconds <= 24 * 3600).map(|seconds| Self(Duration::from_secs(seconds))).ok_or(WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<BackupRule, String> {
        toml::from_str::<Backup>(text).map(Backup::rule).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_backup_needs_only_a_name_a_source_and_drives() {
        let rule = rule("name = \"home\"\nsource = \"/home\"\nto = [\"blue\"]\n").expect("good");
        assert_eq!(rule.snapshots, PathBuf::from("/home/.butterdock"));
        assert_eq!(rule.folder, PathBuf::from("butterdock/home"));
        assert_eq!((rule.protect, rule.keep), (DAY, RetentionRule::default()));
        assert_eq!((&rule.schedule, rule.spread, rule.overdue), (&Schedule::default(), Duration::ZERO, None));
        let words = rule.words();
        assert!(words.contains("Backup \"home\": /home to \"blue\", when one of its drives is plugged in"), "{words}");
        assert!(words.contains("kept are the last 3, one each of 14 days, one each of 8 weeks"), "{words}");
        assert!(words.contains("nothing younger than a day is deleted"), "{words}");
    }

    #[test]
    fn a_missing_key_of_keep_is_zero() {
        let text = "name = \"a\"\nsource = \"/a\"\nto = []\nkeep = { daily = 7 }\nprotect = \"2w\"\n";
        let rule = rule(text).expect("good");
        assert_eq!(rule.keep, RetentionRule { last: 0, hourly: 0, daily: 7, weekly: 0, monthly: 0, yearly: 0 });
        assert!(rule.words().contains("nothing younger than 14 days"), "{}", rule.words());
        assert!(rule.words().contains("no drive, so it never runs"));
    }

    #[test]
    fn a_reserve_is_a_percentage_or_a_size() {
        let with = |more: &str| rule(&format!("name = \"a\"\nsource = \"/a\"\nto = []\n{more}\n"));
        let reserve = |text: &str| with(&format!("source_reserve = \"{text}\"")).map(|rule| rule.source_reserve);
        let default = with("").expect("good");
        assert_eq!(default.source_reserve.of(600 << 20), (600 << 20) / 100 * 5);
        assert_eq!(default.source_reserve.of(8 << 40), 10 << 30);
        assert_eq!(default.keep_shared_for, 180 * DAY);
        assert_eq!(reserve("500MiB").expect("good").of(1 << 40), 500 << 20);
        assert_eq!(reserve("20 GiB").expect("good").of(1), 20 << 30);
        assert_eq!(reserve("0%").expect("good").of(u64::MAX), 0);
        for wrong in ["", "5", "51%", "%", "-1%", "5 %x", "99999999999GiB", "1TiB"] {
            assert!(reserve(wrong).is_err(), "{wrong}");
        }
        let words = with("keep_shared_for = \"4w\"").expect("good").words();
        assert!(words.contains("until it has been away for 28 days"), "{words}");
        assert!(words.contains("with less than 5 % (at most 10 GiB) free"), "{words}");
    }

    #[test]
    fn unsafe_names_and_folders_are_refused() {
        let with = |more: &str| rule(&format!("name = \"a\"\nsource = \"/a\"\nto = []\n{more}\n"));
        for more in ["folder = \"../x\"", "folder = \"/x\"", "folder = \"\"", "protect = \"7\"", "keep = { dayly = 1 }"]
        {
            assert!(with(more).is_err(), "{more}");
        }
        assert!(with("schedule = \"manual\"").is_ok());
        let nested = with("nested = \"include\"").expect("good");
        assert_eq!(nested.nested, Nested::Include);
        assert!(nested.words().contains("/a and the writable subvolumes below it to"), "{}", nested.words());
        assert!(with("nested = \"yes\"").is_err());
        assert!(rule("name = \".a\"\nsource = \"/a\"\nto = []\n").is_err());
    }
}
