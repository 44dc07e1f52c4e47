//! The desk: one task that owns every job. It decides; whatever can wait is done by runners and the keeper.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::{Error, ErrorName, JobResult, JobState};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::entry::{Ending, Entry, Why, outside, verdict};
use super::handle::{Jobs, Order, Ticket, Wish};
use super::history::History;
use super::job::{Job, Trouble, now};
use super::keeper::{self, Ask};
use super::pace;
use super::queue::Queue;
use super::record::Record;
use super::runner::{Run, Told};
use super::state::{Event, after};
use super::report;
use crate::config::{Config, IoClass, WorkerRule};
use crate::volumes::mount_ids;
use crate::worker::{IoPriority, Order as Work, Priority, Report, Spawner};

/// Jobs that ended are shown so long,
const SHOWN: Duration = Duration::from_secs(600);
/// but not more of them.
const MOST_SHOWN: usize = 50;
/// Orders that may wait; whoever sends more waits too.
const ORDERS: usize = 64;

/// Everything that is known of jobs.
#[derive(Debug)]
pub(crate) struct Desk {
    config: Config,
    spawner: Arc<Spawner>,
    jobs: HashMap<Uuid, Entry>,
    queue: Queue,
    /// What ended, the oldest first.
    ended: VecDeque<(Instant, Uuid)>,
    mounts: Option<HashSet<u64>>,
    /// Who waits for the end of all jobs; nothing more is taken on then.
    stopping: Option<Vec<oneshot::Sender<()>>>,
    itself: mpsc::Sender<Order>,
    keeper: mpsc::UnboundedSender<Ask>,
}

impl Desk {
    /// Opens for work.
    pub(crate) fn start(config: &Config, spawner: Arc<Spawner>, history: History) -> Jobs {
        let (orders, waiting) = mpsc::channel(ORDERS);
        let keeper = keeper::start(history);
        let desk = Self {
            config: config.clone(),
            spawner,
            jobs: HashMap::new(),
            queue: Queue::default(),
            ended: VecDeque::new(),
            mounts: None,
            stopping: None,
            itself: orders.clone(),
            keeper: keeper.clone(),
        };
        tokio::spawn(desk.work(waiting));
        Jobs { orders, keeper }
    }

    async fn work(mut self, mut waiting: mpsc::Receiver<Order>) {
        loop {
            let forget = self.ended.front().map(|(when, _)| *when + SHOWN);
            tokio::select! {
                order = waiting.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                () = sleep_until(forget.unwrap_or_else(Instant::now)), if forget.is_some() => self.forget_oldest(),
            }
            self.advance();
        }
    }

    /// Whoever waits for an answer may have left meanwhile.
    fn take(&mut self, order: Order) {
        match order {
            Order::Receive(wish, reply) => drop(reply.send(self.take_on(wish))),
            Order::Cancel(id, reply) => self.cancel(id, reply),
            Order::Told(id, told) => self.hear(id, told),
            Order::Mounts(ids) => self.mounts_changed(ids),
            Order::Configured(config) => self.configured(*config),
            Order::Ping(reply) => drop(reply.send(())),
            Order::Stop(reply) => {
                self.stopping.get_or_insert_default().push(reply);
                self.end_all();
            }
        }
    }

    fn take_on(&mut self, wish: Box<Wish>) -> Result<Ticket, Error> {
        let name = wish.volume.rule.name.clone();
        let busy = |text: String| Err(Error::new(ErrorName::Busy, text));
        let unfinished = self.jobs.values().filter(|entry| !entry.job.borrow().is_over());
        let (mut all, mut of_user) = (0, 0);
        for entry in unfinished {
            all += 1;
            of_user += usize::from(entry.job.borrow().uid == wish.uid);
        }
        if self.stopping.is_some() {
            return busy("the service is ending; try again when it runs".to_owned());
        }
        if all >= self.config.max_queued {
            return busy(format!("{all} jobs are unfinished and more are not taken; wait until some have ended"));
        }
        if of_user >= self.config.max_queued_per_user {
            return busy(format!("{of_user} of your jobs are unfinished and more are not taken; wait until some have ended"));
        }
        if self.queue.is_stuck(&name) {
            return busy(format!("a worker hangs on the volume \"{name}\"; check its drive and cable (dmesg)"));
        }
        let id = Uuid::new_v4();
        let job = Job::new(id, name.clone(), wish.uid, now(), wish.total.clone());
        self.write_down(&job);
        tracing::info!(butterdock_job = %id, "user {} wants to receive into \"{name}\"", wish.uid);
        let entry = Entry::new(job, wish);
        let ticket = Ticket { id, job: entry.job.subscribe() };
        self.jobs.insert(id, entry);
        self.queue.push(id, name);
        Ok(ticket)
    }

