//! Output while watching jobs: JSON lines, progress bars, or without a terminal a line at the start and the end.

use butterdock_dbus::{ErrorDetails, JobResult};
use serde::Serialize;

use super::bars::Bars;
use super::{Ended, JobObject, Line, Out, deed, escaped, print};
use crate::ask::Job;
use crate::failure;

/// The output for watched jobs.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Out,
    bars: Option<Bars>,
}

/// A job's error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Wrong {
    name: String,
    message: String,
    command: Option<u64>,
    byte: Option<u64>,
    #[serde(skip)]
    next: Option<&'static str>,
}

impl Screen {
    /// An empty screen.
    pub(crate) fn new(out: Out) -> Self {
        Self { out, bars: if out.json { None } else { Bars::new() } }
    }

    /// Shows a job that is watched from now on.
    pub(crate) fn begun(&mut self, job: &Job) {
        if self.out.json {
            self.out.line(&Line::Started { job: JobObject::new(job) });
        } else if let Some(bars) = &mut self.bars {
            bars.show(job);
        } else {
            print::out(&format!("job {}: {}, {}\n", job.short(), deed::begun(job), job.now.state));
        }
    }

    /// Shows a job's new properties.
    pub(crate) fn changed(&mut self, job: &Job) {
        if self.out.json {
            self.out.line(&Line::Progress { job: JobObject::new(job) });
        } else if let Some(bars) = &mut self.bars {
            bars.show(job);
        }
    }

    /// Shows the end of a job.
    pub(crate) fn ended(&mut self, job: &Job, result: &JobResult, error: Option<Wrong>) {
        if self.out.json {
            let ended = Ended { job: JobObject::new(job), result: result.to_string(), error: error.clone() };
            self.out.line(&Line::Ended(Box::new(ended)));
        }
        if let Some(bars) = &mut self.bars {
            bars.end(job);
        }
        self.beside(|out| match error {
            None if *result == JobResult::Succeeded => {
                if !out.json {
                    print::out(&format!("job {}: {}\n", job.short(), deed::done(job)));
                    if !job.now.note.is_empty() {
                        print::out(&format!("  {}\n", escaped(&job.now.note)));
                    }
                }
            }
            None => print::complain(&format!("butterdock: job {} was {result}", job.short())),
            Some(wrong) => {
                print::complain(&format!("butterdock: job {}: {}", job.short(), escaped(&wrong.message)));
                if let Some(next) = wrong.next {
                    print::complain(&format!("  {next}"));
                }
            }
        });
    }

    /// The job continues but is no longer watched; `hint` is a condition for that.
    pub(crate) fn detached(&mut self, job: &Job, hint: &str) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        if self.out.json {
            self.out.line(&Line::Detached { job: JobObject::new(job) });
            return;
        }
        let id = job.short();
        print::complain(&format!(
            "job {id} continues{hint}; `butterdock watch {id}` watches it again, `butterdock cancel {id}` ends it"
        ));
    }

    fn beside(&self, print: impl FnOnce(Out)) {
        match &self.bars {
            Some(bars) => bars.beside(|| print(self.out)),
            None => print(self.out),
        }
    }
}

impl Wrong {
    /// Uses the details if the caller may see them, otherwise the public error properties.
    pub(crate) fn new(job: &Job, details: Option<ErrorDetails>) -> Option<Self> {
        if let Some(details) = details.filter(|details| !details.message.is_empty()) {
            let ErrorDetails { error_name: name, message, command, byte } = details;
            return Some(Self { name, message, command, byte, next: None });
        }
        if job.now.error_name.is_empty() {
            return None;
        }
        let name = job.now.error_name.clone();
        let next = name.parse().ok().and_then(|name| failure::next(name, &job.now.error_message));
        Some(Self { name, message: job.now.error_message.clone(), command: None, byte: None, next })
    }
}
