//! Which runs on one side the retention rule deletes, and what killed workers left of a run; and their deletion.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::fd::BorrowedFd;

use butterdock_btrfs::subvolume::{self, Subvolume};
use butterdock_btrfs::{Errno, Error as Fault, file, roots};

use super::folders::{Folders, destroy_in};
use super::name;
use super::owner::{Owner, Side, made_by_us};
use super::retention::{Candidate, Reason, RetentionRule, Rule, is_from_future, reasons};
use super::runs::{APART, SnapshotRun, run_of_nested};
use super::shared_record::PairUuids;
use super::snapshot::{Identity, Snapshot};
use super::task::{BackupEvent, SourcePruning, Task};

/// The runs on one side, each with the reason to keep it; a run without a reason is deleted.
#[derive(Debug)]
pub(super) struct PrunePlan<'s> {
    side: Side<'s>,
    decisions: Vec<(SnapshotRun<'s>, Option<Reason>)>,
    /// The nested snapshots of incomplete runs, which killed workers left.
    remnants: Vec<&'s Snapshot>,
}

impl<'s> PrunePlan<'s> {
    /// Plans for the snapshots in a folder. `needed` are pinned in addition to the task's pins.
    pub(super) fn plan(task: &Task, side: Side<'s>, snapshots: &'s [Snapshot], needed: &[PairUuids], now: i64) -> Self {
        let is_pinned = |snapshot: &Snapshot| {
            let mut pins = task.pins.iter().chain(needed);
            pins.any(|pin| pin.pins(snapshot))
        };
        // A parent of the next increment, also if a person renamed the source's snapshot of its run.
        let is_shared = |snapshot: &Snapshot| task.shared.iter().any(|shared| shared.uuids().pins(snapshot));
        let settled = if side.is_drive() { task.time.settled_drive } else { task.time.settled_source };
        let is_damaged = |snapshot: &Snapshot| side.is_drive() && task.damaged.contains(&snapshot.uuid);
        let candidate = |run: &SnapshotRun<'_>, top: &Snapshot| {
            let made = made_by_us(top, side);
            Candidate {
                id: top.uuid,
                time: made.unwrap_or(top.made),
                pinned: is_pinned(top),
                ours: made.is_some(),
                held: run.all().any(|one| one.held.is_some()),
                settled: top.otransid <= settled,
                unpinned: !side.is_drive() && task.unpinned.contains(&top.uuid),
                damaged: run.all().any(is_damaged),
            }
        };
        let (mut complete, mut candidates, mut remnants) = (Vec::new(), Vec::new(), Vec::new());
        let runs = SnapshotRun::of(side, snapshots);
        let newest = if side.is_drive() { newest_with(task, side, &runs, now) } else { BTreeSet::new() };
        for run in runs {
            match run.top {
                Some(top) => {
                    candidates.push(candidate(&run, top));
                    complete.push(run);
                }
                None => {
                    // A person may hold one that its run is missing from.
                    let is_free =
                        |nested: &&Snapshot| nested.held.is_none() && !is_pinned(nested) && !is_shared(nested);
                    remnants.extend(run.nested.into_iter().filter(is_free));
                }
            }
        }
        let (keep, protect) = if is_short(task, side) { (RetentionRule::NEWEST, 0) } else { (task.keep, task.protect) };
        let rule = Rule { keep, protect, now, stopped: task.time.stopped };
        let is_newest = |top: &Candidate| newest.contains(&top.id).then_some(Reason::Newest);
        let reasons = reasons(&rule, &candidates).into_iter().zip(&candidates);
        let reasons: Vec<_> = reasons.map(|(reason, top)| reason.or_else(|| is_newest(top))).collect();
        Self { side, decisions: complete.into_iter().zip(reasons).collect(), remnants }
    }

    /// The same without the snapshots of a run that is being made.
    pub(super) fn during(mut self, run: &[u8]) -> Self {
        let side = self.side;
        self.remnants.retain(|nested| run_of_nested(nested, side) != Some(run));
        self
    }

    /// Reports the plan, for a dry run.
    pub(super) fn explain(&self, report: impl Fn(BackupEvent)) {
        let drive = self.side.is_drive();
        for (run, reason) in &self.decisions {
            for snapshot in run.all() {
                let name = snapshot.name.clone().unwrap_or_default();
                match *reason {
                    Some(reason) => report(BackupEvent::Kept { drive, name, reason }),
                    None => report(BackupEvent::Pruned { drive, name }),
                }
            }
        }
    }

    /// Deletes in the open folder, and in former ones below the top of the filesystem, and reports. Returns the ids of the deleted
    /// snapshots, and the last error.
    pub(super) fn perform(
        &self,
        folder: BorrowedFd<'_>,
        top: Option<BorrowedFd<'_>>,
        report: impl Fn(BackupEvent),
    ) -> (Vec<u64>, Option<Fault>) {
        let drive = self.side.is_drive();
        let mut pruning = Pruning { folder, top, drive, report, deleted: Vec::new(), failed: None };
        for (run, _) in self.decisions.iter().filter(|(_, reason)| reason.is_none()) {
            // The source's snapshot first: without it the run is incomplete.
            if run.top.is_none_or(|top| pruning.delete(top)) {
                for nested in &run.nested {
                    pruning.delete(nested);
                }
            }
        }
        for remnant in &self.remnants {
            match is_without_top(folder, remnant, self.side) {
                Ok(is_alone) => {
                    let _is_gone = is_alone && pruning.delete(remnant);
                }
                Err(fault) => pruning.failed = Some(fault),
            }
        }
        (pruning.deleted, pruning.failed)
    }
}

