//! Backups that begin by their times, on drives that stay attached.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::*;
use crate::config::{DestinationPlace, DestinationRule};
use crate::device::simulated::Step;
use crate::types::BackupStatus;

/// The clocks of the machine. It can be suspended, and its wall clock be set.
pub(super) struct Clocks {
    begun: Instant,
    /// Seconds that the machine was suspended.
    suspended: AtomicU64,
    /// Seconds that the wall clock is ahead.
    ahead: AtomicI64,
    is_set: watch::Sender<()>,
    is_unsynchronised: AtomicBool,
    boot_id: Uuid,
}

/// A Saturday in winter, 12:00 in Berlin.
const START: i64 = 1_795_863_600;
pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3600;

impl Clocks {
    pub(super) fn new() -> Arc<Self> {
        let (suspended, ahead) = (AtomicU64::new(0), AtomicI64::new(0));
        Arc::new(Self {
            begun: Instant::now(),
            suspended,
            ahead,
            is_set: watch::Sender::new(()),
            is_unsynchronised: AtomicBool::new(false),
            boot_id: Uuid::new_v4(),
        })
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let clocks = Arc::clone(self);
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        Clock::of(move || clocks.read()).settable(zone, self.is_set.subscribe())
    }

    pub(super) fn read(&self) -> Reading {
        let awake = Instant::now().saturating_duration_since(self.begun).as_secs();
        let boot = awake.saturating_add(self.suspended.load(Ordering::Relaxed));
        let wall = START.saturating_add_unsigned(boot).saturating_add(self.ahead.load(Ordering::Relaxed));
        let synchronised = Some(!self.is_unsynchronised.load(Ordering::Relaxed));
        Reading { wall, boot, boot_id: self.boot_id, synchronised }
    }

    /// The machine is suspended for so long.
    fn suspend(&self, seconds: u64) {
        self.suspended.fetch_add(seconds, Ordering::Relaxed);
        self.is_set.send_replace(());
    }

    /// The wall clock is set forward or back.
    pub(super) fn set(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
        self.is_set.send_replace(());
    }
}

/// A service with the backup "home" to the drive "blue" at these times, which is enrolled and attached.
async fn attached(words: &[&str], on_finish: OnFinish) -> (Fixture, Arc<Clocks>, SimulatedDrive, DriveId) {
    let drive = SimulatedDrive::new("blue", 1, false);
    let clocks = Clocks::new();
    let drives = crate::config::DriveRules { on_finish, ..Default::default() };
    let config = Config { backups: vec![timed("home", words)], drives, ..Config::default() };
    let fixture = Fixture::start_at(SimulatedDevices::new(), folder(), config, clocks.clock()).await;
    let id = fixture.enrol(&drive).await;
    fixture.devices.plug(&drive);
    sleep(Duration::from_secs(30)).await;
    (fixture, clocks, drive, id)
}

pub(super) fn timed(name: &str, words: &[&str]) -> BackupRule {
    BackupRule { schedule: Schedule::parse(words).expect("a schedule"), ..rule(name, &["blue"]) }
}

async fn row(fixture: &Fixture) -> BackupStatus {
    fixture.service.backups(false).await.into_iter().next().expect("a row")
}

