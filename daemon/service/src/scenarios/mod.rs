//! The drive's life with the whole service on simulated drives: no root, no device, no udev, and a paused clock.
//!
//! tokio advances a paused clock when every task waits. Work in `spawn_blocking` stops that. Work on other threads stops it where a
//! task waits for its end: a [`BlockingQueue`](crate::blocking::BlockingQueue) and a [`Closer`](crate::blocking::Closer) hold the
//! clock under test. So a step of a simulated drive takes no time, however long it takes.

mod away;
mod backup_states;
mod encrypted;
mod enrolling;
mod files;
mod identity;
mod not_done;
mod player;
mod plugs;
mod random;
mod releases;
mod renames;
mod restarts;
mod service;
mod sources;
mod timetable;
mod unwritable;
mod verifying;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use player::Player;

use butterdock_receive::{Counts, ErrorKind, SubvolumeState};
use butterdock_worker::files::{FilesOrder, FilesTask};
use butterdock_worker::verify::{Found, VerifyEvent};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::backups::{
    BackupCause, BackupEvent, Identity, Lineage, NotOpened, RecordUpdate, SharedSnapshot, SourceProblem, Task,
};
use crate::clock::{Clock, Reading};
use crate::config::{BackupRule, Config, ConfigFiles, OnFinish};
use crate::destinations::{Destination, Space};
use crate::device::simulated::{PASSPHRASE, SimulatedDevices, SimulatedDrive};
use crate::dir_handle::DirHandle;
use crate::drives::{Drive, DriveId, DriveManager, Need};
use crate::jobs::{Job, Look, OpenDirectories};
use crate::notify::SocketProgram;
use crate::schedule::Schedule;
use crate::service::{Machine, Service};
use crate::supervisor::Supervisor;
use crate::types::{BackupOptions, DestinationProperties, DriveState, EnrolOptions, Error, JobState, Problem};
use crate::worker::{Order, Report, SimulatedWorker, Spawner, WorkerError};

/// Longer than every timeout of the service, and than a safe drive is shown.
const QUIET: Duration = Duration::from_secs(1500);

/// How backups go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It takes so many seconds.
    Takes(u64),
    /// The drive is full after so many seconds.
    Fills(u64),
    /// It waits to be cancelled.
    Waits,
    /// It waits, and does not answer when it is cancelled.
    Hangs,
}

/// A service on simulated drives. Dropped, the service is killed.
struct Fixture {
    devices: SimulatedDevices,
    service: Service,
    work: Arc<Mutex<Work>>,
    /// How the backups of these names go instead.
    work_of: Arc<Mutex<BTreeMap<String, Work>>>,
    written: Arc<Mutex<Vec<(SimulatedDrive, String)>>>,
    /// The orders of backups and of prunings, in the order of their workers.
    tasks: Arc<Mutex<Vec<Task>>>,
    /// What a verify finds.
    found: Arc<Mutex<Found>>,
    /// The rate limits of backups, as their workers had them one after the other.
    rates: Arc<Mutex<Vec<Option<u64>>>>,
    /// The plugs in which a person unlocked or enrolled a drive, which may stay mounted then.
    by_hand: Mutex<BTreeSet<u64>>,
    config: Config,
    home: Arc<TempDir>,
}

/// A runtime whose clock is paused.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Runs one scenario.
fn run<T>(scenario: impl Future<Output = T>) -> T {
    runtime().block_on(scenario)
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder"))
}

/// A backup to the drives of these labels.
fn rule(name: &str, drives: &[&str]) -> BackupRule {
    BackupRule {
        name: name.to_owned().try_into().expect("a name"),
        former: Vec::new(),
        source: format!("/{name}").into(),
        snapshots: format!("/{name}/.butterdock").into(),
        drives: drives.iter().map(|&drive| drive.to_owned()).collect(),
        folder: name.into(),
        keep: crate::backups::RetentionRule::default(),
        protect: Duration::ZERO,
        keep_shared_for: Duration::from_secs(180 * 24 * 3600),
        source_reserve: Default::default(),
        nested: Default::default(),
        enabled: true,
        schedule: Schedule::default(),
        spread: Duration::ZERO,
        overdue: None,
        overdue_for: Default::default(),
    }
}

