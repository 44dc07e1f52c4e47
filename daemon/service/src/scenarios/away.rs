//! Enrolled drives that are away, and the destinations that drives are.

use super::*;
use crate::types::{DestinationState, ErrorCode};

/// What a page shows of a destination.
fn shown(fixture: &Fixture, id: &DriveId) -> (DestinationState, u64, u64, Vec<String>) {
    let DestinationProperties { state, free, last_backup, backups, .. } = fixture.destination(id).expect("enrolled");
    (state, free, last_backup, backups)
}

#[test]
fn a_drive_that_is_away_is_known_after_a_restart() {
    let (devices, home) = (SimulatedDevices::new(), folder());
    let drive = SimulatedDrive::new("blue", 1, true);
    let (id, before) = run(async {
        let fixture = Fixture::start_with(devices.clone(), Arc::clone(&home), one_backup()).await;
        let id = fixture.enrol(&drive).await;
        back_up(&fixture, &drive, &id).await;
        let mut watched = fixture.drives().drives().remove(0);
        assert_eq!(watched.borrow_and_update().state, DriveState::Safe);
        fixture.devices.pull(&drive);
        fixture.settle().await;
        assert_eq!(watched.borrow().state, DriveState::Away, "its channel closed, or it is another one");
        (id.clone(), (fixture.drives().drive(&id).expect("shown"), shown(&fixture, &id)))
    });
    let (state, free, last_backup, backups) = &before.1;
    assert_eq!((*state, backups.as_slice()), (DestinationState::Away, &["home".to_owned()][..]));
    assert!(*free > 0 && *last_backup > 0 && before.0.last_seen >= *last_backup, "{before:?}");
    assert!(before.0.enrolled && before.0.encrypted && before.0.label == "blue" && before.0.size > 0, "{before:?}");
    run(async {
        let fixture = Fixture::start_with(devices, home, one_backup()).await;
        let after = (fixture.drives().drive(&id).expect("shown at the start"), shown(&fixture, &id));
        assert_eq!(after, before);
        let appearing = fixture.drives().appearing();
        plug(&fixture, &drive, &id).await;
        assert_ne!(shown(&fixture, &id).0, DestinationState::Away);
        assert!(!appearing.has_changed().expect("open"), "a plug makes another object");
        fixture.quiet().await;
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_destination_is_there_from_enrolment_to_forgetting() {
    for is_attached in [false, true] {
        run(async {
            let drive = SimulatedDrive::new("blue", 1, false);
            let fixture = Fixture::start().await;
            let mut appearing = fixture.service.destinations().appearing();
            let id = fixture.enrol(&drive).await;
            assert!(appearing.has_changed().expect("open"));
            appearing.mark_unchanged();
            if is_attached {
                back_up(&fixture, &drive, &id).await;
            }
            let watched = fixture.service.destinations().all().remove(0);
            fixture.service.forget(&(&id).into()).await.expect("forgotten");
            fixture.settle().await;
            assert!(watched.has_changed().is_err(), "its channel is open");
            assert_eq!((fixture.destination(&id), fixture.state(&id)), (None, None));
            let gone = fixture.service.forget(&(&id).into()).await.expect_err("it is forgotten");
            assert_eq!(gone.code(), ErrorCode::NotFound);
        });
    }
}

#[test]
fn a_drive_that_is_away_refuses_what_needs_it() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        let to = (&id).into();
        let service = &fixture.service;
        let refused = [
            service.back_up(&to, None, BackupOptions::default(), 0).await.expect_err("away"),
            service.verify(&to, 0).await.expect_err("away"),
            service.list_snapshots(&to).await.expect_err("away"),
            service.safely_remove(id.clone(), 0).await.expect_err("away"),
            fixture.drives().mount(&id).await.expect_err("away"),
        ];
        for error in refused {
            assert_eq!(error.code(), ErrorCode::DeviceGone, "{error}");
            assert!(error.to_string().contains("the drive \"blue\" is not attached; plug it in"), "{error}");
        }
        assert_eq!((fixture.problem(&id), fixture.ends().len()), (String::new(), 0));
        let unknown = DriveId("sdz-7".to_owned());
        assert_eq!(service.verify(&(&unknown).into(), 0).await.expect_err("unknown").code(), ErrorCode::NotFound);
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn problems_of_backups_are_those_of_the_destination() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Fills(3));
        back_up(&fixture, &drive, &id).await;
        let problems = |fixture: &Fixture| {
            let drive = fixture.drives().drive(&id).expect("shown").problem();
            (drive, fixture.destination(&id).expect("enrolled").problem())
        };
        let (of_drive, of_destination) = problems(&fixture);
        assert!(
            of_drive.is_empty() && of_destination.contains("the last backup \"home\""),
            "{of_drive} {of_destination}"
        );
        fixture.devices.pull(&drive);
        fixture.settle().await;
        assert_eq!(problems(&fixture), (of_drive, of_destination), "while it is away");
        fixture.check_at_rest(&[drive]);
    });
}
