//! Four hundred days of two drives in turn, under a simulated clock.

use butterdock_receive::Origin as Recorded;

use super::name;
use super::owner::Owner;
use super::prune::PrunePlan;
use super::retention::RetentionRule;
use super::shared::{Known, Learned, Mark, SharedSnapshot};
use super::shared_snapshots::{Origin, find_shared};
use super::snapshot::Identity;
use super::snapshot::{Side, Snapshot};
use super::task::Task;
use super::utc::{DAY, HOUR};

pub(super) const SOURCE: Identity = Identity([1; 16]);
pub(super) const MACHINE: Identity = Identity([3; 16]);
pub(super) const START: i64 = 1_795_378_500;

/// A machine and its drives, as far as snapshots go.
pub(super) struct World {
    pub task: Task,
    pub source: Vec<Snapshot>,
    pub drives: [(Vec<Snapshot>, Known); 2],
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

    /// Backs up to a drive at a time. Answers whether it was an increment.
    pub(super) fn back_up(&mut self, drive: usize, now: i64) -> bool {
        let origin = Origin { uuid: SOURCE, parent_uuid: Identity::NONE };
        let (there, known) = &self.drives[drive];
        let incremental = find_shared(origin, &known.shared, &self.source, there).pairs.is_ok();
        let (uuid, counterpart) = (self.id(), self.id());
        let named = Snapshot { made: now, name: Some(name::make(b"home", now)), ..Snapshot::default() };
        let (id, ctransid) = (self.transid, self.transid);
        let pending = Snapshot { id, uuid, parent_uuid: SOURCE, ctransid, otransid: ctransid, ..named.clone() };
        let received = Snapshot { id, uuid: counterpart, ..received(&pending) };
        self.source.push(pending.clone());
        self.drives[drive].0.push(received.clone());
        // What the order said: the pins before this backup.
        self.task.pins = self.marks();
        let shared = SharedSnapshot { here: pending.state(), there: received.state(), time: now };
        self.drives[drive].1.learn(Learned { shared, sources: vec![SOURCE], lost: Vec::new() });
        prune(&self.task, Side::Source { uuid: SOURCE }, &mut self.source, shared.mark(), now);
        prune(&self.task, Side::Drive(&owner()), &mut self.drives[drive].0, shared.mark(), now);
        incremental
    }

    /// What an order says of what all drives need.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.drives.iter().filter_map(|(_, known)| known.newest().map(SharedSnapshot::mark)).collect()
    }
}

/// Whose the snapshots on the drives are.
pub(super) fn owner() -> Owner {
    Owner { machine: MACHINE, backup: b"home".to_vec(), sources: vec![SOURCE] }
}

/// What a drive has of it, with its record.
pub(super) fn received(mine: &Snapshot) -> Snapshot {
    let origin = Some(Recorded { machine: MACHINE.0, source: SOURCE.0, backup: "home".to_owned() });
    Snapshot { received_uuid: mine.uuid, stransid: mine.ctransid, rtransid: mine.ctransid, origin, ..mine.clone() }
}

pub(super) fn prune(task: &Task, side: Side<'_>, there: &mut Vec<Snapshot>, needed: Mark, now: i64) {
    let before = there.clone();
    let deleted = std::cell::RefCell::new(Vec::new());
    PrunePlan::plan(task, side, &before, &[needed], now).explain(|told| {
        if let super::task::BackupEvent::Pruned { name, .. } = told {
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
        // The second drive lies in a drawer for ninety days.
        let away = (150..240).contains(&day);
        let drive = if away { 0 } else { usize::from(day % 2 == 1) };
        for plug in 0..3 {
            let now = START + day * DAY + plug * 5 * HOUR;
            let incremental = world.back_up(drive, now);
            assert!(incremental || first[drive], "day {day}: everything was sent again");
            first[drive] = false;
            for (there, known) in &world.drives {
                let Some(pin) = known.newest().map(SharedSnapshot::mark) else { continue };
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
    // The one of each drive, and the pin before it, which a killed worker would have needed.
    assert!(world.source.len() <= 4, "{} are kept", world.source.len());
}

#[test]
fn what_is_protected_stays_although_no_rule_wants_it() {
    let nothing = RetentionRule { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };
    let world = four_hundred_days(nothing, 30 * 24 * 3600);
    assert!(world.source.len() >= 90, "{} are kept", world.source.len());
}
