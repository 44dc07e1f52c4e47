//! A backup to a drive and to a volume. A shell plays the worker: it logs each order, and answers.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use butterdock_receive::{Counts, SubvolumeState};
use butterdock_worker::protocol::Start;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::*;
use crate::backups::{
    BackupEvent, Identity, Lineage, PairUuids, RecordUpdate, SharedRecord, SharedSnapshot, UnpinReason,
};
use crate::clock::{Clock, ClockTrust};
use crate::destinations::{BackupRecords, VolumeDestination, close};
use crate::dir_handle::DirHandle;
use crate::volumes::{DirIdentity, OpenVolume};
use crate::worker::{Order, Priority, Report, Spawner};

/// Records in memory.
#[derive(Debug, Default)]
struct Remembered {
    known: Mutex<SharedRecord>,
    unread: Option<String>,
}

impl BackupRecords for Remembered {
    fn machine(&self) -> Identity {
        Identity([5; 16])
    }

    fn destination(&self) -> String {
        "a volume".to_owned()
    }

    fn known(&self, _backup: &str) -> Result<(SharedRecord, bool), String> {
        Ok((self.known.lock().expect("whole").clone(), false))
    }

    fn shared(&self, _backup: &str) -> Vec<SharedSnapshot> {
        self.known.lock().expect("whole").shared.clone()
    }

    fn damaged(&self) -> Vec<Identity> {
        Vec::new()
    }

    fn pins(&self, _backup: &str) -> Vec<PairUuids> {
        self.known.lock().expect("whole").newest().map(SharedSnapshot::uuids).into_iter().collect()
    }

    fn unread_pins(&self, _backup: &str) -> Option<String> {
        self.unread.clone()
    }

    fn unpinned(&self, _backup: &str) -> Vec<Identity> {
        Vec::new()
    }

    fn unpin_reason(&self, _backup: &str) -> Option<UnpinReason> {
        None
    }

    async fn backed_up(&self, _backup: &str, learned: RecordUpdate, _as_recorded: bool) -> Result<(), Error> {
        self.known.lock().expect("whole").learn(learned);
        Ok(())
    }

    async fn replaced(&self, _backup: &str, _there: Vec<Identity>) -> Result<(), Error> {
        Ok(())
    }
}

/// A source, a destination, and a worker that plays `script` after it has logged its order.
struct Fixture {
    folder: tempfile::TempDir,
    rule: BackupRule,
    options: BackupOptions,
    sources: SourceStore,
    prune_locks: PruneLocks,
    retention: Retention,
    records: Remembered,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["source/snapshots", "destination", "state"] {
            fs::create_dir_all(at(name)).expect("made");
        }
        fs::set_permissions(at("source/snapshots"), Permissions::from_mode(0o700))
            .expect("root's; this test needs root");
        let rule = BackupRule {
            name: "home".to_owned().try_into().expect("a name"),
            former: Vec::new(),
            source: at("source"),
            snapshots: at("source/snapshots"),
            drives: Vec::new(),
            folder: "home".into(),
            keep: crate::backups::RetentionRule::default(),
            protect: std::time::Duration::ZERO,
            keep_shared_for: std::time::Duration::MAX,
            source_reserve: Default::default(),
            schedule: Default::default(),
            nested: Default::default(),
            enabled: true,
            spread: std::time::Duration::ZERO,
            overdue: None,
            overdue_for: Default::default(),
        };
        let clock = ClockTrust::open(&at("state"), Clock::system().expect("a clock")).expect("a record");
        let (sources, retention) = (SourceStore::new(&at("state"), ON_SYSTEM), Retention::new(&at("state"), clock));
        let (prune_locks, records) = (PruneLocks::default(), Remembered::default());
        let options = BackupOptions::default();
        Self { folder, rule, options, sources, prune_locks, retention, records }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("orders")
    }

    /// The orders that workers got so far.
    fn orders(&self) -> Vec<Order> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Start>(line).expect("an order").order).collect()
    }

    async fn run(&self, destination: Box<dyn Destination>, script: &str) -> Outcome {
        let log = self.log();
        let spawner = Spawner::playing(&format!(
            "order=$(dd bs=65536 count=1 2>/dev/null); printf '%s\\n' \"$order\" >>{}\n{script}",
            log.display()
        ));
        let (scheduler, mut events) = mpsc::channel(64);
        let (_end, stop) = watch::channel(None);
        let (id, limit, priority) = (Uuid::new_v4(), None, Priority::default());
        let mut runner = Runner {
            id,
            limit,
            priority,
            spawner: Arc::new(spawner),
            scheduler,
            stop,
            lineage: watch::Sender::default(),
            max_rate: watch::Sender::default(),
        };
        let heard = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let Self { rule, sources, prune_locks, retention, records, .. } = self;
        let (options, writer_threads) = (self.options, None);
        let run = BackupRun { rule, options, sources, prune_locks, retention, records, writer_threads };
        let (outcome, destination) = run.run(&mut runner, destination).await.expect("opened");
        close(destination).await;
        drop(runner);
        heard.await.expect("no panic");
        outcome
    }
}

