//! How many jobs have ended: a count for each kind and result that never decreases, also after the history has forgotten them, and
//! after a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::durable::{self, Loaded};
use crate::types::{JobResult, JobState};

/// A record has an entry of some sixty bytes for each kind and result.
const LARGEST: u64 = 1 << 16;

/// How many jobs of one kind ended with one result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedCount {
    /// A word of the kinds of jobs, also of one that this version does not know.
    pub kind: String,
    /// Succeeded, failed or cancelled.
    state: JobState,
    /// How many.
    pub count: u64,
}

impl EndedCount {
    /// The result.
    pub fn result(&self) -> Option<JobResult> {
        self.state.result()
    }
}

/// The counts. Cheap to clone; all clones are the same counts.
#[derive(Debug, Clone)]
pub(super) struct EndedCounts {
    file: PathBuf,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Debug, Default)]
struct Counted {
    counts: Vec<EndedCount>,
    is_written: bool,
}

impl EndedCounts {
    /// The counts of earlier in `state`. They begin again if they cannot be read. Blocks.
    pub(super) fn open(state: &Path) -> Self {
        let file = state.join("jobs-ended.json");
        let counts = match durable::load(&file, LARGEST, |bytes| Ok(serde_json::from_slice(bytes)?)) {
            Ok(Loaded::Read(counts)) => counts,
            Ok(Loaded::Missing | Loaded::SetAside) => Vec::new(),
            Ok(Loaded::Unreadable { error, aside }) => {
                let aside = aside.display();
                tracing::warn!(
                    "cannot read the counts of ended jobs ({error}); counting begins again at 0; the old file is now {aside}"
                );
                Vec::new()
            }
            Err(error) => {
                tracing::warn!("cannot read the counts of ended jobs, so counting begins again at 0: {error}");
                Vec::new()
            }
        };
        Self { file, counted: Arc::new(Mutex::new(Counted { counts, is_written: true })) }
    }

    /// A job has ended.
    pub(super) fn add(&self, record: &Record) {
        if record.state.result().is_none() {
            return;
        }
        let mut counted = self.lock();
        counted.is_written = false;
        let mut known = counted.counts.iter_mut();
        match known.find(|known| known.kind == record.kind && known.state == record.state) {
            Some(known) => known.count = known.count.saturating_add(1),
            None => {
                counted.counts.push(EndedCount { kind: record.kind.clone(), state: record.state, count: 1 });
            }
        }
    }

    /// All counts that are not 0.
    pub(super) fn list(&self) -> Vec<EndedCount> {
        self.lock().counts.clone()
    }

    /// Writes them down if they have changed since. Blocks.
    ///
    /// # Errors
    /// The disk is full, read-only or gone. The next call tries again.
    pub(super) fn write(&self) -> io::Result<()> {
        let counts = {
            let mut counted = self.lock();
            if counted.is_written {
                return Ok(());
            }
            counted.is_written = true;
            counted.counts.clone()
        };
        let written = serde_json::to_vec(&counts).map_err(io::Error::other);
        let written = written.and_then(|bytes| durable::write(&self.file, &bytes));
        if written.is_err() {
            self.lock().is_written = false;
        }
        written
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::{About, Job, Total};
    use crate::types::Trigger;

    fn record(state: JobState) -> Record {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let job = Job::new(Uuid::new_v4(), About::receive(volume), Trigger::User(0), 1, Total::UNKNOWN);
        Record::of(&Job { state, ..job })
    }

    fn listed(counts: &EndedCounts) -> Vec<(String, Option<JobResult>, u64)> {
        counts.list().into_iter().map(|one| (one.kind.clone(), one.result(), one.count)).collect()
    }

    #[test]
    fn ended_jobs_are_counted_across_restarts() {
        let state = tempfile::tempdir().expect("a folder");
        let counts = EndedCounts::open(state.path());
        for state in [JobState::Succeeded, JobState::Failed, JobState::Running, JobState::Succeeded] {
            counts.add(&record(state));
        }
        counts.write().expect("written");
        let counts = EndedCounts::open(state.path());
        counts.add(&record(JobState::Succeeded));
        let of = |result, count| ("receive".to_owned(), Some(result), count);
        assert_eq!(listed(&counts), [of(JobResult::Succeeded, 3), of(JobResult::Failed, 1)]);
    }

    #[test]
    fn counts_that_cannot_be_read_are_set_aside() {
        let state = tempfile::tempdir().expect("a folder");
        std::fs::write(state.path().join("jobs-ended.json"), "{").expect("written");
        let counts = EndedCounts::open(state.path());
        counts.add(&record(JobState::Cancelled));
        counts.write().expect("written");
        assert!(state.path().join("jobs-ended.json.unreadable").exists());
        assert_eq!(listed(&EndedCounts::open(state.path())), listed(&counts));
    }

    #[test]
    fn counts_that_were_not_written_are_written_later() {
        let state = tempfile::tempdir().expect("a folder");
        let file = state.path().join("jobs-ended.json");
        let counts = EndedCounts::open(state.path());
        counts.write().expect("nothing to do");
        assert!(!file.exists());
        counts.add(&record(JobState::Failed));
        std::fs::create_dir(&file).expect("in its place");
        assert!(counts.write().is_err());
        std::fs::remove_dir(&file).expect("removed");
        counts.write().expect("written");
        assert!(file.is_file());
    }
}
