//! Four hundred days of two drives in turn, with real subvolumes on real volumes that the worker's own code makes, sends,
//! receives, lists and deletes. Only the dates in the names are simulated.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use butterdock_btrfs::subvolume;
use butterdock_fixtures::{Layout, Sandbox, Volume};
use butterdock_receive::{Candidates, Control, Observer, Options};

use crate::backups::lineage::Lineage;
use crate::backups::name;
use crate::backups::name::DAY;
use crate::backups::owner::{Owner, Side, look_up};
use crate::backups::prune_plan::PrunePlan;
use crate::backups::retention::RetentionRule;
use crate::backups::shared_record::{PairUuids, RecordUpdate, SharedRecord, SharedSnapshot};
use crate::backups::shared_snapshots::{basis, find_shared};
use crate::backups::snapshot::{Identity, Snapshot, list};
use crate::backups::stream::{SenderSide, Stream, received};
use crate::backups::task::Task;

const START: i64 = 1_795_378_500;

struct World {
    source: PathBuf,
    folder: File,
    drives: [(File, SharedRecord); 2],
    uuid: Identity,
    task: Task,
    volumes: [Volume; 3],
    _sandbox: Sandbox,
}

struct Silent;

impl Observer for Silent {}

impl World {
    fn new(keep: RetentionRule) -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let volumes =
            ["source", "a", "b"].map(|name| sandbox.volume(name, &Layout::sized(1024, "")).expect("a volume"));
        let [mine, a, b] = &volumes;
        subvolume::create(File::open(mine.path()).expect("open"), c"live").expect("a source");
        fs::create_dir(mine.join("snapshots")).expect("a folder");
        let source = mine.join("live");
        let uuid = Identity(subvolume::info(File::open(&source).expect("open")).expect("info").uuid);
        let drives = [a, b].map(|drive| (File::open(drive.path()).expect("open"), SharedRecord::default()));
        let task = Task { keep, ..Task::of(b"home", Identity([1; 16])) };
        let folder = File::open(mine.join("snapshots")).expect("open");
        Self { source, folder, drives, uuid, task, volumes, _sandbox: sandbox }
    }

    /// The snapshots beside the source, dated by their names.
    fn mine(&self) -> Vec<Snapshot> {
        let mut there = list(&self.folder, &[]).expect("listed");
        for snapshot in &mut there {
            let named = snapshot.name.as_deref().and_then(|name| name::parse(b"home", name));
            snapshot.made = named.unwrap_or(snapshot.made);
        }
        there
    }

    /// Changes the source and backs it up. Returns whether it was an increment.
    fn back_up(&mut self, drive: usize, now: i64) -> bool {
        let mut changing = File::options().append(true).create(true).open(self.source.join("diary")).expect("open");
        writeln!(changing, "{now}").expect("written");
        drop(changing);
        let name = name::make(b"home", now);
        let at = CString::new(name.clone()).expect("a name");
        subvolume::snapshot(&self.folder, &at, File::open(&self.source).expect("open"), true).expect("a snapshot");
        let mine = self.mine();
        let pending = mine.iter().find(|snapshot| snapshot.name.as_ref() == Some(&name)).expect("the new snapshot");
        let older: Vec<Snapshot> = mine.iter().filter(|snapshot| snapshot.id != pending.id).cloned().collect();
        let (destination, known) = &self.drives[drive];
        let theirs = list(destination, &[]).expect("listed");
        let pairs = find_shared(&Lineage::of(self.uuid, Identity::NONE), &known.shared, &older, &theirs)
            .pairs
            .unwrap_or_default();
        let (parent, clone_sources) = basis(&pairs);
        let root = File::open(self.source.with_file_name("snapshots").join(at.to_str().expect("text"))).expect("open");
        let stream = Stream {
            snapshot: root.as_fd(),
            id: pending.id,
            parent,
            since: 0,
            clone_sources,
            version: 2,
            side: SenderSide::Source,
        };
        let owner = Owner {
            machine: self.task.machine,
            backup: b"home".to_vec(),
            former: Vec::new(),
            sources: vec![self.uuid],
        };
        let candidates = Candidates::Listed(pairs.iter().map(|pair| pair.drive.state()).collect());
        let options =
            Options { name: Some(name.clone()), origin: owner.origin(pending.uuid), candidates, ..Options::default() };
        let control = Control::new().expect("a control");
        let outcome = stream.transfer(destination.as_fd(), &options, &control, &Silent).expect("transferred");

        let mut theirs = list(destination, &[]).expect("listed");
        look_up(destination.as_fd(), &mut theirs);
        let there = received(destination, &outcome).expect("it was received");
        let shared = SharedSnapshot { here: pending.state(), there, time: now };
        // The pins of the order are those before this backup.
        self.task.pins =
            self.drives.iter().filter_map(|(_, known)| known.newest().map(SharedSnapshot::uuids)).collect();
        self.prune(Side::Source(&owner), &mine, &self.folder, shared.uuids(), now);
        self.prune(Side::Drive(&owner), &theirs, destination, shared.uuids(), now);
        let learned = RecordUpdate { shared, nested: Vec::new(), sources: owner.sources, lost: Vec::new() };
        self.drives[drive].1.learn(learned);
        parent.is_some()
    }

    fn prune(&self, side: Side<'_>, there: &[Snapshot], folder: &File, needed: PairUuids, now: i64) {
        let pruning = PrunePlan::plan(&self.task, side, there, &[needed], now);
        assert_eq!(pruning.perform(folder.as_fd(), None, |_| {}).1, None);
    }

    fn check(&self, day: i64) {
        let mine = list(&self.folder, &[]).expect("listed");
        for (drive, pin) in self.drives.iter().filter_map(|(drive, known)| Some((drive, known.newest()?.uuids()))) {
            assert!(mine.iter().any(|snapshot| snapshot.uuid == pin.here), "day {day}: a pin is lost");
            let theirs = list(drive, &[]).expect("listed");
            assert!(theirs.iter().any(|snapshot| snapshot.uuid == pin.there), "day {day}: a counterpart is lost");
        }
    }
}