fn open(folder: &Path) -> DirHandle {
    DirHandle::from(OwnedFd::from(File::open(folder).expect("opened")))
}

fn drive(folder: &Path) -> Box<dyn Destination> {
    Box::new(DriveDestination::new(open(folder)))
}

fn volume(folder: &Path) -> Box<dyn Destination> {
    let directory = open(folder);
    Box::new(VolumeDestination::new(OpenVolume { directory, place: DirIdentity::nowhere(), mount: 0 }))
}

/// Opens a directory as a destination.
type Opened = fn(&Path) -> Box<dyn Destination>;

const BOTH: [Opened; 2] = [drive, volume];

fn line(report: &Report) -> String {
    format!("echo '{}' >&0; ", serde_json::to_string(report).expect("written"))
}

fn lineage() -> Lineage {
    Lineage { sources: vec![Identity([7; 16])], ..Lineage::default() }
}

/// A worker whose backup succeeds, with a snapshot of this number.
fn succeeds(number: u8) -> String {
    let state = |uuid| SubvolumeState { uuid: [uuid; 16], ..SubvolumeState::default() };
    let shared = SharedSnapshot { here: state(number), there: state(100 + number), time: 1 };
    let learned = RecordUpdate { shared, nested: Vec::new(), sources: Vec::new(), lost: Vec::new() };
    let source = Report::Backup(BackupEvent::Lineage(lineage()));
    let pinned = Report::Backup(BackupEvent::Pinned { learned });
    let ended = line(&Report::Ended { counts: Counts::default(), error: None });
    format!("case $order in *prune*) ;; *) {}{};; esac; {ended}", line(&source), line(&pinned))
}

#[tokio::test]
async fn privileged_the_next_backup_to_any_destination_is_an_increment() {
    for to in BOTH {
        let fixture = Fixture::new();
        let place = fixture.folder.path().join("destination");
        let outcome = fixture.run(to(&place), &succeeds(1)).await;
        assert!(matches!(outcome.ending, Ending::Reported(None)), "{outcome:?}");
        assert!(place.join("home").is_dir());
        let orders = fixture.orders();
        let [Order::Backup(first), Order::Prune(pruning)] = orders.as_slice() else { panic!("{orders:?}") };
        assert_eq!((first.shared.len(), &first.lineage, first.last), (0, &Lineage::default(), None));
        assert_eq!(pruning.pins.len(), 1, "what the destination has now is not deleted");
        fixture.run(to(&place), &succeeds(2)).await;
        let Some(Order::Backup(next)) = fixture.orders().into_iter().nth(2) else { panic!("no order") };
        assert_eq!((next.shared.len(), next.own, &next.lineage), (1, 1, &lineage()));
        assert_eq!(next.last, Some(Identity([101; 16])));
    }
}

