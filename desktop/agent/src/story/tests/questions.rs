//! Questions about new and locked drives.

use super::*;

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
fn a_drive_that_the_service_does_not_unlock_by_a_key_asks_for_its_passphrase() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    assert_eq!(session.state(DriveState::Locked), ["later"], "the service may have a key");
    session.now.monotonic += Duration::from_secs(5);
    let locked = "The drive is locked | Blue: Unlock it with its passphrase to use it. [Unlock…]";
    session.problems(&[problem("backup-failed", failed(ErrorName::Failed, 7))]);
    assert_eq!(session.look(), [locked]);
    assert!(session.look().is_empty());
    session.problems(&[]);
    assert_eq!(session.state(DriveState::Unlocked), ["close"]);
    assert_eq!(session.state(DriveState::Locked), ["later"]);
    session.set_state(DriveState::Busy);
    session.now.monotonic += Duration::from_secs(5);
    assert!(session.look().is_empty(), "its key has unlocked it");
}

#[test]
fn a_drive_that_is_not_enrolled_is_not_unlocked() {
    let mut session = Session::begin(DriveState::Away);
    session.look();
    session.objects.drives.get_mut(&blue()).expect("there").enrolled = false;
    assert!(session.state(DriveState::Locked).is_empty());
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
    let question = "Back up to this drive? | Stick: 2.0 TB, serial number S1. It has no filesystem and is erased first. An \
                    administrator has to agree. [Use for backups] [Not now] [Never for this drive]";
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
