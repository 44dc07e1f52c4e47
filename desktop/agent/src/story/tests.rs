use std::time::Duration;

use butterdock_dbus::path::{backup_path, drive_path};
use butterdock_dbus::{
    BackupProperties, DestinationProperties, DriveProperties, DriveState, Error, ErrorName, JobKind, JobProperties,
    JobState, Problem, ProblemParams, Trigger,
};

use super::*;

const WALL: u64 = 1_800_000_000_000_000;
const DAY: u64 = 24 * 3600 * 1_000_000;
const LAST_STEPS: &str = "Backing up to Blue | The last steps. Do not unplug the drive yet.";

/// A session with the drive Blue and the backup home.
struct Session {
    story: Story,
    objects: Objects,
    now: Now,
}

fn blue() -> String {
    drive_path("b1").to_string()
}

fn home() -> String {
    backup_path("home").to_string()
}

fn problem(code: &str, params: ProblemParams) -> Problem {
    Problem { code: code.to_owned(), params, english: "see the manual".to_owned() }
}

fn failed(error: ErrorName, time: u64) -> ProblemParams {
    ProblemParams {
        backup: Some("home".to_owned()),
        error: Some(error.as_str().to_owned()),
        reason: Some("it was bad; do better".to_owned()),
        time: Some(time),
        ..ProblemParams::default()
    }
}

impl Session {
    /// The agent begins while the drive is in this state.
    fn begin(state: DriveState) -> Self {
        Self::with(state, Settings::default())
    }

    fn with(state: DriveState, settings: Settings) -> Self {
        let drive = DriveProperties { label: "Blue".to_owned(), enrolled: true, state, ..DriveProperties::default() };
        let destination = DestinationProperties {
            name: "Blue".to_owned(),
            backups: vec!["home".to_owned()],
            ..DestinationProperties::default()
        };
        let backup = BackupProperties {
            name: "home".to_owned(),
            enabled: true,
            destinations: vec![blue()],
            ..BackupProperties::default()
        };
        let mut objects = Objects::default();
        objects.drives.insert(blue(), drive);
        objects.destinations.insert(blue(), destination);
        objects.backups.insert(home(), backup);
        let story = Story::new(Words::of_locale("C"), settings);
        Self { story, objects, now: Now { wall: WALL, monotonic: Duration::ZERO } }
    }

    fn look(&mut self) -> Vec<String> {
        let outputs = self.story.look(&self.objects, self.now);
        outputs.iter().map(line).collect()
    }

    fn state(&mut self, state: DriveState) -> Vec<String> {
        self.set_state(state);
        self.look()
    }

    fn set_state(&mut self, state: DriveState) {
        self.objects.drives.get_mut(&blue()).expect("there").state = state;
    }

    fn job(&mut self, name: &str) -> &mut JobProperties {
        let path = format!("/jobs/{name}");
        self.objects.jobs.entry(path).or_insert_with(|| JobProperties {
            kind: JobKind::Backup,
            drive: blue(),
            backup_name: name.to_owned(),
            trigger: Trigger::Plug,
            state: JobState::Running,
            bytes_total: 1_000_000_000,
            progress_valid: true,
            cancelable: true,
            ..JobProperties::default()
        })
    }

    fn problems(&mut self, problems: &[Problem]) {
        self.objects.destinations.get_mut(&blue()).expect("there").problems = problems.to_vec();
    }

    fn overdue(&mut self, overdue: bool) -> Vec<String> {
        self.objects.backups.get_mut(&home()).expect("there").overdue = overdue;
        self.look()
    }
}

/// An output as a line.
fn line(output: &Output) -> String {
    match output {
        Output::Activity(activity) => format!("{} | {}", activity.title, activity.body),
        Output::ActivityEnded { error, .. } => format!("ended{}", error.as_deref().map_or("", |_| " with an error")),
        Output::Show(message) => {
            let buttons: String = message.buttons.iter().map(|button| format!(" [{}]", button.label)).collect();
            format!("{} | {}{buttons}", message.title, message.body)
        }
        Output::Close(_) => "close".to_owned(),
        Output::LookAgain(_) => "later".to_owned(),
    }
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
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Mounted), [LAST_STEPS, "later"]);
    session.now.monotonic += Duration::from_secs(9);
    assert!(session.look().is_empty());
    session.now.monotonic += Duration::from_secs(1);
    let kept = "The backup to Blue is complete | The drive stays mounted. Remove it safely before you unplug it. [Remove safely]";
    assert_eq!(session.look(), ["ended", kept]);
    assert!(session.look().is_empty());
}

