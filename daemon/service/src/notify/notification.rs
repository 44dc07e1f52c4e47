//! A notification that waits for its server.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{NotifyChannel, NotifyEvent, NotifyRule};
use crate::hooks::{Event, Kind};
use crate::text;

/// The longest label or name, in bytes.
const LONGEST: usize = 255;
/// The longest sentence, in bytes.
const LONGEST_SENTENCE: usize = 2000;

/// A notification for one channel, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notification {
    /// The same for each attempt.
    pub(super) id: Uuid,
    /// The name of the channel.
    pub(super) channel: String,
    /// What happened.
    pub(super) about: About,
    /// When, in microseconds since 1970.
    pub(super) time: u64,
    /// The id of the drive; empty if it is about none.
    pub(super) drive: String,
    /// Its label, which is untrusted text, on one line.
    pub(super) label: String,
    /// The configured name of the backup; empty if it is about none.
    pub(super) backup: String,
    /// The job.
    pub(super) job: Option<Uuid>,
    /// The word of the error; empty without one.
    pub(super) error: String,
    /// The public reason; empty without one.
    pub(super) message: String,
    /// Failed attempts.
    pub(super) attempts: u32,
    /// When the last one failed, in microseconds since 1970.
    pub(super) tried: u64,
}

/// What a notification is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum About {
    /// Only for healthchecks.
    BackupDone,
    BackupFailed,
    Full,
    Overdue,
    Recovered,
    VerifyFailed,
    Pulled,
    /// A person asked for it.
    Test,
}

impl Notification {
    /// The notification of an event, where a channel wants it.
    pub(super) fn of(event: &Event, rule: &NotifyRule, time: u64) -> Option<Self> {
        let about = About::of(event.kind)?;
        if !is_wanted(about, event, rule) {
            return None;
        }
        let Event { kind: _, drive, label, job, backup, error, message } = event;
        Some(Self {
            job: *job,
            drive: fit(drive, LONGEST),
            label: fit(label, LONGEST),
            backup: fit(backup, LONGEST),
            error: error.map(|error| error.word().to_owned()).unwrap_or_default(),
            message: fit(message, LONGEST_SENTENCE),
            ..Self::about(about, rule, time)
        })
    }

    /// The one that a person asked for.
    pub(super) fn test(rule: &NotifyRule, time: u64) -> Self {
        Self::about(About::Test, rule, time)
    }

    fn about(about: About, rule: &NotifyRule, time: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            channel: rule.name.as_str().to_owned(),
            about,
            time,
            drive: String::new(),
            label: String::new(),
            backup: String::new(),
            job: None,
            error: String::new(),
            message: String::new(),
            attempts: 0,
            tried: 0,
        }
    }
}

impl About {
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::BackupDone => Some(Self::BackupDone),
            Kind::BackupFailed => Some(Self::BackupFailed),
            Kind::Full => Some(Self::Full),
            Kind::Overdue => Some(Self::Overdue),
            Kind::Recovered => Some(Self::Recovered),
            Kind::VerifyFailed => Some(Self::VerifyFailed),
            Kind::Pulled => Some(Self::Pulled),
            Kind::Recognised
            | Kind::Unknown
            | Kind::Refused
            | Kind::BackupStarted
            | Kind::BackupCancelled
            | Kind::Safe => None,
        }
    }

    /// The word for programs: that of the event.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::BackupDone => "backup-done",
            Self::Test => "test",
            Self::BackupFailed | Self::Full | Self::Overdue | Self::Recovered | Self::VerifyFailed | Self::Pulled => {
                self.event().map_or("", NotifyEvent::word)
            }
        }
    }

    fn event(self) -> Option<NotifyEvent> {
        match self {
            Self::BackupFailed => Some(NotifyEvent::BackupFailed),
            Self::Full => Some(NotifyEvent::Full),
            Self::Overdue => Some(NotifyEvent::Overdue),
            Self::Recovered => Some(NotifyEvent::Recovered),
            Self::VerifyFailed => Some(NotifyEvent::VerifyFailed),
            Self::Pulled => Some(NotifyEvent::Pulled),
            Self::BackupDone | Self::Test => None,
        }
    }
}

fn is_wanted(about: About, event: &Event, rule: &NotifyRule) -> bool {
    if !rule.backups.is_empty() && !rule.backups.contains(&event.backup) {
        return false;
    }
    match &rule.channel {
        NotifyChannel::Healthchecks { .. } => match about {
            About::BackupDone | About::BackupFailed | About::Full => true,
            // Such a server finds out itself that a backup is overdue.
            About::Overdue | About::Recovered | About::VerifyFailed | About::Pulled | About::Test => false,
        },
        NotifyChannel::Mail(_) | NotifyChannel::Webhook { .. } | NotifyChannel::Ntfy { .. } => {
            about.event().is_some_and(|event| rule.events.contains(&event))
        }
    }
}

fn fit(text: &str, longest: usize) -> String {
    let mut text = text::one_line(text);
    text.truncate(text.floor_char_boundary(longest));
    text
}
