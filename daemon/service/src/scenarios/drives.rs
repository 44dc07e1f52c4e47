//! One scenario for each thing that may happen to a drive.

use nix::errno::Errno;

use super::*;
use crate::device::simulated::{Moment, Step};
use crate::types::ErrorCode;

/// A plain one, an encrypted one, one of two disks, and one of two encrypted disks.
fn kinds() -> [SimulatedDrive; 4] {
    [(1, false), (1, true), (2, false), (2, true)]
        .map(|(disks, is_encrypted)| SimulatedDrive::new("blue", disks, is_encrypted))
}

/// A service that has enrolled this drive, which is away.
async fn enrolled(drive: &SimulatedDrive) -> (Fixture, DriveId) {
    let fixture = Fixture::start().await;
    let id = fixture.enrol(drive).await;
    (fixture, id)
}

/// Plugs it in, and unlocks it where it is encrypted.
async fn plug(fixture: &Fixture, drive: &SimulatedDrive, id: &DriveId) {
    fixture.devices.plug(drive);
    fixture.settle().await;
    if fixture.state(id) == Some(DriveState::Locked) {
        drop(fixture.drives().unlock_with(id, PASSPHRASE).await);
    }
}

/// The due backup of a plug.
async fn back_up(fixture: &Fixture, drive: &SimulatedDrive, id: &DriveId) {
    plug(fixture, drive, id).await;
    sleep(Duration::from_secs(60)).await;
}

#[test]
fn a_plug_backs_up_and_the_drive_becomes_safe() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            back_up(&fixture, &drive, &id).await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.ends()[0], fixture.written().len()), (JobState::Succeeded, 1));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_drive_may_be_pulled_at_any_step() {
    for drive in kinds() {
        // Until a round has no step left at which it is pulled.
        for number in 0.. {
            let is_last = run(async {
                let (fixture, id) = enrolled(&drive).await;
                let (devices, pulled, moment) = (
                    fixture.devices.clone(),
                    drive.clone(),
                    if number % 2 == 0 { Moment::Before } else { Moment::After },
                );
                fixture.devices.at_step(number / 2, moment, move || devices.pull(&pulled));
                back_up(&fixture, &drive, &id).await;
                let is_last = fixture.devices.is_plugged(&drive);
                fixture.quiet().await;
                fixture.check_at_rest(std::slice::from_ref(&drive));
                fixture.devices.clear_actions();
                fixture.devices.pull(&drive);
                fixture.settle().await;
                back_up(&fixture, &drive, &id).await;
                let state = (fixture.state(&id), fixture.problem(&id));
                assert_eq!(state, (Some(DriveState::Safe), String::new()), "after it was pulled at step {number}");
                assert_eq!(fixture.ends()[0], JobState::Succeeded);
                fixture.check_at_rest(std::slice::from_ref(&drive));
                is_last
            });
            if is_last {
                assert!(number > 10, "only {number} steps");
                break;
            }
        }
    }
}

#[test]
fn a_drive_that_is_pulled_and_plugged_at_once_is_used_again() {
    for drive in kinds() {
        for number in 0.. {
            let is_last = run(async {
                let (fixture, id) = enrolled(&drive).await;
                let (devices, pulled, moment) = (
                    fixture.devices.clone(),
                    drive.clone(),
                    if number % 2 == 0 { Moment::Before } else { Moment::After },
                );
                let is_reached = Arc::new(Mutex::new(false));
                let flag = Arc::clone(&is_reached);
                fixture.devices.at_step(number / 2, moment, move || {
                    devices.pull(&pulled);
                    devices.plug(&pulled);
                    *lock(&flag) = true;
                });
                back_up(&fixture, &drive, &id).await;
                fixture.quiet().await;
                back_up(&fixture, &drive, &id).await;
                fixture.quiet().await;
                let shown = (fixture.state(&id), fixture.problem(&id), fixture.ends());
                fixture.check_at_rest(std::slice::from_ref(&drive));
                assert!(fixture.ends().contains(&JobState::Succeeded), "no backup after step {number}: {shown:?}");
                !*lock(&is_reached)
            });
            if is_last {
                break;
            }
        }
    }
}

