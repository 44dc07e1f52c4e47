//! Backups without a good run for too long, and destinations on which a verify found damage. That is decided at every look, from the
//! records of the drives and the clock. What was reported of it is written down, so that each crossing is reported once, also by the
//! next service: an event when it begins, one every week after that, and one when it is over.

use std::collections::BTreeMap;
use std::io;

use super::manager::DriveManager;
use super::reported_overdue::{Checked, DAY, Report, ReportState, ReportedOverdue, VERSION, after, file};
use super::table::{DriveTable, goes};
use super::{DriveId, damage, due};
use crate::blocking::local;
use crate::catalogue;
use crate::config::BackupRule;
use crate::durable;
use crate::enrolment::Enrolment;
use crate::hooks::{Event, Kind};
use crate::schedule::{Expected, OverdueFor, Schedule, counted_from, is_over, overdue_after};

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
        let from = from.unwrap_or_else(|| self.reported_overdue.since(rule.name.as_str(), now));
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
    fn look_at_backups(&self, now: i64) -> (BTreeMap<String, ReportState>, Vec<Event>) {
        let looked: Vec<Checked> = self
            .config
            .backups
            .iter()
            .map(|rule| {
                let (is_wrong, from) = self.overdue(rule, now);
                Checked { name: rule.name.as_str().to_owned(), is_wrong, from }
            })
            .collect();
        let (next, reports) = after(&self.reported_overdue.backups, &looked, now);
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
    fn look_at_damage(&self, now: i64) -> (BTreeMap<String, ReportState>, Vec<Event>) {
        let seconds = |micros: u64| i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        let looked = |enrolment: &Enrolment| Checked {
            name: enrolment.id.to_string(),
            is_wrong: enrolment.damage.is_some(),
            from: seconds(enrolment.damage.as_ref().map_or(enrolment.verified, |damage| damage.found)),
        };
        let looked: Vec<Checked> = self.enrolments.iter().map(looked).collect();
        let (next, reports) = after(&self.reported_overdue.damaged, &looked, now);
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
        let since = self.reported_overdue.since(rule.name.as_str(), now).max(enrolled).min(now);
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
            let next = ReportedOverdue { version: VERSION, backups, damaged };
            if next == table.reported_overdue {
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
        self.lock().reported_overdue = next;
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
