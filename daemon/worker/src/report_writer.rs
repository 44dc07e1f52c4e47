//! The engine's reports to the service.
//!
//! The engine's threads queue reports here, and one thread writes them to the socket. The queue is bounded. A phase that
//! was not written yet is replaced by the next one, and only the first warnings are written. All other reports must arrive:
//! the engine waits up to 30 seconds for room. If the service reads nothing for that long, the worker ends the job.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use butterdock_receive::{Control, Counts, Kind, Observer, Phase, Progress, Published, Unapplied};
use rustix::net::SendFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::packet;
use super::protocol::Report;
use super::worker_error::short;

/// The capacity of the queue.
const CAPACITY: usize = 256;
/// The timeout for room in the queue, and for a write to the socket.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The time between two reports of progress.
const TICK: Duration = Duration::from_millis(250);
/// Progress is also reported when the wait for the stream has grown by this much.
const WAIT: Duration = Duration::from_secs(1);
/// The largest number of warnings that are reported.
const WARNINGS: u64 = 100;

/// The reports of one job.
#[derive(Debug)]
pub(crate) struct ReportWriter {
    control: Control,
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    reports: VecDeque<Report>,
    warnings: u64,
    /// The service no longer reads.
    gone: bool,
    /// The last report was queued.
    over: bool,
    /// The writer took reports out, and they may not be in the socket yet.
    writing: bool,
}

