//! Drives that can be read and not written.

use nix::errno::Errno;

use super::*;
use crate::device::simulated::Step;

/// Unlocks it where it is encrypted: a release locks it.
async fn unlock(fixture: &Fixture, id: &DriveId) {
    drop(fixture.drives().unlock_with(id, PASSPHRASE).await);
    fixture.settle().await;
}

#[test]
fn a_write_protected_drive_is_read_and_takes_no_backup() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.set_write_protected(&drive, true);
            back_up(&fixture, &drive, &id).await;
            // The backup of its plug failed, and it was released.
            assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Failed));
            let name = fixture.service.jobs().history()[0].error_name.clone();
            assert!(name.as_ref().is_some_and(|name| name.ends_with("ReadOnly")), "{name:?}");
            assert!(fixture.problem(&id).contains("write-protected"), "{}", fixture.problem(&id));
            assert_eq!(fixture.codes(&id), ["drive-write-protected"]);
            fixture.check_at_rest(std::slice::from_ref(&drive));
            fixture.devices.pull(&drive);
            fixture.devices.set_write_protected(&drive, false);
            fixture.settle().await;
            back_up(&fixture, &drive, &id).await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!(fixture.ends()[0], JobState::Succeeded);
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_write_protected_drive_is_listed_and_verified() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.set_write_protected(&drive, true);
        back_up(&fixture, &drive, &id).await;
        let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
        assert!(fixture.problem(&id).contains("write-protected"), "{}", fixture.problem(&id));
        let error = fixture.drives().lease(&id, Need::Write).await.expect_err("it cannot be written");
        assert!(error.to_string().contains("write-protected"), "{error}");
        lease.close().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.service.verify(&(&id).into(), 0).await.expect("taken");
        sleep(Duration::from_secs(60)).await;
        assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Succeeded));
        fixture.drives().lease(&id, Need::Write).await.expect_err("it cannot be written");
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_log_that_cannot_be_replayed_is_named_with_the_way_out() {
    for drive in kinds() {
        for is_write_protected in [false, true] {
            run(async {
                let drive = drive.clone();
                let (fixture, id) = enrolled(&drive).await;
                fixture.devices.set_damaged_log(&drive, true);
                fixture.devices.set_write_protected(&drive, is_write_protected);
                back_up(&fixture, &drive, &id).await;
                assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Failed));
                let way_out = if is_write_protected { "switch its write protection off" } else { "zero-log" };
                let problem = fixture.problem(&id);
                assert!(problem.contains(way_out) && problem.contains("takes no backup"), "{problem}");
                let code = if is_write_protected { "drive-log-write-protected" } else { "drive-log-damaged" };
                assert_eq!(fixture.codes(&id), [code]);
                unlock(&fixture, &id).await;
                let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
                assert!(lease.without_log().is_some_and(|text| text.contains(way_out)));
                lease.close().await;
                fixture.devices.pull(&drive);
                fixture.devices.set_damaged_log(&drive, false);
                fixture.devices.set_write_protected(&drive, false);
                fixture.settle().await;
                back_up(&fixture, &drive, &id).await;
                assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
                fixture.check_at_rest(std::slice::from_ref(&drive));
            });
        }
    }
}

