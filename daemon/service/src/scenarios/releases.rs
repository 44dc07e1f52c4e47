//! Jobs, listings and removals, until a drive is released.

use nix::errno::Errno;

use super::*;
use crate::device::simulated::{Moment, Step};
use crate::types::ErrorCode;

#[test]
fn a_failed_release_is_retried_at_the_next_event() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.refuse(&drive, Step::Unmount, "the drive is used by sh (7)", 1000);
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
fn a_look_that_fails_leaves_a_safe_drive_unmounted() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        // Mounted writable, and then read-only.
        fixture.devices.fail(&drive, Step::Mount, Errno::EIO, 2);
        fixture.drives().lease(&id, Need::Read).await.expect_err("it cannot be mounted");
        fixture.quiet().await;
        assert!(!fixture.devices.is_mounted(&drive), "it was mounted again without a reason");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_look_that_outlasts_the_backup_releases_the_drive() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(1)).await;
        let lease = fixture.drives().lease(&id, Need::Read).await.expect("a lease");
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
        drop(fixture.service.list_snapshots(&(&id).into()).await);
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
        assert_eq!(error.code(), ErrorCode::Busy, "{error}");
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
        let lease = fixture.drives().lease(&id, Need::Read).await.expect("a lease");
        let removed = fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
        tokio::time::timeout(Duration::from_secs(5), lease.removal()).await.expect("it is asked to end");
        lease.close().await;
        fixture.quiet().await;
        assert_eq!(
            (removed.job.borrow().state, fixture.state(&id)),
            (JobState::Succeeded, Some(DriveState::Away)),
            "shown as safe for ten minutes"
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
            let lease = fixture.drives().lease(&id, Need::Read).await.expect("a lease");
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
            assert_eq!(fixture.devices.steps().iter().filter(|step| **step == Step::PowerOff).count(), 1);
            assert_eq!(fixture.written().len(), 2, "the backup of the second plug did not begin");
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
fn a_drive_is_pulled_while_a_job_runs() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, true);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Waits);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(100)).await;
        fixture.devices.pull(&drive);
        fixture.quiet().await;
        assert_eq!((fixture.ends()[0], fixture.state(&id)), (JobState::Failed, Some(DriveState::Away)));
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
        assert_eq!(fixture.state(&id), Some(DriveState::Away));
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
                fixture.service.back_up(&(&id).into(), None, BackupOptions::default(), 0).await.expect("taken");
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

