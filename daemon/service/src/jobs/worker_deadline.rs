//! How long the service waits for a worker that it has asked to end.
//!
//! A worker that waits for the kernel to write data cannot be killed before that is done: writing gigabytes to a slow
//! drive takes time, and is no fault of the drive. Any other worker ends at once, or hangs.

use std::time::Duration;

use tokio::time::Instant;

use super::outcome::EndReason;

/// Timeout for a worker that was asked to end; then it is killed.
const POLITE: Duration = Duration::from_secs(2);
/// The same while the kernel writes data.
const WRITING: Duration = Duration::from_secs(60);
/// Waiting callers get an answer after this time, before the timeout of 25 seconds of most D-Bus clients.
const INFORMING: Duration = Duration::from_secs(20);

/// The wait for one worker, from when it was asked.
#[derive(Debug)]
pub(super) struct WorkerDeadline {
    asked: Instant,
    kill: Instant,
    inform: Option<Instant>,
    hurried: bool,
    /// Its drive was unplugged: its reports extend nothing.
    unplugged: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Inform waiting callers that the drive is still writing.
    Inform,
    Kill,
}

impl WorkerDeadline {
    /// The worker was asked to end now; `writing` says whether the kernel writes data.
    pub(super) fn new(now: Instant, why: EndReason, writing: bool) -> Self {
        let mut deadline = Self {
            asked: now,
            kill: now,
            inform: None,
            hurried: why == EndReason::Stopping,
            unplugged: why == EndReason::Unplugged,
        };
        deadline.step(now, writing);
        deadline
    }

    /// The worker has begun another step.
    pub(super) fn step(&mut self, now: Instant, writing: bool) {
        if self.unplugged {
            return;
        }
        let last = self.asked + WRITING;
        let patient = writing && !self.hurried;
        self.kill = if patient { last } else { last.min(now + POLITE) };
        self.inform = patient.then(|| self.inform.unwrap_or(now + INFORMING));
    }

    /// The service ends, and does not wait longer for a drive.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.hurried = true;
        self.step(now, false);
    }

    /// When the next action is due.
    pub(super) fn next(&self) -> Instant {
        self.inform.map_or(self.kill, |inform| inform.min(self.kill))
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now >= self.kill {
            return Due::Kill;
        }
        match self.inform {
            Some(inform) if now >= inform => {
                self.inform = Some(now + INFORMING);
                Due::Inform
            }
            Some(_) | None => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_worker_that_ignores_cancel_is_killed() {
        let now = Instant::now();
        let mut deadline = WorkerDeadline::new(now, EndReason::Cancelled, false);
        assert_eq!(deadline.due(now + SECOND), Due::Nothing);
        assert_eq!(deadline.due(now + POLITE), Due::Kill);
    }

    #[test]
    fn a_writing_drive_is_waited_for_and_reported() {
        let now = Instant::now();
        let mut deadline = WorkerDeadline::new(now, EndReason::Cancelled, true);
        assert_eq!(deadline.next(), now + INFORMING);
        assert_eq!(deadline.due(now + 6 * SECOND), Due::Nothing);
        assert_eq!(deadline.due(now + INFORMING), Due::Inform);
        assert_eq!(deadline.due(now + INFORMING + SECOND), Due::Nothing);
        assert_eq!(deadline.due(now + 2 * INFORMING), Due::Inform);
        assert_eq!(deadline.due(now + WRITING), Due::Kill);
    }

    #[test]
    fn later_steps_do_not_extend_the_deadline() {
        let now = Instant::now();
        let mut deadline = WorkerDeadline::new(now, EndReason::Unmounted, true);
        deadline.step(now + 10 * SECOND, false);
        assert_eq!(deadline.next(), now + 10 * SECOND + POLITE);
        deadline.step(now + 11 * SECOND, true);
        assert_eq!(deadline.due(now + WRITING), Due::Kill);
    }

    #[test]
    fn a_service_that_ends_does_not_wait_for_a_drive() {
        let now = Instant::now();
        assert_eq!(WorkerDeadline::new(now, EndReason::Stopping, true).due(now + POLITE), Due::Kill);
        let mut deadline = WorkerDeadline::new(now, EndReason::Cancelled, true);
        deadline.hurry(now + 5 * SECOND);
        deadline.step(now + 5 * SECOND, true);
        assert_eq!(deadline.due(now + 5 * SECOND + POLITE), Due::Kill);
    }

    #[test]
    fn a_worker_of_an_unplugged_drive_is_killed_at_once() {
        let now = Instant::now();
        let mut deadline = WorkerDeadline::new(now, EndReason::Unplugged, true);
        deadline.step(now + SECOND, true);
        assert_eq!((deadline.next(), deadline.due(now)), (now, Due::Kill));
    }
}
