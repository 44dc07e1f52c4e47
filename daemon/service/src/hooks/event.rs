//! The events of drives and backups, and the order in which they are sent.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::text;
use crate::types::ErrorCode;

/// The longest label or name, in bytes.
const LONGEST: usize = 255;
/// The longest sentence, in bytes.
const LONGEST_SENTENCE: usize = 2000;

/// An event, for a light, a beeper or a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its kind.
    pub kind: Kind,
    /// The id of the drive.
    pub drive: String,
    /// The label of the drive, which is untrusted text.
    pub label: String,
    /// Only for a backup.
    pub job: Option<Uuid>,
    /// Only for a backup: its configured name.
    pub backup: String,
    /// Only for a backup that did not succeed.
    pub error: Option<ErrorCode>,
    /// The public reason; empty without one.
    pub message: String,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An enrolled drive was plugged in.
    Recognised,
    /// A drive that is not enrolled was plugged in.
    Unknown,
    /// A drive was plugged in that the service refuses: a copy, or one of several members.
    Refused,
    /// A backup has started.
    BackupStarted,
    /// The backup succeeded.
    BackupDone,
    /// The backup failed, not because of a lack of space.
    BackupFailed,
    /// The backup was cancelled by a user or by service shutdown.
    BackupCancelled,
    /// The backup failed because of a lack of space.
    Full,
    /// The drive can be unplugged.
    Safe,
    /// The drive was unplugged before it was safe.
    Pulled,
    /// A backup had no good run for too long.
    Overdue,
    /// A verify found damage on a drive.
    VerifyFailed,
    /// The backup is no longer overdue, or the drive no longer damaged.
    Recovered,
}

impl Event {
    /// An event of a drive.
    pub(crate) fn of(kind: Kind, drive: &str, label: &str) -> Self {
        Self {
            kind,
            drive: drive.to_owned(),
            label: label.to_owned(),
            job: None,
            backup: String::new(),
            error: None,
            message: String::new(),
        }
    }

    /// The environment of the command, always with all names. Values have a limited length and no control characters.
    pub(super) fn environment(&self) -> [(&'static str, String); 7] {
        let Self { kind, drive, label, job, backup, error, message } = self;
        [
            ("BUTTERDOCK_EVENT", kind.word().to_owned()),
            ("BUTTERDOCK_DRIVE", fit(drive, LONGEST)),
            ("BUTTERDOCK_LABEL", fit(label, LONGEST)),
            ("BUTTERDOCK_JOB", job.map(|job| job.to_string()).unwrap_or_default()),
            ("BUTTERDOCK_BACKUP", fit(backup, LONGEST)),
            ("BUTTERDOCK_ERROR", error.map(|error| error.word().to_owned()).unwrap_or_default()),
            ("BUTTERDOCK_MESSAGE", fit(message, LONGEST_SENTENCE)),
        ]
    }
}

impl Kind {
    /// The word for the command.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Recognised => "recognised",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::BackupStarted => "backup-started",
            Self::BackupDone => "backup-done",
            Self::BackupFailed => "backup-failed",
            Self::BackupCancelled => "backup-cancelled",
            Self::Full => "full",
            Self::Safe => "safe",
            Self::Pulled => "pulled",
            Self::Overdue => "overdue",
            Self::VerifyFailed => "verify-failed",
            Self::Recovered => "recovered",
        }
    }
}

fn fit(text: &str, longest: usize) -> String {
    let mut text = text::one_line(text);
    text.truncate(text.floor_char_boundary(longest));
    text
}

/// The running backups, and the events that wait for their ends.
///
/// A job ends only after its drive is released, so the event `safe` of the drive comes before the end of the job. A person who
/// watches a light expects the other order.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// By the id of the drive.
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    job: Option<Uuid>,
    /// The event `safe`, if it has arrived already.
    safe: Option<Event>,
}

impl Sequence {
    /// Takes an event, and returns the events to send now.
    pub(super) fn take(&mut self, event: Event) -> Vec<Event> {
        match event.kind {
            Kind::BackupStarted => {
                self.running.insert(event.drive.clone(), Running { job: event.job, safe: None });
                vec![event]
            }
            Kind::BackupDone | Kind::BackupFailed | Kind::BackupCancelled | Kind::Full => {
                // The end of a backup that never started does not end another one.
                let its = self.running.get(&event.drive).is_some_and(|running| running.job == event.job);
                let ended = its.then(|| self.running.remove(&event.drive)).flatten();
                [event].into_iter().chain(ended.and_then(|running| running.safe)).collect()
            }
            Kind::Safe => match self.running.get_mut(&event.drive) {
                Some(running) => {
                    running.safe = Some(event);
                    Vec::new()
                }
                None => vec![event],
            },
            Kind::Recognised
            | Kind::Unknown
            | Kind::Refused
            | Kind::Pulled
            | Kind::Overdue
            | Kind::Recovered
            | Kind::VerifyFailed => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_forge_a_line_or_a_variable() {
        let event = Event::of(Kind::Unknown, "x", "a\nBUTTERDOCK_EVENT=safe\0\u{1b}[2J");
        for (_, value) in event.environment() {
            assert!(!value.chars().any(char::is_control), "{value:?}");
        }
        let event = Event::of(Kind::Unknown, "x", &"é".repeat(5000));
        assert_eq!(event.environment()[2].1.len(), 254);
    }

    #[test]
    fn the_man_page_has_every_word_and_every_name() {
        const PAGE: &str = include_str!("../../../man/butterdock.toml.5");
        let all = [
            Kind::Recognised,
            Kind::Unknown,
            Kind::Refused,
            Kind::BackupStarted,
            Kind::BackupDone,
            Kind::BackupFailed,
            Kind::BackupCancelled,
            Kind::Full,
            Kind::Safe,
            Kind::Pulled,
            Kind::Overdue,
            Kind::VerifyFailed,
            Kind::Recovered,
        ];
        let events = PAGE.split("The events are:").nth(1).expect("the events");
        for word in all.map(Kind::word) {
            let entry = format!("\n.B {}\n", word.replace('-', "\\-"));
            assert!(events.contains(&entry), "{word}");
        }
        for (name, _) in Event::of(Kind::Safe, "", "").environment() {
            assert!(PAGE.contains(&format!("\n.B {name}\n")), "{name}");
        }
    }

    #[test]
    fn the_safe_event_follows_the_end_of_the_backup() {
        let mut sequence = Sequence::default();
        let mut of = |job: u128, kind, drive| {
            let job = Some(Uuid::from_u128(job)).filter(|job| !job.is_nil());
            let sent = sequence.take(Event { job, ..Event::of(kind, drive, "") });
            sent.iter().map(|event| event.kind).collect::<Vec<_>>()
        };
        assert_eq!(of(0, Kind::Safe, "a"), [Kind::Safe]);
        assert_eq!(of(1, Kind::BackupStarted, "a"), [Kind::BackupStarted]);
        assert_eq!(of(0, Kind::Safe, "b"), [Kind::Safe]);
        assert_eq!(of(0, Kind::Safe, "a"), []);
        assert_eq!(of(2, Kind::BackupCancelled, "a"), [Kind::BackupCancelled], "it never began");
        assert_eq!(of(1, Kind::BackupDone, "a"), [Kind::BackupDone, Kind::Safe]);
        assert_eq!(of(0, Kind::Safe, "a"), [Kind::Safe]);
    }
}
