//! Tells the daemon what the engine does.
//!
//! The engine's threads leave reports here and go on; a thread of its own puts them into the socket. There is room for a
//! bounded number. Steps that nobody has heard yet make way for the next one, and warnings are counted once there are many.
//! Everything else must be heard: for that the engine waits, but not for ever. A daemon that takes nothing for so long is
//! as good as gone.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use butterdock_receive::{Control, Counts, Kind, Observer, Phase, Progress, Published};

use super::failure::short;
use super::protocol::{LONGEST_REPORT, Report};

/// Reports that may wait.
const ROOM: usize = 256;
/// How long the engine waits for room.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time between two reports of progress.
const TICK: Duration = Duration::from_millis(250);
/// A wait for the stream that has grown by so much is told.
const WAIT: Duration = Duration::from_secs(1);
/// So many warnings are told one by one.
const WARNINGS: u64 = 100;

/// What is to be told.
#[derive(Debug)]
pub(crate) struct ReportWriter {
    control: Control,
    desk: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    reports: VecDeque<Report>,
    warnings: u64,
    /// Nobody listens any more.
    deaf: bool,
    /// The last report is among them.
    over: bool,
    /// Some were taken and may not be in the socket yet.
    telling: bool,
}

impl ReportWriter {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, desk: Mutex::default(), changed: Condvar::new() }
    }

    /// Tells what is left here, and progress in between, until the last report is told or nobody listens.
    pub(crate) fn tell(&self, socket: &UnixStream) {
        // A write that cannot end would keep the process, which has nothing else to do by then.
        if socket.set_write_timeout(Some(PATIENCE)).is_err() {
            return self.deafen();
        }
        let (mut said, mut said_wait) = (Counts::default(), Duration::ZERO);
        let mut next = Instant::now() + TICK;
        loop {
            let (mut reports, over) = self.take(next);
            let now = Instant::now();
            if now >= next && !over {
                next = now + TICK;
                let Progress { counts, waited, bytes: _ } = self.control.progress();
                if counts != said || waited.saturating_sub(said_wait) >= WAIT {
                    (said, said_wait) = (counts, waited);
                    let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
                    reports.push_back(Report::Progress { counts, waited_ms });
                }
            }
            for report in reports {
                if write(socket, &report).is_err() {
                    return self.deafen();
                }
            }
            if over {
                return;
            }
        }
    }

    /// Leaves a report that must be heard; waits for room, though not for ever.
    pub(crate) fn queue(&self, report: Report) {
        let full = |desk: &mut Pending| !desk.deaf && desk.reports.len() >= ROOM;
        let waited = self.changed.wait_timeout_while(self.pending(), PATIENCE, full);
        let (mut desk, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && full(&mut desk) {
            drop(desk);
            return self.deafen();
        }
        if desk.deaf {
            return;
        }
        desk.over |= matches!(report, Report::Ended { .. });
        desk.reports.push_back(report);
        self.changed.notify_all();
    }

    /// Waits until all that was left is in the socket, where it is heard whatever becomes of this process.
    fn settle(&self) {
        let busy = |desk: &mut Pending| !desk.deaf && (desk.telling || !desk.reports.is_empty());
        let waited = self.changed.wait_timeout_while(self.pending(), PATIENCE, busy);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if busy(&mut desk) {
            drop(desk);
            self.deafen();
        }
    }

    /// Nobody listens any more: what is being done ends.
    pub(crate) fn deafen(&self) {
        self.pending().deaf = true;
        self.changed.notify_all();
        self.control.cancel();
    }

    /// Whether somebody listened to the end.
    pub(crate) fn was_heard(&self) -> bool {
        !self.pending().deaf
    }

    /// What waits, once something does or it is time for progress; and whether that is all there will be.
    fn take(&self, until: Instant) -> (VecDeque<Report>, bool) {
        self.pending().telling = false;
        self.changed.notify_all();
        let patience = until.saturating_duration_since(Instant::now());
        let idle = |desk: &mut Pending| desk.reports.is_empty() && !desk.deaf;
        let waited = self.changed.wait_timeout_while(self.pending(), patience, idle);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let reports = std::mem::take(&mut desk.reports);
        desk.telling = !reports.is_empty();
        self.changed.notify_all();
        (reports, desk.over || desk.deaf)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for ReportWriter {
    fn began(&self, name: &[u8], kind: Kind) {
        self.queue(Report::Began { name: name.to_vec(), incremental: kind == Kind::Incremental });
    }

    fn phase(&self, phase: Phase) {
        let mut desk = self.pending();
        if let Some(unheard @ Report::Phase(_)) = desk.reports.back_mut() {
            *unheard = Report::Phase(phase);
            self.changed.notify_all();
            drop(desk);
        } else {
            drop(desk);
            self.queue(Report::Phase(phase));
        }
        if phase == Phase::Publishing {
            // A worker that is killed with the name given must not be taken for one that left nothing.
            self.settle();
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

    fn warning(&self, text: &str) {
        let mut desk = self.pending();
        desk.warnings = desk.warnings.saturating_add(1);
        let count = desk.warnings;
        drop(desk);
        if count < WARNINGS {
            self.queue(Report::Warning(short(text)));
        } else if count == WARNINGS {
            self.queue(Report::Warning("there are more warnings, which are left out".to_owned()));
        }
    }
}

/// Puts a report into the socket.
pub(crate) fn write(mut socket: &UnixStream, report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    if line.len() > LONGEST_REPORT {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    socket.write_all(&line)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    fn reports() -> ReportWriter {
        ReportWriter::new(Control::new().expect("a control"))
    }

    fn ended() -> Report {
        Report::Ended { counts: Counts::default(), error: None }
    }

    /// What a daemon hears of what was left.
    fn heard(reports: &ReportWriter) -> Vec<Report> {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        reports.tell(&ours);
        drop(ours);
        let lines = BufReader::new(theirs).lines();
        lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("a report")).collect()
    }

    #[test]
    fn reports_are_told_in_order_and_the_last_one_ends_it() {
        let reports = reports();
        reports.began(b"a", Kind::Full);
        reports.warning("b");
        reports.queue(ended());
        let began = Report::Began { name: b"a".to_vec(), incremental: false };
        assert_eq!(heard(&reports), [began, Report::Warning("b".to_owned()), ended()]);
        assert!(reports.was_heard());
    }

    #[test]
    fn steps_that_nobody_has_heard_make_way_for_the_next() {
        let reports = reports();
        for phase in [Phase::Syncing, Phase::Checking, Phase::Marking] {
            reports.phase(phase);
        }
        reports.queue(ended());
        assert_eq!(heard(&reports), [Report::Phase(Phase::Marking), ended()]);
    }

    #[test]
    fn many_warnings_are_bounded() {
        let reports = reports();
        for _ in 0..1000 {
            reports.warning("x");
        }
        reports.queue(ended());
        assert_eq!(heard(&reports).len(), 101);
    }

    #[test]
    fn a_daemon_that_is_gone_ends_the_work_and_holds_nobody_up() {
        let reports = reports();
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        reports.began(b"a", Kind::Full);
        reports.tell(&ours);
        assert!(!reports.was_heard() && reports.control.is_cancelled());
        for _ in 0..=ROOM {
            reports.began(b"a", Kind::Full);
        }
    }
}
