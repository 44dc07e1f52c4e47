//! The current jobs: queued, running, or recently finished.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::handle::JobHandle;
use super::job::Job;

/// Lists the jobs for publishers. Cheap to clone; all clones are the same list.
#[derive(Debug, Clone)]
pub(super) struct LiveJobs {
    jobs: Arc<Mutex<BTreeMap<Uuid, watch::Receiver<Job>>>>,
    begun: watch::Sender<()>,
}

impl LiveJobs {
    pub(super) fn new() -> Self {
        Self { jobs: Arc::default(), begun: watch::Sender::new(()) }
    }

    /// A job was taken.
    pub(super) fn add(&self, id: Uuid, job: watch::Receiver<Job>) {
        self.lock().insert(id, job);
        self.begun.send_replace(());
    }

    /// A job is forgotten.
    pub(super) fn remove(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    pub(super) fn list(&self) -> Vec<JobHandle> {
        self.lock().iter().map(|(id, job)| JobHandle { id: *id, job: job.clone() }).collect()
    }

    /// Changes whenever a job was taken.
    pub(super) fn begun(&self) -> watch::Receiver<()> {
        self.begun.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, watch::Receiver<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
