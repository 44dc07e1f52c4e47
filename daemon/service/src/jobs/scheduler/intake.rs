//! Accepts requests and starts queued jobs.

use std::sync::Arc;

use crate::types::{Error, ErrorCode, JobKind, Trigger};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::entry::Entry;
use super::{Scheduler, events, step};
use crate::jobs::class::{Full, OpenBounds};
use crate::jobs::handle::JobHandle;
use crate::jobs::job::About;
use crate::jobs::job::Event;
use crate::jobs::job::Job;
use crate::jobs::kinds::{Conflict, JobContext, JobRequest};
use crate::jobs::outcome::EndReason;
use crate::jobs::pace::Pace;
use crate::jobs::queue::JobTarget;
use crate::jobs::record::Record;
use crate::jobs::runner::{Runner, priority};

impl Scheduler {
    /// Accepts a request as a job, or says why not.
    pub(super) fn accept(&mut self, mut request: Box<dyn JobRequest>) -> Result<JobHandle, Error> {
        let (about, trigger, class) = (request.about(), request.trigger(), request.class());
        let (places, is_recorded) = (request.places(), request.is_recorded());
        let busy = |text: String| Err(Error::new(ErrorCode::Busy, text));
        let open: Vec<_> = self.jobs.values().filter_map(Entry::open).collect();
        if self.stopping.is_some() {
            return busy("the service is stopping; try again when it runs".to_owned());
        }
        // It may have been removed while the caller typed a password.
        request.check(&self.config)?;
        let bounds = OpenBounds { all: self.config.max_queued, of_user: self.config.max_queued_per_user };
        match class.full(trigger.uid(), open.iter().copied(), bounds) {
            None => {}
            Some(Full::Class(count)) => {
                return busy(format!("{count} jobs are unfinished, which is the limit; wait until some have ended"));
            }
            Some(Full::User(count)) => {
                return busy(format!(
                    "{count} of your jobs are unfinished, which is the limit; wait until some have ended"
                ));
            }
        }
        if places.iter().any(|place| self.queue.is_stuck(place)) {
            let target = about.target();
            return busy(format!("a worker hangs on the {target}; check the drive and its cable (dmesg)"));
        }
        if let Some(text) = self.conflicting(&*request) {
            return busy(text.to_owned());
        }
        // Its beginning, and the end of every unfinished job.
        if !self.writer.has_room_for(open.len().saturating_add(2), class) {
            return busy(
                "the service cannot write the history fast enough; check the disk of the state directory".to_owned(),
            );
        }
        let id = Uuid::new_v4();
        tracing::info!(butterdock_job = %id, "{} requests {}", requester(trigger), request.doing());
        if about.kind == JobKind::Remove {
            self.end_yielding(&places);
        }
        let job = Job::new(id, about, trigger, self.retention.clock.micros(), request.total());
        if is_recorded {
            self.writer.write(Record::of(&job));
        }
        request.set_accepted();
        let entry = Entry::new(job, request);
        let handle = JobHandle { id, job: entry.job.subscribe() };
        self.jobs.insert(id, entry);
        self.live.add(id, handle.job.clone());
        self.queue.push(id, class, places);
        Ok(handle)
    }

    /// Why a request is refused because of an unfinished job.
    fn conflicting(&self, request: &dyn JobRequest) -> Option<&'static str> {
        let (about, uid) = (request.about(), request.uid());
        if about.kind != JobKind::Remove && self.jobs.values().any(|entry| is_removing(entry, &about)) {
            return Some(
                "the drive is being made safe to unplug; plug it in again after that, or cancel that job first",
            );
        }
        match request.conflict() {
            Conflict::Never => None,
            Conflict::Any(text) => {
                let is_kept = |place: &JobTarget| {
                    let mut jobs = self.queue.running_at(place).into_iter().chain(self.queue.waiting_for(place));
                    self.queue.is_stuck(place) || jobs.any(|id| !self.yields_to_removal(id))
                };
                about.places().iter().any(is_kept).then_some(text)
            }
            Conflict::Same(text) => {
                // Another user can cancel his own job: it does not replace one of root.
                let is_same = |entry: &Entry| is_unfinished(entry, &about) && (uid != 0 || is_of_root(entry));
                self.jobs.values().any(is_same).then_some(text)
            }
        }
    }

    /// Ends what runs on the drive that a person takes, where it yields. What is queued ends when the drive is safe.
    fn end_yielding(&mut self, places: &[JobTarget]) {
        let running = places.iter().flat_map(|place| self.queue.running_at(place));
        for id in running.filter(|id| self.yields_to_removal(*id)).collect::<Vec<_>>() {
            self.end(id, EndReason::Removed);
        }
    }

    fn yields_to_removal(&self, id: Uuid) -> bool {
        self.jobs.get(&id).is_some_and(|entry| entry.yields_to_removal)
    }

    /// Starts the jobs whose turn it is.
    pub(super) fn advance(&mut self) {
        while self.stopping.is_none() {
            let Some(id) = self.queue.next(self.config.max_jobs) else { return };
            self.begin(id);
        }
    }

    pub(super) fn begin(&mut self, id: Uuid) {
        let Some(entry) = self.jobs.get_mut(&id) else { return self.queue.release(id) };
        let Some(request) = entry.request.take() else { return self.queue.release(id) };
        let (stop, stopped) = watch::channel(None);
        entry.stop = Some(stop);
        entry.pace = Pace::new(Instant::now());
        let now = self.retention.clock.micros();
        entry.job.send_modify(|job| job.begun = now);
        step(entry, &Event::Begins);
        events::begins(id, &entry.doing);
        if entry.end_rules.has_hooks {
            events::hook_begins(&self.hooks, &entry.job.borrow());
        }
        let runner = Runner {
            id,
            limit: None,
            priority: priority(self.config.worker),
            spawner: Arc::clone(&self.spawner),
            scheduler: self.runners.clone(),
            stop: stopped,
            lineage: watch::Sender::default(),
            max_rate: watch::Sender::default(),
        };
        let (config, sources) = (&self.config, &self.sources);
        let (prune_locks, retention) = (&self.prune_locks, &self.retention);
        let context = JobContext { config, sources, prune_locks, retention };
        tokio::spawn(request.run(runner, &context));
    }
}

