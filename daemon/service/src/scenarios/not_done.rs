//! Backups that should have run and did not: shown until they have run.

use super::*;
use crate::device::simulated::Step;
use crate::types::{BackupStatus, Problem};

/// The row of a backup to the drive.
async fn row(fixture: &Fixture, backup: &str) -> BackupStatus {
    let mut rows = fixture.service.backups(false).await;
    rows.retain(|row| row.name == backup);
    rows.pop().expect("a row")
}

async fn codes(fixture: &Fixture, backup: &str) -> Vec<&'static str> {
    row(fixture, backup).await.problems.iter().map(Problem::code).collect()
}

/// "home" and "etc" to the drive "blue".
fn two_backups() -> Config {
    Config { backups: vec![rule("home", &["blue"]), rule("etc", &["blue"])], ..Config::default() }
}

#[test]
fn a_failed_backup_is_shown_until_it_has_run() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    let id = run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), two_backups()).await;
        let id = fixture.enrol(&drive).await;
        fixture.set_work_of("home", Work::Fills(5));
        back_up(&fixture, &drive, &id).await;
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        let problem = fixture.problem(&id);
        assert!(problem.starts_with("the last backup \"home\" to this destination failed: "), "{problem}");
        assert_eq!(codes(&fixture, "home").await, ["backup-failed"]);
        assert_eq!(codes(&fixture, "etc").await, [""; 0], "the other backup has run");
        fixture.devices.pull(&drive);
        fixture.settle().await;
        assert_eq!(codes(&fixture, "home").await, ["backup-failed"], "also while the drive is away");
        fixture.service.stop().await;
        id
    });
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), two_backups()).await;
        assert_eq!(codes(&fixture, "home").await, ["backup-failed"], "also after a restart");
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
        assert_eq!(codes(&fixture, "home").await, [""; 0]);
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

/// A service whose backup to this drive runs and does not end.
async fn backing_up(devices: &SimulatedDevices, home: &Arc<TempDir>, drive: &SimulatedDrive) -> Fixture {
    let fixture = Fixture::start_with(devices.clone(), Arc::clone(home), one_backup()).await;
    let id = fixture.enrol(drive).await;
    fixture.set_work(Work::Waits);
    plug(&fixture, drive, &id).await;
    sleep(Duration::from_secs(1)).await;
    fixture
}

#[test]
fn a_backup_that_the_end_of_the_service_interrupted_is_shown() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    run(async {
        let fixture = backing_up(&devices, &home, &drive).await;
        fixture.service.stop().await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
    });
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        assert_eq!(codes(&fixture, "home").await, ["backup-interrupted"]);
    });
}

#[test]
fn a_backup_that_a_killed_service_ran_is_shown() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    run(async {
        backing_up(&devices, &home, &drive).await;
    });
    devices.pull(&drive);
    // It is known without the history, too, and at each later start.
    for history in [200, 0] {
        run(async {
            let config = Config { history, ..one_backup() };
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), config).await;
            assert_eq!(codes(&fixture, "home").await, ["backup-interrupted"]);
            let history: Vec<JobState> = fixture.ends();
            assert_eq!(history.contains(&JobState::Failed), fixture.config.history > 0, "{history:?}");
        });
    }
}

#[test]
fn a_cancelled_backup_is_no_problem_and_hides_none() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        for (work, problem) in [(Work::Waits, ""), (Work::Fills(1), "backup-failed"), (Work::Waits, "backup-failed")] {
            fixture.set_work(work);
            plug(&fixture, &drive, &id).await;
            sleep(Duration::from_secs(10)).await;
            for job in fixture.unfinished() {
                fixture.service.jobs().cancel(job.id).await.expect("cancelled");
            }
            fixture.settle().await;
            assert_eq!(codes(&fixture, "home").await.concat(), problem, "{work:?}");
            fixture.devices.pull(&drive);
            fixture.settle().await;
        }
    });
}

#[test]
fn a_plug_is_served_when_all_its_backups_are_jobs() {
    run(async {
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        let backups = vec![rule("home", &["blue", "red"])];
        let config = Config { backups, max_queued: 1, ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let ids = [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await];
        fixture.set_work(Work::Takes(1000));
        for (drive, id) in drives.iter().zip(&ids) {
            plug(&fixture, drive, id).await;
        }
        sleep(Duration::from_secs(900)).await;
        let problem = fixture.problem(&ids[1]);
        assert!(problem.starts_with("the backup \"home\" to this destination did not begin: "), "{problem}");
        assert_eq!(fixture.state(&ids[1]), Some(DriveState::Mounted), "it waits");
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 2, "the second has begun when there was room");
        for id in &ids {
            assert_eq!((fixture.state(id), fixture.problem(id)), (Some(DriveState::Safe), String::new()));
        }
        fixture.check_at_rest(&drives);
    });
}

