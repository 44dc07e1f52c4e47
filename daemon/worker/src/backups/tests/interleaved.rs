//! Two drives of one backup at the same time, in every order of their jobs' steps.

use butterdock_service::prune_locks::{PruneLocks, Share};

use super::simulation::{SOURCE, START, World, owner, prune, received};
use crate::backups::lineage::Lineage;
use crate::backups::name;
use crate::backups::owner::Side;
use crate::backups::retention::RetentionRule;
use crate::backups::shared_record::{PairUuids, RecordUpdate, SharedRecord, SharedSnapshot};
use crate::backups::shared_snapshots::find_shared;
use crate::backups::snapshot::{Identity, Snapshot};
use crate::backups::task::Task;

/// How many steps a job has.
const STEPS: u32 = 8;
const KEEP: RetentionRule = RetentionRule { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

/// Which job prunes beside the source, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PrunedBy {
    /// The last job that ends, with the current pins.
    LastJob,
    /// Each job, when its drive has the snapshot, with the pins of its order.
    EachJob,
}

/// A job between two of its steps.
struct Job {
    drive: usize,
    /// The source has not changed since the newest shared snapshot.
    unchanged: bool,
    step: u32,
    task: Task,
    share: Option<Share>,
    parent: Option<Identity>,
    pending: Snapshot,
    pin: Option<SharedSnapshot>,
}

impl Job {
    fn new(world: &mut World, drive: usize, unchanged: bool) -> Self {
        let uuid = world.id();
        let transid = world.transid;
        let times = Snapshot { ctransid: transid, otransid: transid, made: START + 1000, ..Snapshot::default() };
        let pending = Snapshot { id: transid, uuid, parent_uuid: SOURCE, ..times };
        Self { drive, unchanged, step: 0, task: world.task.clone(), share: None, parent: None, pending, pin: None }
    }

    /// Does the next step; `None` if a snapshot that it needs is missing.
    async fn step(&mut self, world: &mut World, prune_locks: &PruneLocks, pruned_by: PrunedBy) -> Option<()> {
        let name = name::make(b"home", self.pending.made + i64::try_from(self.drive).ok()?);
        let there = |source: &[Snapshot], uuid| source.iter().position(|snapshot| snapshot.uuid == uuid);
        match self.step {
            0 => self.share = Some(prune_locks.join("home").await),
            1 => self.task.pins = world.pins(),
            2 => {
                let lineage = Lineage::of(SOURCE, Identity::NONE);
                let (there, known) = &world.drives[self.drive];
                let pairs = find_shared(&lineage, &known.shared, &world.source, there).pairs.ok()?;
                self.parent = Some(pairs[0].source.uuid);
                self.pin = self.unchanged.then(|| pin(pairs[0].source, pairs[0].drive));
            }
            3 if !self.unchanged => {
                let hidden = Snapshot { name: Some(name::hide(&name)), ..self.pending.clone() };
                world.source.push(hidden);
            }
            4 if !self.unchanged => {
                let at = there(&world.source, self.pending.uuid)?;
                world.source[at].name = Some(name);
            }
            5 if !self.unchanged => {
                there(&world.source, self.parent?)?;
                let mine = world.source[there(&world.source, self.pending.uuid)?].clone();
                let (uuid, drive) = (world.id(), &mut world.drives[self.drive].0);
                let counterpart = Snapshot { uuid, ..received(&mine) };
                let pin = pin(&mine, &counterpart);
                drive.push(counterpart);
                prune(&self.task, Side::Drive(&owner()), drive, pin.uuids(), mine.made);
                self.pin = Some(pin);
                if pruned_by == PrunedBy::EachJob {
                    prune(&self.task, Side::Source(&owner()), &mut world.source, pin.uuids(), mine.made);
                }
            }
            6 => {
                let learned =
                    |shared| RecordUpdate { shared, nested: Vec::new(), sources: vec![SOURCE], lost: Vec::new() };
                world.drives[self.drive].1.learn(learned(self.pin?));
            }
            7 => {
                let last = self.share.take()?.release();
                if pruned_by == PrunedBy::LastJob && last.is_some() && !self.unchanged {
                    let task = Task { pins: world.pins(), ..self.task.clone() };
                    let nothing = PairUuids { here: Identity::NONE, there: Identity::NONE };
                    prune(&task, Side::Source(&owner()), &mut world.source, nothing, self.pending.made);
                }
            }
            _unchanged => {}
        }
        self.step += 1;
        Some(())
    }
}

fn pin(mine: &Snapshot, theirs: &Snapshot) -> SharedSnapshot {
    SharedSnapshot { here: mine.state(), there: theirs.state(), time: mine.made }
}

/// Runs the steps of both jobs in this order: each bit selects the first or the second job. Returns whether each drive has its
/// pinned snapshots on both sides, and the next backups are increments.
async fn keeps_needed_snapshots(order: u32, unchanged: bool, pruned_by: PrunedBy) -> bool {
    let mut world = World::new(KEEP, 0);
    for (drive, at) in [(0, 0), (1, 60), (0, 120), (1, 180)] {
        world.back_up(drive, START + at);
    }
    let prune_locks = PruneLocks::default();
    let mut jobs = [Job::new(&mut world, 0, unchanged), Job::new(&mut world, 1, false)];
    for step in 0..2 * STEPS {
        let job = &mut jobs[usize::from(order >> step & 1 == 1)];
        if job.step(&mut world, &prune_locks, pruned_by).await.is_none() {
            return false;
        }
    }
    let has = |there: &[Snapshot], uuid| there.iter().any(|snapshot| snapshot.uuid == uuid);
    let needed = |(there, known): &(Vec<Snapshot>, SharedRecord)| {
        let pin = known.newest().map(SharedSnapshot::uuids);
        pin.is_some_and(|pin| has(&world.source, pin.here) && has(there, pin.there))
    };
    let pinned = jobs.iter().all(|job| job.pin.as_ref() == world.drives[job.drive].1.newest());
    pinned && world.drives.iter().all(needed) && (0..2).all(|drive| world.back_up(drive, START + 2000))
}

async fn failing_orders(unchanged: bool, pruned_by: PrunedBy) -> usize {
    let mut failing = 0;
    for order in (0..1_u32 << (2 * STEPS)).filter(|order| order.count_ones() == STEPS) {
        failing += usize::from(!keeps_needed_snapshots(order, unchanged, pruned_by).await);
    }
    failing
}

#[tokio::test]
async fn two_interleaved_jobs_keep_what_each_drive_needs() {
    assert_eq!(failing_orders(false, PrunedBy::LastJob).await, 0);
    assert_eq!(failing_orders(true, PrunedBy::LastJob).await, 0);
}

#[tokio::test]
async fn pins_of_the_order_alone_would_prune_a_needed_snapshot() {
    assert!(failing_orders(false, PrunedBy::EachJob).await > 0);
}
