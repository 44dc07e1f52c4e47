//! How jobs end, and what is done then.

use std::collections::HashSet;
use std::time::Duration;

use crate::types::{Attempt, AttemptEnd, Error, ErrorCode, JobKind, JobResult, JobState, LastRun};
use butterdock_btrfs::{best_effort, mounts};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::entry::Entry;
use super::{MOST_SHOWN, Scheduler, events, step};
use crate::backups::BackupCause;
use crate::blocking::local;
use crate::config::Config;
use crate::jobs::handle::SchedulerMessage;
use crate::jobs::job::{AboutDrive, Job, JobError};
use crate::jobs::job::{Event, after};
use crate::jobs::leftovers::Leftovers;
use crate::jobs::outcome::EndReason;
use crate::jobs::queue::JobTarget;
use crate::jobs::record::Record;
use crate::jobs::report;

/// Timeout for looking at a volume after a job.
const LOOKING: Duration = Duration::from_secs(5);

impl Scheduler {
    pub(super) fn cancel(&mut self, id: Uuid, reply: oneshot::Sender<Result<(), Error>>) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            let gone = Error::new(ErrorCode::NotFound, "there is no such job any more; butterdock history has it");
            return drop(reply.send(Err(gone)));
        };
        let state = entry.job.borrow().state;
        if state.result().is_some() {
            return drop(reply.send(Err(ended_already(&state))));
        }
        entry.waiters.push(reply);
        self.end(id, EndReason::Cancelled);
    }

    /// Ends a job: at once where it waits, by its runner where it runs.
    pub(super) fn end(&mut self, id: Uuid, why: EndReason) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        if self.queue.withdraw(id) {
            // With the request its reservation of a drive ends.
            drop(entry.request.take());
            entry.why.get_or_insert(why);
            let (result, failure) = entry.end_rules.outside(why, Leftovers::default(), &entry.job.borrow().about);
            self.finish(id, &result, failure);
        } else {
            entry.end(why);
        }
    }

    pub(super) fn end_all(&mut self) {
        let unfinished = self.jobs.iter().filter(|(_, entry)| !entry.job.borrow().has_ended());
        for id in unfinished.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id, EndReason::Stopping);
        }
        self.answer_stop();
    }

    pub(super) fn mounts_changed(&mut self, ids: HashSet<u64>) {
        let left = |entry: &Entry| entry.mounts.iter().any(|mount| *mount != 0 && !ids.contains(mount));
        let detached = self.jobs.iter().filter(|(_, entry)| left(entry) && !entry.job.borrow().has_ended());
        for id in detached.map(|(id, _)| *id).collect::<Vec<_>>() {
            tracing::warn!(butterdock_job = %id, "the volume was unmounted while the job used it");
            self.end(id, EndReason::Unmounted);
        }
        self.mounts = Some(ids);
    }

    /// Applies another configuration. Running jobs continue; queued ones whose subject is no longer configured fail.
    pub(super) fn configured(&mut self, config: Config) {
        let lost = |entry: &Entry| entry.request.as_ref().is_some_and(|request| request.check(&config).is_err());
        let lost: Vec<Uuid> = self.jobs.iter().filter(|(_, entry)| lost(entry)).map(|(id, _)| *id).collect();
        self.config = config;
        for id in lost {
            if self.queue.withdraw(id) {
                drop(self.jobs.get_mut(&id).and_then(|entry| entry.request.take()));
                let text = "its configuration changed while it was queued; start the job again";
                self.finish(id, &JobResult::Failed, Some(JobError::plain(ErrorCode::NotFound, text)));
            }
        }
    }

    pub(super) fn opened(&mut self, id: Uuid, mount: u64) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.mounts.push(mount);
        if self.mounts.as_ref().is_some_and(|mounts| !mounts.contains(&mount)) {
            // Mounted after, or unmounted before, what is known: look again.
            let itself = self.itself.clone();
            tokio::spawn(async move {
                if let Ok(Ok(ids)) = local(mounts::ids).await {
                    // A scheduler that has ended needs no mounts.
                    best_effort(itself.send(SchedulerMessage::Mounts(ids)).await);
                }
            });
        }
    }

    /// Ends a job, once: no event changes the state after that.
    pub(super) fn finish(&mut self, id: Uuid, result: &JobResult, failure: Option<JobError>) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        if *result == JobResult::Succeeded {
            // The worker reported it; quick steps may be missing in its reports.
            step(entry, &Event::Flushes);
        }
        let mut job = entry.job.borrow().clone();
        let Some(state) = after(&job.state, &Event::Ends(*result)) else {
            tracing::error!(butterdock_job = %id, "internal error: a job that is {} cannot end as {result:?}", job.state);
            return;
        };
        report::end(&mut job, state, failure, self.retention.clock.micros());
        answer_waiters(entry, &job);
        events::ends(&job, &entry.doing, entry.end_rules);
        if entry.end_rules.has_hooks {
            events::hook_ends(&self.hooks, &job);
        }
        let attempt = attempt(&job, entry.why);
        let is_cancelled = *result == JobResult::Cancelled && attempt.is_none();
        let awaits_next_time = is_cancelled && job.about.kind == JobKind::Backup;
        if let (Some(drives), None) = (&entry.drives, &attempt)
            && let (Some(drive), Some(backup)) = (&job.about.drive, &job.about.backup)
        {
            match *result {
                JobResult::Succeeded => {
                    let started = i64::try_from(job.started / 1_000_000).unwrap_or(i64::MAX);
                    drives.backup_succeeded(&drive.id, backup, started, last_run(&job));
                }
                JobResult::Cancelled | JobResult::Failed => drives.backup_cancelled(&drive.id, backup),
            }
        }
        if let (Some(drives), Some(attempt)) = (&entry.drives, attempt)
            && let (Some(drive), Some(backup)) = (&job.about.drive, &job.about.backup)
        {
            // Before the end is published: a caller that learns of it finds the problem.
            drives.backup_not_done(&drive.id, backup, attempt);
            if let Some(BackupCause::SourceRefused(problem)) = job.failure.as_ref().and_then(|failure| failure.cause) {
                drives.await_source(&drive.id, backup, problem);
            }
        }
        let volume = entry.volume.clone();
        let removed = job.about.drive.clone().filter(|_| job.about.kind == JobKind::Remove && job.failure.is_none());
        // The history first, so that a caller that learns of the end finds the job there. It is in memory now and queued to
        // be written: a power cut right after `Completed` can lose the record on disk.
        if entry.is_recorded {
            self.writer.write(Record { awaits_next_time, ..Record::of(&job) });
        }
        entry.job.send_replace(job);
        if let Some(volume) = volume {
            tokio::spawn(async move { volume.look(LOOKING).await });
        }
        self.ended.push_back((Instant::now(), id));
        if self.ended.len() > MOST_SHOWN {
            self.forget_oldest();
        }
        if let Some(AboutDrive { id, .. }) = removed {
            // A job that began now would mount the drive that a person unplugs.
            for queued in self.queue.waiting_for(&JobTarget::Drive(id)) {
                self.end(queued, EndReason::RemovedBefore);
            }
        }
        self.answer_stop();
    }

    pub(super) fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.ended.pop_front() {
            self.jobs.remove(&id);
            self.live.remove(id);
        }
    }

    pub(super) fn answer_stop(&mut self) {
        if self.jobs.values().all(|entry| entry.job.borrow().has_ended()) {
            for reply in self.stopping.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                // The caller may have left.
                best_effort(reply.send(()));
            }
        }
    }
}

