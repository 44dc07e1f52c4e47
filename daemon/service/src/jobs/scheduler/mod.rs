//! The scheduler: one task that owns every job. It makes all decisions; everything that can block runs in the runners
//! and the history writer.
//!
//! `intake` accepts and starts jobs, `endings` handles their ends.

mod endings;
mod entry;
mod events;
mod intake;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::handle::{Jobs, LiveJobs, SchedulerMessage};
use super::history::History;
use super::history_writer::HistoryWriter;
use super::job::{Event, after};
use super::outcome::EndReason;
use super::queue::Queue;
use super::report;
use super::retention::Retention;
use super::runner::RunnerEvent;
use super::source_store::{OpenDirectories, SourceStore};
use super::worker_queries::Queries;
use crate::clock::ClockTrust;
use crate::config::Config;
use crate::hooks::Hooks;
use crate::prune_locks::PruneLocks;
use crate::supervisor::{Heartbeat, Supervisor};
use crate::worker::{Report, Spawner};
use entry::Entry;

/// Ended jobs are shown for this time,
const SHOWN: Duration = Duration::from_secs(600);
/// but no more than this many.
const MOST_SHOWN: usize = 50;
/// Limit of queued messages; further senders wait.
const ORDERS: usize = 64;

/// Owns all jobs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    config: Config,
    spawner: Arc<Spawner>,
    jobs: HashMap<Uuid, Entry>,
    queue: Queue,
    /// The ended jobs that are still shown, the oldest first.
    ended: VecDeque<(Instant, Uuid)>,
    mounts: Option<HashSet<u64>>,
    /// The callers that wait for the end of all jobs. While there are any, no job is accepted.
    stopping: Option<Vec<oneshot::Sender<()>>>,
    itself: mpsc::Sender<SchedulerMessage>,
    /// For the runners, which report on their jobs.
    runners: mpsc::Sender<(Uuid, RunnerEvent)>,
    writer: HistoryWriter,
    live: LiveJobs,
    sources: SourceStore,
    prune_locks: PruneLocks,
    retention: Retention,
    hooks: Hooks,
    /// Whether any job runs.
    busy: watch::Sender<bool>,
    lacking: MissingFeatures,
}

impl Scheduler {
    /// Starts the scheduler and the history writer.
    pub(crate) fn start(
        config: &Config,
        (spawner, open_directories): (Arc<Spawner>, OpenDirectories),
        history: History,
        hooks: Hooks,
        clock: ClockTrust,
        supervisor: &Supervisor,
    ) -> Jobs {
        let (orders, waiting) = mpsc::channel(ORDERS);
        let (runners, events) = mpsc::channel(ORDERS);
        let writer = HistoryWriter::start(history, supervisor);
        let live = LiveJobs::new();
        let retention = Retention::new(&config.state, clock);
        let sources = SourceStore::new(&config.state, open_directories);
        let prune_locks = PruneLocks::default();
        let queries = Queries::new(Arc::clone(&spawner), sources.clone(), retention.clone());
        let scheduler = Self {
            config: config.clone(),
            spawner,
            jobs: HashMap::new(),
            queue: Queue::default(),
            ended: VecDeque::new(),
            mounts: None,
            stopping: None,
            itself: orders.clone(),
            runners,
            writer: writer.clone(),
            live: live.clone(),
            sources,
            prune_locks: prune_locks.clone(),
            retention,
            hooks,
            busy: watch::Sender::new(false),
            lacking: MissingFeatures::default(),
        };
        let busy = scheduler.busy.subscribe();
        supervisor.start("schedules jobs", |heartbeat| scheduler.work((waiting, events), heartbeat));
        Jobs { orders, writer, queries, prune_locks, busy, live }
    }

    async fn work(
        mut self,
        (mut waiting, mut events): (mpsc::Receiver<SchedulerMessage>, mpsc::Receiver<(Uuid, RunnerEvent)>),
        mut heartbeat: Heartbeat,
    ) -> anyhow::Error {
        loop {
            let forget = self.ended.front().map(|(when, _)| *when + SHOWN);
            tokio::select! {
                order = waiting.recv() => match order {
                    Some(order) => {
                        self.hear_pending(&mut events);
                        self.take(order);
                    }
                    None => return anyhow::anyhow!("internal error: its channel is closed"),
                },
                event = events.recv() => match event {
                    Some((id, event)) => self.hear(id, event),
                    None => return anyhow::anyhow!("internal error: the channel of the runners is closed"),
                },
                () = heartbeat.answer() => {}
                () = sleep_until(forget.unwrap_or_else(Instant::now)), if forget.is_some() => self.forget_oldest(),
            }
            self.advance();
            let is_busy = self.queue.is_busy();
            self.busy.send_if_modified(|busy| std::mem::replace(busy, is_busy) != is_busy);
        }
    }

