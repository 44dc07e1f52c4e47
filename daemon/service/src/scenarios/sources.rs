//! Sources that are short of space, and the snapshots that they keep for drives that are away.

use super::*;
use crate::backups::{SourcePruning, UnpinReason};
use crate::types::BackupStatus;

const HOUR: Duration = Duration::from_secs(3600);

/// A service with the backup "home" of a source with this number of free bytes of 1000, and its drive, which has a backup and
/// is away.
struct Source {
    fixture: Fixture,
    drive: SimulatedDrive,
    id: DriveId,
    free: std::path::PathBuf,
}

impl Source {
    async fn backed_up() -> Self {
        let (home, drive) = (folder(), SimulatedDrive::new("blue", 1, false));
        let source = home.path().join("source");
        let free = source.join("free");
        std::fs::create_dir(&source).expect("made");
        std::fs::write(&free, "500").expect("written");
        let rule = BackupRule { source, keep_shared_for: 2 * HOUR, ..rule("home", &["blue"]) };
        let config = Config { backups: vec![rule], ..Config::default() };
        let fixture = Fixture::start_with(SimulatedDevices::new(), home, config).await;
        let id = fixture.enrol(&drive).await;
        let source = Self { fixture, drive, id, free };
        source.back_up().await;
        source
    }

    async fn back_up(&self) {
        back_up(&self.fixture, &self.drive, &self.id).await;
        self.fixture.devices.pull(&self.drive);
        self.fixture.settle().await;
    }

    fn set_free(&self, free: u64) {
        std::fs::write(&self.free, free.to_string()).expect("written");
    }

    /// Waits until the sources were looked at.
    async fn looked_at(&self) {
        sleep(Duration::from_secs(61)).await;
    }

    async fn row(&self) -> BackupStatus {
        self.fixture.service.backups(false).await.remove(0)
    }
}

#[test]
fn a_source_short_of_space_is_pruned_to_the_newest_and_reported() {
    run(async {
        let source = Source::backed_up().await;
        source.looked_at().await;
        source.fixture.take_tasks();
        source.looked_at().await;
        assert_eq!(source.fixture.take_tasks(), [], "it has enough space");
        let row = source.row().await;
        assert_eq!((row.source_snapshots, row.source_freeable, row.problems.len()), (Some(2), Some(300), 0));
        source.set_free(49);
        source.looked_at().await;
        let tasks = source.fixture.take_tasks();
        let pruned = |task: &Task| (task.source_pruning, task.pins.len(), task.unpinned.len());
        assert_eq!(tasks.iter().map(pruned).collect::<Vec<_>>(), [(SourcePruning::ToNewest, 1, 0)]);
        let row = source.row().await;
        assert_eq!(row.problems[0].code(), "source-low-space");
        assert!(row.problems[0].to_string().contains("\"blue\""), "{:?}", row.problems);
        // Nothing more can be deleted: it is tried again later.
        source.looked_at().await;
        assert_eq!(source.fixture.take_tasks(), []);
        source.set_free(50);
        source.looked_at().await;
        assert_eq!(source.row().await.problems, []);
        source.fixture.check_at_rest(std::slice::from_ref(&source.drive));
    });
}

#[test]
fn what_a_source_keeps_for_a_drive_is_unpinned_by_a_command() {
    run(async {
        let source = Source::backed_up().await;
        source.fixture.take_tasks();
        source.fixture.service.unpin(&(&source.id).into(), Some("etc")).await.expect_err("another backup");
        source.fixture.service.unpin(&(&source.id).into(), None).await.expect("unpinned");
        let pruned = source.fixture.take_tasks();
        assert_eq!(pruned.len(), 1, "{pruned:?}");
        assert_eq!((pruned[0].source_pruning, pruned[0].pins.len()), (SourcePruning::Rule, 0));
        assert_eq!(pruned[0].unpinned, [Identity::NONE]);
        assert!(source.row().await.note.is_some_and(|note| note.contains("by a command")));
        source.fixture.service.unpin(&(&source.id).into(), None).await.expect_err("nothing is kept any more");
        source.back_up().await;
        let tasks = source.fixture.take_tasks();
        assert_eq!(tasks[0].unpin_reason, Some(UnpinReason::Command));
        // The new snapshot is kept for it.
        assert_eq!((tasks[1].pins.len(), tasks[1].unpinned.len()), (1, 0));
        assert_eq!(source.row().await.note, None);
        source.fixture.check_at_rest(std::slice::from_ref(&source.drive));
    });
}

