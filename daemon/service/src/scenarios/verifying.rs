//! Verifies that begin by themselves, and what is reported of damage.

use super::timetable::Clocks;
use super::*;
use crate::config::{DestinationPlace, DestinationRule, DriveRules};
use crate::types::JobKind;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A service with a backup of this schedule to the drive "blue", which is verified every 90 days; it is enrolled and not attached.
async fn enrolled(schedule: &str, on_finish: OnFinish, drive: &SimulatedDrive) -> (Fixture, Arc<Clocks>, DriveId) {
    let clocks = Clocks::new();
    let drives = DriveRules { on_finish, ..Default::default() };
    let place = DestinationPlace::Drive { drive: "blue".to_owned(), on_finish: None };
    let destinations = vec![DestinationRule {
        name: "attic".to_owned().try_into().expect("a name"),
        place,
        max_rate: Default::default(),
        verify_every: Some(Duration::from_secs(90 * DAY)),
    }];
    let schedule = Schedule::parse(&[schedule]).expect("a schedule");
    let backups = vec![BackupRule { schedule, ..rule("home", &["blue"]) }];
    let config = Config { backups, drives, destinations, ..Config::default() };
    let fixture = Fixture::start_at(SimulatedDevices::new(), folder(), config, clocks.clock()).await;
    let id = fixture.enrol(drive).await;
    (fixture, clocks, id)
}

/// The ends of the verifies, the newest first. All began by themselves.
fn verifies(fixture: &Fixture) -> Vec<JobState> {
    let history = fixture.service.jobs().history();
    let verifies = history.iter().filter(|record| record.kind == "verify");
    verifies
        .map(|record| {
            assert_eq!(record.trigger.as_deref(), Some("schedule"));
            record.state
        })
        .collect()
}

async fn plug_for(fixture: &Fixture, drive: &SimulatedDrive, seconds: u64) {
    fixture.devices.plug(drive);
    sleep(Duration::from_secs(seconds)).await;
}