#[test]
fn a_mount_that_the_service_does_not_see_is_waited_for() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.plug(&drive);
            fixture.devices.set_mounted_unseen(&drive, true);
            fixture.settle().await;
            drop(fixture.drives().unlock_with(&id, PASSPHRASE).await);
            fixture.quiet().await;
            assert!(fixture.problem(&id).contains("already mounted"), "{}", fixture.problem(&id));
            let mounts = || fixture.devices.steps().iter().filter(|step| **step == Step::Mount).count();
            let before = mounts();
            fixture.quiet().await;
            assert_eq!((mounts(), fixture.ends()), (before, Vec::new()), "it is only looked at");
            fixture.devices.set_mounted_unseen(&drive, false);
            sleep(Duration::from_secs(100)).await;
            // It was locked again.
            drop(fixture.drives().unlock_with(&id, PASSPHRASE).await);
            fixture.quiet().await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.ends(), fixture.written().len()), (vec![JobState::Succeeded], 1));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_release_waits_for_a_copy_of_the_mount_that_the_service_does_not_see() {
    for drive in kinds() {
        run(async {
            let (fixture, id) = enrolled(&drive).await;
            plug(&fixture, &drive, &id).await;
            sleep(Duration::from_secs(1)).await;
            // A container that starts while the drive is mounted has a copy of its mount.
            fixture.devices.set_mounted_unseen(&drive, true);
            fixture.quiet().await;
            assert_eq!(fixture.ends(), [JobState::Succeeded]);
            assert!(fixture.state(&id) != Some(DriveState::Safe) && !fixture.problem(&id).is_empty());
            fixture.devices.set_mounted_unseen(&drive, false);
            sleep(Duration::from_secs(100)).await;
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_release_during_which_mounts_changed_is_retried() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(1)).await;
        let usage = fixture.devices.begin_use_of(&drive);
        fixture.devices.block(&drive, Step::Unmount);
        fixture.devices.reached(Step::Unmount).await;
        fixture.devices.change_mounts();
        fixture.tasks_run().await;
        fixture.devices.unblock();
        // The release has failed by then.
        sleep(Duration::from_secs(3)).await;
        assert!(fixture.problem(&id).contains("used by sh (7)"), "{}", fixture.problem(&id));
        drop(usage);
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

/// The backups "home" and "etc" of a plug: the first one runs, the second one is queued.
async fn two_of_a_plug(drive: &SimulatedDrive) -> (Fixture, DriveId) {
    let backups = vec![rule("home", &["blue"]), rule("etc", &["blue"])];
    let config = Config { backups, ..Config::default() };
    let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
    let id = fixture.enrol(drive).await;
    fixture.set_work(Work::Takes(60));
    fixture.devices.plug(drive);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.unfinished().len(), 2, "{:?}", fixture.unfinished());
    (fixture, id)
}

#[test]
fn a_removal_when_idle_waits_for_the_running_job_and_ends_queued_ones() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = two_of_a_plug(&drive).await;
        let removal = fixture.service.safely_remove_when_idle(id.clone(), 1000).await.expect("taken");
        assert_eq!((removal.job.borrow().state, removal.job.borrow().uid()), (JobState::Queued, 1000));
        let twice = fixture.service.safely_remove_when_idle(id.clone(), 1000).await.expect_err("one is enough");
        assert!(twice.to_string().contains("already"), "{twice}");
        // No other job begins on the drive meanwhile.
        let refused = fixture.service.verify(&(&id).into(), 0).await.expect_err("the drive is wanted");
        assert!(refused.code() == ErrorCode::Busy && refused.to_string().contains("made safe"), "{refused}");
        sleep(Duration::from_secs(200)).await;
        assert_eq!((removal.job.borrow().state, fixture.state(&id)), (JobState::Succeeded, Some(DriveState::Safe)));
        let history = fixture.service.jobs().history();
        let ended: Vec<_> = history.iter().map(|record| (record.backup.as_deref(), record.state)).collect();
        let all =
            [(Some("etc"), JobState::Cancelled), (None, JobState::Succeeded), (Some("home"), JobState::Succeeded)];
        assert_eq!(ended, all);
        // It should have run: that is shown until it has.
        assert!(
            fixture.problem(&id).contains("the backup \"etc\" to this destination did not begin"),
            "{}",
            fixture.problem(&id)
        );
        fixture.check_at_rest(std::slice::from_ref(&drive));
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        let triggers: Vec<_> =
            fixture.service.jobs().history().into_iter().filter_map(|record| record.trigger).collect();
        assert_eq!(triggers, ["plug", "plug", "plug", "user", "plug"]);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn queued_jobs_run_where_a_removal_when_idle_is_cancelled() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = two_of_a_plug(&drive).await;
        let removal = fixture.service.safely_remove_when_idle(id.clone(), 1000).await.expect("taken");
        fixture.service.jobs().cancel(removal.id).await.expect("cancelled");
        fixture.quiet().await;
        let states: Vec<_> = fixture.ends();
        assert_eq!(states, [JobState::Succeeded, JobState::Succeeded, JobState::Cancelled]);
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_drive_that_is_pulled_ends_a_removal_when_idle() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = two_of_a_plug(&drive).await;
        let removal = fixture.service.safely_remove_when_idle(id.clone(), 1000).await.expect("taken");
        fixture.devices.pull(&drive);
        fixture.quiet().await;
        assert_eq!(removal.job.borrow().state, JobState::Failed);
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        fixture.check_at_rest(&[drive]);
    });
}
