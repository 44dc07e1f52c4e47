//! What the pages say about drives.

use butterdock_dbus::{
    DestinationProperties, DriveProperties, DriveState, JobKind, JobProperties, JobState, Problem, ProblemParams,
};
use butterdock_desktop::objects::Objects;
use butterdock_desktop::words::{Severity, Words};

use crate::drives::{DriveItem, Tone, drive_items};
use crate::enrol::{Entered, WayKind, enrol_dialog};
use crate::{Action, Button};

const BLUE: &str = "/org/butterdock/Butterdock1/drives/blue";
const NEW: &str = "/org/butterdock/Butterdock1/drives/new";
const NOW: u64 = 1_790_000_000_000_000;

fn words() -> Words {
    Words::of_locale("C")
}

fn drive(state: DriveState) -> DriveProperties {
    DriveProperties {
        label: "Blue".to_owned(),
        model: "Samsung T7".to_owned(),
        serial: "S5SV".to_owned(),
        device: "sdb1".to_owned(),
        disk: "sdb".to_owned(),
        disk_size: 2_000,
        size: 1_000_000_000_000,
        filesystem_type: "btrfs".to_owned(),
        enrolled: true,
        state,
        ..DriveProperties::default()
    }
}

fn enrolled(state: DriveState) -> Objects {
    let destination = DestinationProperties {
        name: "Blue".to_owned(),
        backups: vec!["home".to_owned()],
        size: 1_000_000_000_000,
        free: 250_000_000_000,
        last_backup: NOW - 7_200_000_000,
        ..DestinationProperties::default()
    };
    let mut objects = Objects::default();
    objects.drives.insert(BLUE.to_owned(), drive(state));
    objects.destinations.insert(BLUE.to_owned(), destination);
    objects
}

fn new_drive(change: impl FnOnce(&mut DriveProperties)) -> Objects {
    let mut new = DriveProperties { enrolled: false, ..drive(DriveState::Present) };
    change(&mut new);
    let mut objects = Objects::default();
    objects.drives.insert(NEW.to_owned(), new);
    objects
}

fn only(objects: &Objects) -> DriveItem {
    let mut items = drive_items(objects, &words(), NOW);
    assert_eq!(items.len(), 1);
    items.remove(0)
}

fn labels(buttons: &[Button]) -> Vec<&str> {
    buttons.iter().map(|button| button.label.as_str()).collect()
}

#[test]
fn only_the_state_safe_says_can_be_unplugged() {
    for state in DriveState::WORDS {
        let state: DriveState = state.parse().expect("a state");
        let item = only(&enrolled(state.clone()));
        assert_eq!(item.tone == Tone::Safe, state == DriveState::Safe);
        assert_eq!(item.state == "Can be unplugged", state == DriveState::Safe, "{state}");
    }
}

#[test]
fn each_state_has_the_buttons_that_work_in_it() {
    let of = |state| labels(&only(&enrolled(state)).buttons).join(", ");
    assert_eq!(of(DriveState::Away), "");
    assert_eq!(of(DriveState::Locked), "Unlock…");
    assert_eq!(of(DriveState::Safe), "Back up now");
    assert_eq!(of(DriveState::Mounted), "Back up now, Remove safely");
    assert_eq!(labels(&only(&new_drive(|_| ())).buttons), ["Use for backups…"]);
    assert!(only(&new_drive(|new| new.state = DriveState::Safe)).buttons.is_empty());
}

#[test]
fn space_and_the_last_backup_are_in_words() {
    let item = only(&enrolled(DriveState::Safe));
    assert_eq!(item.facts, "Samsung T7 · 1.0 TB · last backup 2 hours ago");
    let space = item.space.expect("known");
    assert_eq!((space.text.as_str(), space.used), ("250 GB free of 1.0 TB", 0.75));
    let mut objects = enrolled(DriveState::Away);
    let blue = objects.destinations.get_mut(BLUE).expect("it");
    (blue.size, blue.last_backup) = (0, 0);
    let item = only(&objects);
    assert_eq!((item.space, item.facts.as_str()), (None, "Samsung T7 · 1.0 TB · no backup yet"));
}

