//! Backups that begin by their times, over restarts of the service.

use super::timetable::{Clocks, HOUR, MINUTE, timed};
use super::*;

/// 14:00, in seconds since 12:00.
const AT_14: i64 = 2 * 3600;

/// The backup "home" by time to the drive "blue", over restarts of the service; each service begins some seconds after 12:00.
struct Restarts {
    devices: SimulatedDevices,
    home: Arc<TempDir>,
}

impl Restarts {
    /// The drive is enrolled and attached, and has a backup of 12:00.
    fn after_a_backup() -> (Self, SimulatedDrive) {
        let drive = SimulatedDrive::new("blue", 1, false);
        let all = Self { devices: SimulatedDevices::new(), home: folder() };
        run(async {
            let fixture = all.start_at(0).await;
            fixture.enrol(&drive).await;
            all.devices.plug(&drive);
            sleep(Duration::from_secs(HOUR)).await;
            assert_eq!(fixture.ends(), [JobState::Succeeded]);
        });
        (all, drive)
    }

    async fn start_at(&self, seconds: i64) -> Fixture {
        let clocks = Clocks::new();
        clocks.set(seconds);
        let config = Config { backups: vec![timed("home", &["daily 14:00"])], ..Config::default() };
        Fixture::start_at(self.devices.clone(), Arc::clone(&self.home), config, clocks.clock()).await
    }

    /// What a service that runs for a minute from then on adds to the history.
    fn minute_at(&self, seconds: i64, work: Work) -> Vec<JobState> {
        run(async {
            let fixture = self.start_at(seconds).await;
            fixture.set_work(work);
            let before = fixture.ends().len();
            sleep(Duration::from_secs(MINUTE)).await;
            let mut ends = fixture.ends();
            ends.truncate(ends.len() - before);
            ends
        })
    }
}

#[test]
fn a_restart_between_a_failure_and_its_retry_neither_forgets_nor_hurries() {
    let (all, drive) = Restarts::after_a_backup();
    // The drive is full 5 seconds after 14:00.
    assert_eq!(all.minute_at(AT_14 - 1, Work::Fills(5)), [JobState::Failed]);
    for minute in 1..=4 {
        assert_eq!(all.minute_at(AT_14 + minute * 60, Work::Fills(5)), [], "{minute} minutes later");
    }
    assert_eq!(all.minute_at(AT_14 + 5 * 60, Work::Fills(5)), [JobState::Failed], "tried again");
    for minute in 6..=9 {
        assert_eq!(all.minute_at(AT_14 + minute * 60, Work::Takes(5)), [], "{minute} minutes later");
    }
    assert_eq!(all.minute_at(AT_14 + 11 * 60, Work::Takes(5)), [JobState::Succeeded], "at the start: it is due");
    assert_eq!(all.minute_at(AT_14 + 12 * 60, Work::Takes(5)), []);
    assert!(!all.devices.is_mounted(&drive));
}

#[test]
fn a_backup_by_time_that_a_kill_interrupts_again_and_again_waits_5_minutes_each_time() {
    let (all, _drive) = Restarts::after_a_backup();
    let begun = |seconds: i64, wait: u64| {
        run(async {
            let fixture = all.start_at(seconds).await;
            fixture.set_work(Work::Waits);
            sleep(Duration::from_secs(wait)).await;
            // Dropped, the service is killed.
            fixture.unfinished().len()
        })
    };
    let mut now = 2 * 3600;
    assert_eq!(begun(now, 10), 1);
    for _ in 0..3 {
        now += 20;
        assert_eq!(begun(now, 4 * MINUTE), 0, "not at the start");
        now += 280;
        assert_eq!(begun(now, 10 * MINUTE), 1, "but soon");
        now += 700;
    }
    assert_eq!(all.minute_at(now, Work::Takes(5)), []);
    assert_eq!(all.minute_at(now + 600, Work::Takes(5)), [JobState::Succeeded]);
}

#[test]
fn a_cancelled_run_waits_for_the_next_time_over_restarts() {
    for is_killed in [false, true] {
        let (all, _drive) = Restarts::after_a_backup();
        run(async {
            let fixture = all.start_at(AT_14 - 1).await;
            fixture.set_work(Work::Waits);
            sleep(Duration::from_secs(MINUTE)).await;
            let job = fixture.unfinished().pop().expect("it runs");
            fixture.service.jobs().cancel(job.id).await.expect("cancelled");
            fixture.settle().await;
            if !is_killed {
                fixture.service.stop().await;
            }
        });
        for minute in [2, 6, 60, 10 * 60] {
            assert_eq!(all.minute_at(AT_14 + minute * 60, Work::Takes(5)), [], "{minute} minutes later");
        }
        let next_day = AT_14 + 24 * 3600;
        assert_eq!(all.minute_at(next_day - 1, Work::Takes(5)), [JobState::Succeeded], "the next time");
        assert_eq!(all.minute_at(next_day + 120, Work::Takes(5)), []);
    }
}

#[test]
fn a_run_that_a_stop_interrupts_is_due_after_the_restart() {
    let (all, _drive) = Restarts::after_a_backup();
    run(async {
        let fixture = all.start_at(AT_14 - 1).await;
        fixture.set_work(Work::Waits);
        sleep(Duration::from_secs(MINUTE)).await;
        assert_eq!(fixture.unfinished().len(), 1);
        fixture.service.stop().await;
    });
    assert_eq!(all.minute_at(AT_14 + 10 * 60, Work::Takes(5)), [JobState::Succeeded]);
}
