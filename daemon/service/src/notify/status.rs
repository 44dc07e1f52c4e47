//! The state of a channel, as it is shown.

use super::NotifyFailure;

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyStatus {
    /// Its name.
    pub name: String,
    /// Its kind, as in the file.
    pub kind: &'static str,
    /// How many notifications wait.
    pub queued: u64,
    /// How many were given up since the start of the service.
    pub dropped: u64,
    /// When the last one was delivered since the start of the service, in microseconds since 1970.
    pub last_delivered: Option<u64>,
    /// Why it does not work, until it does.
    pub problem: Option<NotifyProblem>,
}

/// Why notifications do not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyProblem {
    /// The name of the channel.
    pub channel: String,
    /// The last failure.
    pub failure: NotifyFailure,
    /// How many attempts failed since the last success.
    pub attempts: u64,
    /// When the last attempt failed, in microseconds since 1970.
    pub time: u64,
}

impl NotifyProblem {
    /// For a program.
    pub const CODE: &str = "notification-failed";

    /// What it is, and what to do, in an English sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { channel, failure, attempts: _, time: _ } = self;
        format!("notifications over \"{}\" are not delivered: {}", channel.escape_debug(), failure.sentence())
    }
}
