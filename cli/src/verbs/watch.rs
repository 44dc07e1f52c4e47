//! `butterdock watch [JOB]`, and watching the jobs that another verb started.

use std::process::ExitCode;

use butterdock_dbus::{JobKind, JobResult};
use tokio::signal::unix::{SignalKind, signal};
use zbus::OwnedObjectPath;

use crate::failure::{FAILED, Failure, INTERRUPTED};
use crate::render::{JobError, JobObject, Output, Progress, WatchEvent, print};
use crate::service::{Job, JobSignal, JobSignals, Service};

/// Watches one job or all jobs.
pub(crate) async fn run(service: &Service, out: Output, wanted: Option<&str>) -> Result<ExitCode, Failure> {
    let mut signals = JobSignals::subscribe(service).await?;
    let objects = signals.during(service.objects()).await?;
    let jobs = match wanted {
        Some(prefix) => vec![objects.job(prefix)?.clone()],
        None => objects.unfinished().cloned().collect(),
    };
    if jobs.is_empty() && !out.json {
        print("no jobs are running\n");
    }
    Watch { service, signals, jobs, others: wanted.is_none(), failed: false, hint: "" }
        .until_all_end(Progress::new(out))
        .await
}

/// Starts a job and watches it to the end; after `backup` also the other backups that the call queued for the same drive.
/// With `detach` prints the ids only. `hint` is the condition under which the job continues unwatched.
pub(super) async fn start(
    service: &Service,
    out: Output,
    detach: bool,
    hint: &'static str,
    call: impl Future<Output = Result<OwnedObjectPath, Failure>>,
) -> Result<ExitCode, Failure> {
    let mut signals = JobSignals::subscribe(service).await?;
    let started = async {
        let path = call.await?;
        Ok((path, service.objects().await?))
    };
    let (path, objects) = signals.during(started).await?;
    let first = objects.jobs.iter().find(|job| job.path == path.as_str());
    let first = first.ok_or_else(|| Failure::own("the service started a job but does not list it".to_owned()))?;
    let queued = |job: &&Job| {
        first.now.kind == JobKind::Backup
            && job.path != first.path
            && (&job.now.kind, &job.now.drive) == (&first.now.kind, &first.now.drive)
    };
    let jobs = std::iter::once(first).chain(objects.unfinished().filter(queued)).cloned().collect::<Vec<_>>();
    if detach {
        for job in &jobs {
            out.answer(&WatchEvent::Started { job: JobObject::new(job) }, || format!("{}\n", job.id));
        }
        return Ok(ExitCode::SUCCESS);
    }
    Watch { service, signals, jobs, others: false, failed: false, hint }.until_all_end(Progress::new(out)).await
}

/// The watched jobs.
#[derive(Debug)]
struct Watch<'a> {
    service: &'a Service,
    /// Subscribed before the jobs were listed, so that no signal is missed.
    signals: JobSignals,
    /// The unfinished jobs.
    jobs: Vec<Job>,
    /// Whether to watch jobs that start later.
    others: bool,
    /// Whether a watched job did not succeed.
    failed: bool,
    /// The condition under which the jobs continue unwatched; begins with a space.
    hint: &'static str,
}

impl Watch<'_> {
    /// Watches until every job has ended, or Ctrl-C.
    async fn until_all_end(mut self, mut progress: Progress) -> Result<ExitCode, Failure> {
        let mut interrupts = signal(SignalKind::interrupt())
            .map_err(|error| Failure::own(format!("cannot listen for Ctrl-C: {error}; try again")))?;
        // Also during a call: a service that does not answer must not keep the program.
        tokio::select! {
            ended = self.follow(&mut progress) => ended?,
            _ = interrupts.recv() => {
                self.jobs.iter().for_each(|job| progress.detached(job, self.hint));
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        Ok(if self.failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    async fn follow(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        self.jobs.iter().for_each(|job| progress.started(job));
        // Jobs that ended earlier send no more signals; their state has the result.
        for (index, result) in self.ended_already() {
            self.end(index, &result, progress).await;
        }
        while !self.jobs.is_empty() {
            let signal = self.signals.next().await?;
            self.handle(signal, progress).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, signal: JobSignal, progress: &mut Progress) -> Result<(), Failure> {
        match signal {
            JobSignal::Added(job) => {
                if self.others && self.find(&job.path).is_none() {
                    let job = self.with_drive_title(*job).await;
                    progress.started(&job);
                    self.jobs.push(job);
                }
            }
            JobSignal::Changed(path, changes) => {
                if let Some(job) = self.jobs.iter_mut().find(|job| job.path == path) {
                    job.change(&changes)?;
                    progress.changed(job);
                }
            }
            JobSignal::Completed(path, result) => {
                if let Some(index) = self.find(&path) {
                    self.end(index, &result, progress).await;
                }
            }
            JobSignal::ServiceLost => return Err(Failure::gone()),
        }
        Ok(())
    }

    async fn end(&mut self, index: usize, result: &JobResult, progress: &mut Progress) {
        let job = self.jobs.remove(index);
        let wrong = if *result == JobResult::Succeeded {
            None
        } else {
            self.failed = true;
            JobError::new(&job, self.signals.during(self.service.details(&job.path)).await.ok())
        };
        progress.ended(&job, result, wrong);
    }

    /// Adds the model or the device of a drive without a label.
    async fn with_drive_title(&mut self, mut job: Job) -> Job {
        if job.drive().is_some()
            && job.drive_title.is_none()
            && let Ok(objects) = self.signals.during(self.service.objects()).await
        {
            job.drive_title = objects.jobs.into_iter().find(|now| now.id == job.id).and_then(|now| now.drive_title);
        }
        job
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.jobs.iter().position(|job| job.path == path)
    }

    /// The last one first, so that removing one keeps the indexes of the others.
    fn ended_already(&self) -> Vec<(usize, JobResult)> {
        let ended = self.jobs.iter().enumerate().filter_map(|(at, job)| Some((at, job.now.state.result()?)));
        ended.rev().collect()
    }
}