/// The deletion of snapshots on one side.
struct Pruning<'f, R> {
    folder: BorrowedFd<'f>,
    top: Option<BorrowedFd<'f>>,
    drive: bool,
    report: R,
    deleted: Vec<u64>,
    failed: Option<Fault>,
}

impl<R: Fn(BackupEvent)> Pruning<'_, R> {
    /// Returns whether it is gone.
    fn delete(&mut self, snapshot: &Snapshot) -> bool {
        match self.destroy(snapshot) {
            // A person holds it since the plan was made.
            Ok(false) => false,
            Ok(true) => {
                self.deleted.push(snapshot.id);
                let name = snapshot.name.clone().unwrap_or_default();
                (self.report)(BackupEvent::Pruned { drive: self.drive, name });
                true
            }
            // Another process deleted it.
            Err(Fault { errno: Errno::ENOENT, .. }) => true,
            // It is being sent: the next backup tries again.
            Err(Fault { errno: Errno::EPERM | Errno::EBUSY, .. }) => false,
            Err(fault) => {
                self.failed = Some(fault);
                false
            }
        }
    }

    /// Without the top, a snapshot in a former folder counts as held.
    fn destroy(&self, snapshot: &Snapshot) -> Result<bool, Fault> {
        match (snapshot.former, self.top) {
            (false, _) => destroy_in(self.folder, snapshot.id, snapshot.uuid),
            (true, Some(top)) => Folders::below(top).destroy(self.folder, snapshot.id, snapshot.uuid),
            (true, None) => Ok(false),
        }
    }
}

/// Whether a nested snapshot whose run has no snapshot of the source in the lists has none at all: a person may have renamed it,
/// moved it or made it writable.
fn is_without_top(folder: BorrowedFd<'_>, nested: &Snapshot, side: Side<'_>) -> Result<bool, Fault> {
    let Some(run) = run_of_nested(nested, side).filter(|_| !nested.former) else { return Ok(false) };
    for name in [run.to_vec(), name::hide(run)] {
        let name = CString::new(name).map_err(|_nul| Fault { call: "fstatat", errno: Errno::EINVAL })?;
        match file::stat_at(folder, &name) {
            Err(Fault { errno: Errno::ENOENT, .. }) => {}
            Ok(_) => return Ok(false),
            Err(fault) => return Err(fault),
        }
    }
    match (side, nested.origin.as_ref().and_then(|origin| origin.nested.as_ref())) {
        (Side::Drive(_), Some(nested)) => Ok(roots::subvolumes_by_received_uuid(folder, nested.run)?.is_empty()),
        (Side::Drive(_), None) => Ok(false),
        (Side::Source(owner), _) => Ok(!subvolume::all(folder)?.iter().any(|one| is_renamed_top(owner, nested, one))),
    }
}

/// Whether a subvolume beside the source may be the source's snapshot of the run of a nested one, under another name: a snapshot of
/// the source that was made at the same time, and is not the one of another run.
fn is_renamed_top(owner: &Owner, nested: &Snapshot, one: &Subvolume) -> bool {
    let is_of_source = owner.sources.contains(&Identity(one.item.parent_uuid));
    // One that this pruning has just deleted has no place; its item has references until the next commit.
    let is_of_no_run = one.place.as_ref().is_some_and(|place| name::parse(&owner.backup, &place.name).is_none());
    is_of_source && is_of_no_run && one.item.otime.abs_diff(nested.made) < APART
}

