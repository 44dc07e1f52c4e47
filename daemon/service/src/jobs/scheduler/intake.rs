//! Accepts requests and starts queued jobs.

use std::sync::Arc;

use crate::types::{Error, ErrorCode, JobKind};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Scheduler, hooked, journal, step};
use crate::config::{IoClass, WorkerRule};
use crate::jobs::about::About;
use crate::jobs::class::{Full, JobClass, OpenBounds};
use crate::jobs::entry::Entry;
use crate::jobs::handle::JobHandle;
use crate::jobs::job::Event;
use crate::jobs::job::{Job, now};
use crate::jobs::pace::Pace;
use crate::jobs::record::Record;
use crate::jobs::runner::Runner;
use crate::jobs::stream_limit::StreamLimit;
use crate::jobs::work::Work;
use crate::worker::{IoPriority, Priority};

impl Scheduler {
    pub(super) fn take_on(&mut self, mut work: Work) -> Result<JobHandle, Error> {
        let (about, uid) = (work.about(), work.uid());
        let places = about.places();
        let busy = |text: String| Err(Error::new(ErrorCode::Busy, text));
        let class = JobClass::of(&about.kind, uid);
        let open: Vec<_> = self.jobs.values().filter_map(Entry::open).collect();
        if self.stopping.is_some() {
            return busy("the service is stopping; try again when it runs".to_owned());
        }
        if !work.is_configured(&self.config) {
            // Removed while the caller typed a password.
            return Err(work.not_configured());
        }
        let bounds = OpenBounds { all: self.config.max_queued, of_user: self.config.max_queued_per_user };
        match class.full(uid, open.iter().copied(), bounds) {
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
        if let Some(text) = self.in_the_way(&about, uid) {
            return busy(text.to_owned());
        }
        // Its beginning, and the end of every unfinished job.
        if !self.writer.has_room_for(open.len().saturating_add(2), class) {
            return busy(
                "the service cannot write the history fast enough; check the disk of the state directory".to_owned(),
            );
        }
        let id = Uuid::new_v4();
        tracing::info!(butterdock_job = %id, "user {uid} requests {}", about.doing());
        let job = Job::new(id, about, uid, now(), work.total());
        self.writer.write(Record::of(&job));
        work.set_accepted();
        let entry = Entry::new(job, work);
        let handle = JobHandle { id, job: entry.job.subscribe() };
        self.jobs.insert(id, entry);
        self.live.add(id, handle.job.clone());
        self.queue.push(id, class, places);
        Ok(handle)
    }

    /// Why a job is not taken that would wait for no good.
    fn in_the_way(&self, about: &About, uid: u32) -> Option<&'static str> {
        // What another user has asked for may be cancelled by him, and is no answer to root.
        let is_made = || self.jobs.values().any(|entry| is_unfinished(entry, about) && (uid != 0 || is_of_root(entry)));
        let mut places = about.places().into_iter();
        match about.kind {
            JobKind::Remove if places.any(|place| !self.queue.is_idle(&place) || self.queue.is_awaited(&place)) => {
                Some("a job uses the drive; wait until it has ended, or cancel it first")
            }
            JobKind::Backup if is_made() => {
                Some("this backup to this drive is running already; watch it with butterdock watch")
            }
            JobKind::Verify if is_made() => Some("the drive is being verified already; watch it with butterdock watch"),
            JobKind::Remove
            | JobKind::Backup
            | JobKind::Receive
            | JobKind::Restore
            | JobKind::Verify
            | JobKind::Import => None,
        }
    }

    /// Starts whatever may run.
    pub(super) fn advance(&mut self) {
        while self.stopping.is_none() {
            let Some(id) = self.queue.next(self.config.max_jobs) else { return };
            self.begin(id);
        }
    }

