//! What was reported of overdue backups and damaged destinations, on disk: each crossing is reported once, also by the next service.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{self, Loaded};

/// Room for some thousand backups.
const LARGEST: u64 = 1 << 20;
pub(super) const VERSION: u32 = 1;
/// What lasts is reported again after this many seconds.
const AGAIN: i64 = 7 * 24 * 3600;
pub(super) const DAY: i64 = 24 * 3600;

/// The backups that this machine expects to run, by their names, and the destinations, by the ids of their records. Times are seconds
/// since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportedOverdue {
    pub(super) version: u32,
    pub(super) backups: BTreeMap<String, ReportState>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) damaged: BTreeMap<String, ReportState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportState {
    /// Since when it is configured.
    pub(super) since: i64,
    /// When it was last reported as overdue or damaged; None while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<i64>,
    /// From when it counted then: a later good run ends it. Another configuration, which backs up nothing, does so silently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<i64>,
}

/// A configured backup or a destination, at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) name: String,
    /// It is overdue, or damaged.
    pub(super) is_wrong: bool,
    /// Since when there was no good run or verify.
    pub(super) from: i64,
}

/// What is to be reported of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Wrong,
    Recovered,
}

impl Default for ReportedOverdue {
    fn default() -> Self {
        Self { version: VERSION, backups: BTreeMap::new(), damaged: BTreeMap::new() }
    }
}

impl ReportedOverdue {
    /// What the last service wrote. It blocks.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        match durable::load(&file(state), LARGEST, parse)? {
            Loaded::Read(reported_overdue) => Ok(reported_overdue),
            Loaded::Missing | Loaded::SetAside => Ok(Self::default()),
            Loaded::Unreadable { error, aside } => {
                tracing::error!("cannot read which backups are overdue ({error}); the file is now {}", aside.display());
                Ok(Self::default())
            }
        }
    }

    pub(super) fn since(&self, backup: &str, now: i64) -> i64 {
        self.backups.get(backup).map_or(now, |backup| backup.since)
    }
}

/// Takes in which of all are wrong, after what was seen `before`. Answers what is to be reported.
pub(super) fn after(
    before: &BTreeMap<String, ReportState>,
    all: &[Checked],
    now: i64,
) -> (BTreeMap<String, ReportState>, Vec<(String, Report)>) {
    let (mut next, mut reports) = (BTreeMap::new(), Vec::new());
    for Checked { name, is_wrong, from } in all {
        let new = ReportState { since: now, reported: None, from: None };
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
        next.insert(name.clone(), ReportState { since: before.since.min(now), reported, from });
    }
    (next, reports)
}

pub(super) fn file(state: &Path) -> PathBuf {
    state.join("overdue.json")
}

fn parse(bytes: &[u8]) -> io::Result<ReportedOverdue> {
    let reported_overdue: ReportedOverdue = serde_json::from_slice(bytes)?;
    if reported_overdue.version == VERSION {
        Ok(reported_overdue)
    } else {
        Err(io::Error::other("another version of butterdock wrote it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_reported_once_then_weekly_and_its_end_once() {
        let mut reported_overdue = ReportedOverdue::default();
        let mut reports_of = |is_wrong, from, now| {
            let (backups, reports) =
                after(&reported_overdue.backups, &[Checked { name: "home".to_owned(), is_wrong, from }], now);
            // The next service reads what this one wrote.
            let next = ReportedOverdue { backups, ..ReportedOverdue::default() };
            reported_overdue = parse(&serde_json::to_vec(&next).expect("written")).expect("read");
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
        assert_eq!(reported_overdue.since("home", 0), 100);
        assert!(after(&reported_overdue.backups, &[], 600).0.is_empty(), "it is not configured any more");
    }
}