#[test]
fn a_step_that_fails_is_a_problem_until_the_next_plug() {
    let steps = [
        Step::Superblock,
        Step::Mount,
        Step::Open,
        Step::WriteOut,
        Step::Unmount,
        Step::Unlock,
        Step::Lock,
        Step::CheckUnused,
    ];
    for drive in kinds() {
        for step in steps {
            for is_refused in [true, false] {
                run(async {
                    let (fixture, id) = enrolled(&drive).await;
                    if is_refused {
                        fixture.devices.refuse(&drive, step, "it is in use", 1000);
                    } else {
                        fixture.devices.fail(&drive, step, Errno::EIO, 1000);
                    }
                    back_up(&fixture, &drive, &id).await;
                    fixture.quiet().await;
                    let shown = (fixture.state(&id), fixture.problem(&id));
                    let is_used = !matches!(step, Step::Unlock | Step::Lock)
                        || fixture.shown(&drive).is_some_and(|shown| shown.encrypted);
                    if is_used {
                        assert!(fixture.state(&id) != Some(DriveState::Safe), "{step:?}: {shown:?}");
                        // A person who asked for the unlocking has the answer.
                        assert!(
                            step == Step::Unlock || !shown.1.is_empty(),
                            "nothing says that {step:?} failed: {shown:?}"
                        );
                    }
                    fixture.devices.unblock();
                    fixture.devices.pull(&drive);
                    fixture.quiet().await;
                    fixture.check_at_rest(std::slice::from_ref(&drive));
                    back_up(&fixture, &drive, &id).await;
                    let shown = (fixture.state(&id), fixture.problem(&id));
                    assert_eq!(shown, (Some(DriveState::Safe), String::new()), "after {step:?} failed");
                    fixture.check_at_rest(std::slice::from_ref(&drive));
                });
            }
        }
    }
}

#[test]
fn a_failed_release_is_retried_at_the_next_event() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.refuse(&drive, Step::Unmount, "its directory is used by sh (7)", 1000);
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
        assert!(fixture.problem(&id).contains("used by sh (7)"), "{}", fixture.problem(&id));
        fixture.devices.unblock();
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted), "it was tried again without an event");
        // The program that used it has ended; a mount that changes is an event.
        fixture.devices.change_mounts();
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn the_service_ends_when_a_long_lived_task_ends() {
    run(async {
        let fixture = Fixture::start().await;
        let ended = tokio::time::timeout(QUIET, fixture.service.ended());
        fixture.devices.end_events();
        let error = ended.await.expect("it ends");
        assert_eq!(format!("{error:#}"), "the task that follows udev has ended: udev has ended");
        assert!(!fixture.service.all_answer().await);
    });
}

#[test]
fn a_copy_beside_its_original_is_refused() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            fixture.set_work(Work::Takes(100));
            plug(&fixture, &drive, &id).await;
            fixture.settle().await;
            let copy = drive.copy("other");
            fixture.devices.plug(&copy);
            sleep(Duration::from_secs(50)).await;
            assert_eq!(fixture.state(&id), Some(DriveState::Busy));
            sleep(Duration::from_secs(100)).await;
            assert!(!fixture.devices.is_mounted(&copy));
            assert_eq!(fixture.ends()[0], JobState::Succeeded, "the original is used as before");
            fixture.devices.pull(&drive);
            fixture.quiet().await;
            assert!(!fixture.devices.is_mounted(&copy), "the copy alone has another serial number");
            assert!(fixture.problem(&id).contains("serial number"), "{}", fixture.problem(&id));
            fixture.devices.plug(&drive);
            fixture.quiet().await;
            assert!(!fixture.devices.is_mounted(&copy) && !fixture.devices.is_mounted(&drive));
            assert!(fixture.problem(&id).contains("copy"), "{}", fixture.problem(&id));
            fixture.check_at_rest(&[drive.clone(), copy]);
        });
    }
}

#[test]
fn a_copy_on_the_same_hardware_is_told_by_its_token() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        let copy = drive.copy("blue-0");
        back_up(&fixture, &drive, &id).await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        back_up(&fixture, &copy, &id).await;
        assert!(fixture.problem(&id).contains("older copy"), "{}", fixture.problem(&id));
        assert!(!fixture.devices.is_mounted(&copy));
        fixture.check_at_rest(&[drive, copy]);
    });
}

#[test]
fn a_wrong_secret_leaves_the_drive_locked() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Locked));
        let error = fixture.drives().unlock_with(&id, b"wrong").await.expect_err("wrong");
        assert!(error.to_string().contains("passphrase or key is wrong"), "{error}");
        fixture.quiet().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Locked));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Succeeded));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_safe_encrypted_drive_can_be_unlocked_again() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.drives().unlock_with(&id, b"wrong").await.expect_err("wrong");
        fixture.quiet().await;
        fixture.check_at_rest(std::slice::from_ref(&drive));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.settle().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
    });
}

