//! Follows a worker: forwards its reports to the scheduler, asks it to end after a cancel, and kills it if it does not
//! end.

use std::time::Duration;

use butterdock_btrfs::best_effort;
use butterdock_receive::Counts;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::worker_results::Followed;
use super::{Runner, RunnerEvent};
use crate::backups::BackupEvent;
use crate::config::ByteRate;
use crate::jobs::limit::{Excess, Limit};
use crate::jobs::outcome::EndReason;
use crate::jobs::worker_deadline::{Due, WorkerDeadline};
use crate::worker::{Report, Subject, Worker};

/// After this time without reports the rate is zero.
const STALLED: Duration = Duration::from_secs(3);

impl Runner {
    /// Forwards the worker's reports until its result, or until it sends no more. `max_rate` is the limit that it began with.
    pub(super) async fn follow(
        &mut self,
        worker: &mut Worker,
        subject: Subject,
        mut max_rate: Option<u64>,
    ) -> Followed {
        let mut rates = self.max_rate.subscribe();
        let mut seen = Followed::default();
        let mut deadline: Option<WorkerDeadline> = None;
        let mut known = None;
        let mut news = News::new(Instant::now());
        loop {
            let wake = deadline.as_ref().map(WorkerDeadline::next);
            // The limits do not apply to a job that is being ended, or whose stream was received completely.
            let limit = self.limit.as_ref().filter(|_| deadline.is_none() && !seen.is_settling());
            let limit = limit.and_then(Limit::end);
            let wake = wake.or_else(|| earliest(news.deadline(), limit));
            tokio::select! {
                report = worker.next() => match report {
                    Some(Report::Ended { counts, error }) => {
                        self.tell(RunnerEvent::Report(Report::Progress { counts, waited_ms: 0 })).await;
                        seen.result = Some(error);
                        return seen;
                    }
                    Some(report) if !subject.admits(&report) => {
                        tracing::warn!(butterdock_job = %self.id, "the worker sent a message that does not belong to \
                                                                   its job");
                        worker.kill();
                        return seen;
                    }
                    Some(report) => {
                        news.hear(&report, Instant::now());
                        if let Report::Backup(BackupEvent::Lineage(lineage)) = &report {
                            self.lineage.send_replace(Some(lineage.clone()));
                        }
                        self.judge(&report, seen.is_settling()).await;
                        if seen.hear(&report) && let Some(deadline) = &mut deadline {
                            deadline.step(Instant::now(), seen.writing);
                        }
                        self.tell(RunnerEvent::Report(report)).await;
                    }
                    None => return seen,
                },
                rate = changed_from(&mut rates, max_rate) => {
                    max_rate = rate;
                    let now = rate.map_or_else(|| "no rate limit".to_owned(), |rate| ByteRate(rate).to_string());
                    tracing::info!(butterdock_job = %self.id, "the rate limit of the backup is now {now}");
                    // One that does not read any more is ended by its deadline.
                    best_effort(worker.set_max_rate(rate));
                }
                why = other_than(&mut self.stop, known) => {
                    known = Some(why);
                    match &mut deadline {
                        None => {
                            // If this fails, the worker is killed soon.
                            best_effort(worker.cancel());
                            deadline = Some(WorkerDeadline::new(Instant::now(), why, seen.writing));
                        }
                        Some(deadline) if why == EndReason::Stopping => deadline.hurry(Instant::now()),
                        Some(deadline) if why == EndReason::Unplugged => *deadline = WorkerDeadline::new(Instant::now(), why, false),
                        Some(_) => {}
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    match deadline.as_mut().map(|deadline| deadline.due(Instant::now())) {
                        Some(Due::Kill) => {
                            worker.kill();
                            return seen;
                        }
                        Some(Due::Inform) => self.tell(RunnerEvent::Writing).await,
                        Some(Due::Nothing) => {}
                        None => {
                            if news.is_late(Instant::now()) {
                                self.tell(RunnerEvent::Stalled).await;
                            }
                            let overtime = self.limit.as_ref().and_then(|limit| limit.overtime(Instant::now()));
                            self.exceeded(overtime).await;
                        }
                    }
                }
            }
        }
    }
}

impl Runner {
    /// Ends the job where its stream comes too slowly, and notes its progress.
    async fn judge(&mut self, report: &Report, is_settling: bool) {
        let Report::Progress { counts, waited_ms } = report else { return };
        let waited = Duration::from_millis(*waited_ms);
        let excess = self.limit.as_mut().and_then(|limit| limit.hear(waited, counts.bytes, is_settling));
        self.exceeded(excess).await;
    }