#[test]
fn a_due_verify_follows_the_backups_of_a_plug() {
    for drive in kinds() {
        run(async {
            let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
            let plug = async |fixture: &Fixture| {
                fixture.devices.plug(&drive);
                fixture.settle().await;
                if fixture.state(&id) == Some(DriveState::Locked) {
                    fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
                }
                sleep(Duration::from_secs(8)).await;
            };
            plug(&fixture).await;
            sleep(Duration::from_secs(60)).await;
            assert_eq!((fixture.written().len(), verifies(&fixture).len()), (1, 0), "it is not due");
            fixture.devices.pull(&drive);
            fixture.settle().await;
            clocks.set(i64::try_from(91 * DAY).expect("small"));
            sleep(Duration::from_secs(60)).await;
            plug(&fixture).await;
            // The backup takes 5 seconds, and the verify as long.
            assert_eq!(
                (fixture.written().len(), fixture.state(&id)),
                (2, Some(DriveState::Busy)),
                "not released between"
            );
            sleep(Duration::from_secs(60)).await;
            assert_eq!(verifies(&fixture), [JobState::Succeeded]);
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            let verified = fixture.drives().drive(&id).expect("shown").health.verified;
            assert!(
                verified.is_some_and(|at| at > (clocks.read().wall.unsigned_abs() - 200) * 1_000_000),
                "{verified:?}"
            );
            fixture.devices.pull(&drive);
            fixture.settle().await;
            plug(&fixture).await;
            sleep(Duration::from_secs(60)).await;
            assert_eq!((fixture.written().len(), verifies(&fixture).len()), (3, 1), "once");
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn the_next_verify_is_shown_also_while_the_drive_is_away() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
        // In days from now.
        let next = || {
            let at = i128::from(fixture.destination(&id).expect("a destination").next_verify / 1_000_000);
            let seconds = at - i128::from(clocks.read().wall);
            (seconds + 600).div_euclid(i128::from(DAY))
        };
        assert_eq!((fixture.state(&id), next()), (Some(DriveState::Away), 90));
        clocks.set(i64::try_from(100 * DAY).expect("small"));
        sleep(Duration::from_secs(300)).await;
        assert_eq!(next(), 0, "it waits for the drive");
        plug_for(&fixture, &drive, 60).await;
        assert_eq!((verifies(&fixture), next()), (vec![JobState::Succeeded], 90));
        fixture.reload("").await;
        assert_eq!(fixture.destination(&id).expect("a destination").next_verify, 0, "no verify_every");
    });
}

#[test]
fn an_attached_drive_is_verified_by_itself_four_times_in_a_year() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("weekly sun 03:00", OnFinish::Unmount, &drive).await;
        plug_for(&fixture, &drive, 60).await;
        let mut last = 0;
        for day in 1..=365_u64 {
            clocks.set(i64::try_from(DAY - 400).expect("small"));
            sleep(Duration::from_secs(400)).await;
            let count = verifies(&fixture).len();
            assert!(count <= last + 1, "day {day}: never twice");
            if count > last {
                assert_eq!(day % 90, 0, "day {day}");
            }
            last = count;
        }
        assert_eq!(verifies(&fixture), [JobState::Succeeded; 4]);
        assert!(fixture.written().len() >= 52, "{}", fixture.written().len());
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn an_interrupted_verify_is_done_at_the_next_plug() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
        clocks.set(i64::try_from(91 * DAY).expect("small"));
        fixture.set_work_of("", Work::Takes(5 * HOUR));
        plug_for(&fixture, &drive, HOUR).await;
        assert_eq!((fixture.written().len(), fixture.state(&id)), (1, Some(DriveState::Busy)));
        fixture.devices.pull(&drive);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(verifies(&fixture), [JobState::Failed]);
        sleep(Duration::from_secs(3 * DAY)).await;
        assert_eq!(verifies(&fixture).len(), 1, "it is away");
        plug_for(&fixture, &drive, 6 * HOUR).await;
        assert_eq!(verifies(&fixture), [JobState::Succeeded, JobState::Failed]);
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_cancelled_verify_waits_a_day_and_a_removed_drive_for_its_plug() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Keep, &drive).await;
        fixture.devices.set_stays_on(&drive);
        clocks.set(i64::try_from(91 * DAY).expect("small"));
        fixture.set_work_of("", Work::Waits);
        plug_for(&fixture, &drive, 60).await;
        let job = fixture.unfinished().pop().expect("a verify runs");
        assert_eq!(job.about.kind, JobKind::Verify);
        fixture.service.jobs().cancel(job.id).await.expect("cancelled");
        sleep(Duration::from_secs(22 * HOUR)).await;
        assert_eq!(verifies(&fixture), [JobState::Cancelled]);
        sleep(Duration::from_secs(3 * HOUR)).await;
        let again = fixture.unfinished().pop().expect("it runs again");
        fixture.service.jobs().cancel(again.id).await.expect("cancelled");
        fixture.settle().await;
        fixture.service.safely_remove(id.clone(), 1000).await.expect("taken");
        sleep(Duration::from_secs(5 * DAY)).await;
        assert_eq!((verifies(&fixture).len(), fixture.state(&id)), (2, Some(DriveState::Safe)), "a person pulls it");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_safe_removal_ends_a_verify_that_nobody_asked_for() {
    for when_idle in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
            clocks.set(i64::try_from(91 * DAY).expect("small"));
            fixture.set_work_of("", Work::Waits);
            plug_for(&fixture, &drive, 60).await;
            assert_eq!((fixture.written().len(), fixture.state(&id)), (1, Some(DriveState::Busy)));
            let removed = match when_idle {
                false => fixture.service.safely_remove(id.clone(), 1000).await,
                true => fixture.service.safely_remove_when_idle(id.clone(), 1000).await,
            };
            let job = removed.expect("a person does not wait for it").job;
            sleep(Duration::from_secs(60)).await;
            assert_eq!(job.borrow().state, JobState::Succeeded);
            assert_eq!((verifies(&fixture), fixture.state(&id)), (vec![JobState::Cancelled], Some(DriveState::Safe)));
            assert!(!fixture.devices.is_mounted(&drive));
            let history = fixture.service.jobs().history();
            let why = history.iter().find(|record| record.kind == "verify").and_then(|one| one.error_message.clone());
            assert!(why.as_ref().is_some_and(|why| why.contains("is being made safe to unplug")), "{why:?}");
            assert_eq!(fixture.problem(&id), "", "it is no fault");
            fixture.devices.pull(&drive);
            fixture.settle().await;
            fixture.set_work_of("", Work::Takes(5));
            plug_for(&fixture, &drive, 60).await;
            assert_eq!(verifies(&fixture), [JobState::Succeeded, JobState::Cancelled], "it is due at the next plug");
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_drive_that_stays_after_its_removal_is_not_verified() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Keep, &drive).await;
        fixture.devices.set_stays_on(&drive);
        clocks.set(i64::try_from(91 * DAY).expect("small"));
        fixture.set_work_of("", Work::Waits);
        plug_for(&fixture, &drive, 60).await;
        fixture.service.safely_remove(id.clone(), 1000).await.expect("taken");
        sleep(Duration::from_secs(3 * DAY)).await;
        assert_eq!((verifies(&fixture), fixture.state(&id)), (vec![JobState::Cancelled], Some(DriveState::Safe)));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_verify_that_a_user_began_keeps_the_drive() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, _clocks, id) = enrolled("on-plug", OnFinish::Keep, &drive).await;
        plug_for(&fixture, &drive, 60).await;
        fixture.set_work_of("", Work::Takes(HOUR));
        fixture.service.verify(&(&id).into(), 1000).await.expect("taken");
        sleep(Duration::from_secs(60)).await;
        let refused = fixture.service.safely_remove(id.clone(), 0).await.expect_err("a job uses it");
        assert_eq!(refused.code(), crate::types::ErrorCode::Busy);
        fixture.service.safely_remove_when_idle(id.clone(), 0).await.expect("taken");
        sleep(Duration::from_secs(HOUR)).await;
        let history = fixture.service.jobs().history();
        let verify = history.iter().find(|record| record.kind == "verify").map(|record| record.state);
        assert_eq!((verify, fixture.state(&id)), (Some(JobState::Succeeded), Some(DriveState::Safe)));
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_cannot_be_verified_for_long_has_a_problem() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
        let days = |days: u64| clocks.set(i64::try_from(days * DAY).expect("small"));
        let codes = || {
            let problems = fixture.destination(&id).expect("a destination").problems;
            problems.iter().map(Problem::code).collect::<Vec<_>>()
        };
        days(179);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(codes(), [""; 0], "a drive may be away");
        days(2);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(codes(), ["verify-overdue"]);
        assert!(fixture.problem(&id).contains("for more than 180 days; leave it attached"), "{}", fixture.problem(&id));
        plug_for(&fixture, &drive, 60).await;
        assert_eq!((codes(), verifies(&fixture)), (Vec::new(), vec![JobState::Succeeded]));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