#[test]
fn privileged_four_hundred_days_of_backups_are_all_increments() {
    let mut world = World::new(RetentionRule { last: 1, hourly: 0, daily: 7, weekly: 4, monthly: 6, yearly: 1 });
    let mut first = [true; 2];
    for day in 0..400 {
        // The second drive is away for ninety days.
        let drive = usize::from(day % 2 == 1 && !(150..240).contains(&day));
        let incremental = world.back_up(drive, START + day * DAY);
        assert!(incremental || first[drive], "day {day}: a full transfer");
        first[drive] = false;
        if day % 10 == 0 {
            world.check(day);
        }
    }
    world.check(400);
    let most = 7 + 4 + 6 + 1 + 3;
    let left = |folder: &File| list(folder, &[]).expect("listed").len();
    assert!(left(&world.folder) <= most, "{} are kept beside the source", left(&world.folder));
    assert!(world.drives.iter().all(|(drive, _)| left(drive) <= most));
    // The newest snapshot on each drive has the same content as on the source.
    let newest = |drive: &File| {
        let all = list(drive, &[]).expect("listed");
        all.iter().filter_map(|snapshot| snapshot.name.clone()).max().expect("a snapshot")
    };
    for ((drive, _), volume) in world.drives.iter().zip(&world.volumes[1..]) {
        let name = String::from_utf8(newest(drive)).expect("text");
        let there = fs::read(volume.join(&name).join("diary")).expect("read");
        let here = fs::read(world.source.with_file_name("snapshots").join(&name).join("diary")).expect("read");
        assert!(there == here && here.starts_with(format!("{START}\n").as_bytes()), "{name}");
    }
}