#[test]
fn a_drive_made_safe_before_its_backups_begin_has_a_problem() {
    run(async {
        let drives = ["blue", "red"].map(|label| SimulatedDrive::new(label, 1, false));
        let backups = vec![rule("home", &["blue", "red"])];
        let config = Config { backups, max_queued: 1, ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let ids = [fixture.enrol(&drives[0]).await, fixture.enrol(&drives[1]).await];
        fixture.set_work(Work::Waits);
        for (drive, id) in drives.iter().zip(&ids) {
            plug(&fixture, drive, id).await;
        }
        fixture.service.safely_remove(ids[1].clone(), 0).await.expect("taken");
        sleep(Duration::from_secs(10)).await;
        assert_eq!(fixture.state(&ids[1]), Some(DriveState::Safe));
        assert!(fixture.problem(&ids[1]).contains("did not begin"), "{}", fixture.problem(&ids[1]));
        let history = fixture.service.jobs().history();
        let record = history.iter().find(|record| record.backup.as_deref() == Some("home")).expect("a record");
        assert_eq!(record.state, JobState::Failed);
        for job in fixture.unfinished() {
            fixture.service.jobs().cancel(job.id).await.expect("cancelled");
        }
        fixture.quiet().await;
        assert_eq!(fixture.written().len(), 0, "it was made safe: nothing begins");
        fixture.check_at_rest(&drives);
    });
}

#[test]
fn a_request_of_which_one_backup_cannot_begin_says_so() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let manual = |name| BackupRule { schedule: Schedule::manual(), ..rule(name, &["blue"]) };
        let config = Config { max_queued: 1, backups: vec![manual("home"), manual("etc")], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let id = fixture.enrol(&drive).await;
        plug(&fixture, &drive, &id).await;
        let job =
            fixture.service.back_up(&(&id).into(), None, BackupOptions::default(), 0).await.expect("the first begins");
        assert_eq!(job.job.borrow().about.backup.as_deref(), Some("home"));
        fixture.quiet().await;
        assert_eq!(codes(&fixture, "etc").await, ["backup-not-begun"]);
        assert!(fixture.problem(&id).contains("the backup \"etc\""), "{}", fixture.problem(&id));
        let names: Vec<Option<String>> =
            fixture.service.jobs().history().into_iter().map(|record| record.backup).collect();
        assert!(names.contains(&Some("etc".to_owned())), "{names:?}");
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

/// The backup "home", whose source is in the fixture's folder, and "etc".
fn late_source(home: &TempDir) -> Config {
    let late = BackupRule { source: home.path().join("home"), ..rule("home", &["blue"]) };
    Config { backups: vec![late, rule("etc", &["blue"])], ..Config::default() }
}

#[test]
fn a_backup_begins_when_its_source_is_mounted_later() {
    for kind in kinds() {
        run(async {
            let (drive, home) = (kind.clone(), folder());
            let fixture = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&home), late_source(&home)).await;
            let id = fixture.enrol(&drive).await;
            back_up(&fixture, &drive, &id).await;
            let problem = fixture.problem(&id);
            assert!(problem.contains("\"home\" to this destination failed: the source cannot be opened"), "{problem}");
            assert_eq!((fixture.state(&id), fixture.written().len()), (Some(DriveState::Safe), 1));
            let before = fixture.ends().len();
            fixture.devices.change_mounts();
            fixture.quiet().await;
            assert_eq!(fixture.ends().len(), before, "another mount is no reason to try again");
            std::fs::create_dir(home.path().join("home")).expect("made");
            fixture.devices.change_mounts();
            fixture.quiet().await;
            if fixture.state(&id) == Some(DriveState::Locked) || fixture.shown(&drive).is_some_and(|is| is.encrypted) {
                assert_eq!(fixture.written().len(), 1, "it is locked");
                fixture.drives().unlock_with(&id, PASSPHRASE).await.expect("unlocked");
                fixture.devices.change_mounts();
                fixture.quiet().await;
            }
            assert_eq!((fixture.state(&id), fixture.problem(&id)), (Some(DriveState::Safe), String::new()));
            assert_eq!((fixture.written().len(), fixture.ends()[0]), (2, JobState::Succeeded));
            fixture.devices.change_mounts();
            fixture.quiet().await;
            assert_eq!(fixture.written().len(), 2, "once");
            fixture.check_at_rest(std::slice::from_ref(&drive));
        });
    }
}