    pub(super) fn begin(&mut self, id: Uuid) {
        let Some(entry) = self.jobs.get_mut(&id) else { return self.queue.release(id) };
        let Some(work) = entry.work.take() else { return self.queue.release(id) };
        let (stop, stopped) = watch::channel(None);
        entry.stop = Some(stop);
        entry.pace = Pace::new(Instant::now());
        step(entry, &Event::Begins);
        journal::begins(id, &entry.job.borrow().about);
        hooked::begins(&self.hooks, &entry.job.borrow());
        let (uid, now) = (entry.job.borrow().uid, Instant::now());
        let limit = work.is_handed_in().then(|| StreamLimit::new(&self.config.streams, uid, now));
        let runner = Runner {
            id,
            limit,
            priority: priority(self.config.worker),
            spawner: Arc::clone(&self.spawner),
            scheduler: self.itself.clone(),
            stop: stopped,
        };
        work.begin(runner, &self.config, (&self.sources, &self.source_locks, &self.retention));
    }
}

fn is_unfinished(entry: &Entry, about: &About) -> bool {
    let job = entry.job.borrow();
    job.about == *about && !job.is_over()
}

fn is_of_root(entry: &Entry) -> bool {
    entry.job.borrow().uid == 0
}

/// The priorities of workers.
pub(in crate::jobs) fn priority(rule: WorkerRule) -> Priority {
    let io = match rule.io_class {
        IoClass::Idle => IoPriority::Idle,
        IoClass::BestEffort => IoPriority::BestEffort(rule.io_priority),
    };
    Priority { nice: rule.nice, io }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::{Path, PathBuf};

    use crate::types::{JobState, TotalSource};

    use super::*;
    use crate::clock::{Clock, ClockKeeper};
    use crate::config::{Config, VolumeName, VolumeRule};
    use crate::hooks::Hooks;
    use crate::jobs::{History, Jobs, ReceiveJobRequest, Scheduler, Total};
    use crate::supervisor::Supervisor;
    use crate::untrusted_fd::QuarantinedFd;
    use crate::volumes::{Place, Volume};
    use crate::worker::Spawner;

    fn rule() -> VolumeRule {
        let name = VolumeName::try_from("tank".to_owned()).expect("a name");
        VolumeRule { name, path: PathBuf::from("/proc"), uuid: None }
    }

    fn scheduler(state: &Path, config: &Config, supervisor: &Supervisor) -> Jobs {
        let history = History::open(state, config.history).expect("a history");
        let hooks = Hooks::start(None, ()).expect("a thread");
        let clock = ClockKeeper::open(state, Clock::system().expect("a clock")).expect("a record");
        Scheduler::start(config, Arc::new(Spawner::start(()).expect("a thread")), history, hooks, clock, supervisor)
    }

    fn request() -> ReceiveJobRequest {
        ReceiveJobRequest {
            volume: Volume::new(rule()),
            place: Place::nowhere(),
            uid: 0,
            input: QuarantinedFd::new(File::open("/dev/null").expect("null").into(), None).expect("parked"),
            total: Total { bytes: 0, source: TotalSource::Unknown },
            name: None,
            verify: false,
            force_decompress: false,
            strict_parent: false,
        }
    }

    #[tokio::test]
    async fn a_removed_volume_accepts_no_job() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let config = Config { volumes: vec![rule()], ..Config::default() };
        let jobs = scheduler(state.path(), &config, &supervisor);
        jobs.configured(&Config { volumes: Vec::new(), ..config }).await;
        let refused = jobs.receive(request()).await.expect_err("refused");
        assert!(matches!(refused, Error::Named(ErrorCode::NotFound, _)), "{refused:?}");
    }

    #[tokio::test]
    async fn an_unusable_volume_fails_only_its_job() {
        let state = tempfile::tempdir().expect("a folder");
        let supervisor = Supervisor::new();
        let jobs = scheduler(state.path(), &Config { volumes: vec![rule()], ..Config::default() }, &supervisor);
        let mut handle = jobs.receive(request()).await.expect("taken");
        let end = handle.job.wait_for(Job::is_over).await.expect("an end").clone();
        assert_eq!(end.state, JobState::Failed);
        assert_eq!(end.failure.map(|failure| failure.name), Some(ErrorCode::DeviceGone));
    }
}
