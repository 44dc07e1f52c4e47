//! Four hundred days of two drives in turn, under a simulated clock: one that is right, and one that is set wrong, runs late,
//! stays in 1970 and is right again.

use std::collections::BTreeMap;

use butterdock_receive::Origin as Recorded;
use proptest::prelude::*;
use uuid::Uuid;

use crate::backups::first_seen::{FirstSeen, Seen};
use crate::backups::lineage::Lineage;
use crate::backups::name::{self, DAY, HOUR};
use crate::backups::owner::{Owner, Side};
use crate::backups::prune_plan::PrunePlan;
use crate::backups::retention::{RetentionRule, is_from_future};
use crate::backups::shared_record::{PairUuids, RecordUpdate, SharedRecord, SharedSnapshot};
use crate::backups::shared_snapshots::find_shared;
use crate::backups::snapshot::{Identity, Snapshot};
use crate::backups::task::{BackupEvent, Task, TaskTime};
use crate::clock::{Reading, Record};

pub(super) const SOURCE: Identity = Identity([1; 16]);
pub(super) const MACHINE: Identity = Identity([3; 16]);
pub(super) const START: i64 = 1_795_378_500;

/// The snapshots of a machine and its drives.
pub(super) struct World {
    pub task: Task,
    pub source: Vec<Snapshot>,
    pub drives: [(Vec<Snapshot>, SharedRecord); 2],
    pub transid: u64,
}

impl World {
    pub(super) fn new(keep: RetentionRule, protect: u64) -> Self {
        let task = Task { keep, protect, ..Task::of(b"home", MACHINE) };
        Self { task, source: Vec::new(), drives: Default::default(), transid: 100 }
    }

    pub(super) fn id(&mut self) -> Identity {
        self.transid += 1;
        let mut bytes = [2; 16];
        bytes[..8].copy_from_slice(&self.transid.to_be_bytes());
        Identity(bytes)
    }

    /// Backs up to a drive at a time. Returns whether it was an increment.
    pub(super) fn back_up(&mut self, drive: usize, now: i64) -> bool {
        let lineage = Lineage::of(SOURCE, Identity::NONE);
        let (there, known) = &self.drives[drive];
        let incremental = find_shared(&lineage, &known.shared, &self.source, there).pairs.is_ok();
        let (uuid, counterpart) = (self.id(), self.id());
        let named = Snapshot { made: now, name: Some(name::make(b"home", now)), ..Snapshot::default() };
        let (id, ctransid) = (self.transid, self.transid);
        let pending = Snapshot { id, uuid, parent_uuid: SOURCE, ctransid, otransid: ctransid, ..named.clone() };
        let received = Snapshot { id, uuid: counterpart, ..received(&pending) };
        self.source.push(pending.clone());
        self.drives[drive].0.push(received.clone());
        // The pins of the order are those before this backup.
        self.task.pins = self.pins();
        let shared = SharedSnapshot { here: pending.state(), there: received.state(), time: now };
        self.drives[drive].1.learn(RecordUpdate {
            shared,
            nested: Vec::new(),
            sources: vec![SOURCE],
            lost: Vec::new(),
        });
        prune(&self.task, Side::Source(&owner()), &mut self.source, shared.uuids(), now);
        prune(&self.task, Side::Drive(&owner()), &mut self.drives[drive].0, shared.uuids(), now);
        incremental
    }

    /// The pins of all drives, as in an order.
    pub(super) fn pins(&self) -> Vec<PairUuids> {
        self.drives.iter().filter_map(|(_, known)| known.newest().map(SharedSnapshot::uuids)).collect()
    }
}

/// The owner of the snapshots on the drives.
pub(super) fn owner() -> Owner {
    Owner { machine: MACHINE, backup: b"home".to_vec(), former: Vec::new(), sources: vec![SOURCE] }
}

/// Its counterpart on a drive, with a record.
pub(super) fn received(mine: &Snapshot) -> Snapshot {
    let origin = Some(Recorded {
        machine: MACHINE.0,
        source: SOURCE.0,
        backup: "home".to_owned(),
        is_source: false,
        members: 0,
        nested: None,
    });
    Snapshot { received_uuid: mine.uuid, stransid: mine.ctransid, rtransid: mine.ctransid, origin, ..mine.clone() }
}