#[tokio::test]
async fn privileged_a_requested_full_backup_or_new_source_is_ordered() {
    let mut fixture = Fixture::new();
    let place = fixture.folder.path().join("destination");
    fixture.run(drive(&place), &succeeds(1)).await;
    fixture.options = BackupOptions { full: true, new_source: false };
    fixture.run(drive(&place), &succeeds(2)).await;
    fixture.options = BackupOptions { full: false, new_source: true };
    fixture.run(drive(&place), &succeeds(3)).await;
    let orders = fixture.orders();
    let tasks = orders.iter().filter_map(|order| if let Order::Backup(task) = order { Some(task) } else { None });
    let tasks: Vec<_> = tasks.map(|task| (task.full, task.lineage.clone())).collect();
    assert_eq!(tasks, [(false, Lineage::default()), (true, lineage()), (false, lineage().superseded())]);
    // A record that cannot be read refuses every other backup.
    fs::write(fixture.folder.path().join("state/sources/home"), "{").expect("written");
    let outcome = fixture.run(drive(&place), &succeeds(4)).await;
    assert!(matches!(outcome.ending, Ending::Reported(None)), "{outcome:?}");
    assert_eq!(fixture.sources.of(&fixture.rule).expect("written again"), Some(lineage()));
}

#[tokio::test]
async fn privileged_an_accepted_source_stays_accepted_if_the_backup_fails() {
    let mut fixture = Fixture::new();
    let place = fixture.folder.path().join("destination");
    let old = Lineage { sources: vec![Identity([1; 16])], ..Lineage::default() };
    fixture.sources.remember(&fixture.rule, old.clone()).expect("written");
    let found = line(&Report::Backup(BackupEvent::Lineage(lineage())));
    let recorded = |fixture: &Fixture| fixture.sources.of(&fixture.rule).expect("read");
    fixture.run(drive(&place), &found).await;
    assert_eq!(recorded(&fixture), Some(old), "it was not accepted");
    fixture.options = BackupOptions { new_source: true, ..BackupOptions::default() };
    // The record is written while the worker still runs: the service may be killed.
    let record = fixture.folder.path().join("state/sources/home");
    let seen = fixture.folder.path().join("seen");
    let look = format!(
        "for _ in $(seq 1000); do if grep -q {} '{}'; then touch '{}'; exit 1; fi; sleep 0.01; done",
        "07".repeat(16),
        record.display(),
        seen.display()
    );
    fixture.run(drive(&place), &format!("{found} {look}")).await;
    assert!(seen.exists(), "it is recorded after the transfer only");
    assert_eq!(recorded(&fixture), Some(lineage()));
}

#[tokio::test]
async fn privileged_nothing_beside_the_source_is_deleted_while_a_record_is_unreadable() {
    let mut fixture = Fixture::new();
    let place = fixture.folder.path().join("destination");
    fixture.records.unread = Some("a record cannot be read".to_owned());
    for number in [1, 2] {
        let outcome = fixture.run(drive(&place), &succeeds(number)).await;
        assert!(matches!(outcome.ending, Ending::Reported(None)), "{outcome:?}");
    }
    let orders = fixture.orders();
    assert!(matches!(orders.as_slice(), [Order::Backup(_), Order::Backup(_)]), "{orders:?}");
    fixture.records.unread = None;
    fixture.run(drive(&place), &succeeds(3)).await;
    assert!(matches!(fixture.orders().last(), Some(Order::Prune(_))), "{:?}", fixture.orders());
}

#[tokio::test]
async fn privileged_a_killed_workers_leftovers_are_deleted_on_any_destination() {
    for to in BOTH {
        let fixture = Fixture::new();
        let ended = line(&Report::Ended { counts: Counts::default(), error: None });
        let script = format!("case $order in *sweep*) {ended};; *) kill -9 $$;; esac");
        let outcome = fixture.run(to(&fixture.folder.path().join("destination")), &script).await;
        assert!(matches!(outcome.ending, Ending::Killed), "{outcome:?}");
        assert!(matches!(fixture.orders().as_slice(), [Order::Backup(_), Order::Sweep]), "{:?}", fixture.orders());
        assert_eq!(fixture.records.known.lock().expect("whole").newest(), None);
    }
}
