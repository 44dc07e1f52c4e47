//! The task that writes the history. It is separate from the scheduler, which must never wait for a slow disk.

use super::class::JobClass;
use super::ended_counts::{EndedCount, EndedCounts};
use super::history::History;
use super::record::Record;
use crate::blocking::local;
use crate::supervisor::{Heartbeat, Supervisor};
use anyhow::{Error, anyhow};
use butterdock_btrfs::best_effort;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Requests to the task, in order.
#[derive(Debug)]
enum Ask {
    Write(Box<Record>),
    Keep(usize),
    /// The first name of a backup becomes the second.
    Rename(String, String),
    /// Answered when everything before it is on disk.
    Settle(oneshot::Sender<()>),
}

/// This many records may wait for the disk: the starts and ends of a thousand unfinished jobs of each of six classes, and
/// more.
const ROOM: usize = 16_384;
/// The part of it that is reserved for root and the configuration, so that other users cannot fill it.
const ROOTS: usize = ROOM / 2;

/// Sends records to the task, and has the ended jobs in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct HistoryWriter {
    asks: mpsc::Sender<Ask>,
    ended: HistoryCache,
    counts: EndedCounts,
}

impl HistoryWriter {
    /// Starts the task.
    pub(super) fn start(mut history: History, supervisor: &Supervisor) -> Self {
        let (asks, waiting) = mpsc::channel(ROOM);
        let ended = HistoryCache::of(history.recalled(), history.kept());
        let counts = history.counts();
        supervisor.start("writes the history", |heartbeat| keep(history, waiting, heartbeat));
        Self { asks, ended, counts }
    }

    /// Whether this many records can be queued now for a job of this class. The scheduler asks before it accepts a job, for its
    /// start and for the end of every job, so that no record is lost.
    pub(super) fn has_room_for(&self, records: usize, class: JobClass) -> bool {
        let roots = if class.is_of_users() { ROOTS } else { 0 };
        self.asks.capacity() >= records.saturating_add(roots)
    }

    /// Queues the record of a job. An ended job is listed at once.
    pub(super) fn write(&self, record: Record) {
        if record.state.result().is_some() {
            self.ended.add(record.clone());
            self.counts.add(&record);
        }
        self.ask(Ask::Write(Box::new(record)));
    }

    /// Sets the number of records to keep.
    pub(super) fn keep(&self, most: usize) {
        self.ended.keep(most);
        self.ask(Ask::Keep(most));
    }

    /// The jobs that ended, the newest first, without their details.
    pub(super) fn ended(&self) -> Vec<Record> {
        self.ended.list()
    }

    /// How many jobs ended, of each kind with each result.
    pub(super) fn counts(&self) -> Vec<EndedCount> {
        self.counts.list()
    }

    /// A backup has another name: so have its jobs.
    pub(super) fn rename(&self, from: &str, to: &str) {
        if self.ended.rename(from, to) {
            self.ask(Ask::Rename(from.to_owned(), to.to_owned()));
        }
    }

    /// Returns when everything is on disk.
    pub(super) async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        // A writer that has ended has said so in the journal.
        drop(self.asks.send(Ask::Settle(reply)).await);
        drop(answer.await);
    }

    fn ask(&self, ask: Ask) {
        if self.asks.try_send(ask).is_err() {
            tracing::error!("cannot write a job to the history; check the disk of the state directory");
        }
    }
}

async fn keep(mut history: History, mut waiting: mpsc::Receiver<Ask>, mut heartbeat: Heartbeat) -> Error {
    while let Some(ask) = heartbeat.during(waiting.recv()).await {
        // Once for all jobs that ended together.
        let is_last = waiting.is_empty();
        let done = local(move || {
            answer(&mut history, ask, is_last);
            history
        });
        // The disk may be slow.
        match heartbeat.during(done).await {
            Ok(back) => history = back,
            Err(error) => return anyhow!(error),
        }
    }
    anyhow!("internal error: its channel is closed")
}

