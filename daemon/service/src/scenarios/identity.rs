//! What a drive is known by: its token and its uuids, also in another dock.

use super::*;
use crate::device::simulated::SIZE;

fn note(fixture: &Fixture, id: &DriveId) -> String {
    fixture.drives().drive(id).map(|drive| drive.note.clone()).unwrap_or_default()
}

#[test]
fn a_drive_in_another_dock_is_used_with_a_note() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            drive.set_dock("DOCK", SIZE + 4096);
            plug(&fixture, &drive, &id).await;
            fixture.settle().await;
            let text = note(&fixture, &id);
            assert!(text.contains("\"DOCK\" instead of \"blue-0\"") && text.contains("bytes instead of"), "{text}");
            fixture.quiet().await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.ends()[0], fixture.written().len()), (JobState::Succeeded, 1));
            fixture.devices.pull(&drive);
            fixture.settle().await;
            assert_eq!(note(&fixture, &id), "", "it is away");
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn two_drives_in_one_dock_have_one_serial_number() {
    run(async {
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        drives.iter().for_each(|drive| drive.set_dock("DOCK", SIZE));
        let config = Config { backups: vec![rule("home", &["blue", "red"])], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let ids = [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await];
        drives.iter().for_each(|drive| fixture.devices.plug(drive));
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 2);
        for id in &ids {
            let shown = (fixture.state(id), fixture.problem(id), note(&fixture, id));
            assert_eq!(shown, (Some(DriveState::Safe), String::new(), String::new()));
        }
        fixture.check_at_rest(&drives);
    });
}

#[test]
fn a_dock_that_hides_the_end_of_a_drive_is_named() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        drive.set_dock("DOCK", SIZE - 4096);
        plug(&fixture, &drive, &id).await;
        fixture.quiet().await;
        let problem = fixture.problem(&id);
        assert!(problem.contains("hides the end of the disk"), "{problem}");
        assert!(!fixture.devices.is_mounted(&drive));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_relabelled_drive_has_its_old_names_and_the_new_one() {
    for drives in ["blue", "attic"] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            fixture
                .reload(&format!("backup = [ {{ name = \"home\", source = \"/home\", drives = [\"{drives}\"] }} ]"))
                .await;
            drive.set_label("attic");
            back_up(&fixture, &drive, &id).await;
            let shown = fixture.drives().drive(&id).expect("shown");
            assert_eq!((shown.label.as_str(), shown.problem().as_str()), ("attic", ""));
            assert_eq!(shown.names, [id.as_str(), "attic", "blue"]);
            assert_eq!(fixture.written().len(), 1, "drives = [\"{drives}\"]");
            fixture.devices.pull(&drive);
            fixture.settle().await;
            let rows = fixture.drives().backups();
            assert_eq!(rows[0].drive_label.as_deref(), Some("attic"), "{rows:?}");
            assert_eq!(rows[0].drive_names.as_ref(), Some(&shown.names));
        });
    }
}

#[test]
fn a_copy_with_another_label_renames_nothing() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        let copy = drive.copy("copy");
        back_up(&fixture, &drive, &id).await;
        fixture.devices.pull(&drive);
        copy.set_label("attic");
        back_up(&fixture, &copy, &id).await;
        assert!(fixture.problem(&id).contains("older copy"), "{}", fixture.problem(&id));
        fixture.devices.pull(&copy);
        fixture.settle().await;
        assert_eq!(fixture.drives().backups()[0].drive_label.as_deref(), Some("blue"));
        fixture.check_at_rest(&[drive, copy]);
    });
}

#[test]
fn a_forgotten_or_formatted_drive_leaves_nothing_shown() {
    for is_formatted in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            back_up(&fixture, &drive, &id).await;
            assert_eq!(fixture.state(&id), Some(DriveState::Safe));
            fixture.drives().forget(&id).await.expect("forgotten");
            fixture.settle().await;
            if is_formatted {
                let shown = fixture.shown(&drive).expect("shown");
                let (size, serial) = (Some(shown.size), Some(shown.serial.clone()));
                let options = EnrolOptions {
                    format: true,
                    size,
                    serial,
                    label: Some("attic".to_owned()),
                    ..EnrolOptions::default()
                };
                fixture.drives().enrol(&shown.id, options).await.expect("formatted");
            }
            fixture.settle().await;
            let shown: Vec<(String, bool)> =
                fixture.all_shown().iter().map(|drive| (drive.label.clone(), drive.enrolled)).collect();
            assert_eq!(shown, [(if is_formatted { "attic" } else { "blue" }.to_owned(), is_formatted)]);
            fixture.devices.pull(&drive);
            fixture.settle().await;
            let away: Vec<(String, DriveState)> =
                fixture.all_shown().iter().map(|drive| (drive.label.clone(), drive.state)).collect();
            assert_eq!(away, Vec::from_iter(is_formatted.then(|| ("attic".to_owned(), DriveState::Away))));
        });
    }
}