    /// Makes the scheduler end the job, once.
    async fn exceeded(&mut self, excess: Option<Excess>) {
        if let Some(excess) = excess {
            self.limit = None;
            self.tell(RunnerEvent::Exceeded(excess)).await;
        }
    }
}

/// When data last arrived, and whether the stall was reported.
#[derive(Debug)]
struct News {
    last: Instant,
    counts: Counts,
    stalled: bool,
}

impl News {
    /// A job that begins has no rate yet, so that no stall is reported.
    fn new(now: Instant) -> Self {
        Self { last: now, counts: Counts::default(), stalled: true }
    }

    fn hear(&mut self, report: &Report, now: Instant) {
        match report {
            // A longer wait alone is no progress.
            Report::Progress { counts, .. } if *counts != self.counts => {
                *self = Self { last: now, counts: *counts, stalled: false };
            }
            Report::Verify(_) | Report::Deletion(_) => (self.last, self.stalled) = (now, false),
            Report::Progress { .. }
            | Report::Phase(_)
            | Report::Confined { .. }
            | Report::Began { .. }
            | Report::Published { .. }
            | Report::Backup(_)
            | Report::Streams(_)
            | Report::Unapplied { .. }
            | Report::Files(_)
            | Report::Warning(_)
            | Report::Ended { .. } => {}
        }
    }

    /// When to report the stall.
    fn deadline(&self) -> Option<Instant> {
        (!self.stalled).then(|| self.last + STALLED)
    }

    /// Whether to report the stall now; it is reported once.
    fn is_late(&mut self, now: Instant) -> bool {
        let is_late = self.deadline().is_some_and(|deadline| now >= deadline);
        self.stalled |= is_late;
        is_late
    }
}

/// Waits until the rate limit is another one.
async fn changed_from(rates: &mut watch::Receiver<Option<u64>>, known: Option<u64>) -> Option<u64> {
    let rate = rates.wait_for(|rate| *rate != known).await.ok().map(|rate| *rate);
    match rate {
        Some(rate) => rate,
        None => std::future::pending().await,
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// Waits for a reason to end, other than the known one. The end of the scheduler is one.
pub(in crate::jobs) async fn other_than(
    stop: &mut watch::Receiver<Option<EndReason>>,
    known: Option<EndReason>,
) -> EndReason {
    if known == Some(EndReason::Stopping) {
        // This reason is final.
        return std::future::pending().await;
    }
    stop.wait_for(|why| *why != known).await.ok().and_then(|why| *why).unwrap_or(EndReason::Stopping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_stream_is_reported_once() {
        let now = Instant::now();
        let mut news = News::new(now);
        let counts = Counts { bytes: 5, ..Counts::default() };
        assert_eq!((news.deadline(), news.is_late(now)), (None, false));
        news.hear(&Report::Progress { counts, waited_ms: 0 }, now);
        assert_eq!(news.deadline(), Some(now + STALLED));
        news.hear(&Report::Progress { counts, waited_ms: 1000 }, now + STALLED);
        assert!(news.is_late(now + STALLED) && !news.is_late(now + STALLED));
        assert_eq!(news.deadline(), None);
        let (later, counts) = (now + 2 * STALLED, Counts { bytes: 6, ..counts });
        news.hear(&Report::Progress { counts, waited_ms: 3000 }, later);
        assert_eq!(news.deadline(), Some(later + STALLED));
    }

    #[tokio::test]
    async fn a_dead_scheduler_ends_the_service() {
        let (scheduler, mut stop) = watch::channel(None);
        scheduler.send_replace(Some(EndReason::Cancelled));
        assert_eq!(other_than(&mut stop, None).await, EndReason::Cancelled);
        drop(scheduler);
        assert_eq!(other_than(&mut stop, Some(EndReason::Cancelled)).await, EndReason::Stopping);
        let again = other_than(&mut stop, Some(EndReason::Stopping));
        assert!(tokio::time::timeout(Duration::from_millis(20), again).await.is_err());
    }
}
