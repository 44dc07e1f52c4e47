//! The limits of a job with files in a snapshot, which keeps a drive mounted: how long it makes no progress, and how long it takes.
//!
//! The worker itself ends the reading of a file whose reader is too slow. But on behalf of a user it has the identity of that user,
//! who can stop it with a signal. The service kills a worker that exceeds a limit, also one that is stopped.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::duration_words;

/// A worker that reads a file reports progress more often: it gives a reader five minutes for each MiB.
const READING: Duration = Duration::from_secs(10 * 60);
/// At the end of a restore, the drive writes all of it.
const RESTORING: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The limits of one job, and its progress.
#[derive(Debug)]
pub(super) struct FilesLimit {
    idle: Duration,
    /// When it last made progress, and the bytes by then.
    last: (Instant, u64),
    /// Its end by the time limit, and the limit; root has none.
    end: Option<(Instant, Duration)>,
}

/// The limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilesExcess {
    /// It made no progress for this time.
    Idle(Duration),
    /// It took longer than this.
    Long(Duration),
}

impl FilesLimit {
    /// Of a user's job that reads a file, and begins now.
    pub(super) fn reading(uid: u32, now: Instant) -> Self {
        Self::new(READING, DAY, uid, now)
    }

    /// Of a user's job that restores files, and begins now.
    pub(super) fn restoring(uid: u32, now: Instant) -> Self {
        Self::new(RESTORING, WEEK, uid, now)
    }

    fn new(idle: Duration, longest: Duration, uid: u32, now: Instant) -> Self {
        let end = if uid == 0 { None } else { now.checked_add(longest).map(|end| (end, longest)) };
        Self { idle, last: (now, 0), end }
    }

    /// Applies a report of its bytes.
    pub(super) fn hear(&mut self, now: Instant, bytes: u64) {
        if bytes > self.last.1 {
            self.last = (now, bytes);
        }
    }

    /// When it exceeds a limit.
    pub(super) fn end(&self) -> Option<Instant> {
        let idle = self.last.0.checked_add(self.idle);
        idle.into_iter().chain(self.end.map(|(end, _)| end)).min()
    }

    /// The limit that it has exceeded.
    pub(super) fn excess(&self, now: Instant) -> Option<FilesExcess> {
        if let Some((end, limit)) = self.end
            && now >= end
        {
            return Some(FilesExcess::Long(limit));
        }
        (now.saturating_duration_since(self.last.0) >= self.idle).then_some(FilesExcess::Idle(self.idle))
    }
}

impl FilesExcess {
    /// What happened, and what to do about it.
    pub(super) fn words(self) -> (String, String) {
        match self {
            Self::Idle(limit) => (
                format!("no bytes were read or restored for {}", duration_words(limit)),
                "start it again; if it happens again, check the drive and its cable (dmesg)".to_owned(),
            ),
            Self::Long(limit) => (
                format!("the job took longer than {}", duration_words(limit)),
                "restore fewer files at a time, or have an administrator restore them (--as-root)".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_worker_without_progress_exceeds_its_limit() {
        let now = Instant::now();
        let mut limit = FilesLimit::reading(0, now);
        assert_eq!((limit.end(), limit.excess(now + 9 * MINUTE)), (Some(now + 10 * MINUTE), None));
        limit.hear(now + 9 * MINUTE, 1);
        limit.hear(now + 15 * MINUTE, 1);
        assert_eq!(limit.excess(now + 18 * MINUTE), None);
        assert_eq!(limit.excess(now + 19 * MINUTE), Some(FilesExcess::Idle(READING)));
        assert_eq!(FilesLimit::restoring(1000, now).end(), Some(now + RESTORING));
    }

    #[test]
    fn a_users_slow_reader_is_bounded_in_all() {
        let now = Instant::now();
        let (mut users, mut roots) = (FilesLimit::reading(1000, now), FilesLimit::reading(0, now));
        for step in 1..=24 * 12_u32 {
            for limit in [&mut users, &mut roots] {
                limit.hear(now + step * 5 * MINUTE, u64::from(step));
            }
        }
        assert_eq!(users.excess(now + DAY), Some(FilesExcess::Long(DAY)));
        assert_eq!(roots.excess(now + DAY), None);
    }

    #[test]
    fn the_message_names_the_limit_and_the_way_out() {
        let (what, next) = FilesExcess::Idle(READING).words();
        assert!(what.contains("10 minutes") && next.contains("dmesg"), "{what} {next}");
        let (what, next) = FilesExcess::Long(WEEK).words();
        assert!(what.contains("1 week") && next.contains("--as-root"), "{what} {next}");
    }
}
