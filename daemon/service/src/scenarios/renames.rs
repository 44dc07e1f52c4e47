//! A backup that gets another name.

use super::*;
use crate::types::ErrorCode;

fn daheim() -> &'static str {
    "backup = [ { name = \"daheim\", source = \"/home\", drives = [\"blue\"] } ]"
}

/// The order of the only backup since the last look.
fn backup_task(fixture: &Fixture) -> Task {
    let tasks = fixture.take_tasks();
    tasks.into_iter().find(|task| !task.dry_run && task.writer_threads.is_none()).expect("a backup ran")
}

fn names_in_history(fixture: &Fixture) -> Vec<String> {
    let rows = fixture.service.jobs().history();
    rows.into_iter().filter_map(|row| row.backup).collect()
}

#[test]
fn a_renamed_backup_continues_where_it_was() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.devices.pull(&drive);
        fixture.settle().await;
        fixture.take_tasks();
        let service = &fixture.service;
        assert!(service.begin_rename("etc", "x").await.is_err(), "there is no such backup");
        service.begin_rename("home", "daheim").await.expect("recorded");
        fixture.reload(daheim()).await;
        assert_eq!(names_in_history(&fixture), ["daheim"]);
        let rows = service.backups(false).await;
        assert_eq!(rows.len(), 1);
        assert!(rows[0].name == "daheim" && rows[0].last_good.is_some_and(|time| time > 0), "{rows:?}");
        back_up(&fixture, &drive, &id).await;
        let task = backup_task(&fixture);
        assert_eq!((task.name.as_slice(), task.former.as_slice()), (&b"daheim"[..], &["home".to_owned()][..]));
        assert_eq!((task.shared.len(), task.lineage.sources.len()), (1, 1), "its parent and its source are known");
        assert!(service.begin_rename("daheim", "home").await.is_ok(), "the old name is free again");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_rename_is_applied_by_the_next_start_or_not_at_all() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, false);
    let renamed = || Config { backups: vec![rule("daheim", &["blue"])], ..Config::default() };
    let id = run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        devices.pull(&drive);
        fixture.settle().await;
        // The service is killed before the configuration is written.
        fixture.service.begin_rename("home", "daheim").await.expect("recorded");
        id
    });
    run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        assert_eq!(names_in_history(&fixture), ["home"]);
        back_up(&fixture, &drive, &id).await;
        let task = backup_task(&fixture);
        assert_eq!((task.name.as_slice(), task.former.len(), task.shared.len()), (&b"home"[..], 0, 1));
        devices.pull(&drive);
        fixture.settle().await;
        fixture.service.begin_rename("home", "daheim").await.expect("recorded again");
    });
    // It is killed after that.
    for _ in 0..2 {
        run(async {
            let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), renamed()).await;
            fixture.settle().await;
            assert!(names_in_history(&fixture).iter().all(|name| name == "daheim"));
            fixture.take_tasks();
            back_up(&fixture, &drive, &id).await;
            let task = backup_task(&fixture);
            assert_eq!((task.name.as_slice(), task.former.as_slice()), (&b"daheim"[..], &["home".to_owned()][..]));
            assert_eq!(task.shared.len(), 1);
            devices.pull(&drive);
            fixture.settle().await;
        });
    }
}

#[test]
fn a_backup_is_not_renamed_while_it_runs_or_over_another() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let config = Config { backups: vec![rule("home", &["blue"]), rule("etc", &[])], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let id = fixture.enrol(&drive).await;
        fixture.set_work(Work::Waits);
        plug(&fixture, &drive, &id).await;
        sleep(Duration::from_secs(1)).await;
        let refused = async |to| fixture.service.begin_rename("home", to).await.expect_err("refused").code();
        assert_eq!(refused("etc").await, ErrorCode::Exists);
        assert_eq!(refused("daheim").await, ErrorCode::Busy);
    });
}
