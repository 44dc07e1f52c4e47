//! Several drives, and the service from its start to its end.

use super::*;
use crate::device::simulated::Step;

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
        tokio::time::timeout(QUIET, fixture.devices.reached(Step::Unmount)).await.expect("it is unmounted");
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
fn a_service_that_stops_leaves_nothing_mounted_that_is_being_mounted() {
    for disks in [1, 2] {
        run(async {
            let drive = SimulatedDrive::new("blue", disks, false);
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.block(&drive, Step::Mount);
            fixture.devices.plug(&drive);
            fixture.devices.reached(Step::Mount).await;
            let service = fixture.service.clone();
            let stopping = tokio::spawn(async move { service.stop().await });
            fixture.tasks_run().await;
            fixture.devices.unblock();
            tokio::time::timeout(QUIET, stopping).await.expect("it stops").expect("stopped");
            assert!(!fixture.devices.is_mounted(&drive));
            // Neither a plug nor a person mounts it from now on.
            fixture.devices.pull(&drive);
            fixture.settle().await;
            fixture.devices.plug(&drive);
            fixture.settle().await;
            assert!(!fixture.devices.is_mounted(&drive));
            fixture.drives().mount(&id).await.expect_err("the service ends");
            assert!(!fixture.devices.is_mounted(&drive));
        });
    }
}

#[test]
fn a_service_that_stops_locks_what_is_being_unlocked() {
    for disks in [1, 2] {
        run(async {
            let drive = SimulatedDrive::new("blue", disks, true);
            let (fixture, id) = enrolled(&drive).await;
            fixture.devices.plug(&drive);
            fixture.settle().await;
            fixture.devices.block(&drive, Step::Unlock);
            let (drives, unlocked) = (fixture.drives().clone(), id.clone());
            let unlocking = tokio::spawn(async move { drives.unlock_with(&unlocked, PASSPHRASE).await });
            fixture.devices.reached(Step::Unlock).await;
            let service = fixture.service.clone();
            let stopping = tokio::spawn(async move { service.stop().await });
            fixture.tasks_run().await;
            fixture.devices.unblock();
            tokio::time::timeout(QUIET, stopping).await.expect("it stops").expect("stopped");
            drop(unlocking.await.expect("no panic"));
            assert!(!fixture.devices.is_unlocked(&drive) && !fixture.devices.is_mounted(&drive));
            fixture.drives().unlock_with(&id, PASSPHRASE).await.expect_err("the service ends");
            assert!(!fixture.devices.is_unlocked(&drive));
        });
    }
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
        assert_eq!(fixture.state(&id), Some(DriveState::Locked));
        assert!(
            fixture.problem(&id).contains("\"home\" to this destination was interrupted"),
            "{}",
            fixture.problem(&id)
        );
        fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
        fixture.quiet().await;
        assert_eq!((fixture.ends()[0], fixture.problem(&id)), (JobState::Succeeded, String::new()));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn an_unreadable_enrolment_is_shown_until_enrolled_again_or_forgotten() {
    for is_forgotten in [false, true] {
        let (devices, home) = (SimulatedDevices::new(), folder());
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        let config = || Config { backups: vec![rule("home", &["blue", "red"])], ..Config::default() };
        let ids = run(async {
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), config()).await;
            [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await]
        });
        let file = home.path().join(format!("state/drives/{}.json", ids[0]));
        std::fs::write(&file, "{").expect("damaged");
        run(async {
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), config()).await;
            let warned = async |fixture: &Fixture| {
                let rows = fixture.service.backups(false).await;
                rows.iter().flat_map(|row| &row.warnings).filter(|one| one.code == "enrolment-unreadable").count()
            };
            // The other drive is backed up to.
            back_up(&fixture, &drives[1], &ids[1]).await;
            assert_eq!((fixture.state(&ids[1]), fixture.ends()[0]), (Some(DriveState::Safe), JobState::Succeeded));
            assert_eq!(warned(&fixture).await, 1);
            assert!(fixture.drives().unread_pins("home").is_some_and(|text| text.contains(ids[0].as_str())));
            devices.plug(&drives[0]);
            fixture.settle().await;
            let shown = fixture.shown(&drives[0]).expect("shown");
            assert!(!shown.enrolled && shown.problem().contains("enrol it again"), "{shown:?}");
            if is_forgotten {
                fixture.drives().forget(&ids[0]).await.expect("forgotten");
            } else {
                let options = EnrolOptions { no_backup: true, ..EnrolOptions::default() };
                fixture.enrol_attached(&drives[0], options).await.expect("enrolled again");
            }
            fixture.settle().await;
            assert!(!file.exists());
            assert_eq!((warned(&fixture).await, fixture.drives().unread_pins("home")), (0, None));
            let shown = fixture.shown(&drives[0]).expect("shown");
            assert_eq!((shown.enrolled, shown.problem()), (!is_forgotten, String::new()));
        });
    }
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