/// When the damage of the drive was last reported, as it is written down.
fn reported(fixture: &Fixture, id: &DriveId) -> Option<i64> {
    let text = std::fs::read(fixture.home.path().join("state/overdue.json")).expect("written");
    let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    record["damaged"][id.as_str()]["reported"].as_i64()
}

#[test]
fn damage_is_reported_once_then_weekly_until_a_verify_finds_none() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
        clocks.set(i64::try_from(91 * DAY).expect("small"));
        *lock(&fixture.found) = Found { lost: 3, files: 1, ..Found::default() };
        plug_for(&fixture, &drive, 300).await;
        assert_eq!(verifies(&fixture), [JobState::Failed]);
        let first = reported(&fixture, &id).expect("reported");
        sleep(Duration::from_secs(6 * DAY)).await;
        assert_eq!((reported(&fixture, &id), verifies(&fixture).len()), (Some(first), 1), "not again, nor verified");
        sleep(Duration::from_secs(2 * DAY)).await;
        assert!(reported(&fixture, &id).is_some_and(|again| again >= first + 7 * 24 * 3600));
        *lock(&fixture.found) = Found::default();
        clocks.set(i64::try_from(90 * DAY).expect("small"));
        sleep(Duration::from_secs(600)).await;
        assert_eq!((verifies(&fixture)[0], reported(&fixture, &id)), (JobState::Succeeded, None));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_rate_limit_changes_with_the_time_and_the_settings() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, _clocks, id) = enrolled("on-plug", OnFinish::Unmount, &drive).await;
        let limited = |rate: &str| {
            format!("destination = [ {{ name = \"attic\", kind = \"drive\", drive = \"blue\", max_rate = {rate} }} ]")
        };
        // It is 12:00.
        fixture.reload(&limited("[\"5MiB/s 08:00-14:00\", \"20MiB/s\"]")).await;
        fixture.set_work(Work::Takes(4 * HOUR));
        plug_for(&fixture, &drive, HOUR).await;
        // As callers see the job.
        let shown = || fixture.unfinished().first().expect("it runs").max_rate;
        assert_eq!((&lock(&fixture.rates)[..], shown()), (&[Some(5 << 20)][..], Some(5 << 20)));
        sleep(Duration::from_secs(HOUR + 60)).await;
        assert_eq!(*lock(&fixture.rates), [Some(5 << 20), Some(20 << 20)], "at 14:00");
        assert_eq!(shown(), Some(20 << 20));
        fixture.reload(&limited("\"64KiB/s\"")).await;
        fixture.settle().await;
        assert_eq!((lock(&fixture.rates).last(), shown()), (Some(&Some(64 << 10)), Some(64 << 10)));
        fixture.reload("").await;
        fixture.settle().await;
        assert_eq!((lock(&fixture.rates).last(), shown()), (Some(&None), None));
        sleep(Duration::from_secs(3 * HOUR)).await;
        assert_eq!((fixture.state(&id), fixture.ends()), (Some(DriveState::Safe), vec![JobState::Succeeded]));
        assert_eq!(lock(&fixture.rates).len(), 4);
        fixture.check_at_rest(&[drive]);
    });
}