impl Fixture {
    /// With the backup "home" to the drive "blue".
    async fn start() -> Self {
        let config = Config { backups: vec![rule("home", &["blue"])], ..Config::default() };
        Self::start_with(SimulatedDevices::new(), folder(), config).await
    }

    async fn start_with(devices: SimulatedDevices, home: Arc<TempDir>, config: Config) -> Self {
        Self::start_at(devices, home, config, clock()).await
    }

    async fn start_at(devices: SimulatedDevices, home: Arc<TempDir>, config: Config, clock: Clock) -> Self {
        let config = Config { state: home.path().join("state"), run: home.path().join("run"), ..config };
        std::fs::create_dir_all(&config.state).expect("made");
        let (work, work_of) = (Arc::new(Mutex::new(Work::Takes(5))), Arc::default());
        let (written, tasks, found, rates) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let player = Player {
            devices: devices.clone(),
            work: Arc::clone(&work),
            work_of: Arc::clone(&work_of),
            written: Arc::clone(&written),
            tasks: Arc::clone(&tasks),
            found: Arc::clone(&found),
            rates: Arc::clone(&rates),
            clock: clock.clone(),
        };
        let machine = Machine {
            devices: Arc::new(devices.clone()),
            spawner: Arc::new(Spawner::simulated(move |worker| player.clone().play(worker))),
            open_directories: OpenDirectories { open: places, find_source, look },
            net: Arc::new(SocketProgram { socket: config.run.join("net.socket") }),
        };
        let sources = ConfigFiles::One(home.path().join("butterdock.toml"));
        let started = Service::start_on(machine, Supervisor::new(), sources, config.clone(), clock);
        let service = started.await.expect("started");
        Self { devices, service, work, work_of, written, tasks, found, rates, by_hand: Mutex::default(), config, home }
    }

    /// Has it read a configuration with these keys.
    async fn reload(&self, text: &str) {
        let Config { state, run, .. } = &self.config;
        let backup = "backup = [ { name = \"home\", source = \"/home\", drives = [\"blue\"] } ]\n";
        let backup = if text.starts_with("backup") { "" } else { backup };
        let text = format!("{backup}{text}\n[paths]\nstate = {state:?}\nrun = {run:?}\n");
        std::fs::write(self.home.path().join("butterdock.toml"), text).expect("written");
        self.service.reload().await.expect("read");
    }

    fn drives(&self) -> &DriveManager {
        self.service.drives()
    }

    fn set_work(&self, work: Work) {
        *lock(&self.work) = work;
    }

    /// How the backup of this name goes, whatever the others do.
    fn set_work_of(&self, backup: &str, work: Work) {
        lock(&self.work_of).insert(backup.to_owned(), work);
    }

    /// What backups reported as done, on which drive.
    fn written(&self) -> Vec<(SimulatedDrive, String)> {
        lock(&self.written).clone()
    }

    /// The orders of backups and of prunings beside sources since the last call.
    fn take_tasks(&self) -> Vec<Task> {
        std::mem::take(&mut lock(&self.tasks))
    }

    /// Plugs a drive in that is not enrolled, enrols it without a backup, and pulls it when it is safe.
    async fn enrol(&self, drive: &SimulatedDrive) -> DriveId {
        self.devices.plug(drive);
        self.settle().await;
        let options = EnrolOptions { no_backup: true, ..EnrolOptions::default() };
        let id = self.enrol_attached(drive, options).await.expect("enrolled");
        if self.state(&id) != Some(DriveState::Safe) {
            self.service.safely_remove(id.clone(), 0).await.expect("taken");
            self.settle().await;
        }
        assert_eq!(self.state(&id), Some(DriveState::Safe));
        self.devices.pull(drive);
        self.settle().await;
        id
    }

    /// Enrols a drive that is plugged in, unlocked where it is encrypted.
    async fn enrol_attached(&self, drive: &SimulatedDrive, options: EnrolOptions) -> Result<DriveId, Error> {
        let id = self.shown(drive).expect("shown").id;
        self.devices.unlock_by_hand(drive);
        self.settle().await;
        self.drives().enrol(&id, options).await
    }