pub(super) fn prune(task: &Task, side: Side<'_>, there: &mut Vec<Snapshot>, needed: PairUuids, now: i64) {
    let before = there.clone();
    let deleted = std::cell::RefCell::new(Vec::new());
    PrunePlan::plan(task, side, &before, &[needed], now).explain(|event| {
        if let BackupEvent::Pruned { name, .. } = event {
            deleted.borrow_mut().push(name);
        }
    });
    let deleted = deleted.into_inner();
    there.retain(|snapshot| snapshot.name.as_ref().is_none_or(|name| !deleted.contains(name)));
}

fn four_hundred_days(keep: RetentionRule, protect: u64) -> World {
    let mut world = World::new(keep, protect);
    let mut first = [true; 2];
    for day in 0..400 {
        // The second drive is away for ninety days.
        let away = (150..240).contains(&day);
        let drive = if away { 0 } else { usize::from(day % 2 == 1) };
        for plug in 0..3 {
            let now = START + day * DAY + plug * 5 * HOUR;
            let incremental = world.back_up(drive, now);
            assert!(incremental || first[drive], "day {day}: everything was sent again");
            first[drive] = false;
            for (there, known) in &world.drives {
                let Some(pin) = known.newest().map(SharedSnapshot::uuids) else { continue };
                assert!(world.source.iter().any(|snapshot| snapshot.uuid == pin.here), "day {day}: a pin is lost");
                assert!(there.iter().any(|snapshot| snapshot.uuid == pin.there), "day {day}: a counterpart is lost");
            }
        }
    }
    world
}

#[test]
fn a_drive_away_for_ninety_days_still_gets_increments() {
    let world = four_hundred_days(RetentionRule { last: 1, hourly: 0, daily: 7, weekly: 4, monthly: 6, yearly: 1 }, 0);
    assert!(world.source.len() <= 7 + 4 + 6 + 3, "{} are kept", world.source.len());
    assert!(world.drives.iter().all(|(there, _)| there.len() <= 7 + 4 + 6 + 3));
}