    /// Handles what runners reported before a message was sent, so that the message meets the state that its sender saw. It ends
    /// although runners report more meanwhile.
    fn hear_pending(&mut self, events: &mut mpsc::Receiver<(Uuid, RunnerEvent)>) {
        for _ in 0..events.len() {
            let Ok((id, event)) = events.try_recv() else { return };
            self.hear(id, event);
            self.advance();
        }
    }

    /// The caller may have disconnected meanwhile.
    fn take(&mut self, order: SchedulerMessage) {
        match order {
            SchedulerMessage::Start(request, reply) => drop(reply.send(self.accept(request))),
            SchedulerMessage::Cancel(id, reply) => self.cancel(id, reply),
            SchedulerMessage::Mounts(ids) => self.mounts_changed(ids),
            SchedulerMessage::Configured(config) => self.configured(*config),
            SchedulerMessage::Idle(place, reply) => drop(reply.send(self.queue.is_idle(&place))),
            SchedulerMessage::Stop(reply) => {
                self.stopping.get_or_insert_default().push(reply);
                self.end_all();
            }
        }
    }

    fn hear(&mut self, id: Uuid, event: RunnerEvent) {
        match event {
            RunnerEvent::Opened(mount) => self.opened(id, mount),
            RunnerEvent::Closed => {
                if let Some(entry) = self.jobs.get_mut(&id) {
                    entry.mounts.clear();
                }
            }
            RunnerEvent::Report(Report::Warning(text)) => {
                if let Some(entry) = self.jobs.get_mut(&id) {
                    entry.warn(id, &text);
                }
            }
            RunnerEvent::Report(Report::Confined { landlock: _, lacking }) => self.lacking.hear(lacking),
            RunnerEvent::Report(report) => {
                events::hears(id, &report);
                let Some(entry) = self.jobs.get_mut(&id) else { return };
                entry.note_left_out(&report);
                // A separate statement, because a borrowed value blocks changes of the job.
                let event = report::event(&entry.job.borrow().state, &report);
                if let Some(event) = event {
                    step(entry, &event);
                }
                let (pace, now) = (&mut entry.pace, self.retention.clock.micros());
                entry.job.send_if_modified(|job| report::apply(job, pace, &report, now));
            }
            RunnerEvent::Stalled => {
                if let Some(entry) = self.jobs.get(&id) {
                    entry.job.send_if_modified(report::stall);
                }
            }
            RunnerEvent::Unplugged => self.end(id, EndReason::Unplugged),
            RunnerEvent::Removed => self.end(id, EndReason::Removed),
            RunnerEvent::Exceeded(excess) => self.end(id, EndReason::Exceeded(excess)),
            RunnerEvent::MaxRate(rate) => {
                if let Some(entry) = self.jobs.get(&id) {
                    entry.job.send_if_modified(|job| std::mem::replace(&mut job.max_rate, rate) != rate);
                }
            }
            RunnerEvent::Noted(note) => {
                if let Some(entry) = self.jobs.get(&id) {
                    entry.job.send_modify(|job| report::note(job, &note));
                }
            }
            RunnerEvent::Writing => {
                if let Some(entry) = self.jobs.get_mut(&id) {
                    entry.report_writing();
                }
            }
            RunnerEvent::Ended { ending, left, stuck } => {
                if stuck {
                    self.queue.hold(id)
                } else {
                    self.queue.release(id)
                }
                let Some(entry) = self.jobs.get_mut(&id) else { return };
                entry.left = left;
                let (result, failure) = entry.end_rules.outcome(entry.why, ending, left, &entry.job.borrow().about);
                self.finish(id, &result, failure);
            }
            RunnerEvent::WorkerGone => self.queue.release(id),
        }
    }
}

/// Applies the event, if the state allows it.
fn step(entry: &Entry, event: &Event) {
    entry.job.send_if_modified(|job| match after(&job.state, event) {
        Some(state) => {
            job.state = state;
            true
        }
        None => false,
    });
}

/// The features that the kernel lacks to confine workers: logged once.
#[derive(Debug, Default)]
struct MissingFeatures {
    said: Option<String>,
}

impl MissingFeatures {
    /// A worker has confined itself and reports what it lacks.
    fn hear(&mut self, lacking: Option<String>) {
        if let Some(news) = self.news(lacking) {
            tracing::warn!("{news}");
        }
    }

    /// The first report alone: otherwise a lying worker could fill the journal.
    fn news(&mut self, lacking: Option<String>) -> Option<&str> {
        if self.said.is_some() {
            return None;
        }
        self.said = lacking;
        self.said.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_kernel_features_are_logged_once() {
        let mut lacking = MissingFeatures::default();
        assert_eq!(lacking.news(None), None);
        assert_eq!(lacking.news(Some("no Landlock".to_owned())), Some("no Landlock"));
        for later in ["no Landlock", "something else"] {
            assert_eq!(lacking.news(Some(later.to_owned())), None);
        }
    }
}