#[test]
fn a_drive_is_not_safe_while_it_is_mounted() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            back_up(&fixture, &drive, &id).await;
            if fixture.devices.names(&drive).is_empty() || fixture.shown(&drive).is_none_or(|shown| shown.encrypted) {
                return;
            }
            assert_eq!(fixture.state(&id), Some(DriveState::Safe));
            let (drives, same, seen) = (fixture.drives().clone(), id.clone(), Arc::new(Mutex::new(None)));
            let state = Arc::clone(&seen);
            // The superblocks of its disks are read twice before.
            let superblocks = 2 * fixture.devices.names(&drive).len() / 2;
            fixture.devices.at_step(superblocks, Moment::After, move || {
                *lock(&state) = drives.drive(&same).map(|drive| drive.state);
            });
            fixture.drives().mount(&id).await.expect("mounted");
            assert_eq!(*lock(&seen), Some(DriveState::Present));
        });
    }
}

#[test]
fn a_look_that_fails_leaves_a_safe_drive_unmounted() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.devices.fail(&drive, Step::Mount, Errno::EIO, 1);
        fixture.drives().lease(&id).await.expect_err("it cannot be mounted");
        fixture.quiet().await;
        assert!(!fixture.devices.is_mounted(&drive), "it was mounted again without a reason");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_configured_key_unlocks_and_a_wrong_one_is_a_problem() {
    for (secret, problem) in [(PASSPHRASE, ""), (b"wrong".as_slice(), "the passphrase or key is wrong")] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, true);
            let (fixture, id) = enrolled(&drive).await;
            let file = fixture.home.path().join("key");
            std::fs::write(&file, secret).expect("written");
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
            fixture.reload(&format!("drives.key_file = [ {{ drive = \"{id}\", file = {file:?} }} ]")).await;
            fixture.devices.plug(&drive);
            fixture.quiet().await;
            let problem_shown = fixture.problem(&id);
            assert!(
                problem_shown.ends_with(problem) && problem_shown.is_empty() == problem.is_empty(),
                "{problem_shown}"
            );
            let state = if problem.is_empty() { DriveState::Safe } else { DriveState::Locked };
            assert_eq!(fixture.state(&id), Some(state));
            fixture.check_at_rest(&[drive]);
        });
    }
}

fn one_backup() -> Config {
    Config { backups: vec![rule("home", &["blue"])], ..Config::default() }
}