#[test]
fn a_write_protected_drive_is_not_enrolled() {
    run(async {
        let fixture = Fixture::start().await;
        let drive = SimulatedDrive::new("blue", 1, false);
        fixture.devices.set_write_protected(&drive, true);
        fixture.devices.plug(&drive);
        fixture.settle().await;
        let error = fixture.enrol_attached(&drive, EnrolOptions::default()).await.expect_err("refused");
        assert!(error.to_string().contains("write-protected"), "{error}");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_cannot_be_mounted_writable_is_read() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.fail(&drive, Step::Mount, Errno::EUCLEAN, 1);
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(60)).await;
        assert!(fixture.problem(&id).contains("cannot be written"), "{}", fixture.problem(&id));
        assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Failed));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_with_a_missing_disk_is_read_on_demand() {
    for is_encrypted in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 2, is_encrypted);
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.plug_disks(&drive, 1);
            sleep(Duration::from_secs(60)).await;
            assert!(!fixture.devices.is_mounted(&drive) && !fixture.devices.is_unlocked(&drive), "by itself");
            assert!(fixture.problem(&id).contains("1 of the 2 devices"), "{}", fixture.problem(&id));
            unlock(&fixture, &id).await;
            assert!(!fixture.devices.is_mounted(&drive), "by itself");
            let error = fixture.drives().lease(&id, Need::Write).await.expect_err("a disk is missing");
            assert!(error.to_string().contains("takes no backup"), "{error}");
            unlock(&fixture, &id).await;
            let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
            let error = fixture.drives().lease(&id, Need::Write).await.expect_err("it is mounted to be read");
            assert!(error.to_string().contains("takes no backup"), "{error}");
            lease.close().await;
            assert_eq!(
                (fixture.state(&id), fixture.ends()),
                (Some(DriveState::Safe), Vec::new()),
                "the plug has not ended"
            );
            assert!(fixture.problem(&id).contains("1 of the 2 devices"), "{}", fixture.problem(&id));
            fixture.check_at_rest(std::slice::from_ref(&drive));
            // The other disk comes: the backup of the plug begins.
            fixture.devices.plug_rest(&drive);
            fixture.settle().await;
            unlock(&fixture, &id).await;
            sleep(Duration::from_secs(60)).await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.ends()[0], fixture.written().len()), (JobState::Succeeded, 1));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn the_plug_of_a_drive_with_a_missing_disk_ends_when_it_is_made_safe() {
    for is_pulled in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 2, false);
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.plug_disks(&drive, 1);
            fixture.settle().await;
            fixture.drives().lease(&id, Need::Read).await.expect("it is read").close().await;
            fixture.quiet().await;
            assert_eq!((fixture.state(&id), fixture.ends()), (Some(DriveState::Safe), Vec::new()));
            if is_pulled {
                fixture.devices.pull(&drive);
            } else {
                fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
            }
            fixture.settle().await;
            let problem = row_problem(&fixture).await;
            assert!(problem.contains("did not begin") && problem.contains("1 of the 2 devices"), "{problem}");
        });
    }
}

