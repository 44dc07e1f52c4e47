//! The configured backups, as a front end follows them and runs them.

use tokio::sync::watch;

use super::*;
use crate::types::{BackupProperties, ErrorCode};

/// The channel of a backup.
fn channel(fixture: &Fixture, name: &str) -> watch::Receiver<BackupProperties> {
    let found = fixture.service.backup_states().into_iter().find(|backup| backup.borrow().name == name);
    found.unwrap_or_else(|| panic!("{name} is not listed"))
}

fn codes(backup: &BackupProperties) -> Vec<(Option<&str>, &'static str)> {
    let label = |placed: &crate::types::PlacedProblem| placed.destination.as_ref().map(|(_, label)| label.clone());
    backup.problems.iter().map(|placed| (label(placed).map(|_| "on a drive"), placed.problem.code())).collect()
}

#[test]
fn a_backup_follows_its_drives_and_the_configuration() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let fixture = Fixture::start().await;
        let home = channel(&fixture, "home");
        let none = home.borrow().clone();
        assert_eq!((none.enabled, none.due, none.destinations.len()), (true, false, 0));
        assert_eq!(codes(&none), [(None, "no-drive")]);
        let id = fixture.enrol(&drive).await;
        fixture.quiet().await;
        let away = home.borrow().clone();
        let places = |backup: &BackupProperties| -> Vec<(String, bool)> {
            backup.destinations.iter().map(|place| (place.id.to_string(), place.last_good != 0)).collect()
        };
        assert_eq!((away.due, places(&away)), (true, vec![(id.to_string(), false)]));
        assert!(away.problems.is_empty());
        fixture.set_work(Work::Fills(1));
        fixture.devices.plug(&drive);
        fixture.quiet().await;
        assert_eq!(codes(&home.borrow()), [(Some("on a drive"), "backup-failed")]);
        fixture.set_work(Work::Takes(1));
        let job = fixture.service.run_backup("home", None, BackupOptions::default(), 0).await.expect("begun");
        fixture.quiet().await;
        assert_eq!(job.job.borrow().state, JobState::Succeeded);
        let good = home.borrow().clone();
        assert!(good.problems.is_empty() && places(&good) == [(id.to_string(), true)], "{good:?}");
        let mut changed = fixture.service.backups_changed();
        fixture.reload("backup = [ { name = \"etc\", source = \"/etc\", drives = [\"blue\"] } ]\n").await;
        assert!(home.has_changed().is_err(), "it is not configured any more");
        assert!(changed.has_changed().expect("open") && !places(&channel(&fixture, "etc").borrow())[0].1);
        changed.mark_unchanged();
        fixture.quiet().await;
        assert!(!changed.has_changed().expect("open"));
    });
}

#[test]
fn a_backup_runs_on_each_attached_drive_or_on_one() {
    run(async {
        let config = Config { backups: vec![rule("home", &["blue", "red", "green"])], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), folder(), config).await;
        let drives = ["blue", "red", "green"].map(|label| SimulatedDrive::new(label, 1, false));
        let mut ids = Vec::new();
        for drive in &drives {
            ids.push(fixture.enrol(drive).await);
        }
        let start = async |only: Option<&DriveId>| {
            let only = only.map(|id| crate::types::DestinationId(id.to_string()));
            let begun = fixture.service.run_backup("home", only.as_ref(), BackupOptions::default(), 0).await;
            fixture.quiet().await;
            begun.map(drop).map_err(|error| error.code())
        };
        assert_eq!(start(None).await, Err(ErrorCode::DeviceGone));
        for drive in &drives[..2] {
            fixture.devices.plug(drive);
        }
        fixture.quiet().await;
        let before = fixture.ends().len();
        assert_eq!((start(None).await, fixture.ends().len()), (Ok(()), before + 2));
        assert_eq!((start(Some(&ids[1])).await, fixture.ends().len()), (Ok(()), before + 3));
        assert_eq!(start(Some(&ids[2])).await, Err(ErrorCode::DeviceGone), "it is away");
        assert_eq!(start(Some(&DriveId("77".to_owned()))).await, Err(ErrorCode::NotFound));
        let gone = fixture.service.run_backup("etc", None, BackupOptions::default(), 0).await;
        assert_eq!(gone.map(drop).map_err(|error| error.code()), Err(ErrorCode::NotFound));
        assert_eq!(fixture.ends().len(), before + 3, "a refusal is no job");
        fixture.check_at_rest(&drives);
    });
}
