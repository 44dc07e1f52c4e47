//! The limits of a job whose client can make it wait: the sender of a stream, or the reader of a file.

use std::time::Duration;

use tokio::time::Instant;

use super::files_limit::{FilesExcess, FilesLimit};
use super::stream_limit::{StreamExcess, StreamLimit};

/// The limits of a job.
#[derive(Debug)]
pub(super) enum Limit {
    /// Of a stream that a caller passes.
    Stream(StreamLimit),
    /// Of files in a snapshot.
    Files(FilesLimit),
}

/// The limit that a job exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Stream(StreamExcess),
    Files(FilesExcess),
}

impl Limit {
    /// Applies a report: the total wait for a stream, and the bytes so far. While a subvolume is made durable the wait does not
    /// count.
    pub(super) fn hear(&mut self, waited: Duration, bytes: u64, is_settling: bool) -> Option<Excess> {
        match self {
            Self::Stream(limit) => limit.hear(waited, bytes, is_settling).map(Excess::Stream),
            Self::Files(limit) => {
                limit.hear(Instant::now(), bytes);
                None
            }
        }
    }

    /// When it is exceeded without another report.
    pub(super) fn end(&self) -> Option<Instant> {
        match self {
            Self::Stream(limit) => limit.end(),
            Self::Files(limit) => limit.end(),
        }
    }

    /// Whether it is exceeded without another report.
    pub(super) fn overtime(&self, now: Instant) -> Option<Excess> {
        match self {
            Self::Stream(limit) => limit.overtime(now).map(Excess::Stream),
            Self::Files(limit) => limit.excess(now).map(Excess::Files),
        }
    }
}

impl Excess {
    /// What happened, and what to do about it.
    pub(super) fn words(self) -> (String, String) {
        match self {
            Self::Stream(excess) => excess.words(),
            Self::Files(excess) => excess.words(),
        }
    }
}