#[test]
fn a_running_job_is_shown_with_its_stop_and_never_as_complete() {
    let mut objects = enrolled(DriveState::Busy);
    let job = JobProperties {
        kind: JobKind::Backup,
        drive: BLUE.to_owned(),
        destination: BLUE.to_owned(),
        backup_name: "home".to_owned(),
        state: JobState::Running,
        progress: 1.0,
        progress_valid: true,
        bytes_total: 5_000_000_000,
        cancelable: true,
        ..JobProperties::default()
    };
    let waiting = JobProperties { state: JobState::Queued, start_time: 0, ..job.clone() };
    objects.jobs.insert("/jobs/1".to_owned(), waiting);
    objects.jobs.insert("/jobs/2".to_owned(), JobProperties { start_time: 7, ..job.clone() });
    objects.jobs.insert("/jobs/3".to_owned(), JobProperties { state: JobState::Failed, ..job });
    let item = only(&objects);
    let activity = item.activity.expect("it runs");
    assert_eq!((activity.text.as_str(), activity.percent), ("home: 99 % of about 5.0 GB", Some(99)));
    assert_eq!(activity.stop.map(|stop| stop.action), Some(Action::Cancel { job: "/jobs/2".to_owned() }));
    assert_eq!(labels(&item.buttons), ["Remove safely"], "it runs already");
}

#[test]
fn problems_have_their_remedy_and_the_worst_is_first() {
    let mut objects = enrolled(DriveState::Present);
    let problem = |code: &str| Problem {
        code: code.to_owned(),
        params: ProblemParams { backup: Some("home".to_owned()), ..ProblemParams::default() },
        english: "Do <this>.".to_owned(),
    };
    objects.destinations.get_mut(BLUE).expect("it").problems =
        vec![problem("drive-write-protected"), problem("later"), problem("drive-full"), problem("backup-failed")];
    let item = only(&objects);
    let titles: Vec<_> = item.problems.iter().map(|problem| problem.title.as_str()).collect();
    let failed = "The backup home failed";
    assert_eq!(titles, ["The drive is full", failed, "The drive is write-protected", "A backup drive needs attention"]);
    assert_eq!(item.problems[1].button.as_ref().map(|button| button.label.as_str()), Some("Try again"));
    assert_eq!(item.problems[0].severity, Severity::Danger);
    assert!(item.problems[0].button.is_none(), "it is below the problems");
    assert_eq!(item.problems[3].remedy, "Do <this>.");
    objects.drives.get_mut(BLUE).expect("it").state = DriveState::Away;
    assert!(only(&objects).problems.iter().all(|problem| problem.button.is_none()));
}

#[test]
fn hostile_labels_are_one_short_line() {
    let item = only(&new_drive(|new| new.label = format!("<b>\u{202e}x\n{}", "w".repeat(255))));
    assert!(item.title.starts_with("<b>\u{fffd}x w") && item.title.chars().count() == 64, "{}", item.title);
    assert!(item.buttons[0].accessible.contains(&item.title));
}

#[test]
fn new_drives_are_after_enrolled_ones_and_before_those_that_are_away() {
    let mut objects = enrolled(DriveState::Safe);
    objects.drives.extend(new_drive(|_| ()).drives);
    objects
        .drives
        .insert("/drives/away".to_owned(), DriveProperties { label: "A".to_owned(), ..drive(DriveState::Away) });
    let states: Vec<_> = drive_items(&objects, &words(), NOW).into_iter().map(|item| item.state).collect();
    assert_eq!(states, ["Can be unplugged", "New drive", "Away"]);
}

