//! What is shown of backups, and of drives that can be unplugged.

use super::*;

const LAST_STEPS: &str = "Backing up to Blue | The last steps. Do not unplug the drive yet.";
const KEPT: &str =
    "The backup to Blue is complete | The drive stays mounted. Remove it safely before you unplug it. [Remove safely]";

/// A backup to the drive has ended, and the drive is still mounted.
fn ended_and_mounted() -> Session {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Mounted), [LAST_STEPS, "later"]);
    session
}

#[test]
fn a_plug_is_shown_from_its_start_until_the_drive_is_gone() {
    let mut session = Session::begin(DriveState::Away);
    assert!(session.look().is_empty());
    assert!(session.state(DriveState::Present).is_empty());
    session.job("home").state = JobState::Queued;
    assert!(session.state(DriveState::Busy).is_empty(), "a job that waits has no estimate yet");
    session.job("home").state = JobState::Running;
    assert_eq!(session.look(), ["Backing up to Blue | home: about 1.0 GB. Do not unplug the drive."]);
    session.now.monotonic += Duration::from_secs(2);
    session.job("home").progress = 0.42;
    session.job("home").expected_end_time = WALL + 180_000_000;
    assert_eq!(session.look(), ["Backing up to Blue | home: 42 % of about 1.0 GB, about 3 minutes left"]);
    session.job("home").state = JobState::Succeeded;
    session.now.monotonic += Duration::from_secs(2);
    assert_eq!(session.look(), [LAST_STEPS], "the end of the job is not the end of the work");
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: home."]);
    assert!(session.look().is_empty());
    assert_eq!(session.state(DriveState::Away), ["close"]);
    assert!(session.look().is_empty());
}

#[test]
fn a_backup_that_ends_between_two_looks_is_named() {
    let mut session = Session::begin(DriveState::Away);
    session.job("old").state = JobState::Succeeded;
    session.look();
    session.state(DriveState::Present);
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Safe), ["Blue can be unplugged | Backed up: home."]);
    session.state(DriveState::Away);
    assert_eq!(
        session.state(DriveState::Safe),
        ["Blue can be unplugged | Everything that was reported as done is on it."],
        "what an earlier visit of the drive had is no news"
    );
}

#[test]
fn a_quick_backup_that_a_person_began_is_shown() {
    let mut session = Session::begin(DriveState::Safe);
    session.look();
    session.job("home").state = JobState::Succeeded;
    session.job("home").trigger = Trigger::User;
    assert_eq!(session.look(), ["Blue can be unplugged | Backed up: home."]);
}

#[test]
fn a_full_bar_never_comes_before_safe() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home").progress = 1.0;
    session.look();
    session.job("home").state = JobState::Flushing;
    session.now.monotonic += Duration::from_secs(2);
    for state in [JobState::Flushing, JobState::Succeeded] {
        session.job("home").state = state;
        let outputs = session.story.look(&session.objects, session.now);
        assert!(matches!(&*outputs, [Output::Activity(activity)] if activity.percent == Some(99)), "{outputs:?}");
        session.now.monotonic += Duration::from_secs(2);
    }
}

#[test]
fn progress_is_updated_once_a_second_at_most() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    assert_eq!(session.look().len(), 1);
    let mut updates = 0;
    for step in 1..=40 {
        session.now.monotonic += Duration::from_millis(250);
        session.job("home").progress = f64::from(step) / 50.0;
        updates += session.look().len();
    }
    assert_eq!(updates, 10);
    assert!(session.look().is_empty(), "nothing new");
}

#[test]
fn the_backups_of_a_drive_are_one_activity() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.job("photos").state = JobState::Queued;
    assert_eq!(session.look().len(), 1);
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.look(), ["Backing up to Blue | photos is next. Do not unplug the drive."]);
    session.job("photos").state = JobState::Running;
    session.now.monotonic += Duration::from_secs(1);
    assert_eq!(session.look(), ["Backing up to Blue | photos: about 1.0 GB. Do not unplug the drive."]);
    session.job("photos").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: home, photos."]);
}

