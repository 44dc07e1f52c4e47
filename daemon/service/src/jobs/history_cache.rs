//! The finished jobs in memory, so that listing them reads no disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::Record;

/// The last jobs that ended. Cheap to clone; all clones are the same memory.
#[derive(Debug, Clone)]
pub(super) struct HistoryCache {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// The newest is last.
    records: VecDeque<Record>,
    most: usize,
}

impl HistoryCache {
    /// With these, of which the newest is first; it keeps `most`.
    pub(super) fn of(records: Vec<Record>, most: usize) -> Self {
        let memory = Self { kept: Arc::new(Mutex::new(Kept { records: VecDeque::new(), most })) };
        for record in records.into_iter().rev() {
            memory.add(record);
        }
        memory
    }

    /// A job has ended. Its details, which hold names, stay on disk.
    pub(super) fn add(&self, record: Record) {
        let mut kept = self.lock();
        kept.records.push_back(Record { details: None, ..record });
        kept.prune();
    }

    /// From now on so many are kept.
    pub(super) fn keep(&self, most: usize) {
        let mut kept = self.lock();
        kept.most = most;
        kept.prune();
    }

    /// The newest first.
    pub(super) fn list(&self) -> Vec<Record> {
        self.lock().records.iter().rev().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn prune(&mut self) {
        let surplus = self.records.len().saturating_sub(self.most);
        self.records.drain(..surplus);
    }
}
