//! Backups without a good run for too long. That is decided at every look, from the records of the drives and the clock. What
//! was reported of it is written down, so that each crossing is reported once, also by the next service: an event when a backup
//! becomes overdue, one every week after that, and one when it is no longer.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::due;
use super::handle::DriveManager;
use super::table::{DriveTable, goes};
use crate::blocking::local;
use crate::catalogue;
use crate::config::BackupRule;
use crate::durable::{self, Loaded};
use crate::enrolment::Enrolment;
use crate::hooks::{Event, Kind};
use crate::schedule::{Expected, OverdueFor, Schedule, counted_from, is_over, overdue_after};

/// Room for some thousand backups.
const LARGEST: u64 = 1 << 20;
const VERSION: u32 = 1;
/// An overdue backup is reported again after this many seconds.
const AGAIN: i64 = 7 * 24 * 3600;
const DAY: i64 = 24 * 3600;

/// The backups that this machine expects to run, by their names. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watched {
    version: u32,
    backups: BTreeMap<String, Backup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    /// Since when it is configured.
    since: i64,
    /// When it was last reported as overdue; None while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<i64>,
    /// From when it counted then: a later good run ends it. Another configuration, which backs up nothing, does so silently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
}

/// A configured backup, at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Looked {
    name: String,
    is_overdue: bool,
    /// Since when there was no good run.
    from: i64,
}

/// What is to be reported of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Overdue,
    Recovered,
}

impl Default for Watched {
    fn default() -> Self {
        Self { version: VERSION, backups: BTreeMap::new() }
    }
}

impl Watched {
    /// What the last service wrote. It blocks.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        match durable::load(&file(state), LARGEST, parse)? {
            Loaded::Read(watched) => Ok(watched),
            Loaded::Missing | Loaded::SetAside => Ok(Self::default()),
            Loaded::Unreadable { error, aside } => {
                tracing::error!("cannot read which backups are overdue ({error}); the file is now {}", aside.display());
                Ok(Self::default())
            }
        }
    }

    fn since(&self, backup: &str, now: i64) -> i64 {
        self.backups.get(backup).map_or(now, |backup| backup.since)
    }

    /// Takes in which of the configured backups are overdue. Answers what is to be reported.
    fn after(&self, all: &[Looked], now: i64) -> (Self, Vec<(String, Report)>) {
        let mut next = Self::default();
        let mut reports = Vec::new();
        for Looked { name, is_overdue, from } in all {
            let new = Backup { since: now, reported: None, from: None };
            let before = self.backups.get(name).copied().unwrap_or(new);
            // A clock that was set back does not silence it.
            let is_again = |last: i64| now.saturating_sub(last) >= AGAIN || last > now.saturating_add(DAY);
            let (reported, report) = match (is_overdue, before.reported) {
                (true, None) => (Some(now), Some(Report::Overdue)),
                (true, Some(last)) if is_again(last) => (Some(now), Some(Report::Overdue)),
                (true, Some(last)) => (Some(last), None),
                (false, Some(_)) if before.from.is_none_or(|before| before < *from) => (None, Some(Report::Recovered)),
                (false, _) => (None, None),
            };
            let from = reported.map(|_| if before.reported == reported { before.from.unwrap_or(*from) } else { *from });
            reports.extend(report.map(|report| (name.clone(), report)));
            next.backups.insert(name.clone(), Backup { since: before.since.min(now), reported, from });
        }
        (next, reports)
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("overdue.json")
}

fn parse(bytes: &[u8]) -> io::Result<Watched> {
    let watched: Watched = serde_json::from_slice(bytes)?;
    if watched.version == VERSION {
        Ok(watched)
    } else {
        Err(io::Error::other("another version of butterdock wrote it"))
    }
}

impl DriveTable {
    /// Whether a backup is overdue, and since when there was no good run.
    fn overdue(&self, rule: &BackupRule, now: i64) -> (bool, i64) {
        let all: Vec<Expected> = self
            .enrolments
            .iter()
            .filter(|enrolment| goes(&self.config, rule, enrolment))
            .map(|enrolment| self.expected(rule, enrolment, now))
            .collect();
        let from = counted_from(rule.overdue_for, &all);
        let from = from.unwrap_or_else(|| self.watched.since(rule.name.as_str(), now));
        (rule.enabled && is_over(limit(rule), from, now), from)
    }

    /// Whether it is overdue on this drive: with `each`, whatever it is on others.
    pub(super) fn is_overdue_on(&self, rule: &BackupRule, enrolment: &Enrolment, now: i64) -> bool {
        match rule.overdue_for {
            OverdueFor::Best => self.is_overdue(rule, now),
            OverdueFor::Each => is_over(limit(rule), self.expected(rule, enrolment, now).from(), now),
        }
    }

    /// Whether a backup to this destination is overdue.
    pub(super) fn is_any_overdue(&self, enrolment: &Enrolment) -> bool {
        let now = self.now();
        let mut rules = self.config.backups.iter().filter(|rule| goes(&self.config, rule, enrolment));
        rules.any(|rule| self.is_overdue_on(rule, enrolment, now))
    }

    /// Whether it is overdue.
    pub(super) fn is_overdue(&self, rule: &BackupRule, now: i64) -> bool {
        self.overdue(rule, now).0
    }