#[test]
fn an_empty_rule_keeps_the_pins() {
    let nothing = RetentionRule { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let world = four_hundred_days(nothing, 0);
    // The pin of each drive, and the pin before it, which is needed after a killed worker.
    assert!(world.source.len() <= 4, "{} are kept", world.source.len());
}

#[test]
fn protected_snapshots_stay_without_a_rule() {
    let nothing = RetentionRule { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let world = four_hundred_days(nothing, 30 * 24 * 3600);
    assert!(world.source.len() >= 90, "{} are kept", world.source.len());
}

const PROTECT: u64 = 30 * 24 * 3600;
const KEEP: RetentionRule = RetentionRule { last: 3, hourly: 0, daily: 7, weekly: 4, monthly: 3, yearly: 0 };

/// A machine with clocks.
struct Machine {
    world: World,
    now: Reading,
    record: Record,
    /// Real seconds since the beginning.
    real: i64,
    /// The real time of each snapshot.
    made: BTreeMap<Identity, i64>,
    /// Beside the source and on each drive.
    seen: [FirstSeen; 3],
}

/// An event that makes the clock wrong.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// The clock is set wrong by this many days, and is right again some hours later.
    Set { days: i64, hours: i64 },
    /// The clock shows 1970, and is right again some hours later.
    Epoch { hours: i64 },
    /// The machine is off for this many days.
    Off { days: i64 },
    /// The record of the clocks is lost.
    Lost,
}

impl Machine {
    fn new(keep: RetentionRule) -> Self {
        let now = Reading { wall: START, boot: 60, boot_id: Uuid::from_u128(1), synchronised: Some(false) };
        let record = Record::first(&now, Uuid::from_u128(7));
        let (made, seen) = (BTreeMap::new(), Default::default());
        Self { world: World::new(keep, PROTECT), now, record, real: 0, made, seen }
    }

    fn look(&mut self) {
        self.record = self.record.after(&self.now);
    }

    /// This many hours pass.
    fn runs(&mut self, hours: i64) {
        for _ in 0..hours {
            self.now.boot += HOUR.unsigned_abs();
            self.now.wall += HOUR;
            self.real += HOUR;
            self.look();
        }
    }

    fn sides(&self) -> [&[Snapshot]; 3] {
        let [(first, _), (second, _)] = &self.world.drives;
        [&self.world.source, first, second]
    }

    /// Backs up as the service and a worker do, and checks that no young snapshot is deleted.
    fn back_up(&mut self, drive: usize) {
        self.look();
        let elapsed = self.record.elapsed();
        self.world.task.time = TaskTime {
            stopped: self.record.stop().is_some(),
            settled_source: self.seen[0].settled(PROTECT, elapsed),
            settled_drive: self.seen[1 + drive].settled(PROTECT, elapsed),
            ..TaskTime::default()
        };
        let before: Vec<Vec<Snapshot>> = self.sides().iter().map(|side| side.to_vec()).collect();
        let transid = self.world.transid;
        self.world.back_up(drive, self.now.wall);
        let (real, now) = (self.real, self.now.wall);
        let new: Vec<Identity> =
            self.sides().concat().iter().filter(|one| one.id > transid).map(|one| one.uuid).collect();
        self.made.extend(new.into_iter().map(|uuid| (uuid, real)));
        for (side, before) in self.sides().into_iter().zip(&before) {
            for gone in before.iter().filter(|one| side.iter().all(|left| left.uuid != one.uuid)) {
                let age = real - self.made[&gone.uuid];
                assert!(age >= PROTECT.cast_signed(), "{:?} was deleted {} days old", gone.name, age / DAY);
                assert!(!is_from_future(time(gone), now), "{:?} is from the future", gone.name);
                assert!(self.record.stop().is_none(), "deleted while the clock was not trusted");
            }
        }
        for (at, side) in [0, 1 + drive].map(|at| (at, self.sides()[at].to_vec())) {
            let there: Vec<Seen> =
                side.iter().map(|&Snapshot { uuid, otransid, .. }| Seen { uuid, otransid }).collect();
            self.seen[at] = self.seen[at].after(&there, elapsed);
        }
    }

    /// A few seconds, so that no two snapshots get the same name.
    fn offset(&self) -> i64 {
        i64::try_from(self.made.len()).expect("few")
    }

    fn apply(&mut self, wrong: Wrong, drive: usize) {
        match wrong {
            Wrong::Set { days, hours } => {
                let by = days * DAY + self.offset();
                self.now.wall += by;
                self.runs(hours);
                self.back_up(drive);
                self.now.wall -= by;
            }
            Wrong::Epoch { hours } => {
                let by = self.now.wall - self.offset();
                self.now.wall -= by;
                self.runs(hours);
                self.back_up(drive);
                self.now.wall += by;
            }
            Wrong::Off { days } => {
                self.now.boot_id = Uuid::from_u128(self.now.boot_id.as_u128() + 1);
                self.now.boot = 0;
                self.now.wall += days * DAY;
                self.real += days * DAY;
            }
            Wrong::Lost => {
                self.record = Record::after_unreadable(&self.now, Uuid::from_u128(self.now.wall.unsigned_abs().into()));
                assert!(self.record.stop().is_some());
                self.runs(1);
                self.back_up(drive);
            }
        }
        self.look();
    }
}

fn time(snapshot: &Snapshot) -> i64 {
    snapshot.name.as_deref().and_then(|name| name::parse(b"home", name)).expect("a name")
}

fn any_wrong() -> impl Strategy<Value = Wrong> {
    prop_oneof![
        4 => (-200..200_i64, 0..20_i64).prop_map(|(days, hours)| Wrong::Set { days, hours }),
        1 => (0..20_i64).prop_map(|hours| Wrong::Epoch { hours }),
        2 => (0..50_i64).prop_map(|days| Wrong::Off { days }),
        1 => Just(Wrong::Lost),
    ]
}

/// Runs a machine for this many days.
fn run(days: usize, wrong: &[(usize, Wrong)]) -> Machine {
    let mut machine = Machine::new(KEEP);
    for day in 0..days {
        let drive = day % 2;
        machine.runs(24);
        machine.back_up(drive);
        for (_, wrong) in wrong.iter().filter(|(at, _)| *at == day) {
            machine.apply(*wrong, drive);
        }
    }
    machine
}

#[test]
fn a_running_clock_deletes_old_snapshots_in_four_hundred_days() {
    let machine = run(400, &[]);
    assert_eq!(machine.record.stop(), None, "never synchronised, and pruned all the same");
    for side in machine.sides() {
        // Those of 30 days (on each drive half of them), and those that the rules keep.
        assert!(side.len() <= 30 + 7 + 4 + 3 + 3, "{} are kept", side.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_clock_setting_deletes_young_snapshots(
        wrong in prop::collection::vec((0..300_usize, any_wrong()), 0..8),
    ) {
        let machine = run(400, &wrong);
        prop_assert_eq!(machine.record.stop(), None, "pruning does not resume");
        let now = machine.now.wall;
        for side in machine.sides() {
            let counted = side.iter().filter(|one| !is_from_future(time(one), now)).count();
            // A few more for days with the machine off or the clock wrong.
            prop_assert!(counted <= 30 + 7 + 4 + 3 + 3 + 2 * 8, "{counted} are kept");
        }
    }
}
