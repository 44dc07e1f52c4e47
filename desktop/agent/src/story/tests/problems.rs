//! Problems, overdue backups, and actions that fail.

use super::*;

#[test]
fn a_drive_that_is_pulled_early_is_one_message() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Failed;
    session.problems(&[problem("backup-interrupted", failed(ErrorName::DeviceGone, 7))]);
    let pulled = "Unplugged too early | Blue: Plug it in again. The next backup sends what is missing.";
    assert_eq!(session.state(DriveState::Away), ["ended with an error", pulled]);
    assert!(session.look().is_empty());
    session.job("again");
    let again = session.state(DriveState::Busy);
    assert_eq!(again, ["Backing up to Blue | again: about 1.0 GB. Do not unplug the drive."]);
    session.job("again").state = JobState::Succeeded;
    session.problems(&[]);
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: again."]);
}

#[test]
fn a_failure_is_one_message_with_its_remedy_and_a_button() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Failed;
    session.problems(&[problem("backup-failed", failed(ErrorName::NoSpace, 7))]);
    let full = "The backup home failed | The drive can be unplugged. Blue: The drive is full. Keep fewer snapshots, or take a larger \
                drive. [Try again]";
    assert_eq!(session.state(DriveState::Safe), ["ended with an error", full]);
    let shown = session.story.look(&session.objects, session.now);
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(session.state(DriveState::Away), ["close"]);
}

#[test]
fn a_reason_of_the_service_is_shown_where_there_are_no_own_words() {
    let mut session = Session::begin(DriveState::Safe);
    session.problems(&[
        problem("backup-failed", failed(ErrorName::Failed, 7)),
        problem("later", failed(ErrorName::Failed, 7)),
    ]);
    let safe = "The drive can be unplugged.";
    let more = "There are more problems; “butterdock drives” lists them.";
    let shown = format!("The backup home failed | {safe} Blue: it was bad; do better. {more} [Try again]");
    assert_eq!(session.look(), [shown]);
    session.problems(&[problem("later", failed(ErrorName::Failed, 8))]);
    let unknown = "A backup drive needs attention | The drive can be unplugged. Blue: see the manual.";
    assert_eq!(session.look(), [unknown]);
}

#[test]
fn a_damaged_drive_is_shown_once_across_sessions() {
    let damaged =
        problem("drive-damaged", ProblemParams { blocks: Some(3), time: Some(7), ..ProblemParams::default() });
    let mut session = Session::begin(DriveState::Mounted);
    session.problems(std::slice::from_ref(&damaged));
    let remedy = "Replace the drive, or delete the damaged snapshots and verify it again.";
    assert_eq!(session.look(), [format!("Damaged data was found on the drive | Blue: {remedy} [Verify]")]);
    let mut next = Session::with(DriveState::Mounted, session.story.settings().clone());
    next.problems(std::slice::from_ref(&damaged));
    assert!(next.look().is_empty());
    next.problems(&[]);
    assert!(next.look().is_empty());
    next.problems(&[damaged]);
    assert_eq!(next.look().len(), 1, "it was resolved, and came again");
}

#[test]
fn a_message_about_a_problem_ends_with_it() {
    let mut session = Session::begin(DriveState::Mounted);
    session.problems(&[problem("drive-full", ProblemParams::default())]);
    assert_eq!(session.look().len(), 1);
    session.problems(&[]);
    assert_eq!(session.look(), ["close"]);
}

#[test]
fn a_problem_of_a_used_drive_does_not_say_unplugged() {
    let mut session = Session::begin(DriveState::Safe);
    session.problems(&[problem("drive-full", ProblemParams::default())]);
    let safe = session.look();
    assert!(safe.len() == 1 && safe[0].contains("The drive can be unplugged."), "{safe:?}");
    let busy = session.state(DriveState::Busy);
    assert!(busy.len() == 1 && !busy[0].contains("can be unplugged"), "{busy:?}");
    assert!(session.look().is_empty());
    assert_eq!(session.state(DriveState::Safe), safe);
}

#[test]
fn overdue_is_shown_once_a_day_and_only_if_the_service_says_so() {
    let mut session = Session::begin(DriveState::Away);
    assert!(session.look().is_empty(), "away is not overdue");
    let backup = session.objects.backups.get_mut(&home()).expect("there");
    backup.last_good.insert(blue(), WALL - 16 * DAY);
    let overdue = "Overdue backup: home | Days since the last success: 16. Plug in: Blue.";
    assert_eq!(session.overdue(true), [overdue]);
    session.now.wall += DAY / 2;
    assert!(session.look().is_empty());
    let mut next = Session::with(DriveState::Safe, session.story.settings().clone());
    next.now = session.now;
    assert!(next.overdue(true).is_empty(), "another session of the same day");
    next.now.wall += DAY;
    let attached = "Overdue backup: home | It never succeeded. Its destination is there: back up now. [Back up now]";
    assert_eq!(next.look(), [attached]);
    assert_eq!(next.overdue(false), ["close"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_silence_overdue() {
    let settings = Settings { overdue: [(home(), WALL + 400 * DAY)].into(), ..Settings::default() };
    assert_eq!(Session::with(DriveState::Away, settings).overdue(true).len(), 1);
}

#[test]
fn problems_without_a_destination_are_of_the_backup() {
    let mut session = Session::begin(DriveState::Away);
    let elsewhere = ProblemParams { destination: Some("b1".to_owned()), ..failed(ErrorName::Failed, 7) };
    let backup = session.objects.backups.get_mut(&home()).expect("there");
    backup.problems = vec![problem("no-drive", ProblemParams::default()), problem("backup-failed", elsewhere)];
    let shown = "The backup has no drive | home: Enrol a drive for it, or choose another one in its settings.";
    assert_eq!(session.look(), [shown]);
    session.objects.backups.clear();
    assert_eq!(session.look(), ["close"]);
}

#[test]
fn an_action_that_fails_says_why() {
    let session = Session::begin(DriveState::Away);
    let action = Action::Verify { destination: blue() };
    let refused = Error::new(ErrorName::NotAuthorized, "polkit says no");
    assert_eq!(
        line(&session.story.failed(&action, &refused.into())),
        "That did not work | You may not do this. Ask an administrator."
    );
    let other = Error::new(ErrorName::Failed, "the kernel\nsays no");
    assert_eq!(line(&session.story.failed(&action, &other.into())), "That did not work | The kernel says no.");
}