#[test]
fn a_drive_that_stays_attached_is_backed_up_by_time() {
    for on_finish in [OnFinish::Unmount, OnFinish::Keep] {
        run(async {
            let (fixture, _clocks, drive, id) = attached(&["daily 14:00"], on_finish).await;
            assert_eq!(fixture.written().len(), 1, "a new drive is due at once");
            let is_kept = on_finish == OnFinish::Keep;
            assert_eq!(fixture.devices.is_mounted(&drive), is_kept);
            sleep(Duration::from_secs(HOUR)).await;
            let waiting = row(&fixture).await;
            assert_eq!((waiting.due, waiting.next_run), (false, Some((START as u64 + 2 * HOUR) * 1_000_000)));
            for day in 1..4 {
                sleep(Duration::from_secs(HOUR + 10)).await;
                assert_eq!(fixture.written().len(), 1 + day, "at 14:00");
                assert_eq!(fixture.devices.is_mounted(&drive), is_kept, "and it is as before");
                sleep(Duration::from_secs(23 * HOUR - 10)).await;
                assert_eq!(fixture.written().len(), 1 + day, "not twice");
            }
            assert_eq!(fixture.problem(&id), "");
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_drive_that_is_plugged_in_later_makes_up_for_a_missed_time() {
    run(async {
        let (fixture, _clocks, drive, id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        fixture.devices.pull(&drive);
        sleep(Duration::from_secs(30 * HOUR)).await;
        let missed = row(&fixture).await;
        assert!(missed.due && missed.next_run.is_some_and(|next| next < (START as u64 + 30 * HOUR) * 1_000_000));
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(30)).await;
        assert_eq!((fixture.written().len(), fixture.state(&id)), (2, Some(DriveState::Safe)));
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(fixture.written().len(), 2, "nothing is due at this plug");
        assert_eq!(fixture.state(&id), Some(DriveState::Safe), "and it is released");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_a_person_made_safe_stays_released() {
    run(async {
        let (fixture, _clocks, drive, id) = attached(&["hourly"], OnFinish::Keep).await;
        fixture.devices.set_stays_on(&drive);
        sleep(Duration::from_secs(HOUR)).await;
        assert_eq!(fixture.written().len(), 2);
        fixture.service.safely_remove(id.clone(), 1000).await.expect("taken");
        sleep(Duration::from_secs(5 * HOUR)).await;
        assert_eq!((fixture.written().len(), fixture.state(&id)), (2, Some(DriveState::Safe)));
        // A look at it changes nothing.
        drop(fixture.service.list_snapshots(&(&id).into()).await);
        sleep(Duration::from_secs(5 * HOUR)).await;
        assert_eq!(fixture.written().len(), 2);
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(fixture.written().len(), 3, "the next plug");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_failed_run_is_tried_after_5_minutes_an_hour_and_at_the_next_time() {
    run(async {
        let (fixture, _clocks, drive, id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        fixture.set_work(Work::Fills(5));
        let attempts = |fixture: &Fixture| fixture.ends().iter().filter(|state| **state == JobState::Failed).count();
        sleep(Duration::from_secs(2 * HOUR)).await;
        assert_eq!((attempts(&fixture), fixture.state(&id)), (1, Some(DriveState::Safe)));
        assert!(fixture.problem(&id).contains("failed"), "{}", fixture.problem(&id));
        for (wait, count) in [(4 * MINUTE, 1), (2 * MINUTE, 2), (58 * MINUTE, 2), (5 * MINUTE, 3), (21 * HOUR, 3)] {
            sleep(Duration::from_secs(wait)).await;
            assert_eq!(attempts(&fixture), count, "after {wait} seconds more");
        }
        fixture.set_work(Work::Takes(5));
        sleep(Duration::from_secs(2 * HOUR)).await;
        assert_eq!((fixture.written().len(), fixture.problem(&id)), (2, String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_person_who_plugs_a_drive_in_does_not_wait_for_the_retry() {
    run(async {
        let (fixture, _clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        fixture.set_work(Work::Fills(5));
        sleep(Duration::from_secs(2 * HOUR)).await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.set_work(Work::Takes(5));
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(fixture.written().len(), 2);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_cancelled_run_waits_for_the_next_time() {
    run(async {
        let (fixture, _clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        fixture.set_work(Work::Waits);
        sleep(Duration::from_secs(2 * HOUR + MINUTE)).await;
        let job = fixture.unfinished().pop().expect("it runs");
        fixture.service.jobs().cancel(job.id).await.expect("cancelled");
        fixture.set_work(Work::Takes(5));
        sleep(Duration::from_secs(20 * HOUR)).await;
        assert_eq!(fixture.written().len(), 1);
        sleep(Duration::from_secs(5 * HOUR)).await;
        assert_eq!(fixture.written().len(), 2);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_resumed_machine_has_two_minutes_before_a_missed_time_runs() {
    run(async {
        let (fixture, clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        clocks.suspend(10 * HOUR);
        sleep(Duration::from_secs(110)).await;
        assert_eq!((fixture.written().len(), row(&fixture).await.due), (1, true));
        sleep(Duration::from_secs(30)).await;
        assert_eq!(fixture.written().len(), 2);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_time_that_passes_during_a_run_has_its_own() {
    run(async {
        let (fixture, _clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        fixture.set_work(Work::Takes(25 * HOUR));
        sleep(Duration::from_secs(3 * HOUR)).await;
        fixture.set_work(Work::Takes(5));
        sleep(Duration::from_secs(23 * HOUR)).await;
        assert_eq!(fixture.written().len(), 1, "it runs from 14:00");
        sleep(Duration::from_secs(2 * HOUR)).await;
        assert_eq!(fixture.written().len(), 3, "it has ended at 15:00, and that of 14:00 followed");
        let (at, shown) = ((START as u64 + 27 * HOUR) * 1_000_000, row(&fixture).await.last_good);
        assert!(shown.is_some_and(|good| (at..at + 60_000_000).contains(&good)), "{shown:?}");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_clock_that_is_behind_has_an_hour_to_be_synchronised() {
    run(async {
        let (fixture, clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        let years = 3 * 365 * 24 * 3600;
        // The battery of the clock is empty.
        clocks.is_unsynchronised.store(true, Ordering::Relaxed);
        clocks.set(-years);
        sleep(Duration::from_secs(50 * MINUTE)).await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(MINUTE)).await;
        assert_eq!(fixture.written().len(), 1, "also at a plug");
        clocks.is_unsynchronised.store(false, Ordering::Relaxed);
        clocks.set(years);
        sleep(Duration::from_secs(30 * MINUTE)).await;
        assert_eq!(fixture.written().len(), 1, "nothing was due");
        clocks.is_unsynchronised.store(true, Ordering::Relaxed);
        clocks.set(-years);
        sleep(Duration::from_secs(70 * MINUTE)).await;
        assert_eq!(fixture.written().len(), 2, "it is never synchronised");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_removal_that_succeeds_later_is_one() {
    run(async {
        let (fixture, _clocks, drive, id) = attached(&["hourly"], OnFinish::Keep).await;
        fixture.devices.set_stays_on(&drive);
        fixture.devices.refuse(&drive, Step::Unmount, "its directory is used by sh (7)", 1000);
        let job = fixture.service.safely_remove(id.clone(), 1000).await;
        sleep(Duration::from_secs(MINUTE)).await;
        drop(job);
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
        fixture.devices.unblock();
        fixture.devices.change_mounts();
        sleep(Duration::from_secs(MINUTE)).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        sleep(Duration::from_secs(5 * HOUR)).await;
        assert_eq!((fixture.written().len(), fixture.state(&id)), (1, Some(DriveState::Safe)), "a person pulls it");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_clock_that_is_set_is_followed_at_once() {
    run(async {
        let (fixture, clocks, drive, _id) = attached(&["daily 14:00"], OnFinish::Unmount).await;
        clocks.set(3 * 3600);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(fixture.written().len(), 2, "the time has passed");
        clocks.set(-3 * 3600);
        sleep(Duration::from_secs(3 * HOUR)).await;
        assert_eq!(fixture.written().len(), 2, "that of this day has run");
        sleep(Duration::from_secs(24 * HOUR)).await;
        assert_eq!(fixture.written().len(), 3);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn two_backups_of_one_drive_run_one_after_the_other() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let clocks = Clocks::new();
        let config =
            Config { backups: vec![timed("home", &["hourly"]), timed("etc", &["hourly"])], ..Config::default() };
        let fixture = Fixture::start_at(SimulatedDevices::new(), folder(), config, clocks.clock()).await;
        fixture.enrol(&drive).await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(30)).await;
        fixture.set_work(Work::Takes(600));
        sleep(Duration::from_secs(HOUR)).await;
        let running = fixture.unfinished();
        let states: Vec<JobState> = running.iter().map(|job| job.state).collect();
        assert_eq!(states.iter().filter(|state| **state == JobState::Running).count(), 1, "{states:?}");
        sleep(Duration::from_secs(1300)).await;
        assert_eq!(fixture.written().len(), 4);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_may_have_a_name_and_an_end_in_the_configuration() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let place = DestinationPlace::Drive { drive: "blue".to_owned(), on_finish: Some(OnFinish::Keep) };
        let destinations = vec![DestinationRule {
            name: "attic".to_owned().try_into().expect("a name"),
            place,
            max_rate: Default::default(),
            verify_every: None,
        }];
        let config = Config { backups: vec![rule("home", &["attic"])], destinations, ..Config::default() };
        let fixture = Fixture::start_at(SimulatedDevices::new(), folder(), config, Clocks::new().clock()).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.written().len(), fixture.devices.is_mounted(&drive)), (1, true));
        let names = fixture.drives().drive(&id).expect("shown").names.clone();
        assert_eq!(names, [id.as_str(), "blue", "attic"]);
    });
}

/// When the backup was last reported as overdue, as it is written down.
fn reported(home: &TempDir) -> Option<i64> {
    let text = std::fs::read(home.path().join("state/overdue.json")).expect("written");
    let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    record["backups"]["home"]["reported"].as_i64()
}

#[test]
fn an_overdue_backup_is_reported_once_also_after_a_restart() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    let config = || {
        let overdue = Some(Duration::from_secs(2 * 24 * HOUR));
        Config { backups: vec![BackupRule { overdue, ..rule("home", &["blue"]) }], ..Config::default() }
    };
    let first = run(async {
        let clocks = Clocks::new();
        let fixture = Fixture::start_at(devices.clone(), Arc::clone(&home), config(), clocks.clock()).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.devices.pull(&drive);
        sleep(Duration::from_secs(47 * HOUR)).await;
        assert_eq!((row(&fixture).await.overdue, reported(&home)), (false, None));
        sleep(Duration::from_secs(2 * HOUR)).await;
        assert!(row(&fixture).await.overdue);
        reported(&home).expect("reported")
    });
    assert!((START + 48 * 3600..START + 48 * 3600 + 200).contains(&first), "{first}");
    run(async {
        let clocks = Clocks::new();
        clocks.set(50 * 3600);
        let fixture = Fixture::start_at(devices.clone(), Arc::clone(&home), config(), clocks.clock()).await;
        sleep(Duration::from_secs(24 * HOUR)).await;
        assert_eq!((row(&fixture).await.overdue, reported(&home)), (true, Some(first)), "not again");
        clocks.set(6 * 24 * 3600);
        sleep(Duration::from_secs(3 * MINUTE)).await;
        assert!(reported(&home).is_some_and(|again| again >= first + 7 * 24 * 3600), "{:?}", reported(&home));
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(3 * MINUTE)).await;
        assert_eq!((fixture.written().len(), row(&fixture).await.overdue, reported(&home)), (1, false, None));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}