#[test]
fn a_backup_by_the_schedule_is_quiet() {
    let mut session = Session::begin(DriveState::Safe);
    assert!(session.look().is_empty(), "nobody waits for a drive that was safe before");
    session.job("home").trigger = Trigger::Schedule;
    assert!(session.state(DriveState::Busy).is_empty());
    session.job("home").state = JobState::Succeeded;
    assert!(session.state(DriveState::Safe).is_empty());
}

#[test]
fn what_is_said_of_a_safe_drive_ends_when_it_is_used_again() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    let safe = "Blue can be unplugged | Everything that was reported as done is on it.";
    assert_eq!(session.state(DriveState::Safe), [safe], "plugged in with nothing due");
    session.job("home").trigger = Trigger::Schedule;
    assert_eq!(session.state(DriveState::Busy), ["close"]);
    session.job("home").state = JobState::Succeeded;
    assert!(session.state(DriveState::Safe).is_empty());
}

#[test]
fn a_drive_that_a_person_removes_is_shown_as_safe() {
    let mut session = Session::begin(DriveState::Mounted);
    session.look();
    session.job("remove").kind = JobKind::Remove;
    session.job("remove").trigger = Trigger::User;
    assert!(session.state(DriveState::Busy).is_empty());
    session.job("remove").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Safe).len(), 1);
}

#[test]
fn a_drive_that_stays_mounted_is_not_called_safe() {
    let mut session = ended_and_mounted();
    session.now.monotonic += Duration::from_secs(9);
    assert!(session.look().is_empty());
    session.now.monotonic += Duration::from_secs(1);
    assert_eq!(session.look(), ["ended", KEPT]);
    assert!(session.look().is_empty());
}

#[test]
fn a_drive_that_is_released_late_is_not_said_to_stay_mounted() {
    let mut session = ended_and_mounted();
    session.now.monotonic += Duration::from_secs(9);
    assert!(session.state(DriveState::Busy).is_empty());
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: home."]);
}

#[test]
fn the_next_backup_of_a_drive_that_stayed_mounted_has_its_own_last_steps() {
    let mut session = ended_and_mounted();
    session.now.monotonic += Duration::from_secs(10);
    assert_eq!(session.look(), ["ended", KEPT]);
    session.now.monotonic += Duration::from_secs(60);
    session.job("again");
    assert_eq!(session.state(DriveState::Busy).len(), 1);
    session.job("again").state = JobState::Succeeded;
    session.now.monotonic += Duration::from_secs(60);
    assert_eq!(session.state(DriveState::Mounted), [LAST_STEPS, "later"]);
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: home, again."]);
}

#[test]
fn the_progress_of_a_stopped_backup_is_closed() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Cancelled;
    assert_eq!(session.state(DriveState::Mounted), ["ended", "close"]);
    assert!(session.look().is_empty());
}

#[test]
fn a_service_that_stops_is_one_message_and_the_next_run_another() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    let stopped = "The backup service stopped | The backup to Blue did not end. Do not unplug the drive: the backup continues when \
                   the service runs again.";
    let lost: Vec<_> = session.story.lost().iter().map(line).collect();
    assert_eq!(lost, ["ended with an error", stopped]);
    assert!(session.story.lost().is_empty());
    session.objects.jobs.clear();
    session.problems(&[problem("backup-interrupted", failed(ErrorName::Failed, 7))]);
    assert_eq!(session.state(DriveState::Present), ["close"]);
    session.job("again");
    assert_eq!(session.state(DriveState::Busy).len(), 1);
}

#[test]
fn a_service_that_stops_does_not_take_back_what_is_safe() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    assert_eq!(session.state(DriveState::Safe).len(), 1);
    assert!(session.story.lost().is_empty());
    assert!(session.look().is_empty());
}

#[test]
fn an_agent_that_begins_in_mid_job_shows_it_once() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home").progress = 0.5;
    assert_eq!(session.look(), ["Backing up to Blue | home: 50 % of about 1.0 GB"]);
    assert!(session.look().is_empty());
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Safe).len(), 2);
}
