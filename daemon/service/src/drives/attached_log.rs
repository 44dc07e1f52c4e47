//! Logs the drives that are attached: each once, and again when its decision changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Drive, DriveId};
use crate::catalogue;
use crate::device::Sentence;
use crate::hooks::{self, Event};
use crate::policy::Action;
use crate::types::ErrorCode;

/// The last logged decision of each drive.
#[derive(Debug, Default)]
pub(super) struct Journal {
    logged: BTreeMap<DriveId, Judged>,
}

/// A log entry.
#[derive(Debug)]
pub(super) struct Entry {
    drive: Drive,
    judged: Judged,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Judged {
    Enrolled,
    Unknown,
    Refused(Sentence),
}

impl Journal {
    /// Notes the decision on an attached drive; returns a log entry if the decision is new.
    pub(super) fn note(&mut self, action: &Action, drive: &Drive) -> Option<Entry> {
        let judged = match action {
            Action::Show => Judged::Unknown,
            Action::Refuse(sentence) | Action::Degraded { problem: sentence, .. } => Judged::Refused(sentence.clone()),
            Action::Leave | Action::AwaitSecret(_) | Action::Unlock(_) | Action::Mount(_) | Action::Backup => {
                Judged::Enrolled
            }
        };
        if self.logged.get(&drive.id) == Some(&judged) {
            return None;
        }
        self.logged.insert(drive.id.clone(), judged.clone());
        Some(Entry { drive: drive.clone(), judged })
    }

    /// Detached drives are logged again when they are attached again.
    pub(super) fn keep(&mut self, there: &BTreeSet<DriveId>) {
        self.logged.retain(|id, _| there.contains(id));
    }
}

impl Entry {
    pub(super) fn log(&self) {
        let Self { drive, judged } = self;
        let (id, device, label) = (drive.id.as_str(), &drive.device, &drive.label);
        match judged {
            Judged::Enrolled => tracing::info!(
                MESSAGE_ID = catalogue::DRIVE_RECOGNISED,
                BUTTERDOCK_DRIVE = id,
                "the enrolled drive \"{label}\" is attached ({device})"
            ),
            Judged::Unknown => tracing::info!(
                MESSAGE_ID = catalogue::DRIVE_UNKNOWN,
                BUTTERDOCK_DRIVE = id,
                "the drive {device} ({}, {}) is not enrolled and is not used",
                or(&drive.model, "unknown model"),
                or(label, "without a label"),
            ),
            Judged::Refused(sentence) => tracing::warn!(
                MESSAGE_ID = catalogue::DRIVE_REFUSED,
                BUTTERDOCK_DRIVE = id,
                BUTTERDOCK_PROBLEM = sentence.problem(ErrorCode::Failed).code.word(),
                "the drive {device} is refused: {sentence}"
            ),
        }
    }
}

impl Entry {
    /// For the hooks.
    pub(super) fn event(&self) -> Event {
        let Self { drive, judged } = self;
        let (kind, message) = match judged {
            Judged::Enrolled => (hooks::Kind::Recognised, String::new()),
            Judged::Unknown => (hooks::Kind::Unknown, String::new()),
            Judged::Refused(_) => (hooks::Kind::Refused, drive.problem()),
        };
        Event { message, ..Event::of(kind, drive.id.as_str(), &drive.label) }
    }
}

fn or<'t>(text: &'t str, without: &'t str) -> &'t str {
    if text.is_empty() { without } else { text }
}

#[cfg(test)]
mod tests {
    use crate::types::DriveProperties;
    use uuid::Uuid;

    use super::*;
    use crate::policy;

    #[test]
    fn a_drive_event_is_logged_once_per_change() {
        let id = DriveId::from(&policy::DriveId::Enrolled(Uuid::from_u128(1)));
        let drive = Drive { id: id.clone(), is: DriveProperties::default() };
        let mut journal = Journal::default();
        let mut logged = |action: &Action| journal.note(action, &drive).map(|entry| entry.judged);
        assert_eq!(logged(&Action::Mount(Vec::new())), Some(Judged::Enrolled));
        assert_eq!(logged(&Action::Backup), None);
        assert_eq!(logged(&Action::Refuse("a copy".into())), Some(Judged::Refused("a copy".into())));
        assert_eq!(logged(&Action::Refuse("a copy".into())), None);
        assert_eq!(logged(&Action::Leave), Some(Judged::Enrolled));
        journal.keep(&BTreeSet::from([id]));
        assert!(journal.note(&Action::Leave, &drive).is_none());
        journal.keep(&BTreeSet::new());
        assert!(journal.note(&Action::Leave, &drive).is_some());
    }
}