#[test]
fn a_full_drive_fails_its_backup_and_is_released() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Fills(5));
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.state(&id), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Failed));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_write_protected_drive_is_not_used_and_says_so() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.fail(&drive, Step::Mount, Errno::EROFS, 1);
        back_up(&fixture, &drive, &id).await;
        assert!(fixture.problem(&id).contains("Read-only"), "{}", fixture.problem(&id));
        assert_eq!(fixture.state(&id), Some(DriveState::Present));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn two_drives_are_backed_up_at_once() {
    run(async {
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        let config = Config { backups: vec![rule("home", &["blue", "red"])], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let ids = [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await];
        drives.iter().for_each(|drive| fixture.devices.plug(drive));
        sleep(Duration::from_secs(60)).await;
        for (drive, id) in drives.iter().zip(&ids) {
            assert_eq!((fixture.state(id), fixture.problem(id)), (Some(DriveState::Safe), String::new()));
            assert!(fixture.written().iter().any(|(of, _)| of.folder() == drive.folder()));
        }
        fixture.check_at_rest(&drives);
    });
}

#[test]
fn a_look_that_outlasts_the_backup_releases_the_drive() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(1)).await;
        let lease = fixture.drives().lease(&id).await.expect("a lease");
        sleep(Duration::from_secs(60)).await;
        assert_eq!((fixture.ends()[0], fixture.state(&id)), (JobState::Succeeded, Some(DriveState::Busy)));
        lease.close().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_listing_of_a_drive_at_rest_leaves_it_safe() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        // No simulated drive has snapshots.
        drop(fixture.service.list_snapshots(id.clone()).await);
        fixture.settle().await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn safely_remove_during_a_job_is_refused() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(1)).await;
        let error = fixture.service.safely_remove(id.clone(), 0).await.expect_err("busy");
        assert!(matches!(error, Error::Named(ErrorCode::Busy, _)), "{error}");
        sleep(Duration::from_secs(60)).await;
        assert_eq!((fixture.ends()[0], fixture.state(&id)), (JobState::Succeeded, Some(DriveState::Safe)));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn safely_remove_ends_looks_first() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        let lease = fixture.drives().lease(&id).await.expect("a lease");
        let removed = fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
        tokio::time::timeout(Duration::from_secs(5), lease.removal()).await.expect("it is asked to end");
        lease.close().await;
        fixture.quiet().await;
        assert_eq!(
            (removed.job.borrow().state, fixture.state(&id)),
            (JobState::Succeeded, None),
            "shown for ten minutes"
        );
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_removal_that_a_look_prevents_is_done_when_the_look_ends() {
    for is_mounted_by_a_person in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            back_up(&fixture, &drive, &id).await;
            if is_mounted_by_a_person {
                fixture.drives().mount(&id).await.expect("mounted");
            }
            let lease = fixture.drives().lease(&id).await.expect("a lease");
            let mut removal = fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
            let state = removal.job.wait_for(Job::has_ended).await.expect("an end").state;
            assert_eq!((state, fixture.state(&id)), (JobState::Failed, Some(DriveState::Busy)));
            lease.close().await;
            fixture.settle().await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_cancelled_backup_releases_the_drive() {
    for work in [Work::Waits, Work::Hangs] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            fixture.set_work(work);
            plug(&fixture, &drive, &id).await;
            sleep(Duration::from_secs(100)).await;
            let job = fixture.unfinished()[0].id;
            fixture.service.jobs().cancel(job).await.expect("cancelled");
            fixture.quiet().await;
            assert_eq!(fixture.ends()[0], JobState::Cancelled);
            assert_eq!(fixture.state(&id), Some(DriveState::Safe));
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_drive_is_pulled_while_a_job_runs() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Waits);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(100)).await;
        fixture.devices.pull(&drive);
        fixture.quiet().await;
        assert_eq!((fixture.ends()[0], fixture.state(&id)), (JobState::Failed, None));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_is_plugged_in_again_while_its_job_ends_is_backed_up() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Hangs);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(100)).await;
        fixture.set_work(Work::Takes(5));
        fixture.devices.pull(&drive);
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(fixture.ends()[..2], [JobState::Succeeded, JobState::Failed]);
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_removal_that_fails_says_nothing_of_the_next_plug() {
    // Its last step is the power.
    for moment in [Moment::Before, Moment::After] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            back_up(&fixture, &drive, &id).await;
            let (devices, replugged) = (fixture.devices.clone(), drive.clone());
            fixture.devices.at_step(1, moment, move || {
                devices.pull(&replugged);
                devices.plug(&replugged);
            });
            fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
            fixture.quiet().await;
            assert_eq!(fixture.devices.steps().iter().filter(|step| **step == Step::PowerOff).count(), 2);
            assert_eq!(fixture.written().len(), 2, "the backup of the second plug did not begin");
            fixture.check_at_rest(&[drive]);
        });
    }
}

#[test]
fn a_backup_of_a_plug_waits_for_room_in_the_queue() {
    run(async {
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        let backups = vec![rule("home", &["blue", "red"])];
        let config = Config { backups, max_queued: 1, ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let ids = [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await];
        fixture.set_work(Work::Takes(30));
        drives.iter().for_each(|drive| fixture.devices.plug(drive));
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 2);
        for id in &ids {
            assert_eq!((fixture.state(id), fixture.problem(id)), (Some(DriveState::Safe), String::new()));
        }
        fixture.check_at_rest(&drives);
    });
}

#[test]
fn a_service_that_stops_unmounts_and_keeps_the_drive_on() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let config = Config {
            drives: crate::config::DriveRules { on_finish: OnFinish::PowerOff, ..Default::default() },
            ..one_backup()
        };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let id = fixture.enrol(&drive).await;
        fixture.set_work(Work::Waits);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(1)).await;
        tokio::time::timeout(QUIET, fixture.service.stop()).await.expect("it stops");
        assert!(fixture.devices.is_plugged(&drive) && !fixture.devices.is_mounted(&drive));
        assert!(!fixture.devices.is_unlocked(&drive));
    });
}

