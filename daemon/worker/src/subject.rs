//! What a worker may speak of: a worker that was taken over tells more than it was asked, and none of it counts.

use super::protocol::{Order, Report};

/// What an order is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One stream or several that come.
    Stream,
    /// Snapshots: what is sent from one place to another, or deleted.
    Snapshots,
    /// A drive that is read.
    Drive,
    /// Stream files.
    Files,
    /// What is left hidden: nothing is told of it.
    Leftovers,
}

impl Order {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Receive { .. } => Subject::Stream,
            Self::Backup(_) | Self::Prune(_) | Self::Restore { .. } => Subject::Snapshots,
            Self::Verify => Subject::Drive,
            Self::Import { .. } | Self::Streams => Subject::Files,
            Self::Sweep | Self::Cancel => Subject::Leftovers,
        }
    }
}

impl Subject {
    /// Whether a worker with such an order tells this.
    pub fn admits(self, report: &Report) -> bool {
        match report {
            Report::Confined { .. } | Report::Warning(_) | Report::Ended { .. } => true,
            Report::Progress { .. } => self != Self::Leftovers,
            Report::Began { .. } | Report::Phase(_) | Report::Published { .. } => {
                matches!(self, Self::Stream | Self::Snapshots | Self::Files)
            }
            Report::Backup(_) => self == Self::Snapshots,
            Report::Verify(_) => self == Self::Drive,
            Report::Streams(_) => self == Self::Files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{streams, verify};

    #[test]
    fn a_worker_is_heard_on_what_it_was_asked_and_on_nothing_else() {
        let found = Report::Verify(verify::VerifyEvent::Total { bytes: 1 });
        let files = Report::Streams(streams::StreamFileEvent::Total { bytes: 1 });
        assert!(Order::Verify.subject().admits(&found) && Order::Streams.subject().admits(&files));
        assert!(!Order::Verify.subject().admits(&files) && !Order::Streams.subject().admits(&found));
        assert!(!Order::Sweep.subject().admits(&files));
        assert!(Order::Sweep.subject().admits(&Report::Warning("x".to_owned())));
    }
}
