//! Enrolments of drives that are attached.

use super::*;

/// Plugs it in and enrols it.
async fn plug_and_enrol(fixture: &Fixture, drive: &SimulatedDrive, options: EnrolOptions) -> DriveId {
    fixture.devices.plug(drive);
    fixture.settle().await;
    fixture.enrol_attached(drive, options).await.expect("enrolled")
}

#[test]
fn enrolling_begins_the_backups_that_are_due() {
    for drive in kinds() {
        run(async {
            let fixture = Fixture::start().await;
            let id = plug_and_enrol(&fixture, &drive, EnrolOptions::default()).await;
            fixture.settle().await;
            assert_eq!(fixture.unfinished().len(), 1, "{:?}", fixture.shown(&drive));
            fixture.quiet().await;
            assert_eq!((fixture.ends(), fixture.written().len()), (vec![JobState::Succeeded], 1));
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_drive_without_due_backups_is_released_after_its_enrolment() {
    let manual = BackupRule { schedule: Schedule::manual(), ..rule("home", &["blue"]) };
    for (backups, no_backup) in [(vec![], false), (vec![manual], false), (vec![rule("home", &["blue"])], true)] {
        for drive in kinds() {
            run(async {
                let config = Config { backups: backups.clone(), ..Config::default() };
                let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
                let id = plug_and_enrol(&fixture, &drive, EnrolOptions { no_backup, ..EnrolOptions::default() }).await;
                assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
                fixture.quiet().await;
                assert_eq!(fixture.ends(), []);
                fixture.check_at_rest(std::slice::from_ref(&drive));
            });
        }
    }
}

#[test]
fn a_drive_stays_mounted_after_its_enrolment_if_configured() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let drives = crate::config::DriveRules { on_finish: OnFinish::Keep, ..Default::default() };
        let fixture =
            Fixture::start_with(SimulatedDevices::new(), folder(), Config { drives, ..Config::default() }).await;
        let id = plug_and_enrol(&fixture, &drive, EnrolOptions::default()).await;
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_failed_release_after_an_enrolment_is_a_problem_and_retried() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), Config::default()).await;
        fixture.devices.refuse(&drive, crate::device::simulated::Step::Unmount, "the drive is used by sh (7)", 1000);
        let id = plug_and_enrol(&fixture, &drive, EnrolOptions::default()).await;
        assert!(fixture.problem(&id).contains("sh (7)"), "{:?}", fixture.shown(&drive));
        fixture.devices.unblock();
        fixture.devices.change_mounts();
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_formatted_drive_is_backed_up_to_as_a_new_one() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Fills(1));
        back_up(&fixture, &drive, &id).await;
        fixture.set_work(Work::Takes(5));
        let label = Some("blue".to_owned());
        let options = EnrolOptions { format: true, label, ..EnrolOptions::default() };
        let refused = fixture.drives().enrol(&id, options.clone()).await.expect_err("enrolled");
        assert!(
            refused.to_string().contains("nothing was erased") && refused.to_string().contains("forget"),
            "{refused}"
        );
        fixture.drives().forget(&id).await.expect("forgotten");
        fixture.settle().await;
        let new = fixture.enrol_attached(&drive, options).await.expect("enrolled");
        fixture.quiet().await;
        assert_eq!((fixture.state(&new), fixture.problem(&new)), (Some(DriveState::Safe), String::new()));
        assert_eq!(fixture.ends(), [JobState::Succeeded, JobState::Failed]);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_with_a_missing_device_is_counted_and_not_enrolled() {
    for is_encrypted in [false, true] {
        run(async {
            let (drive, fixture) = (SimulatedDrive::new("blue", 2, is_encrypted), Fixture::start().await);
            fixture.devices.plug_disks(&drive, 1);
            fixture.devices.unlock_by_hand(&drive);
            fixture.settle().await;
            let shown = fixture.shown(&drive).expect("shown");
            assert_eq!((shown.devices.len(), shown.device_count), (1, 2), "{shown:?}");
            let refused = fixture.enrol_attached(&drive, EnrolOptions::default()).await.expect_err("one is missing");
            let text = refused.to_string();
            assert!(text.contains("2 devices, and 1 is attached") && text.contains("plug in the others"), "{text}");
            assert!(!fixture.devices.is_mounted(&drive));
            fixture.devices.plug_rest(&drive);
            fixture.settle().await;
            let id = fixture.enrol_attached(&drive, EnrolOptions::default()).await.expect("enrolled");
            fixture.quiet().await;
            let shown = fixture.drives().drive(&id).expect("shown");
            assert_eq!((shown.devices.len(), shown.device_count, shown.problem()), (2, 2, String::new()));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

const SECRET: &[u8] = b"battery staple";

/// What the service keeps of keys.
fn key_files(fixture: &Fixture) -> usize {
    std::fs::read_dir(fixture.config.state.join("keys")).map_or(0, Iterator::count)
}

#[test]
fn a_drive_is_encrypted_and_enrolled_with_or_without_a_key() {
    for keep_key in [false, true] {
        run(async {
            let (drive, fixture) = (SimulatedDrive::new("red", 1, false), Fixture::start().await);
            fixture.devices.plug(&drive);
            fixture.settle().await;
            let shown = fixture.shown(&drive).expect("shown");
            let label = Some("blue".to_owned());
            let options = EnrolOptions { format: true, label, keep_key, ..EnrolOptions::default() };
            let id = fixture.drives().enrol_with(&shown.id, SECRET, options).await.expect("enrolled");
            fixture.quiet().await;
            assert_eq!((fixture.ends(), fixture.problem(&id)), (vec![JobState::Succeeded], String::new()));
            let shown = fixture.drives().drive(&id).expect("shown");
            assert_eq!((shown.state, shown.encrypted), (DriveState::Safe, true));
            assert_eq!(key_files(&fixture), usize::from(keep_key));
            fixture.check_at_rest(std::slice::from_ref(&drive));
            fixture.devices.pull(&drive);
            fixture.settle().await;
            fixture.devices.plug(&drive);
            fixture.quiet().await;
            if !keep_key {
                assert_eq!(fixture.state(&id), Some(DriveState::Locked));
                let wrong = fixture.drives().unlock_with(&id, PASSPHRASE).await.expect_err("wrong");
                assert_eq!(wrong.code(), crate::types::ErrorCode::WrongPassphrase);
                fixture.drives().unlock_with(&id, SECRET).await.expect("unlocked");
                fixture.quiet().await;
            }
            assert_eq!((fixture.written().len(), fixture.state(&id)), (2, Some(DriveState::Safe)));
            fixture.check_at_rest(std::slice::from_ref(&drive));
            fixture.drives().forget(&id).await.expect("forgotten");
            assert_eq!(key_files(&fixture), 0);
        });
    }
}

#[test]
fn an_encrypted_drive_is_enrolled_with_its_secret() {
    run(async {
        let (drive, fixture) = (SimulatedDrive::new("blue", 1, true), Fixture::start().await);
        fixture.devices.plug(&drive);
        fixture.settle().await;
        let id = fixture.shown(&drive).expect("shown").id;
        let keep_key = EnrolOptions { keep_key: true, ..EnrolOptions::default() };
        let wrong = fixture.drives().enrol_with(&id, SECRET, keep_key.clone()).await.expect_err("wrong");
        assert_eq!(wrong.code(), crate::types::ErrorCode::WrongPassphrase);
        let shown = fixture.shown(&drive).expect("shown");
        assert_eq!((shown.enrolled, shown.problem(), key_files(&fixture)), (false, String::new(), 0));
        assert!(!fixture.devices.is_unlocked(&drive));
        let id = fixture.drives().enrol_with(&id, PASSPHRASE, keep_key).await.expect("enrolled at once");
        fixture.quiet().await;
        assert_eq!((fixture.ends(), fixture.state(&id)), (vec![JobState::Succeeded], Some(DriveState::Safe)));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_copy_of_an_enrolled_container_leaves_its_key() {
    run(async {
        let (drive, fixture) = (SimulatedDrive::new("blue", 1, true), Fixture::start().await);
        let copy = drive.copy("other");
        fixture.devices.plug(&drive);
        fixture.settle().await;
        let id = fixture.shown(&drive).expect("shown").id;
        let keep_key = EnrolOptions { keep_key: true, ..EnrolOptions::default() };
        fixture.drives().enrol_with(&id, PASSPHRASE, keep_key.clone()).await.expect("enrolled");
        fixture.quiet().await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug(&copy);
        fixture.settle().await;
        let all = fixture.all_shown();
        for (shown, secret) in all.iter().flat_map(|shown| [(shown, SECRET), (shown, PASSPHRASE)]) {
            fixture.drives().enrol_with(&shown.id, secret, keep_key.clone()).await.expect_err("a copy");
            assert_eq!(key_files(&fixture), 1, "{shown:?}");
        }
        fixture.devices.pull(&copy);
        fixture.settle().await;
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 2, "it is unlocked by itself still");
    });
}

#[test]
fn the_secret_of_an_open_container_is_tested() {
    run(async {
        let (drive, fixture) = (SimulatedDrive::new("blue", 1, true), Fixture::start().await);
        fixture.devices.plug(&drive);
        fixture.settle().await;
        fixture.devices.unlock_by_hand(&drive);
        fixture.settle().await;
        let id = fixture.shown(&drive).expect("shown").id;
        let wrong = fixture.drives().enrol_with(&id, SECRET, EnrolOptions::default()).await.expect_err("wrong");
        assert_eq!(wrong.code(), crate::types::ErrorCode::WrongPassphrase);
        assert!(fixture.devices.is_unlocked(&drive), "who unlocked it uses it");
        fixture.drives().enrol_with(&id, PASSPHRASE, EnrolOptions::default()).await.expect("enrolled");
    });
}

#[test]
fn an_encryption_that_fails_midway_leaves_the_drive_locked() {
    use crate::device::simulated::Step;
    for step in [Step::Encrypt, Step::Unlock, Step::Format, Step::AddKey, Step::Mount] {
        run(async {
            let (drive, fixture) = (SimulatedDrive::new("blue", 1, false), Fixture::start().await);
            fixture.devices.plug(&drive);
            fixture.settle().await;
            let id = fixture.shown(&drive).expect("shown").id;
            fixture.devices.fail(&drive, step, nix::errno::Errno::EINVAL, 1);
            let options = EnrolOptions { format: true, keep_key: true, ..EnrolOptions::default() };
            fixture.drives().enrol_with(&id, SECRET, options.clone()).await.expect_err("it fails");
            assert!(!fixture.devices.is_unlocked(&drive) && !fixture.devices.is_mounted(&drive), "{step:?}");
            let shown = fixture.shown(&drive).expect("shown");
            assert_eq!((shown.enrolled, key_files(&fixture)), (false, 0), "{step:?}");
            fixture.drives().enrol_with(&shown.id, SECRET, options).await.expect("again");
            fixture.quiet().await;
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn remains_of_another_format_hide_no_drive() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            drive.set_beside(&["zfs_member"]);
            back_up(&fixture, &drive, &id).await;
            fixture.settle().await;
            // Of a drive that is locked again nothing is known.
            let shown = fixture.shown(&drive).expect("shown");
            let is_named = shown.note.contains("wipefs --all --types zfs_member on sd");
            assert!((is_named || shown.encrypted) && shown.problem().is_empty(), "{shown:?}");
            assert_eq!((fixture.written().len(), fixture.state(&id)), (1, Some(DriveState::Safe)));
            fixture.check_at_rest(std::slice::from_ref(&drive));
            fixture.drives().forget(&id).await.expect("forgotten");
            fixture.devices.pull(&drive);
            fixture.settle().await;
            let id = plug_and_enrol(&fixture, &drive, EnrolOptions::default()).await;
            fixture.quiet().await;
            assert_eq!((fixture.written().len(), fixture.state(&id)), (2, Some(DriveState::Safe)));
        });
    }
}

#[test]
fn another_filesystem_beside_btrfs_refuses_both() {
    for drive in [SimulatedDrive::new("blue", 1, false), SimulatedDrive::new("blue", 1, true)] {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            drive.set_beside(&["exfat"]);
            back_up(&fixture, &drive, &id).await;
            let problem = fixture.problem(&id);
            assert!(problem.contains("wipefs --all --types exfat on"), "{:?}", fixture.all_shown());
            assert!(fixture.written().is_empty() && !fixture.devices.is_mounted(&drive));
            fixture.drives().forget(&id).await.expect("forgotten");
            fixture.devices.pull(&drive);
            fixture.settle().await;
            fixture.devices.plug(&drive);
            fixture.settle().await;
            let refused =
                fixture.enrol_attached(&drive, EnrolOptions::default()).await.expect_err("refused").to_string();
            assert!(refused.contains("wipefs --all --types exfat on") && !refused.contains("--format"), "{refused}");
            assert!(
                fixture.shown(&drive).is_some_and(|shown| shown.problem() == refused),
                "{:?}",
                fixture.shown(&drive)
            );
        });
    }
}

/// A drive that the desktop of the user anna has mounted.
async fn mounted_by_anna() -> (Fixture, SimulatedDrive, DriveId) {
    let drive = SimulatedDrive::new("blue", 1, false);
    let fixture = Fixture::start().await;
    fixture.devices.plug(&drive);
    fixture.devices.set_mounted_elsewhere(&drive, true);
    fixture.settle().await;
    let shown = fixture.shown(&drive).expect("shown");
    assert!(shown.mounted_by_others, "{shown:?}");
    (fixture, drive, shown.id)
}

#[test]
fn a_mounted_drive_is_enrolled_after_an_unmount_by_who_may() {
    for (uid, is_allowed) in [(0, true), (1000, true), (1001, false)] {
        run(async {
            let (fixture, drive, id) = mounted_by_anna().await;
            let places = fixture.drives().mounts_of(&id, uid).await.expect("known");
            assert_eq!(places, [is_allowed.then(|| "/media/anna/blue".into())]);
            let options = EnrolOptions { uid, ..EnrolOptions::default() };
            let refused = fixture.drives().enrol(&id, options.clone()).await.expect_err("mounted");
            assert_eq!(refused.code(), crate::types::ErrorCode::Busy);
            let text = refused.to_string();
            assert_eq!(text.contains("/media/anna/blue"), is_allowed, "{text}");
            assert!(text.contains("--unmount"), "{text}");
            let enrolled = fixture.drives().enrol(&id, EnrolOptions { unmount: true, ..options }).await;
            assert_eq!(enrolled.is_ok(), is_allowed, "{enrolled:?}");
            fixture.quiet().await;
            assert_eq!(fixture.written().len(), usize::from(is_allowed));
            fixture.check(&[drive]);
        });
    }
}

#[test]
fn a_mount_with_open_files_is_not_unmounted() {
    run(async {
        let (fixture, drive, id) = mounted_by_anna().await;
        let usage = fixture.devices.begin_use_of(&drive);
        let options = EnrolOptions { unmount: true, ..EnrolOptions::default() };
        let refused = fixture.drives().enrol(&id, options.clone()).await.expect_err("in use");
        assert_eq!(refused.code(), crate::types::ErrorCode::Busy);
        assert!(refused.to_string().contains("sh (7)"), "{refused}");
        assert!(fixture.shown(&drive).is_some_and(|shown| shown.mounted_by_others));
        drop(usage);
        fixture.drives().enrol(&id, options).await.expect("enrolled");
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 1);
        fixture.check_at_rest(&[drive]);
    });
}
