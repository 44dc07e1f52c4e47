//! Backups without a good run for too long, and destinations on which a verify found damage. That is decided at every look, from the
//! records of the drives and the clock. What was reported of it is written down, so that each crossing is reported once, also by the
//! next service: an event when it begins, one every week after that, and one when it is over.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::handle::DriveManager;
use super::table::{DriveTable, goes};
use super::{DriveId, damage, due};
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
/// What lasts is reported again after this many seconds.
const AGAIN: i64 = 7 * 24 * 3600;
const DAY: i64 = 24 * 3600;

/// The backups that this machine expects to run, by their names, and the destinations, by the ids of their records. Times are seconds
/// since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watched {
    version: u32,
    backups: BTreeMap<String, Seen>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    damaged: BTreeMap<String, Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Since when it is configured.
    since: i64,
    /// When it was last reported as overdue or damaged; None while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<i64>,
    /// From when it counted then: a later good run ends it. Another configuration, which backs up nothing, does so silently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
}

/// A configured backup or a destination, at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Looked {
    name: String,
    /// It is overdue, or damaged.
    is_wrong: bool,
    /// Since when there was no good run or verify.
    from: i64,
}

/// What is to be reported of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Wrong,
    Recovered,
}

impl Default for Watched {
    fn default() -> Self {
        Self { version: VERSION, backups: BTreeMap::new(), damaged: BTreeMap::new() }
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
}

/// Takes in which of all are wrong, after what was seen `before`. Answers what is to be reported.
fn after(before: &BTreeMap<String, Seen>, all: &[Looked], now: i64) -> (BTreeMap<String, Seen>, Vec<(String, Report)>) {
    let (mut next, mut reports) = (BTreeMap::new(), Vec::new());
    for Looked { name, is_wrong, from } in all {
        let new = Seen { since: now, reported: None, from: None };
        let before = before.get(name).copied().unwrap_or(new);
        // A clock that was set back does not silence it.
        let is_again = |last: i64| now.saturating_sub(last) >= AGAIN || last > now.saturating_add(DAY);
        let (reported, report) = match (is_wrong, before.reported) {
            (true, None) => (Some(now), Some(Report::Wrong)),
            (true, Some(last)) if is_again(last) => (Some(now), Some(Report::Wrong)),
            (true, Some(last)) => (Some(last), None),
            (false, Some(_)) if before.from.is_none_or(|before| before < *from) => (None, Some(Report::Recovered)),
            (false, _) => (None, None),
        };
        let from = reported.map(|_| if before.reported == reported { before.from.unwrap_or(*from) } else { *from });
        reports.extend(report.map(|report| (name.clone(), report)));
        next.insert(name.clone(), Seen { since: before.since.min(now), reported, from });
    }
    (next, reports)
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

    /// Which backups are overdue, and the events for what changed.
    fn look_at_backups(&self, now: i64) -> (BTreeMap<String, Seen>, Vec<Event>) {
        let looked: Vec<Looked> = self
            .config
            .backups
            .iter()
            .map(|rule| {
                let (is_wrong, from) = self.overdue(rule, now);
                Looked { name: rule.name.as_str().to_owned(), is_wrong, from }
            })
            .collect();
        let (next, reports) = after(&self.watched.backups, &looked, now);
        let event = |(name, report): (String, Report)| {
            let (rule, of) = (self.config.backup(&name)?, looked.iter().find(|looked| looked.name == name)?);
            let kind = match report {
                Report::Wrong => Kind::Overdue,
                Report::Recovered => Kind::Recovered,
            };
            let message = sentence(rule, report, now.saturating_sub(of.from));
            Some(Event { backup: name, message, ..Event::of(kind, "", "") })
        };
        (next, reports.into_iter().filter_map(event).collect())
    }

    /// The same of the destinations on which a verify found damage.
    fn look_at_damage(&self, now: i64) -> (BTreeMap<String, Seen>, Vec<Event>) {
        let seconds = |micros: u64| i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        let looked = |enrolment: &Enrolment| Looked {
            name: enrolment.id.to_string(),
            is_wrong: enrolment.damage.is_some(),
            from: seconds(enrolment.damage.as_ref().map_or(enrolment.verified, |damage| damage.found)),
        };
        let looked: Vec<Looked> = self.enrolments.iter().map(looked).collect();
        let (next, reports) = after(&self.watched.damaged, &looked, now);
        let event = |(name, report): (String, Report)| {
            let enrolment = self.enrolments.iter().find(|enrolment| enrolment.id.to_string() == name)?;
            let (kind, message) = match (report, damage::problem(enrolment)) {
                (Report::Wrong, Some(problem)) => (Kind::VerifyFailed, problem.to_string()),
                (Report::Wrong, None) | (Report::Recovered, _) => {
                    (Kind::Recovered, "a verify found no damage on the drive any more".to_owned())
                }
            };
            let id = self.destination_id(&DriveId::from(enrolment.id));
            Some(Event { message, ..Event::of(kind, id.as_str(), enrolment.label()) })
        };
        // Only what has been damaged is written down.
        let next = next.into_iter().filter(|(_, seen)| seen.reported.is_some()).collect();
        (next, reports.into_iter().filter_map(event).collect())
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
    /// Reports the backups that have become overdue, that still are after a week, and that are no longer; and so the destinations on
    /// which a verify found damage.
    pub(crate) async fn look_at_overdue(&self) {
        let (next, events) = {
            let table = self.lock();
            let now = table.now();
            let (backups, mut events) = table.look_at_backups(now);
            let (damaged, of_destinations) = table.look_at_damage(now);
            events.extend(of_destinations);
            let next = Watched { version: VERSION, backups, damaged };
            if next == table.watched {
                return;
            }
            (next, events)
        };
        // First, so that no restart repeats it.
        let (file, record) = (file(&self.0.state), next.clone());
        let written = local(move || durable::write(&file, &serde_json::to_vec(&record)?)).await;
        if let Err(error) = written.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
            tracing::warn!("cannot record which backups are overdue ({error}); check the disk of the state directory");
        }
        self.lock().watched = next;
        events.into_iter().for_each(|event| self.report(event));
        self.look_at_times();
    }

    fn report(&self, event: Event) {
        let (sentence, is_of_backup) = (event.message.as_str(), !event.backup.is_empty());
        match (event.kind == Kind::Recovered, is_of_backup) {
            (false, true) => tracing::warn!(MESSAGE_ID = catalogue::BACKUP_OVERDUE, "{sentence}"),
            (true, true) => tracing::info!(MESSAGE_ID = catalogue::BACKUP_RECOVERED, "{sentence}"),
            (false, false) => {
                tracing::warn!(
                    MESSAGE_ID = catalogue::VERIFY_FAILED,
                    BUTTERDOCK_DRIVE = event.drive.as_str(),
                    "{sentence}"
                );
            }
            (true, false) => {
                tracing::info!(
                    MESSAGE_ID = catalogue::VERIFY_RECOVERED,
                    BUTTERDOCK_DRIVE = event.drive.as_str(),
                    "{sentence}"
                );
            }
        }
        self.0.hooks.tell(event);
    }
}

fn sentence(rule: &BackupRule, report: Report, seconds: i64) -> String {
    let name = rule.name.as_str().escape_debug().to_string();
    let drives = rule.drives.iter().map(|drive| format!("\"{}\"", drive.escape_debug())).collect::<Vec<_>>().join(", ");
    let Report::Wrong = report else {
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
        let mut reports_of = |is_wrong, from, now| {
            let (backups, reports) =
                after(&watched.backups, &[Looked { name: "home".to_owned(), is_wrong, from }], now);
            // The next service reads what this one wrote.
            let next = Watched { backups, ..Watched::default() };
            watched = parse(&serde_json::to_vec(&next).expect("written")).expect("read");
            reports.into_iter().map(|(_, report)| report).collect::<Vec<_>>()
        };
        // A good run ends it.
        let mut reports = |is_wrong, now| reports_of(is_wrong, if is_wrong { 0 } else { now }, now);
        assert_eq!(reports(false, 100), []);
        assert_eq!(reports(true, 200), [Report::Wrong]);
        assert_eq!(reports(true, 201), []);
        assert_eq!(reports(true, 199 + AGAIN), []);
        assert_eq!(reports(true, 200 + AGAIN), [Report::Wrong]);
        assert_eq!(reports(true, 201 + AGAIN), []);
        assert_eq!(reports(false, 300 + AGAIN), [Report::Recovered]);
        assert_eq!(reports(false, 301 + AGAIN), []);
        assert_eq!(reports(true, 400 + AGAIN), [Report::Wrong]);
        assert_eq!(reports(true, 500), [Report::Wrong], "the clock was set back by a week");
        assert_eq!(reports_of(false, 0, 501), [], "it is disabled, or may take longer: nothing was backed up");
        assert_eq!(watched.since("home", 0), 100);
        assert!(after(&watched.backups, &[], 600).0.is_empty(), "it is not configured any more");
    }
}