fn entered(way: WayKind, proof: &str) -> Entered {
    Entered { way, label: "Blue".to_owned(), proof: proof.to_owned(), has_passphrase: false, keeps_key: true }
}

#[test]
fn enrolling_shows_the_serial_number_and_keeps_the_files_first() {
    let dialog = enrol_dialog(&new_drive(|_| ()), &words(), NEW).expect("a dialog");
    let fact = |name: &str| dialog.facts.iter().find(|(title, _)| title == name).map(|(_, value)| value.as_str());
    assert_eq!(
        (fact("Serial number"), fact("Size"), fact("What is on it")),
        (Some("S5SV"), Some("1.0 TB"), Some("btrfs"))
    );
    assert_eq!(dialog.ways[0].kind, WayKind::Keep);
    let keep = entered(WayKind::Keep, "");
    assert!(dialog.is_ready(&keep));
    let options = dialog.options(&keep);
    assert!(!options.enrol.format && !options.enrol.unmount && !options.keep_key);
    let mounted = enrol_dialog(&new_drive(|new| new.mounted_by_others = true), &words(), NEW).expect("a dialog");
    assert!(mounted.unmount.is_some() && mounted.options(&keep).enrol.unmount);
}

#[test]
fn erasing_needs_the_serial_number_of_this_drive() {
    let dialog =
        enrol_dialog(&new_drive(|new| new.filesystem_type = "ext4".to_owned()), &words(), NEW).expect("a dialog");
    assert_eq!(dialog.ways.iter().map(|way| way.kind).collect::<Vec<_>>(), [WayKind::Erase, WayKind::Encrypt]);
    assert!(!dialog.is_ready(&entered(WayKind::Keep, "")), "there is no btrfs");
    assert!(!dialog.is_ready(&entered(WayKind::Erase, "S5S")) && dialog.is_ready(&entered(WayKind::Erase, " S5SV ")));
    let unnamed = Entered { label: " ".to_owned(), ..entered(WayKind::Erase, "S5SV") };
    assert!(!dialog.is_ready(&unnamed));
    let options = dialog.options(&entered(WayKind::Erase, "S5SV")).enrol;
    assert_eq!((options.format, options.whole_disk, options.size), (true, true, Some(2_000)));
    assert_eq!((options.serial.as_deref(), options.label.as_deref()), (Some("S5SV"), Some("Blue")));
    let without = enrol_dialog(&new_drive(|new| new.serial.clear()), &words(), NEW).expect("a dialog");
    assert!(!without.has_serial() && without.is_ready(&entered(WayKind::Erase, "2000")));
}

#[test]
fn an_encrypted_drive_needs_its_passphrase() {
    let locked = |new: &mut DriveProperties| (new.encrypted, new.state) = (true, DriveState::Locked);
    let dialog = enrol_dialog(&new_drive(locked), &words(), NEW).expect("a dialog");
    let keep = entered(WayKind::Keep, "");
    assert!(
        dialog.needs_passphrase(WayKind::Keep) && !dialog.needs_passphrase(WayKind::Erase) && !dialog.is_ready(&keep)
    );
    let keep = Entered { has_passphrase: true, ..keep };
    assert!(dialog.is_ready(&keep) && dialog.options(&keep).keep_key);
}

#[test]
fn another_drive_cannot_take_the_place_of_the_shown_one() {
    let objects = new_drive(|_| ());
    let dialog = enrol_dialog(&objects, &words(), NEW).expect("a dialog");
    assert!(dialog.is_current(&objects, NEW));
    assert!(!dialog.is_current(&new_drive(|new| new.serial = "OTHER".to_owned()), NEW));
    assert!(!dialog.is_current(&new_drive(|new| new.enrolled = true), NEW));
    assert!(
        !dialog.is_current(&Objects::default(), NEW)
            && enrol_dialog(&enrolled(DriveState::Safe), &words(), BLUE).is_none()
    );
}