/// The source's snapshots of the runs that are the newest with a subvolume that still exists.
fn newest_with(task: &Task, side: Side<'_>, runs: &[SnapshotRun<'_>], now: i64) -> BTreeSet<Identity> {
    let mut newest: BTreeMap<&[u8], (i64, Identity)> = BTreeMap::new();
    for run in runs {
        let Some(top) = run.top else { continue };
        let Some(time) = made_by_us(top, side).filter(|&time| !is_from_future(time, now)) else { continue };
        for nested in run.nested.iter().filter(|nested| !task.damaged.contains(&nested.uuid)) {
            let place = nested.origin.as_ref().and_then(|origin| origin.nested.as_ref());
            if let Some(place) = place.filter(|place| task.existing.contains(&place.path)) {
                let of_path = newest.entry(&place.path).or_insert((time, top.uuid));
                *of_path = (*of_path).max((time, top.uuid));
            }
        }
    }
    newest.into_values().map(|(_, top)| top).collect()
}

/// Whether only the newest and the pinned snapshots of this side stay.
pub(super) fn is_short(task: &Task, side: Side<'_>) -> bool {
    !side.is_drive() && task.source_pruning == SourcePruning::ToNewest
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use butterdock_btrfs::roots::{RootItem, RootRef};
    use butterdock_receive::{NestedOrigin, Origin, SubvolumeState};

    use super::*;
    use crate::backups::shared_record::SharedSnapshot;

    const MACHINE: Identity = Identity([1; 16]);
    const SOURCE: Identity = Identity([2; 16]);

    fn snapshot(number: u8, name: Vec<u8>, is_nested: bool) -> Snapshot {
        let nested = is_nested.then(|| NestedOrigin { run: [9; 16], path: b"alice".to_vec() });
        let origin = Origin {
            machine: MACHINE.0,
            source: SOURCE.0,
            backup: "home".to_owned(),
            is_source: false,
            members: 0,
            nested,
        };
        Snapshot { uuid: Identity([number; 16]), name: Some(name), origin: Some(origin), ..Snapshot::default() }
    }

    /// A run of two snapshots at this time, with these uuids.
    fn run(time: i64, top: u8, nested: u8) -> [Snapshot; 2] {
        let name = name::make(b"home", time);
        [snapshot(nested, name::make_nested(&name, 1, b"alice"), true), snapshot(top, name, false)]
    }

    /// The uuids of what is deleted on the drive.
    fn deleted(task: &Task, all: &[Snapshot]) -> Vec<u8> {
        let owner = Owner { machine: MACHINE, backup: b"home".to_vec(), sources: vec![SOURCE], former: Vec::new() };
        let plan = PrunePlan::plan(task, Side::Drive(&owner), all, &[], 1_000_000);
        let runs = plan.decisions.iter().filter(|(_, reason)| reason.is_none()).flat_map(|(run, _)| run.all());
        let deleted = runs.chain(plan.remnants.iter().copied()).map(|snapshot| snapshot.uuid.0[0]);
        let deleted = deleted.collect();
        let told = RefCell::new(0);
        plan.explain(|_event| *told.borrow_mut() += 1);
        assert_eq!(told.into_inner() + plan.remnants.len(), all.len(), "each is explained once");
        deleted
    }

    #[test]
    fn a_run_is_kept_and_deleted_as_a_whole() {
        let task = Task { keep: RetentionRule { last: 1, ..RetentionRule::NEWEST }, ..Task::of(b"home", MACHINE) };
        let all = [run(1000, 10, 11), run(2000, 20, 21), run(3000, 30, 31)].concat();
        assert_eq!(deleted(&task, &all), [10, 11, 20, 21], "the source's snapshot goes first");
        let pin = |top: u8| PairUuids { here: Identity([0xff; 16]), there: Identity([top; 16]) };
        let pinned = Task { pins: vec![pin(10)], ..task.clone() };
        assert_eq!(deleted(&pinned, &all), [20, 21]);
        let damaged = Task { damaged: vec![Identity([31; 16])], ..task.clone() };
        assert_eq!(deleted(&damaged, &all), [10, 11], "the newest undamaged run stays, and the newest one");
        let foreign = Snapshot { changed: true, ..all[1].clone() };
        let changed = [&[all[0].clone(), foreign], &all[4..]].concat();
        assert_eq!(deleted(&task, &changed), [] as [u8; 0], "nested ones follow a snapshot that was changed");
    }

    #[test]
    fn a_nested_snapshot_without_its_run_is_a_remnant() {
        let task = Task { keep: RetentionRule { last: 9, ..RetentionRule::NEWEST }, ..Task::of(b"home", MACHINE) };
        let [left, _] = run(1000, 10, 11);
        let all = [vec![left], run(2000, 20, 21).to_vec()].concat();
        assert_eq!(deleted(&task, &all), [11]);
        let owner = Owner { machine: MACHINE, backup: b"home".to_vec(), sources: vec![SOURCE], former: Vec::new() };
        let plan = PrunePlan::plan(&task, Side::Drive(&owner), &all, &[], 5000);
        assert!(plan.during(&name::make(b"home", 1000)).remnants.is_empty(), "its run is being made");
        let theirs: Vec<Snapshot> = all.iter().map(|one| Snapshot { origin: None, ..one.clone() }).collect();
        assert_eq!(deleted(&task, &theirs), [] as [u8; 0], "without a record it may be anybody's");
    }

    #[test]
    fn the_newest_run_with_a_subvolume_that_exists_is_kept() {
        let task = Task { keep: RetentionRule { last: 1, ..RetentionRule::NEWEST }, ..Task::of(b"home", MACHINE) };
        let [_, without] = run(3000, 30, 31);
        let all = [run(1000, 10, 11).to_vec(), run(2000, 20, 21).to_vec(), vec![without]].concat();
        assert_eq!(deleted(&task, &all), [10, 11, 20, 21], "it is gone");
        let exists = Task { existing: [b"alice".to_vec()].into(), ..task.clone() };
        assert_eq!(deleted(&exists, &all), [10, 11]);
        let damaged = Task { damaged: vec![Identity([21; 16])], ..exists };
        assert!(!deleted(&damaged, &all).contains(&10), "an undamaged one");
    }

    #[test]
    fn a_renamed_snapshot_of_the_source_keeps_its_run() {
        let owner = Owner { machine: MACHINE, backup: b"home".to_vec(), sources: vec![SOURCE], former: Vec::new() };
        let nested = Snapshot { made: 1_000_000, ..Snapshot::default() };
        let one = |parent: Identity, name: &[u8], made: i64| {
            let place = Some(RootRef { parent_id: 5, dir_id: 256, name: name.to_vec() });
            let item = RootItem {
                read_only: false,
                uuid: [9; 16],
                parent_uuid: parent.0,
                received_uuid: [0; 16],
                ctransid: 1,
                stransid: 0,
                otransid: 1,
                rtransid: 0,
                rtime: (0, 0),
                otime: made,
                otime_nanoseconds: 0,
                generation: 1,
                refs: 1,
            };
            Subvolume { id: 300, item, place }
        };
        let is_kept = |one: &Subvolume| is_renamed_top(&owner, &nested, one);
        assert!(is_kept(&one(SOURCE, b"keep", 1_000_000)));
        assert!(
            !is_kept(&Subvolume { place: None, ..one(SOURCE, b"keep", 1_000_000) }),
            "deleted, but not on disk yet"
        );
        assert!(!is_kept(&one(SOURCE, b"keep", 1_000_000 + 3600)), "made at another time");
        assert!(!is_kept(&one(Identity([7; 16]), b"keep", 1_000_000)), "of another subvolume");
        assert!(!is_kept(&one(SOURCE, &name::make(b"home", 1_000_010), 1_000_000)), "of another run");
    }

    #[test]
    fn a_shared_snapshot_is_no_remnant() {
        let [left, _] = run(1000, 10, 11);
        let state = SubvolumeState { uuid: left.uuid.0, ..SubvolumeState::default() };
        let shared = SharedSnapshot { here: SubvolumeState::default(), there: state, time: 0 };
        let task = Task { shared: vec![shared], ..Task::of(b"home", MACHINE) };
        let owner = Owner { machine: MACHINE, backup: b"home".to_vec(), sources: vec![SOURCE], former: Vec::new() };
        let all = [left];
        assert!(PrunePlan::plan(&task, Side::Drive(&owner), &all, &[], 5000).remnants.is_empty());
    }
}