#[test]
fn a_backup_begins_when_its_source_is_moved_to_its_place() {
    run(async {
        let (drive, home) = (SimulatedDrive::new("blue", 1, false), folder());
        let fixture = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&home), late_source(&home)).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.written().len(), codes(&fixture, "home").await), (1, vec!["backup-failed"]));
        std::fs::create_dir(home.path().join("home")).expect("made");
        // A few looks; the first retry of the schedule would be later.
        sleep(Duration::from_secs(240)).await;
        assert_eq!((fixture.written().len(), fixture.problem(&id)), (2, String::new()), "no mount has changed");
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_drive_made_safe_by_hand_is_not_used_when_a_source_appears() {
    run(async {
        let (drive, home) = (SimulatedDrive::new("blue", 1, false), folder());
        let fixture = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&home), late_source(&home)).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
        fixture.quiet().await;
        std::fs::create_dir(home.path().join("home")).expect("made");
        fixture.devices.change_mounts();
        fixture.quiet().await;
        assert_eq!((fixture.written().len(), codes(&fixture, "home").await), (1, vec!["backup-failed"]));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_source_that_appears_during_a_removal_begins_nothing() {
    run(async {
        let (drive, home) = (SimulatedDrive::new("blue", 1, false), folder());
        let config = Config {
            drives: crate::config::DriveRules { on_finish: OnFinish::Keep, ..Default::default() },
            ..late_source(&home)
        };
        let fixture = Fixture::start_with(SimulatedDevices::new(), Arc::clone(&home), config).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        assert_eq!((fixture.state(&id), fixture.written().len()), (Some(DriveState::Mounted), 1));
        fixture.devices.block(&drive, Step::Unmount);
        fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
        fixture.devices.reached(Step::Unmount).await;
        std::fs::create_dir(home.path().join("home")).expect("made");
        fixture.devices.change_mounts();
        fixture.tasks_run().await;
        fixture.devices.unblock();
        fixture.quiet().await;
        assert_eq!((fixture.written().len(), fixture.unfinished()), (1, Vec::new()));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_plug_that_mounts_nothing_leaves_a_problem_on_each_due_backup() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let manual = BackupRule { schedule: Schedule::manual(), ..rule("srv", &["blue"]) };
        let backups = vec![rule("home", &["blue"]), rule("etc", &["blue"]), manual];
        let config = Config { backups, ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let id = fixture.enrol(&drive).await;
        fixture.devices.fail(&drive, Step::Mount, nix::errno::Errno::EIO, 9);
        back_up(&fixture, &drive, &id).await;
        assert_eq!(codes(&fixture, "home").await, ["drive-not-responding"], "the plug has not ended");
        fixture.devices.pull(&drive);
        fixture.settle().await;
        for name in ["home", "etc"] {
            assert_eq!(codes(&fixture, name).await, ["backup-not-begun"], "{name}");
        }
        assert_eq!(codes(&fixture, "srv").await, [""; 0], "it was not due");
        assert_eq!(fixture.ends(), [JobState::Failed; 2]);
        fixture.devices.unblock();
        back_up(&fixture, &drive, &id).await;
        assert_eq!((codes(&fixture, "home").await, fixture.problem(&id)), (Vec::new(), String::new()));
        fixture.check_at_rest(std::slice::from_ref(&drive));
    });
}

#[test]
fn a_refused_or_locked_drive_leaves_a_problem_on_its_due_backup() {
    for (kind, is_elsewhere, reason) in [(0, true, "mounted by another program"), (1, false, "was not unlocked")] {
        let (devices, home) = (SimulatedDevices::new(), folder());
        let drive = kinds()[kind].clone();
        let id = run(async {
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
            let id = fixture.enrol(&drive).await;
            fixture.devices.plug(&drive);
            fixture.devices.set_mounted_elsewhere(&drive, is_elsewhere);
            fixture.quiet().await;
            fixture.service.safely_remove(id.clone(), 0).await.expect("taken");
            fixture.quiet().await;
            id
        });
        run(async {
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
            // The service knows why the drive is not used.
            fixture.quiet().await;
            fixture.devices.pull(&drive);
            fixture.quiet().await;
            assert_eq!(codes(&fixture, "home").await, ["backup-not-begun"], "{id}");
            let problem = row(&fixture, "home").await.problems.remove(0).to_string();
            assert!(problem.contains(reason), "{problem}");
        });
    }
}

#[test]
fn the_end_of_the_service_records_the_backups_that_a_plug_did_not_begin() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        let id = fixture.enrol(&drive).await;
        fixture.devices.fail(&drive, Step::Mount, nix::errno::Errno::EIO, 9);
        back_up(&fixture, &drive, &id).await;
        fixture.service.stop().await;
    });
    devices.unblock();
    devices.pull(&drive);
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        assert_eq!(codes(&fixture, "home").await, ["backup-not-begun"]);
    });
}
