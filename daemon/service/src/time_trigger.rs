//! Begins the backups and verifies that are due by their times, on drives that are attached.
//!
//! What is due is decided anew at each look, from the configuration, the records of the drives and the clock: see `schedule`.
//! So a look that comes too late, twice or not at all is no fault. It looks when the next moment comes, when the clock is set,
//! when the machine resumes, when drives or the configuration change, and every few minutes.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock::{Clock, ClockTrust};
use crate::drives::{DriveId, DriveManager, DueNow};
use crate::supervisor::Heartbeat;

/// After a suspend, devices, networks and people come back first.
const GRACE: Duration = Duration::from_secs(120);
/// The zone may have changed, which is not reported.
const LOOK: i64 = 300;
/// Boot time runs during a suspend, and the monotonic clock does not. They are read one after the other.
const SUSPENDED: Duration = Duration::from_secs(3);

/// A clock that is perhaps wrong has so much time to be synchronised. Then it counts: perhaps no network ever comes.
const SYNCHRONISING: Duration = Duration::from_secs(3600);

/// A clock that is perhaps wrong: what begins now could have a wrong date, and begin again when the clock is set.
#[derive(Debug, Default)]
struct Doubt {
    since: Option<Instant>,
}

impl Doubt {
    /// Answers whether nothing begins.
    fn waits(&mut self, is_doubtful: bool) -> bool {
        if !is_doubtful {
            self.since = None;
            return false;
        }
        let is_new = self.since.is_none();
        let waits = self.since.get_or_insert_with(Instant::now).elapsed() < SYNCHRONISING;
        if is_new {
            tracing::warn!(
                "the clock is not synchronised and may be wrong; scheduled backups wait for it for up to an hour"
            );
        }
        waits
    }
}

/// Notices that the machine was suspended.
#[derive(Debug)]
struct Suspends {
    boot: u64,
    awake: Instant,
    /// Nothing begins before.
    grace: Option<Instant>,
}

impl Suspends {
    fn new(clock: &Clock) -> Self {
        Self { boot: clock.read().boot, awake: Instant::now(), grace: None }
    }

    /// Reads the clocks. Answers until when nothing begins.
    fn grace(&mut self, clock: &Clock) -> Option<Instant> {
        let (boot, awake) = (clock.read().boot, Instant::now());
        let passed = Duration::from_secs(boot.saturating_sub(self.boot));
        if passed > awake.saturating_duration_since(self.awake).saturating_add(SUSPENDED) {
            self.grace = Some(awake + GRACE);
        }
        (self.boot, self.awake) = (boot, awake);
        self.grace.take_if(|grace| *grace <= awake);
        self.grace
    }
}

/// What begins by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DueJob {
    /// The backup of this name.
    Backup(String),
    /// A verify, after the backups.
    Verify,
}

/// It ends when the backup or verify is a job, or is refused.
pub(crate) type Beginning = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Follows the times; `begin_due` begins a backup or a verify that is due, unless it runs.
pub(crate) async fn follow(
    manager: DriveManager,
    (clock, trust): (Clock, ClockTrust),
    begin_due: impl Fn(DriveId, DueJob) -> Beginning + Send,
    mut heartbeat: Heartbeat,
) -> anyhow::Error {
    let mut changed = manager.reviewed();
    let (mut suspends, mut doubt) = (Suspends::new(&clock), Doubt::default());
    loop {
        changed.mark_unchanged();
        let grace = suspends.grace(&clock);
        let DueNow { begin, verify, next, is_behind } = manager.due_now();
        let waits = doubt.waits(heartbeat.during(trust.is_doubtful(is_behind)).await);
        manager.believe_clock(!waits);
        if grace.is_none() && !waits {
            for (drive, backup) in begin {
                heartbeat.during(begin_due(drive, DueJob::Backup(backup))).await;
            }
            for drive in verify {
                heartbeat.during(begin_due(drive, DueJob::Verify)).await;
            }
        }
        let look = clock.read().wall.saturating_add(LOOK);
        let reached = async {
            match grace {
                Some(grace) => sleep_until(grace).await,
                None => clock.reach(Some(next.map_or(look, |next| next.min(look)))).await,
            }
        };
        tokio::select! {
            () = reached => manager.look_at_times(),
            is_there = changed.changed() => if is_there.is_err() {
                return anyhow::anyhow!("internal error: its channel is closed");
            },
            () = heartbeat.answer() => {}
        }
    }
}