    /// What is shown of a drive that is plugged in.
    fn shown(&self, drive: &SimulatedDrive) -> Option<Drive> {
        let nodes = self.devices.names(drive);
        self.all_shown().into_iter().find(|shown| nodes.contains(&shown.device))
    }

    fn all_shown(&self) -> Vec<Drive> {
        self.drives().drives().iter().map(|drive| drive.borrow().clone()).collect()
    }

    /// A person works with the drive.
    fn set_by_hand(&self, drive: &SimulatedDrive) {
        lock(&self.by_hand).extend(self.devices.plug_number(drive));
    }

    fn state(&self, id: &DriveId) -> Option<DriveState> {
        self.drives().drive(id).map(|drive| drive.state)
    }

    /// What is wrong with a drive, and with the backups to it.
    fn problem(&self, id: &DriveId) -> String {
        let destination = self.destination(id).map(|destination| destination.problem());
        destination.or_else(|| Some(self.drives().drive(id)?.problem())).unwrap_or_default()
    }

    /// The codes of what is wrong with a drive itself.
    fn codes(&self, id: &DriveId) -> Vec<&'static str> {
        self.drives().drive(id).iter().flat_map(|drive| &drive.problems).map(Problem::code).collect()
    }

    /// The destination that an enrolled drive is.
    fn destination(&self, id: &DriveId) -> Option<DestinationProperties> {
        self.service.destinations().get(&id.into())
    }

    /// Waits until nothing happens any more for now.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    /// Lets every task run that can, also while a step waits, which holds the clock.
    async fn tasks_run(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until nothing happens any more, and every timeout has ended.
    async fn quiet(&self) {
        sleep(QUIET).await;
    }

    /// The unfinished jobs.
    fn unfinished(&self) -> Vec<Job> {
        let live = self.service.jobs().live();
        live.iter().map(|handle| handle.job.borrow().clone()).filter(|job| !job.has_ended()).collect()
    }

    /// How the jobs ended, the newest first.
    fn ends(&self) -> Vec<JobState> {
        self.service.jobs().history().iter().map(|record| record.state).collect()
    }

    /// Checks what holds at every moment.
    fn check(&self, drives: &[SimulatedDrive]) {
        assert_eq!(self.devices.violations(), [""; 0]);
        for drive in drives {
            let Some(shown) = self.shown(drive).filter(|shown| shown.enrolled && shown.state == DriveState::Safe)
            else {
                continue;
            };
            assert!(!self.devices.is_mounted(drive), "a safe drive is mounted: {shown:?}");
            assert!(!self.devices.is_unlocked(drive), "a safe drive is unlocked: {shown:?}");
            // A person who asks twice was told that files may be missing, and is shown that.
            let is_shown = shown.problem().contains("files that you wrote to it yourself may be missing");
            assert!(!drive.has_unsaved() || is_shown, "a safe drive has unsaved data: {shown:?}");
        }
        for (drive, name) in self.written() {
            assert!(drive.has(&name), "{name} was reported as done, and is not on its drive");
        }
    }

    /// Checks what holds when nothing happens any more.
    fn check_at_rest(&self, drives: &[SimulatedDrive]) {
        self.check(drives);
        assert!(self.unfinished().is_empty(), "{:?}", self.unfinished());
        for (id, entry) in self.drives().inspect() {
            assert_eq!((entry.leased, entry.reservations), (0, 0), "{id} is used by nothing: {entry:?}");
            assert!(!entry.is_locked, "something is still being done with {id}: {entry:?}");
        }
        for drive in drives {
            let shown = self.shown(drive).filter(|shown| shown.enrolled);
            let entry = shown.as_ref().and_then(|shown| self.drives().inspect().remove(&shown.id));
            let (is_mounted, is_unlocked) = (self.devices.is_mounted(drive), self.devices.is_unlocked(drive));
            if !self.devices.is_plugged(drive) {
                assert!(!is_mounted && !is_unlocked, "something is left of a drive that is away: {shown:?}");
            }
            let (Some(shown), Some(entry)) = (shown, entry) else { continue };
            assert_eq!(
                entry.is_mounted, is_mounted,
                "the table of drives differs from the kernel's: {shown:?} {entry:?}"
            );
            let is_by_hand = self.devices.plug_number(drive).is_some_and(|plug| lock(&self.by_hand).contains(&plug));
            // A drive without backups is mounted when it is plugged in, and stays mounted.
            let is_kept = entry.is_kept
                || is_by_hand
                || self.destination(&shown.id).is_none_or(|destination| destination.backups.is_empty())
                || self.config.drives.on_finish == OnFinish::Keep;
            // That a backup did not run is no reason to leave it mounted.
            let has_reason = is_kept || !shown.problems.is_empty();
            assert!(!is_mounted || has_reason, "it is not released, and nothing says why: {shown:?} {entry:?}");
            assert!(!is_unlocked || is_mounted || has_reason, "it is left unlocked: {shown:?} {entry:?}");
        }
        assert!(self.devices.leftovers().is_empty(), "{:?}", self.devices.leftovers());
    }
}