impl ReportWriter {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, pending: Mutex::default(), changed: Condvar::new() }
    }

    /// Writes the queued reports, and the progress between them, up to the last report or until the service is gone.
    pub(crate) fn write_all(&self, socket: impl AsFd) {
        // Without a timeout a write that blocks would keep the process alive for ever.
        if set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT)).is_err() {
            return self.service_gone();
        }
        let (mut written, mut written_wait) = (Counts::default(), Duration::ZERO);
        let mut next = Instant::now() + TICK;
        loop {
            let (mut reports, over) = self.take(next);
            let now = Instant::now();
            if now >= next && !over {
                next = now + TICK;
                let Progress { counts, waited, bytes: _ } = self.control.progress();
                if counts != written || waited.saturating_sub(written_wait) >= WAIT {
                    (written, written_wait) = (counts, waited);
                    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    reports.push_back(Report::Progress { counts, waited_ms });
                }
            }
            for report in reports {
                if write(&socket, &report).is_err() {
                    return self.service_gone();
                }
            }
            if over {
                return;
            }
        }
    }

    /// Queues a report that must arrive; waits up to 30 seconds for room.
    pub(crate) fn queue(&self, report: Report) {
        let full = |pending: &mut Pending| !pending.gone && pending.reports.len() >= CAPACITY;
        let waited = self.changed.wait_timeout_while(self.pending(), TIMEOUT, full);
        let (mut pending, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && full(&mut pending) {
            drop(pending);
            return self.service_gone();
        }
        if pending.gone {
            return;
        }
        pending.over |= matches!(report, Report::Ended { .. });
        pending.reports.push_back(report);
        self.changed.notify_all();
    }

    /// Waits until all queued reports are in the socket. The service can then read them even if this process is killed.
    fn flush(&self) {
        let busy = |pending: &mut Pending| !pending.gone && (pending.writing || !pending.reports.is_empty());
        let waited = self.changed.wait_timeout_while(self.pending(), TIMEOUT, busy);
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if busy(&mut pending) {
            drop(pending);
            self.service_gone();
        }
    }

    /// The service no longer reads: cancels the job.
    pub(crate) fn service_gone(&self) {
        self.pending().gone = true;
        self.changed.notify_all();
        self.control.cancel();
    }

    /// Whether all reports were written, including the last one.
    pub(crate) fn were_delivered(&self) -> bool {
        !self.pending().gone
    }

    /// Waits for reports, up to the next report of progress. Returns them, and whether no more will follow.
    fn take(&self, until: Instant) -> (VecDeque<Report>, bool) {
        self.pending().writing = false;
        self.changed.notify_all();
        let timeout = until.saturating_duration_since(Instant::now());
        let idle = |pending: &mut Pending| pending.reports.is_empty() && !pending.gone;
        let waited = self.changed.wait_timeout_while(self.pending(), timeout, idle);
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let reports = std::mem::take(&mut pending.reports);
        pending.writing = !reports.is_empty();
        self.changed.notify_all();
        (reports, pending.over || pending.gone)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for ReportWriter {
    fn began(&self, name: &[u8], kind: Kind) {
        self.queue(Report::Began { name: name.to_vec(), incremental: kind == Kind::Incremental });
    }

    fn phase(&self, phase: Phase) {
        let mut pending = self.pending();
        if let Some(queued @ Report::Phase(_)) = pending.reports.back_mut() {
            *queued = Report::Phase(phase);
            self.changed.notify_all();
            drop(pending);
        } else {
            drop(pending);
            self.queue(Report::Phase(phase));
        }
        if phase == Phase::Publishing {
            // If the worker is killed after the rename, the service must know that it may have published.
            self.flush();
        }
    }

    fn published(&self, subvolume: &Published) {
        self.queue(Report::Published {
            name: subvolume.name.clone(),
            subvolume_id: subvolume.id,
            received_uuid: subvolume.received_uuid.0,
            state: subvolume.state,
            incremental: subvolume.kind == Kind::Incremental,
            parent_number_differs: subvolume.parent_number_differs,
            end: subvolume.end,
        });
    }

    fn unapplied(&self, unapplied: &Unapplied) {
        let Unapplied { inodes, flags, compressions } = *unapplied;
        self.queue(Report::Unapplied { inodes, flags, compressions });
    }

    fn warning(&self, text: &str) {
        let mut pending = self.pending();
        pending.warnings = pending.warnings.saturating_add(1);
        let count = pending.warnings;
        drop(pending);
        if count < WARNINGS {
            self.queue(Report::Warning(short(text)));
        } else if count == WARNINGS {
            self.queue(Report::Warning("further warnings are omitted".to_owned()));
        }
    }
}

/// Writes a report to the socket.
pub(crate) fn write(socket: impl AsFd, report: &Report) -> std::io::Result<()> {
    packet::send(socket, &serde_json::to_vec(report)?, &[], SendFlags::empty())
}

#[cfg(test)]
mod tests {
    use rustix::net::RecvFlags;

    use super::*;

    fn reports() -> ReportWriter {
        ReportWriter::new(Control::new().expect("a control"))
    }

    fn ended() -> Report {
        Report::Ended { counts: Counts::default(), error: None }
    }

    /// The reports that the service reads.
    fn written(reports: &ReportWriter) -> Vec<Report> {
        let (ours, theirs) = packet::pair().expect("a pair");
        reports.write_all(&ours);
        drop(ours);
        let packets = std::iter::from_fn(|| packet::receive(&theirs, RecvFlags::empty()).expect("received"));
        packets.map(|packet| serde_json::from_slice(&packet.bytes).expect("a report")).collect()
    }

    #[test]
    fn reports_are_written_in_order_up_to_the_last() {
        let reports = reports();
        reports.began(b"a", Kind::Full);
        reports.warning("b");
        reports.queue(ended());
        let began = Report::Began { name: b"a".to_vec(), incremental: false };
        assert_eq!(written(&reports), [began, Report::Warning("b".to_owned()), ended()]);
        assert!(reports.were_delivered());
    }

    #[test]
    fn a_phase_replaces_one_that_was_not_written_yet() {
        let reports = reports();
        for phase in [Phase::Syncing, Phase::Checking, Phase::Marking] {
            reports.phase(phase);
        }
        reports.queue(ended());
        assert_eq!(written(&reports), [Report::Phase(Phase::Marking), ended()]);
    }

    #[test]
    fn many_warnings_are_bounded() {
        let reports = reports();
        for _ in 0..1000 {
            reports.warning("x");
        }
        reports.queue(ended());
        assert_eq!(written(&reports).len(), 101);
    }

    #[test]
    fn a_service_that_is_gone_cancels_the_job() {
        let reports = reports();
        let (ours, theirs) = packet::pair().expect("a pair");
        drop(theirs);
        reports.began(b"a", Kind::Full);
        reports.write_all(&ours);
        assert!(!reports.were_delivered() && reports.control.is_cancelled());
        for _ in 0..=CAPACITY {
            reports.began(b"a", Kind::Full);
        }
    }
}
