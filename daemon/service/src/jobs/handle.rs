//! How other modules reach the scheduler and the current jobs: queued, running, or recently ended.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::ended_counts::EndedCount;
use super::history_query::HistoryQuery;
use super::history_writer::HistoryWriter;
use super::job::{About, Job, JobError, Total};
use super::kinds::JobRequest;
use super::queue::JobTarget;
use super::record::Record;
use super::report;
use super::worker_queries::Queries;
use crate::blocking::local;
use crate::config::{Config, VolumeName};
use crate::prune_locks::PruneLocks;
use crate::types::{Error, ErrorCode, JobState, Trigger};

/// An accepted job.
#[derive(Debug)]
pub struct JobHandle {
    /// Its id.
    pub id: Uuid,
    /// Its state; closed when it is forgotten.
    pub job: watch::Receiver<Job>,
}

/// Sends requests to the scheduler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(super) orders: mpsc::Sender<SchedulerMessage>,
    pub(super) writer: HistoryWriter,
    pub(super) queries: Queries,
    pub(super) prune_locks: PruneLocks,
    pub(super) busy: watch::Receiver<bool>,
    pub(super) live: LiveJobs,
}

/// Messages to the scheduler.
#[derive(Debug)]
pub(super) enum SchedulerMessage {
    Start(Box<dyn JobRequest>, oneshot::Sender<Result<JobHandle, Error>>),
    Cancel(Uuid, oneshot::Sender<Result<(), Error>>),
    /// The present mounts.
    Mounts(HashSet<u64>),
    Configured(Box<Config>),
    /// Answered with whether no job works there.
    Idle(JobTarget, oneshot::Sender<bool>),
    /// Answered when no job is left.
    Stop(oneshot::Sender<()>),
}

impl Jobs {
    /// Requests a job.
    ///
    /// # Errors
    /// `Busy`: the queue is full, a worker hangs on the volume or the drive, or it conflicts with an unfinished job;
    /// `NotFound`: its subject is not configured. Later errors fail the job.
    pub(crate) async fn start(&self, request: impl JobRequest + 'static) -> Result<JobHandle, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Start(Box::new(request), reply)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Writes a request that was not accepted to the history, as a job that failed; answers with its record.
    pub(crate) fn not_begun(&self, about: About, trigger: Trigger, error: &Error) -> Record {
        let (code, now) = (error.code(), self.queries.retention.clock.micros());
        let mut job = Job::new(Uuid::new_v4(), about, trigger, now, Total::UNKNOWN);
        report::end(&mut job, JobState::Failed, Some(JobError::plain(code, error.to_string())), now);
        let record = Record::of(&job);
        self.writer.write(record.clone());
        record
    }

    /// Ends a job; returns when nothing of it is left.
    ///
    /// # Errors
    /// `NotFound`; `Failed`: it has ended already, or its worker hangs in the kernel.
    pub async fn cancel(&self, id: Uuid) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Cancel(id, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The jobs that ended, the newest first.
    pub fn history(&self) -> Vec<Record> {
        self.writer.ended()
    }

    /// How many jobs ended, of each kind with each result.
    pub fn ended_counts(&self) -> Vec<EndedCount> {
        self.writer.counts()
    }

    /// A page of the jobs that ended, the newest first.
    pub fn history_page(&self, query: &HistoryQuery) -> Vec<Record> {
        query.page(self.writer.ended())
    }

    /// Whether a backup of this name has an unfinished job.
    pub(crate) fn is_unfinished(&self, backup: &str) -> bool {
        let is_it = |handle: &JobHandle| {
            let job = handle.job.borrow();
            !job.has_ended() && job.about.backup.as_deref() == Some(backup)
        };
        self.live().iter().any(is_it)
    }

    /// Whether something is recorded of the source of a backup of this name. Blocks.
    pub(crate) fn has_source_of(&self, backup: &str) -> bool {
        self.queries.sources.has(backup)
    }

    /// What is recorded of a backup is that of another name from now on. Doing it again changes nothing.
    ///
    /// # Errors
    /// A record cannot be renamed; the next start tries again.
    pub(crate) async fn rename_backup(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.writer.rename(from, to);
        let (queries, from, to) = (self.queries.clone(), from.to_owned(), to.to_owned());
        let renamed = local(move || {
            queries.sources.rename(&from, &to)?;
            queries.retention.seen.rename(&from, &to)
        });
        renamed.await.unwrap_or_else(|lost| Err(std::io::Error::other(lost)))
    }

    /// Sets the present mounts.
    pub(crate) async fn mounts(&self, ids: HashSet<u64>) {
        // A scheduler that has ended needs no mounts.
        drop(self.send(SchedulerMessage::Mounts(ids)).await);
    }

    /// Sets the limits and priorities; running jobs continue.
    pub(crate) async fn configured(&self, config: &Config) {
        self.writer.keep(config.history);
        // A scheduler that has ended needs no configuration.
        drop(self.send(SchedulerMessage::Configured(Box::new(config.clone()))).await);
    }

    /// Accepts no more jobs, ends all, and returns when their records are written.
    pub(crate) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        // A scheduler that has ended has no jobs to end.
        drop(self.send(SchedulerMessage::Stop(reply)).await);
        drop(answer.await);
        self.writer.settle().await;
    }

    /// Whether no job works on this volume.
    pub(crate) async fn is_idle(&self, volume: &VolumeName) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Idle(JobTarget::Volume(volume.clone()), reply)).await.is_ok()
            && answer.await.unwrap_or(false)
    }

    /// The current jobs.
    #[must_use]
    pub fn live(&self) -> Vec<JobHandle> {
        self.live.list()
    }

    /// Changes whenever [`Self::live`] has one that it did not have.
    #[must_use]
    pub fn begun(&self) -> watch::Receiver<()> {
        self.live.begun()
    }

    /// Whether any job runs.
    pub fn busy(&self) -> watch::Receiver<bool> {
        self.busy.clone()
    }

    async fn send(&self, order: SchedulerMessage) -> Result<(), Error> {
        self.orders.send(order).await.map_err(|_gone| ended())
    }
}

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

    /// Adds an accepted job.
    pub(super) fn add(&self, id: Uuid, job: watch::Receiver<Job>) {
        self.lock().insert(id, job);
        self.begun.send_replace(());
    }

    /// Forgets a job.
    pub(super) fn remove(&self, id: Uuid) {
        self.lock().remove(&id);
    }

    pub(super) fn list(&self) -> Vec<JobHandle> {
        self.lock().iter().map(|(id, job)| JobHandle { id: *id, job: job.clone() }).collect()
    }

    /// Changes whenever a job was accepted.
    pub(super) fn begun(&self) -> watch::Receiver<()> {
        self.begun.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, watch::Receiver<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended() -> Error {
    Error::new(ErrorCode::Busy, "the service is stopping; try again when it runs")
}
