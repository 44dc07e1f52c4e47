//! Plugs, until the backups of a drive begin.

use nix::errno::Errno;

use super::*;
use crate::device::simulated::{Moment, Step};
use crate::types::DriveProblemCode;

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
            fixture.devices.pull(&copy);
            fixture.devices.pull(&drive);
            fixture.settle().await;
            // A visit of the drive itself outdates the copy.
            back_up(&fixture, &drive, &id).await;
            fixture.devices.pull(&drive);
            fixture.quiet().await;
            plug(&fixture, &copy, &id).await;
            fixture.quiet().await;
            assert!(!fixture.devices.is_mounted(&copy), "the copy alone");
            assert!(fixture.problem(&id).contains("older copy"), "{}", fixture.problem(&id));
            assert_eq!(fixture.codes(&id), ["drive-older-copy"]);
            fixture.devices.plug(&drive);
            fixture.quiet().await;
            assert!(!fixture.devices.is_mounted(&copy) && !fixture.devices.is_mounted(&drive));
            assert!(fixture.problem(&id).contains("copy"), "{}", fixture.problem(&id));
            let shown = fixture.drives().drive(&id).expect("shown");
            let [Problem::Drive(cloned)] = &shown.problems[..] else { panic!("{shown:?}") };
            assert_eq!(cloned.code, DriveProblemCode::Cloned);
            assert_eq!(cloned.params.devices.as_ref().map(Vec::len), Some(2), "{cloned:?}");
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
fn a_drive_that_cannot_even_be_read_is_not_used_and_says_so() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        // Mounted writable, and then read-only.
        fixture.devices.fail(&drive, Step::Mount, Errno::EROFS, 2);
        back_up(&fixture, &drive, &id).await;
        assert!(fixture.problem(&id).contains("Read-only"), "{}", fixture.problem(&id));
        assert_eq!(fixture.state(&id), Some(DriveState::Present));
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
fn a_drive_that_another_program_has_mounted_waits_until_it_is_unmounted() {
    for drive in [SimulatedDrive::new("blue", 1, false), SimulatedDrive::new("blue", 2, false)] {
        // Before the plug is seen, and when the service mounts it.
        for step in [None, Some(0), Some(1)] {
            run(async {
                let (fixture, id) = enrolled(&drive).await;
                let (devices, mounted) = (fixture.devices.clone(), drive.clone());
                match step {
                    Some(step) => fixture
                        .devices
                        .at_step(step, Moment::Before, move || devices.set_mounted_elsewhere(&mounted, true)),
                    None => {
                        fixture.devices.plug(&drive);
                        fixture.devices.set_mounted_elsewhere(&drive, true);
                    }
                }
                back_up(&fixture, &drive, &id).await;
                fixture.quiet().await;
                let shown = fixture.shown(&drive).expect("shown");
                assert!(shown.problem().contains("mounted by another program") && shown.mounted_by_others, "{shown:?}");
                assert_eq!(fixture.ends(), [], "a backup began");
                fixture.check_at_rest(std::slice::from_ref(&drive));
                fixture.devices.set_mounted_elsewhere(&drive, false);
                fixture.quiet().await;
                assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
                assert_eq!(fixture.ends(), [JobState::Succeeded]);
                fixture.check_at_rest(std::slice::from_ref(&drive));
            });
        }
    }
}

#[test]
fn a_backup_right_after_another_program_unmounts_begins() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug(&drive);
        fixture.devices.set_mounted_elsewhere(&drive, true);
        fixture.quiet().await;
        fixture.devices.set_mounted_elsewhere_unnoticed(&drive, false);
        fixture.service.back_up(&(&id).into(), None, BackupOptions::default(), 0).await.expect("taken");
        fixture.quiet().await;
        // And that of the plug.
        assert_eq!(fixture.ends(), [JobState::Succeeded; 2]);
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
    });
}

#[test]
fn a_lease_that_outlasts_a_plug_leaves_nothing_of_it() {
    for is_removed in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let (fixture, id) = enrolled(&drive).await;
            if is_removed {
                fixture.devices.refuse(&drive, Step::Unmount, "the drive is used by sh (7)", 1000);
                back_up(&fixture, &drive, &id).await;
                fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
            } else {
                back_up(&fixture, &drive, &id).await;
                fixture.drives().mount(&id).await.expect("mounted");
            }
            sleep(Duration::from_secs(60)).await;
            assert_eq!(fixture.state(&id), Some(DriveState::Mounted));
            fixture.devices.unblock();
            fixture.devices.block(&drive, Step::Open);
            let lease = || {
                let (drives, id) = (fixture.drives().clone(), id.clone());
                tokio::spawn(async move { drives.lease(&id, Need::Read).await })
            };
            // The second waits for the lock until the first has ended.
            let (first, second) = (lease(), lease());
            fixture.devices.reached(Step::Open).await;
            fixture.tasks_run().await;
            fixture.devices.pull(&drive);
            fixture.tasks_run().await;
            fixture.devices.plug(&drive);
            fixture.tasks_run().await;
            fixture.devices.unblock();
            first.await.expect("ended").expect_err("it was pulled");
            second.await.expect("ended").expect("a lease").close().await;
            fixture.quiet().await;
            assert_eq!(fixture.written().len(), 2, "the backup of the second plug did not begin: {is_removed}");
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert!(fixture.devices.is_plugged(&drive), "it is switched off: {is_removed}");
            fixture.check_at_rest(&[drive]);
        });
    }
}
