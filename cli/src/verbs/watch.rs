//! `butterdock watch [JOB]`, and what `receive` does once the job is there.

use std::process::ExitCode;

use butterdock_dbus::JobResult;

use crate::ask::{Follow, Heard, Job, Service};
use crate::failure::{FAILED, Failure, INTERRUPTED};
use crate::render::{Out, Screen, Wrong, print};

/// Watches the job, or every job.
pub(crate) async fn run(service: &Service, out: Out, wanted: Option<&str>) -> Result<ExitCode, Failure> {
    let mut follow = Follow::start(service).await?;
    let objects = follow.during(service.objects()).await?;
    let jobs = match wanted {
        Some(prefix) => vec![objects.job(prefix)?.clone()],
        None => objects.unfinished().cloned().collect(),
    };
    if jobs.is_empty() && !out.json {
        print::out("nothing is running\n");
    }
    Watch { service, follow, jobs, others: wanted.is_none(), failed: false, hint: "" }
        .until_the_end(Screen::new(out))
        .await
}

/// Jobs that are watched.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) service: &'a Service,
    /// Made before the jobs were asked for, so that nothing is missed.
    pub(crate) follow: Follow,
    /// Those that have not ended yet.
    pub(crate) jobs: Vec<Job>,
    /// Whether jobs that begin meanwhile are watched as well.
    pub(crate) others: bool,
    /// Whether one that was watched did not succeed.
    pub(crate) failed: bool,
    /// On what it depends that the jobs go on when this program does not watch; begins with a space.
    pub(crate) hint: &'static str,
}

impl Watch<'_> {
    /// Until every job has ended, or Ctrl-C.
    pub(crate) async fn until_the_end(mut self, mut screen: Screen) -> Result<ExitCode, Failure> {
        self.jobs.iter().for_each(|job| screen.begun(job));
        // What ended before it was watched says so in its state, and nothing more will be heard of it.
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

    /// With what its drive is called, where it has one: that is not a property of the job.
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

    /// The last one first, so that taking one out leaves the places of the others.
    fn ended_already(&self) -> Vec<(usize, JobResult)> {
        let ended = self.jobs.iter().enumerate().filter_map(|(at, job)| Some((at, job.now.state.result()?)));
        ended.rev().collect()
    }
}