/// What is recorded of a backup that ran to its end.
fn last_run(job: &Job) -> LastRun {
    LastRun { micros: job.ended.saturating_sub(job.begun), sent: job.bytes_received }
}

/// What is recorded of a backup that did not run to its end; none where it succeeded, or a user cancelled it.
fn attempt(job: &Job, why: Option<EndReason>) -> Option<Attempt> {
    let failure = job.failure.as_ref()?;
    let end = match (job.state, why) {
        (JobState::Cancelled, Some(EndReason::Stopping)) => AttemptEnd::Interrupted,
        // The person wanted the drive, not that the backup never runs.
        (JobState::Cancelled, Some(EndReason::RemovedBefore | EndReason::Removed)) if job.trigger.is_automatic() => {
            AttemptEnd::NotBegun
        }
        (JobState::Cancelled, _) => return None,
        (JobState::Failed | JobState::Queued | JobState::Running | JobState::Flushing | JobState::Succeeded, _) => {
            AttemptEnd::Failed
        }
    };
    Some(Attempt { end, error: failure.name, reason: failure.public.clone(), time: job.ended })
}

fn ended_already(state: &JobState) -> Error {
    Error::new(
        ErrorCode::Failed,
        format!(
            "the job has ended already: it {}",
            match state {
                JobState::Succeeded => "succeeded",
                JobState::Cancelled => "was cancelled",
                JobState::Failed | JobState::Queued | JobState::Running | JobState::Flushing => "failed",
            }
        ),
    )
}

/// Answers the callers that wait for a cancel: Ok if the job was cancelled and nothing incomplete is left, otherwise the
/// reason.
fn answer_waiters(entry: &mut Entry, job: &Job) {
    for waiter in entry.waiters.drain(..) {
        let answer = match &job.failure {
            _ if job.state == JobState::Cancelled && !entry.left.hidden => Ok(()),
            None => Err(ended_already(&job.state)),
            Some(failure) if job.state == JobState::Cancelled => {
                Err(Error::new(ErrorCode::Failed, failure.public.clone()))
            }
            Some(failure) => {
                Err(Error::new(ErrorCode::Failed, format!("not cancelled, but failed: {}", failure.public)))
            }
        };
        // The caller may have left.
        drop(waiter.send(answer));
    }
}