    /// Starts whatever may run.
    fn advance(&mut self) {
        while self.stopping.is_none() {
            let Some(id) = self.queue.next(self.config.max_jobs) else { return };
            self.begin(id);
        }
    }

    fn begin(&mut self, id: Uuid) {
        let Some(entry) = self.jobs.get_mut(&id) else { return self.queue.release(id) };
        let Some(wish) = entry.wish.take() else { return self.queue.release(id) };
        let Wish { volume, input, name, verify, force_decompress, .. } = *wish;
        let lanes = self.config.worker.lanes.map(usize::from);
        let order = Work::Receive { name, verify, force_decompress, no_verity: false, lanes };
        let (stop, stopped) = oneshot::channel();
        entry.stop = Some(stop);
        entry.pace = pace::Pace::new(Instant::now());
        step(entry, &Event::Begins);
        let run = Run {
            id,
            volume,
            input,
            order,
            priority: priority(self.config.worker),
            spawner: Arc::clone(&self.spawner),
            desk: self.itself.clone(),
            stop: stopped,
        };
        tokio::spawn(run.run());
    }

    fn cancel(&mut self, id: Uuid, reply: oneshot::Sender<Result<(), Error>>) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            let gone = Error::new(ErrorName::NotFound, "there is no such job any more; butterdock history has it");
            return drop(reply.send(Err(gone)));
        };
        let state = entry.job.borrow().state.clone();
        if state.result().is_some() {
            return drop(reply.send(Err(ended_already(&state))));
        }
        entry.waiters.push(reply);
        self.end(id, Why::Cancelled);
    }

    /// Ends a job: at once where it waits, by its runner where it runs.
    fn end(&mut self, id: Uuid, why: Why) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        if self.queue.withdraw(id) {
            entry.wish = None;
            let (result, trouble) = outside(why);
            self.finish(id, result, trouble);
        } else {
            entry.end(why);
        }
    }

    fn end_all(&mut self) {
        let unfinished = self.jobs.iter().filter(|(_, entry)| !entry.job.borrow().is_over());
        for id in unfinished.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, Why::Stopping);
        }
        self.answer_stop();
    }

    fn hear(&mut self, id: Uuid, told: Told) {
        match told {
            Told::Opened(mount) => self.opened(id, mount),
            Told::Report(Report::Warning(text)) => tracing::warn!(butterdock_job = %id, "{text}"),
            Told::Report(report) => {
                let Some(entry) = self.jobs.get_mut(&id) else { return };
                if let Some(event) = report::event(&entry.job.borrow().state, &report) {
                    step(entry, &event);
                }
                let pace = &mut entry.pace;
                entry.job.send_if_modified(|job| report::take_in(job, pace, &report));
            }
            Told::Stalled => {
                if let Some(entry) = self.jobs.get(&id) {
                    entry.job.send_if_modified(report::stall);
                }
            }
            Told::Over(ending) => {
                let stuck = matches!(ending, Ending::Stuck);
                if stuck { self.queue.hold(id) } else { self.queue.release(id) }
                let (result, trouble) = verdict(self.jobs.get(&id).and_then(|entry| entry.why), ending);
                self.finish(id, result, trouble);
            }
            Told::Gone => self.queue.release(id),
        }
    }

    /// The end of a job, told once: there is no step out of an end.
    fn finish(&mut self, id: Uuid, result: JobResult, trouble: Option<Trouble>) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        if result == JobResult::Succeeded {
            // Told by the worker, whose steps may come too quickly to be told each.
            step(entry, &Event::Flushes);
        }
        let mut job = entry.job.borrow().clone();
        let Some(state) = after(&job.state, &Event::Ends(result.clone())) else {
            tracing::error!(butterdock_job = %id, "the job cannot become {result} when it is {}", job.state);
            return;
        };
        report::end(&mut job, state, trouble);
        let answer = if result == JobResult::Cancelled { Ok(()) } else { Err(ended_already(&job.state)) };
        for waiter in entry.waiters.drain(..) {
            drop(waiter.send(answer.clone()));
        }
        let volume = Arc::clone(&entry.volume);
        // The history first: whoever hears of the end finds it there.
        self.keeper.send(Ask::Write(Box::new(Record::of(&job)))).unwrap_or_default();
        entry.job.send_replace(job);
        tokio::spawn(async move { volume.look(LOOKING).await });
        self.ended.push_back((Instant::now(), id));
        if self.ended.len() > MOST_SHOWN {
            self.forget_oldest();
        }
        self.answer_stop();
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.ended.pop_front() {
            self.jobs.remove(&id);
        }
    }

    fn opened(&mut self, id: Uuid, mount: u64) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.mount = Some(mount);
        if self.mounts.as_ref().is_some_and(|mounts| !mounts.contains(&mount)) {
            // Mounted after, or unmounted before, what is known: look again.
            let itself = self.itself.clone();
            tokio::spawn(async move {
                if let Ok(Ok(ids)) = tokio::task::spawn_blocking(mount_ids).await {
                    itself.send(Order::Mounts(ids)).await.unwrap_or_default();
                }
            });
        }
    }

    fn mounts_changed(&mut self, ids: HashSet<u64>) {
        let left = |entry: &Entry| entry.mount.is_some_and(|mount| mount != 0 && !ids.contains(&mount));
        let detached = self.jobs.iter().filter(|(_, entry)| left(entry) && !entry.job.borrow().is_over());
        for id in detached.map(|(id, _)| *id).collect::<Vec<_>>() {
            tracing::warn!(butterdock_job = %id, "the volume was unmounted under the job");
            self.end(id, Why::Unmounted);
        }
        self.mounts = Some(ids);
    }

    /// Running jobs go on; those that wait for a volume that is gone do not.
    fn configured(&mut self, config: Config) {
        let lost = |entry: &Entry| entry.wish.is_some() && !config.volumes.contains(&entry.volume.rule);
        let lost: Vec<Uuid> = self.jobs.iter().filter(|(_, entry)| lost(entry)).map(|(id, _)| *id).collect();
        self.config = config;
        for id in lost {
            if self.queue.withdraw(id) {
                let text = "the volume is not configured any more; start the job again with another";
                self.finish(id, JobResult::Failed, Some(Trouble::plain(ErrorName::NotFound, text)));
            }
        }
    }

    fn write_down(&self, job: &Job) {
        // The keeper ends with the service.
        self.keeper.send(Ask::Write(Box::new(Record::of(job)))).unwrap_or_default();
    }

    fn answer_stop(&mut self) {
        if self.jobs.values().all(|entry| entry.job.borrow().is_over()) {
            for reply in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                drop(reply.send(()));
            }
        }
    }
}

/// A volume is looked at so long after a job, at most.
const LOOKING: Duration = Duration::from_secs(5);

fn step(entry: &Entry, event: &Event) {
    entry.job.send_if_modified(|job| match after(&job.state, event) {
        Some(state) => {
            job.state = state;
            true
        }
        None => false,
    });
}

fn ended_already(state: &JobState) -> Error {
    Error::new(ErrorName::Failed, format!("the job has ended already: it {}", match state {
        JobState::Succeeded => "succeeded",
        JobState::Cancelled => "was cancelled",
        JobState::Failed | JobState::Queued | JobState::Running | JobState::Flushing => "failed",
    }))
}

fn priority(rule: WorkerRule) -> Priority {
    let io = match rule.io_class {
        IoClass::Idle => IoPriority::Idle,
        IoClass::BestEffort => IoPriority::BestEffort(rule.io_priority),
    };
    Priority { nice: rule.nice, io }
}