#[test]
fn a_drive_that_is_released_late_is_not_said_to_stay_mounted() {
    let mut session = Session::begin(DriveState::Busy);
    session.job("home");
    session.look();
    session.job("home").state = JobState::Succeeded;
    assert_eq!(session.state(DriveState::Mounted), [LAST_STEPS, "later"]);
    session.now.monotonic += Duration::from_secs(9);
    assert!(session.state(DriveState::Busy).is_empty());
    assert_eq!(session.state(DriveState::Safe), ["ended", "Blue can be unplugged | Backed up: home."]);
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
    let mut session = Session::begin(DriveState::Locked);
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
fn drives_with_another_filesystem_are_left_alone() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    let problems = vec![problem("drive-unsupported", ProblemParams::default())];
    let stick =
        DriveProperties { label: "Stick".to_owned(), filesystem_type: "vfat".to_owned(), ..DriveProperties::default() };
    let stick = DriveProperties { problems, ..stick };
    session.objects.drives.insert(drive_path("s").to_string(), stick);
    assert!(session.look().is_empty());
    session.objects.drives.remove(drive_path("s").as_str());
    assert!(session.look().is_empty());
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

#[test]
fn hostile_labels_stay_on_one_short_line() {
    let mut session = Session::begin(DriveState::Busy);
    session.objects.drives.get_mut(&blue()).expect("there").label = format!("a\n\u{202e}<b>{}", "x".repeat(255));
    session.job("{drive}");
    let shown = session.look().remove(0);
    assert!(shown.starts_with("Backing up to a \u{fffd}<b>xxx"), "{shown}");
    assert!(shown.contains("| {drive}: about"), "{shown}");
    assert!(shown.split('|').next().expect("a title").chars().count() < 90, "{shown}");
    assert!(!shown.contains(['\n', '\u{202e}']));
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
    assert_eq!(line(&session.story.failed(&action, &other.into())), "That did not work | the kernel says no");
}

#[test]
fn a_locked_drive_has_a_button_that_asks_for_its_passphrase() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    session.problems(&[problem("drive-locked", ProblemParams::default())]);
    let locked = "The drive is locked | Blue: Unlock it with its passphrase to use it. [Unlock…]";
    assert_eq!(session.state(DriveState::Locked), [locked]);
    let (dialog, wrong) = session.story.unlock(&blue());
    assert_eq!(dialog.description, "The passphrase of the backup drive Blue");
    assert!(dialog.error.is_none() && wrong.contains("Try again"));
    session.problems(&[]);
    assert_eq!(session.state(DriveState::Unlocked), ["close"]);
    session.problems(&[problem("drive-locked", ProblemParams::default())]);
    assert_eq!(session.state(DriveState::Locked).len(), 1, "at each plug");
}

#[test]
fn without_a_dialog_the_command_is_named() {
    let session = Session::begin(DriveState::Locked);
    let action = Action::Unlock { drive: blue() };
    let missing = Failure::NoDialog(std::io::ErrorKind::NotFound.into());
    assert!(line(&session.story.failed(&action, &missing)).contains("Install pinentry, or run “butterdock unlock”"));
}

/// A drive that was never enrolled.
fn stick(filesystem: &str) -> DriveProperties {
    DriveProperties {
        label: "Stick".to_owned(),
        filesystem_type: filesystem.to_owned(),
        filesystem_uuid: if filesystem.is_empty() { String::new() } else { "uuid".to_owned() },
        serial: "S1".to_owned(),
        device: "sdb".to_owned(),
        size: 2_000_000_000_000,
        ..DriveProperties::default()
    }
}

#[test]
fn a_new_drive_is_asked_about_until_it_is_enrolled() {
    let mut session = Session::begin(DriveState::Away);
    session.objects.drives.insert("/s".to_owned(), stick("btrfs"));
    assert!(session.look().is_empty(), "one that was there before is not new");
    session.objects.drives.remove("/s");
    session.look();
    session.objects.drives.insert("/s".to_owned(), stick("btrfs"));
    let question = "Back up to this drive? | Stick: 2.0 TB, serial number S1. Its files stay. An administrator has to agree. [Use for backups] \
                    [Not now] [Never for this drive]";
    assert_eq!(session.look(), [question]);
    assert!(session.look().is_empty());
    let drive = session.objects.drives.get_mut("/s").expect("there");
    (drive.enrolled, drive.state) = (true, DriveState::Safe);
    session.objects.destinations.insert("/s".to_owned(), DestinationProperties::default());
    let safe = "Stick can be unplugged | No backup goes to it yet: “butterdock backup add” adds one.";
    assert_eq!(session.look(), ["close", safe]);
}

#[test]
fn an_empty_drive_is_not_erased_by_a_button() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    session.objects.drives.insert("/s".to_owned(), stick(""));
    let question = "Back up to this drive? | Stick: 2.0 TB, serial number S1. It has no filesystem. To erase it and use it: sudo butterdock \
                    enrol sdb --format [Not now] [Never for this drive]";
    assert_eq!(session.look(), [question]);
}

#[test]
fn not_now_counts_until_the_next_plug_and_never_for_good() {
    let mut session = Session::begin(DriveState::Away);
    let plug = |session: &mut Session, answer: fn(String) -> Action| {
        session.objects.drives.remove("/s");
        session.look();
        session.objects.drives.insert("/s".to_owned(), stick("btrfs"));
        let shown = session.look().len();
        assert!(session.story.answer(&answer("/s".to_owned())));
        assert_eq!(session.look().len(), shown, "closed");
        shown
    };
    assert_eq!(plug(&mut session, |drive| Action::NotNow { drive }), 1);
    assert_eq!(plug(&mut session, |drive| Action::Never { drive }), 1);
    assert_eq!(plug(&mut session, |drive| Action::NotNow { drive }), 0);
    assert_eq!(session.story.settings().never, ["uuid".to_owned()].into());
    assert!(!session.story.answer(&Action::Enrol { drive: "/s".to_owned() }));
}