#[test]
fn a_verify_without_a_missing_disk_clears_no_damage() {
    run(async {
        let drive = SimulatedDrive::new("blue", 2, false);
        let (fixture, id) = enrolled(&drive).await;
        let verify = async |lost| {
            *lock(&fixture.found) = Found { lost, ..Found::default() };
            fixture.service.verify(&(&id).into(), 0).await.expect("taken");
            sleep(Duration::from_secs(60)).await;
        };
        let is_damaged = || fixture.problem(&id).contains("a verify found damage on the drive");
        back_up(&fixture, &drive, &id).await;
        verify(1).await;
        assert!(is_damaged(), "{}", fixture.problem(&id));
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug_disks(&drive, 1);
        fixture.settle().await;
        verify(0).await;
        assert_eq!(fixture.ends()[0], JobState::Succeeded);
        fixture.devices.plug_rest(&drive);
        sleep(Duration::from_secs(60)).await;
        assert!(is_damaged(), "{}", fixture.problem(&id));
        verify(0).await;
        assert_eq!((fixture.ends()[0], fixture.problem(&id)), (JobState::Succeeded, String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_disk_that_comes_while_the_others_are_read_is_no_copy() {
    run(async {
        let drive = SimulatedDrive::new("blue", 2, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug_disks(&drive, 1);
        fixture.settle().await;
        let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
        fixture.devices.plug_rest(&drive);
        fixture.settle().await;
        assert!(fixture.all_shown().iter().all(|shown| !shown.problem().contains("copy")), "{:?}", fixture.all_shown());
        lease.close().await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        assert_eq!((fixture.ends()[0], fixture.written().len()), (JobState::Succeeded, 1));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_is_read_while_the_state_cannot_be_written() {
    for drive in [SimulatedDrive::new("blue", 1, false), SimulatedDrive::new("blue", 2, false)] {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            let (state, aside) = (fixture.config.state.join("drives"), fixture.config.state.join("aside"));
            std::fs::rename(&state, &aside).expect("moved");
            std::fs::write(&state, "").expect("written");
            back_up(&fixture, &drive, &id).await;
            assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Failed));
            assert!(fixture.problem(&id).contains("state directory"), "{}", fixture.problem(&id));
            let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
            let error = fixture.drives().lease(&id, Need::Write).await.expect_err("the nonce cannot be recorded");
            assert!(error.to_string().contains("state directory"), "{error}");
            lease.close().await;
            assert_eq!(fixture.state(&id), Some(DriveState::Safe));
            fixture.check_at_rest(std::slice::from_ref(&drive));
            fixture.devices.pull(&drive);
            std::fs::remove_file(&state).expect("removed");
            std::fs::rename(&aside, &state).expect("moved");
            fixture.settle().await;
            back_up(&fixture, &drive, &id).await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.ends()[0], fixture.written().len()), (JobState::Succeeded, 1));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

/// The problem of the backup "home", with its drive attached or away.
async fn row_problem(fixture: &Fixture) -> String {
    Problem::sentence(&fixture.service.backups(false).await[0].problems)
}

#[test]
fn lost_writes_are_known_after_an_unplug_and_a_restart() {
    const MISSING: &str = "files that you wrote to it yourself may be missing";
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    let start = || Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup());
    let id = run(async {
        let fixture = start().await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.drives().mount(&id).await.expect("mounted");
        drive.write("letter");
        devices.become_read_only(&drive);
        drop(fixture.service.safely_remove(id.clone(), 0).await);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(fixture.problem(&id).matches(MISSING).count(), 1, "{}", fixture.problem(&id));
        devices.pull(&drive);
        fixture.quiet().await;
        assert!(row_problem(&fixture).await.contains(MISSING), "it is forgotten when it is unplugged");
        id
    });
    run(async {
        let fixture = start().await;
        assert!(row_problem(&fixture).await.contains(MISSING), "it is forgotten at a restart");
        // What cannot be written proves nothing.
        devices.set_write_protected(&drive, true);
        back_up(&fixture, &drive, &id).await;
        assert!(fixture.problem(&id).contains(MISSING), "{}", fixture.problem(&id));
        devices.pull(&drive);
        devices.set_write_protected(&drive, false);
        fixture.settle().await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
    });
    run(async {
        assert_eq!(row_problem(&start().await).await, "", "it took writes");
    });
}

#[test]
fn a_drive_unplugged_while_a_user_had_it_mounted_may_lack_files() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    let start = || Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup());
    run(async {
        let fixture = start().await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        devices.pull(&drive);
        fixture.settle().await;
        assert_eq!(row_problem(&fixture).await, "", "it was safe");
        back_up(&fixture, &drive, &id).await;
        fixture.drives().mount(&id).await.expect("mounted");
        drive.write("letter");
        devices.pull(&drive);
        fixture.settle().await;
        assert!(row_problem(&fixture).await.contains("may be missing"), "{}", row_problem(&fixture).await);
    });
    run(async {
        let fixture = start().await;
        let codes: Vec<&str> = fixture.service.backups(false).await[0].problems.iter().map(Problem::code).collect();
        assert_eq!(codes, ["drive-unplugged-in-use"]);
        devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(row_problem(&fixture).await, "");
    });
}

#[test]
fn a_drive_that_lost_files_says_so_until_its_token_is_written() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.drives().mount(&id).await.expect("mounted");
        drive.write("letter");
        fixture.devices.become_read_only(&drive);
        for _ in 0..2 {
            drop(fixture.service.safely_remove(id.clone(), 0).await);
            sleep(Duration::from_secs(60)).await;
        }
        let is_shown = |fixture: &Fixture| fixture.problem(&id).contains("files that you wrote to it yourself");
        assert!(is_shown(&fixture), "{}", fixture.problem(&id));
        fixture.devices.pull(&drive);
        fixture.devices.set_write_protected(&drive, true);
        fixture.settle().await;
        // The backup of the plug fails, and the drive is released.
        back_up(&fixture, &drive, &id).await;
        assert!(is_shown(&fixture), "{}", fixture.problem(&id));
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        let lease = fixture.drives().lease(&id, Need::Read).await.expect("it is read");
        lease.close().await;
        assert!(is_shown(&fixture) && fixture.problem(&id).contains("write-protected"), "{}", fixture.problem(&id));
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.devices.pull(&drive);
        fixture.devices.set_write_protected(&drive, false);
        fixture.settle().await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}