fn is_unfinished(entry: &Entry, about: &About) -> bool {
    let job = entry.job.borrow();
    job.about == *about && !job.has_ended()
}

/// Whether it is an unfinished job that makes the drive of the other safe.
fn is_removing(entry: &Entry, about: &About) -> bool {
    let (job, id) = (entry.job.borrow(), |about: &About| about.drive.as_ref().map(|drive| drive.id.clone()));
    job.about.kind == JobKind::Remove && !job.has_ended() && id(&job.about) == id(about)
}

fn is_of_root(entry: &Entry) -> bool {
    entry.job.borrow().uid() == 0
}

/// For the journal.
fn requester(trigger: Trigger) -> String {
    match trigger {
        Trigger::Plug => "a plug".to_owned(),
        Trigger::Schedule => "the schedule".to_owned(),
        Trigger::User(uid) => format!("user {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::types::JobState;

    use super::*;
    use crate::clock::{Clock, ClockTrust};
    use crate::config::{Config, VolumeName, VolumeRule};
    use crate::hooks::Hooks;
    use crate::jobs::{History, Jobs, ReceiveJob, Scheduler};
    use crate::supervisor::Supervisor;
    use crate::volumes::Volume;
    use crate::worker::Spawner;

    fn rule() -> VolumeRule {
        let name = VolumeName::try_from("tank".to_owned()).expect("a name");
        VolumeRule { name, path: PathBuf::from("/proc"), uuid: None }
    }

    fn scheduler(state: &Path, config: &Config, supervisor: &Supervisor) -> Jobs {
        let history = History::open(state, config.history, 1).expect("a history");
        let hooks = Hooks::start(None, ()).expect("a thread");
        let clock = ClockTrust::open(state, Clock::system().expect("a clock")).expect("a record");
        let spawner = Arc::new(Spawner::start(()).expect("a thread"));
        let open = crate::jobs::ON_SYSTEM;
        Scheduler::start(config, (spawner, open), history, hooks, clock, supervisor)
    }

    fn request() -> ReceiveJob {
        ReceiveJob { volume: Volume::new(rule()), ..ReceiveJob::of_nothing("tank") }
    }

    #[tokio::test]
    async fn a_removed_volume_accepts_no_job() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let config = Config { volumes: vec![rule()], ..Config::default() };
        let jobs = scheduler(state.path(), &config, &supervisor);
        jobs.configured(&Config { volumes: Vec::new(), ..config }).await;
        let refused = jobs.start(request()).await.expect_err("refused");
        assert!(matches!(refused, Error::Named(ErrorCode::NotFound, _)), "{refused:?}");
    }

    #[tokio::test]
    async fn an_unusable_volume_fails_only_its_job() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let jobs = scheduler(state.path(), &Config { volumes: vec![rule()], ..Config::default() }, &supervisor);
        let mut handle = jobs.start(request()).await.expect("taken");
        let end = handle.job.wait_for(Job::has_ended).await.expect("an end").clone();
        assert_eq!(end.state, JobState::Failed);
        assert_eq!(end.failure.map(|failure| failure.name), Some(ErrorCode::DeviceGone));
        // The writer of the history would make the folder again.
        jobs.stop().await;
    }
}