/// Opens the top of the destination for the source and for its snapshots.
fn places(
    rule: &BackupRule,
    destination: &mut dyn Destination,
    _here: (Identity, bool),
) -> Result<[DirHandle; 2], NotOpened> {
    if find_source(rule).is_none() {
        let cause = Some(BackupCause::SourceRefused(SourceProblem::NotOpened));
        return Err(NotOpened { sentence: "the source cannot be opened; mount it".to_owned(), cause });
    }
    let top = || destination.directory().try_clone_to_owned().map(DirHandle::from).map_err(|error| error.to_string());
    Ok([top()?, top()?])
}

/// The sources in the fixture's folder are there when their paths are; all others always.
fn find_source(rule: &BackupRule) -> Option<Lineage> {
    let path = rule.source.as_path();
    let lineage = Lineage { sources: vec![Identity([7; 16])], ..Lineage::default() };
    (path.components().count() < 3 || path.exists()).then_some(lineage)
}

/// A source that a scenario has made: a folder with the file `free`, which has its free bytes of 1000.
fn look(rule: &BackupRule) -> Option<Look> {
    let free = std::fs::read_to_string(rule.source.join("free")).ok()?.parse().ok()?;
    let folder = DirHandle::from(std::os::fd::OwnedFd::from(std::fs::File::open(&rule.source).ok()?));
    Some(Look { folder, space: Space { size: 1000, free } })
}

/// A plain one, an encrypted one, one of two disks, and one of two encrypted disks.
fn kinds() -> [SimulatedDrive; 4] {
    [(1, false), (1, true), (2, false), (2, true)]
        .map(|(disks, is_encrypted)| SimulatedDrive::new("blue", disks, is_encrypted))
}

/// A service that has enrolled this drive, which is away.
async fn enrolled(drive: &SimulatedDrive) -> (Fixture, DriveId) {
    let fixture = Fixture::start().await;
    let id = fixture.enrol(drive).await;
    (fixture, id)
}

/// Plugs it in, and unlocks it where it is encrypted.
async fn plug(fixture: &Fixture, drive: &SimulatedDrive, id: &DriveId) {
    fixture.devices.plug(drive);
    fixture.settle().await;
    if fixture.state(id) == Some(DriveState::Locked) {
        drop(fixture.drives().unlock_with(id, PASSPHRASE).await);
    }
}

/// The due backup of a plug.
async fn back_up(fixture: &Fixture, drive: &SimulatedDrive, id: &DriveId) {
    plug(fixture, drive, id).await;
    sleep(Duration::from_secs(60)).await;
}

fn one_backup() -> Config {
    Config { backups: vec![rule("home", &["blue"])], ..Config::default() }
}

fn clock() -> Clock {
    let (start, boot_id) = (Instant::now(), Uuid::new_v4());
    Clock::of(move || {
        let passed = Instant::now().saturating_duration_since(start).as_secs();
        let wall = 1_800_000_000_i64.saturating_add_unsigned(passed);
        Reading { wall, boot: passed, boot_id, synchronised: Some(true) }
    })
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