#[test]
fn a_left_over_snapshot_is_pinned_until_its_renamed_backup_has_run() {
    for is_unpinned in [false, true] {
        run(async {
            let source = Source::backed_up().await;
            let drives = source.fixture.drives();
            let pinned = || drives.remembered(&source.id).pins.len();
            let path = source.free.parent().expect("a folder").display().to_string();
            let renamed = format!("backup = [ {{ name = \"daheim\", source = {path:?}, drives = [\"blue\"] }} ]");
            source.fixture.reload(&renamed).await;
            assert_eq!(pinned(), 1, "the first run of the renamed backup builds on it");
            if is_unpinned {
                source.fixture.service.unpin(&(&source.id).into(), Some("home")).await.expect("it is freed");
                assert_eq!(pinned(), 0);
            }
            source.back_up().await;
            assert_eq!(drives.remembered(&source.id).known.len(), 2);
            assert_eq!(pinned(), 1, "that of the renamed backup");
            source.fixture.reload("backup = []").await;
            assert_eq!(pinned(), 0, "no backup is configured");
            source.fixture.check_at_rest(std::slice::from_ref(&source.drive));
        });
    }
}

#[test]
fn what_a_source_keeps_is_unpinned_when_the_drive_is_away_for_too_long() {
    run(async {
        let source = Source::backed_up().await;
        sleep(HOUR + HOUR / 2).await;
        assert_eq!(source.row().await.note, None);
        // Attached without a backup, it was not away.
        source.fixture.reload("backup = []").await;
        source.fixture.devices.plug(&source.drive);
        source.looked_at().await;
        source.fixture.devices.pull(&source.drive);
        let path = source.free.parent().expect("a folder").display().to_string();
        let backup = format!("name = \"home\", source = {path:?}, drives = [\"blue\"], keep_shared_for = \"2h\"");
        source.fixture.reload(&format!("backup = [ {{ {backup} }} ]")).await;
        sleep(HOUR + HOUR / 2).await;
        assert_eq!(source.row().await.note, None);
        source.fixture.take_tasks();
        sleep(HOUR).await;
        assert!(source.row().await.note.is_some_and(|note| note.contains("keep_shared_for")));
        assert_eq!(source.fixture.take_tasks().iter().map(|task| task.unpinned.len()).max(), Some(1));
        source.back_up().await;
        assert_eq!(source.fixture.take_tasks()[0].unpin_reason, Some(UnpinReason::Away));
        source.fixture.check_at_rest(std::slice::from_ref(&source.drive));
    });
}

#[test]
fn an_unreadable_enrolment_stops_pruning_and_not_measuring() {
    let (devices, home, config) = run(async {
        let Source { fixture, free, .. } = Source::backed_up().await;
        std::fs::write(&free, "10").expect("written");
        (fixture.devices.clone(), Arc::clone(&fixture.home), fixture.config.clone())
    });
    std::fs::write(home.path().join(format!("state/drives/{}.json", Uuid::from_u128(9))), "{").expect("damaged");
    run(async {
        let fixture = Fixture::start_with(devices, home, config).await;
        sleep(Duration::from_secs(300)).await;
        let pruned: Vec<SourcePruning> = fixture.take_tasks().iter().map(|task| task.source_pruning).collect();
        assert_eq!(pruned, [SourcePruning::Nothing], "once");
        assert_eq!(fixture.service.backups(false).await[0].source_freeable, Some(300));
    });
}