/// Performs a request. `is_last`: no other one waits.
fn answer(history: &mut History, ask: Ask, is_last: bool) {
    match ask {
        Ask::Write(record) => {
            if let Err(error) = history.write(&record) {
                tracing::warn!(butterdock_job = %record.id, "cannot write the job to the history: {error}");
            }
        }
        Ask::Keep(keep) => history.keep(keep),
        Ask::Rename(from, to) => {
            if let Err(error) = history.rename(&from, &to) {
                tracing::warn!("cannot write the new name of a backup into its history: {error}");
            }
        }
        Ask::Settle(reply) => {
            history.write_counts();
            // The caller may have disconnected.
            return best_effort(reply.send(()));
        }
    }
    if is_last {
        history.write_counts();
    }
}

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

    /// A backup has another name. Returns whether it has jobs.
    pub(super) fn rename(&self, from: &str, to: &str) -> bool {
        let renamed = |record: &mut Record| record.rename(from, to);
        self.lock().records.iter_mut().map(renamed).filter(|renamed| *renamed).count() > 0
    }

    /// Sets the number of records to keep.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::{About, Job, JobError, Total};
    use crate::types::{ErrorCode, JobState, TotalSource, Trigger};
    use uuid::Uuid;

    fn record(ended: u64) -> Record {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let failure = Some(JobError::plain(ErrorCode::NoSpace, "full"));
        let job = Job::new(
            Uuid::new_v4(),
            About::receive(volume),
            Trigger::User(0),
            1,
            Total { bytes: 0, source: TotalSource::Unknown },
        );
        Record::of(&Job { ended, state: JobState::Failed, failure, ..job })
    }

    fn ends(writer: &HistoryWriter) -> Vec<u64> {
        writer.ended().iter().map(|record| record.end_time).collect()
    }

    #[tokio::test]
    async fn the_history_is_bounded_and_survives_a_restart() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let writer = HistoryWriter::start(History::open(state.path(), 3, 1).expect("opened"), &supervisor);
        for time in 1..=5 {
            writer.write(record(time));
            assert_eq!(ends(&writer).first(), Some(&time), "listed before it is on disk");
        }
        assert_eq!(ends(&writer), [5, 4, 3]);
        assert!(writer.ended().iter().all(|record| record.details.is_none()));
        writer.settle().await;
        std::fs::remove_dir_all(state.path().join("jobs")).expect("removed");
        assert_eq!(ends(&writer), [5, 4, 3], "read from the disk");
        writer.keep(1);
        assert_eq!(ends(&writer), [5]);
        let other = tempfile::tempdir().expect("a folder");
        let writer = HistoryWriter::start(History::open(other.path(), 3, 1).expect("opened"), &supervisor);
        writer.write(record(7));
        writer.settle().await;
        drop(writer);
        while std::fs::File::open(other.path().join("jobs")).expect("there").try_lock().is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ends(&HistoryWriter::start(History::open(other.path(), 3, 1).expect("opened"), &supervisor)), [7]);
    }

    #[tokio::test]
    async fn what_waits_for_a_slow_disk_is_bounded() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let writer = HistoryWriter::start(History::open(state.path(), 3, 1).expect("opened"), &supervisor);
        let has_room = |records, class| writer.has_room_for(records, class);
        assert!(has_room(ROOM, JobClass::RootDrive) && !has_room(ROOM + 1, JobClass::RootDrive));
        // Nothing is written before this task waits.
        (0..ROOM - ROOTS).for_each(|_| writer.ask(Ask::Keep(3)));
        assert!(!has_room(1, JobClass::UserStream) && !has_room(1, JobClass::UserDrive));
        assert!(has_room(ROOTS, JobClass::RootDrive) && has_room(ROOTS, JobClass::Remove));
        (0..ROOTS).for_each(|_| writer.ask(Ask::Keep(3)));
        assert!(!has_room(1, JobClass::RootDrive));
        writer.settle().await;
        assert!(has_room(ROOM, JobClass::RootDrive) && has_room(ROOM - ROOTS, JobClass::UserStream));
    }
}