#[test]
fn a_service_that_stops_waits_for_a_release() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        plug(&fixture, &drive, &id).await;
        fixture.devices.block(&drive, Step::Unmount);
        // A step that waits keeps the clock from advancing by itself.
        for _ in 0..1000 {
            if fixture.devices.steps().last() == Some(&Step::Unmount) {
                break;
            }
            tokio::time::advance(Duration::from_millis(100)).await;
            std::thread::sleep(Duration::from_micros(100));
        }
        let service = fixture.service.clone();
        let stopping = tokio::spawn(async move { service.stop().await });
        tokio::time::advance(Duration::from_millis(100)).await;
        fixture.devices.unblock();
        tokio::time::timeout(QUIET, stopping).await.expect("it stops").expect("stopped");
        assert!(!fixture.devices.is_mounted(&drive));
        fixture.check(&[drive]);
    });
}

#[test]
fn a_killed_service_leaves_nothing_mounted_for_the_next() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, true);
    let id = run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        let id = fixture.enrol(&drive).await;
        fixture.set_work(Work::Waits);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(1)).await;
        assert!(devices.is_mounted(&drive));
        id
    });
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        assert!(!devices.is_mounted(&drive) && !devices.is_unlocked(&drive));
        fixture.settle().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Locked), String::new()));
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.quiet().await;
        assert_eq!(fixture.ends()[0], JobState::Succeeded);
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_reload_changes_what_the_next_plug_begins() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture
            .reload("backup = [ { name = \"home\", source = \"/home\", drives = [\"blue\"], schedule = \"manual\" } ]")
            .await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.written().len(), 0);
        fixture.reload("backup = [ { name = \"home\", source = \"/home\", drives = [\"blue\"] } ]").await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.written().len(), fixture.state(&id)), (1, Some(DriveState::Safe)));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_of_two_machines_is_used_on_both() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let homes = [folder(), folder()];
        for home in &homes {
            std::fs::create_dir_all(home.path().join("state")).expect("made");
            std::fs::write(home.path().join("state/machine"), Uuid::new_v4().to_string()).expect("written");
        }
        let one = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&homes[0]), one_backup()).await;
        let other = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&homes[1]), one_backup()).await;
        let ids = [one.enrol(&drive).await, other.enrol(&drive).await];
        for _ in 0..3 {
            for (fixture, id) in [&one, &other].into_iter().zip(&ids) {
                back_up(fixture, &drive, id).await;
                assert_eq!((fixture.state(id), fixture.problem(id)), (Some(DriveState::Safe), String::new()));
                fixture.devices.pull(&drive);
                fixture.settle().await;
            }
        }
        assert_eq!((one.written().len(), other.written().len()), (3, 3));
        one.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_drive_that_another_program_has_mounted_is_a_problem() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        let (devices, mounted) = (fixture.devices.clone(), drive.clone());
        fixture.devices.at_step(0, Moment::Before, move || devices.set_mounted_elsewhere(&mounted, true));
        back_up(&fixture, &drive, &id).await;
        assert!(fixture.problem(&id).contains("already mounted"), "{}", fixture.problem(&id));
        assert_eq!(fixture.ends().len(), 1, "the removal after its enrolment");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_is_switched_off_is_shown_as_safe_for_ten_minutes() {
    run(async {
        let drive = SimulatedDrive::new("blue", 2, true);
        let config = Config {
            drives: crate::config::DriveRules { on_finish: OnFinish::PowerOff, ..Default::default() },
            ..one_backup()
        };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert!(!fixture.devices.is_plugged(&drive));
        let shown = fixture.drives().drive(&id).expect("shown");
        assert_eq!((shown.state, shown.device.as_str()), (DriveState::Safe, ""));
        sleep(Duration::from_secs(500)).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        sleep(Duration::from_secs(200)).await;
        assert_eq!(fixture.state(&id), None);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_lost_a_users_writes_is_not_safe() {
    for is_mounted_by_a_person in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            fixture.set_work(Work::Takes(30));
            plug(&fixture, &drive, &id).await;
            sleep(Duration::from_secs(60)).await;
            if is_mounted_by_a_person {
                fixture.drives().mount(&id).await.expect("mounted");
                drive.write("letter");
            } else {
                fixture.service.back_up(id.clone(), None, 0).await.expect("taken");
                sleep(Duration::from_secs(1)).await;
            }
            fixture.devices.become_read_only(&drive);
            sleep(Duration::from_secs(60)).await;
            drop(fixture.service.safely_remove(id.clone(), 0).await);
            sleep(Duration::from_secs(60)).await;
            let is_safe = fixture.state(&id) == Some(DriveState::Safe);
            assert_eq!(is_safe, !is_mounted_by_a_person);
            assert!(fixture.problem(&id).contains("became read-only"), "{}", fixture.problem(&id));
            fixture.check_at_rest(&[drive]);
        });
    }
}
