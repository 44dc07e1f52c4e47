//! Files in a snapshot on a drive, while the drive is used, pulled or removed.

use super::*;
use crate::own_files::Rights;
use crate::snapshots::SnapshotPlace;
use crate::types::ErrorCode;

const SNAPSHOT: &str = "00000000-0000-0000-0000-000000000007";

async fn read(fixture: &Fixture, id: &DriveId) -> crate::jobs::JobHandle {
    let at = SnapshotPlace::Destination(id.into());
    let opened = fixture.service.open_file(&at, SNAPSHOT, b"a".to_vec(), (&Rights::Root, 0)).await;
    opened.expect("a job").1
}

#[test]
fn a_drive_that_is_pulled_ends_the_reading_of_a_file() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.set_work(Work::Waits);
        let reading = read(&fixture, &id).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!((reading.job.borrow().state, fixture.state(&id)), (JobState::Running, Some(DriveState::Busy)));
        fixture.devices.pull(&drive);
        fixture.quiet().await;
        let end = reading.job.borrow().clone();
        assert_eq!(
            (end.state, end.failure.map(|failure| failure.name)),
            (JobState::Failed, Some(ErrorCode::DeviceGone))
        );
        assert!(fixture.service.jobs().history().iter().all(|record| record.id != reading.id), "it is in the history");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_file_is_read_while_a_backup_runs() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        fixture.set_work(Work::Takes(30));
        fixture.devices.plug(&drive);
        sleep(Duration::from_secs(5)).await;
        let reading = read(&fixture, &id).await;
        sleep(Duration::from_secs(5)).await;
        let running = fixture.unfinished().iter().filter(|job| job.state == JobState::Running).count();
        assert_eq!((running, reading.job.borrow().state), (2, JobState::Running));
        // Neither of the two is refused or ended by the removal.
        let error = fixture.service.safely_remove(id.clone(), 0).await;
        sleep(Duration::from_secs(60)).await;
        assert!(error.is_err() && reading.job.borrow().state == JobState::Succeeded);
        assert_eq!(fixture.state(&id), Some(DriveState::Safe));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_reading_without_progress_loses_the_drive() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.set_work(Work::Waits);
        let reading = read(&fixture, &id).await;
        sleep(Duration::from_secs(9 * 60)).await;
        assert_eq!((reading.job.borrow().state, fixture.state(&id)), (JobState::Running, Some(DriveState::Busy)));
        sleep(Duration::from_secs(2 * 60)).await;
        let end = reading.job.borrow().clone();
        assert_eq!((end.state, fixture.state(&id)), (JobState::Failed, Some(DriveState::Safe)));
        let failure = end.failure.expect("a reason");
        assert!(failure.name == ErrorCode::TooSlow && failure.public.contains("for 10 minutes"), "{failure:?}");
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_removal_ends_the_reading_of_a_file() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        fixture.set_work(Work::Waits);
        let reading = read(&fixture, &id).await;
        sleep(Duration::from_secs(1)).await;
        fixture.service.safely_remove(id.clone(), 0).await.expect("accepted");
        sleep(Duration::from_secs(60)).await;
        let end = reading.job.borrow().clone();
        assert_eq!((end.state, fixture.state(&id)), (JobState::Cancelled, Some(DriveState::Safe)));
        assert!(end.failure.is_some_and(|failure| failure.public.starts_with("the drive is being made safe")));
        fixture.check_at_rest(&[drive]);
    });
}

#[test]
fn a_user_gets_no_file_of_a_snapshot_without_a_record() {
    run(async {
        let drive = SimulatedDrive::new("blue", 1, false);
        let (fixture, id) = enrolled(&drive).await;
        back_up(&fixture, &drive, &id).await;
        let (at, rights) = (SnapshotPlace::Destination((&id).into()), Rights::User { uid: 1000, groups: vec![1000] });
        let opened = fixture.service.open_file(&at, SNAPSHOT, b"a".to_vec(), (&rights, 1000)).await;
        opened.expect_err("no simulated drive has snapshots");
        fixture.quiet().await;
        assert_eq!((fixture.state(&id), fixture.unfinished().len()), (Some(DriveState::Safe), 0));
        fixture.check_at_rest(&[drive]);
    });
}
