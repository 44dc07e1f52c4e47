//! `butterdock watch [JOB]`, and watching the job of another verb.

use std::process::ExitCode;

use butterdock_dbus::JobResult;

use crate::ask::{Follow, Heard, Job, Service};
use crate::failure::{FAILED, Failure, INTERRUPTED};
use crate::render::{Out, Screen, Wrong, print};

/// Watches one job or all jobs.
pub(crate) async fn run(service: &Service, out: Out, wanted: Option<&str>) -> Result<ExitCode, Failure> {
    let mut follow = Follow::start(service).await?;
    let objects = follow.during(service.objects()).await?;
    let jobs = match wanted {
        Some(prefix) => vec![objects.job(prefix)?.clone()],
        None => objects.unfinished().cloned().collect(),
    };
    if jobs.is_empty() && !out.json {
        print::out("no jobs are running\n");
    }
    Watch { service, follow, jobs, others: wanted.is_none(), failed: false, hint: "" }
        .until_the_end(Screen::new(out))
        .await
}

/// The watched jobs.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) service: &'a Service,
    /// Created before the jobs were listed, so that no signal is missed.
    pub(crate) follow: Follow,
    /// The unfinished jobs.
    pub(crate) jobs: Vec<Job>,
    /// Whether to watch jobs that start later.
    pub(crate) others: bool,
    /// Whether a watched job did not succeed.
    pub(crate) failed: bool,
    /// The condition under which the jobs continue unwatched; begins with a space.
    pub(crate) hint: &'static str,
}

impl Watch<'_> {
    /// Watches until every job has ended, or Ctrl-C.
    pub(crate) async fn until_the_end(mut self, mut screen: Screen) -> Result<ExitCode, Failure> {
        self.jobs.iter().for_each(|job| screen.begun(job));
        // Jobs that ended earlier send no more signals; their state has the result.
        for (index, result) in self.ended_already() {
            self.end(index, &result, &mut screen).await;
        }
        while !self.jobs.is_empty() {
            tokio::select! {
                heard = self.follow.next() => self.take(heard?, &mut screen).await?,
                _ = tokio::signal::ctrl_c() => {
                    self.jobs.iter().for_each(|job| screen.detached(job, self.hint));
                    return Ok(ExitCode::from(INTERRUPTED));
                }
            }
        }
        Ok(if self.failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
    }

    async fn take(&mut self, heard: Heard, screen: &mut Screen) -> Result<(), Failure> {
        match heard {
            Heard::Began(job) => {
                if self.others && self.find(&job.path).is_none() {
                    let job = self.with_title(*job).await;
                    screen.begun(&job);
                    self.jobs.push(job);
                }
            }
            Heard::Changed(path, changes) => {
                if let Some(job) = self.jobs.iter_mut().find(|job| job.path == path) {
                    job.change(&changes)?;
                    screen.changed(job);
                }
            }
            Heard::Ended(path, result) => {
                if let Some(index) = self.find(&path) {
                    self.end(index, &result, screen).await;
                }
            }
            Heard::Gone => return Err(Failure::gone()),
        }
        Ok(())
    }

    async fn end(&mut self, index: usize, result: &JobResult, screen: &mut Screen) {
        let job = self.jobs.remove(index);
        let wrong = if *result == JobResult::Succeeded {
            None
        } else {
            self.failed = true;
            Wrong::new(&job, self.follow.during(self.service.details(&job.path)).await.ok())
        };
        screen.ended(&job, result, wrong);
    }

    /// Adds the label of its drive, which is not a property of the job.
    async fn with_title(&mut self, mut job: Job) -> Job {
        if job.drive().is_some()
            && let Ok(objects) = self.follow.during(self.service.objects()).await
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
