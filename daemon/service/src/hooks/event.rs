//! The events of drives and backups.

use crate::types::ErrorCode;
use uuid::Uuid;

use crate::text;

/// A label or a name is cut off here,
const LONGEST: usize = 255;
/// and a sentence here.
const LONGEST_SENTENCE: usize = 2000;

/// Something that a light, a beeper or a mail wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// What it is.
    pub kind: Kind,
    /// The drive's id.
    pub drive: String,
    /// What people call the drive. It comes from the drive, and may be anything.
    pub label: String,
    /// Of a backup.
    pub job: Option<Uuid>,
    /// Of a backup: its configured name.
    pub backup: String,
    /// Of a backup that did not succeed.
    pub error: Option<ErrorCode>,
    /// The public reason; empty without one.
    pub message: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An enrolled drive is there.
    Recognised,
    /// A drive is there that is not enrolled.
    Unknown,
    /// A drive is there that is not used: a copy, or a part.
    Refused,
    /// A backup has started.
    BackupStarted,
    /// It is on the drive.
    BackupDone,
    /// The backup failed, not because of a lack of space.
    BackupFailed,
    /// The backup was cancelled by a user or by service shutdown.
    BackupCancelled,
    /// The backup failed because of a lack of space.
    Full,
    /// The drive can be unplugged.
    Safe,
    /// It was unplugged before.
    Pulled,
}

impl Event {
    /// Of a drive.
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

    /// The environment of the command: all names are always there, and nothing in a value ends a line, steers a terminal or
    /// is without bounds.
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
    /// As the command gets it.
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
        }
    }
}

fn fit(text: &str, longest: usize) -> String {
    let mut text = text::one_line(text);
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_neither_forges_a_line_nor_ends_the_environment() {
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
        ];
        let events = PAGE.split("The events are:").nth(1).expect("the events");
        for word in all.map(Kind::word) {
            let told = format!("\n.B {}\n", word.replace('-', "\\-"));
            assert!(events.contains(&told), "{word}");
        }
        for (name, _) in Event::of(Kind::Safe, "", "").environment() {
            assert!(PAGE.contains(&format!("\n.B {name}\n")), "{name}");
        }
    }
}