    fn expected(&self, rule: &BackupRule, enrolment: &Enrolment, now: i64) -> Expected {
        let enrolled = i64::try_from(enrolment.enrolled / 1_000_000).unwrap_or(i64::MAX);
        let since = self.watched.since(rule.name.as_str(), now).max(enrolled).min(now);
        Expected::new(due::last_good(rule, enrolment), since, now)
    }
}

fn limit(rule: &BackupRule) -> Option<std::time::Duration> {
    overdue_after(rule.overdue, &rule.schedule)
}

impl DriveManager {
    /// Reports the backups that have become overdue, that still are after a week, and that are no longer.
    pub(crate) async fn look_at_overdue(&self) {
        let (next, reports) = {
            let table = self.lock();
            let now = table.now();
            let all: Vec<(&BackupRule, bool, i64)> = table
                .config
                .backups
                .iter()
                .map(|rule| {
                    let (is_overdue, from) = table.overdue(rule, now);
                    (rule, is_overdue, from)
                })
                .collect();
            let looked = |(rule, is_overdue, from): &(&BackupRule, bool, i64)| Looked {
                name: rule.name.as_str().to_owned(),
                is_overdue: *is_overdue,
                from: *from,
            };
            let looked: Vec<Looked> = all.iter().map(looked).collect();
            let (next, reports) = table.watched.after(&looked, now);
            if next == table.watched {
                return;
            }
            let sentence = |(name, report): (String, Report)| {
                let found = all.iter().find(|(rule, ..)| rule.name.as_str() == name)?;
                Some((name, report, sentence(found.0, report, now.saturating_sub(found.2))))
            };
            (next, reports.into_iter().filter_map(sentence).collect::<Vec<_>>())
        };
        // First, so that no restart repeats it.
        let (file, record) = (file(&self.0.state), next.clone());
        let written = local(move || durable::write(&file, &serde_json::to_vec(&record)?)).await;
        if let Err(error) = written.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
            tracing::warn!("cannot record which backups are overdue ({error}); check the disk of the state directory");
        }
        self.lock().watched = next;
        for (backup, report, sentence) in reports {
            self.report(&backup, report, sentence);
        }
        self.look_at_times();
    }

    fn report(&self, backup: &str, report: Report, sentence: String) {
        let kind = match report {
            Report::Overdue => {
                tracing::warn!(MESSAGE_ID = catalogue::BACKUP_OVERDUE, "{sentence}");
                Kind::Overdue
            }
            Report::Recovered => {
                tracing::info!(MESSAGE_ID = catalogue::BACKUP_RECOVERED, "{sentence}");
                Kind::Recovered
            }
        };
        let event = Event::of(kind, "", "");
        self.0.hooks.tell(Event { backup: backup.to_owned(), message: sentence, ..event });
    }
}

fn sentence(rule: &BackupRule, report: Report, seconds: i64) -> String {
    let name = rule.name.as_str().escape_debug().to_string();
    let drives = rule.drives.iter().map(|drive| format!("\"{}\"", drive.escape_debug())).collect::<Vec<_>>().join(", ");
    let Report::Overdue = report else {
        return format!("the backup \"{name}\" is no longer overdue");
    };
    let days = seconds / DAY;
    let long = match (days, seconds / 3600) {
        (0, hours) => format!("{hours} hours"),
        (1, _) => "a day".to_owned(),
        (days, _) => format!("{days} days"),
    };
    let next = if rule.drives.is_empty() {
        "it has no destination: name one in its configuration (`to`)".to_owned()
    } else if rule.schedule == Schedule::manual() {
        format!("attach one of its destinations ({drives}), and run butterdock backup {name}")
    } else {
        format!("attach one of its destinations ({drives}); butterdock backups says what else is wrong")
    };
    format!("the backup \"{name}\" is overdue: there was no good run for {long}; {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_reported_once_then_weekly_and_its_end_once() {
        let mut watched = Watched::default();
        let mut reports_of = |is_overdue, from, now| {
            let (next, reports) = watched.after(&[Looked { name: "home".to_owned(), is_overdue, from }], now);
            // The next service reads what this one wrote.
            watched = parse(&serde_json::to_vec(&next).expect("written")).expect("read");
            reports.into_iter().map(|(_, report)| report).collect::<Vec<_>>()
        };
        // A good run ends it.
        let mut reports = |is_overdue, now| reports_of(is_overdue, if is_overdue { 0 } else { now }, now);
        assert_eq!(reports(false, 100), []);
        assert_eq!(reports(true, 200), [Report::Overdue]);
        assert_eq!(reports(true, 201), []);
        assert_eq!(reports(true, 199 + AGAIN), []);
        assert_eq!(reports(true, 200 + AGAIN), [Report::Overdue]);
        assert_eq!(reports(true, 201 + AGAIN), []);
        assert_eq!(reports(false, 300 + AGAIN), [Report::Recovered]);
        assert_eq!(reports(false, 301 + AGAIN), []);
        assert_eq!(reports(true, 400 + AGAIN), [Report::Overdue]);
        assert_eq!(reports(true, 500), [Report::Overdue], "the clock was set back by a week");
        assert_eq!(reports_of(false, 0, 501), [], "it is disabled, or may take longer: nothing was backed up");
        assert_eq!(watched.since("home", 0), 100);
        assert!(watched.after(&[], 600).0.backups.is_empty(), "it is not configured any more");
    }
}
