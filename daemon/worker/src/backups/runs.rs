//! The runs of a backup: a snapshot of the source, and with `nested = "include"` one of each writable subvolume below it.
//!
//! A run is one unit. A backup without nested subvolumes makes runs of one snapshot, in the same way.
//!
//! - *Names.* A run is called by the time at which its snapshots were made, one directly after the other: `home.20261122T201500Z`
//!   is the source's snapshot, `home.20261122T201500Z.2-alice` that of a subvolume below it. The number makes the name unique; the
//!   rest of it is for people. Both have these names in the folder beside the source, and in the backup's folder on the drive. There
//!   the record of a nested one has its path and the uuid of the source's snapshot.
//! - *Complete.* Each subvolume is a transfer of its own: an increment to its own shared snapshot, wherever the subvolume is now
//!   and whatever it is called, or a full one if there is none. The source's snapshot comes last. So a run is complete while its
//!   source's snapshot has its name, on either side: it gets that last, and loses it first. A nested snapshot without it is a
//!   remnant of a killed worker. It is listed as incomplete, is no parent, and the next run deletes it.
//! - *Retention.* The rule decides about the source's snapshot, and the others of its run follow it. A pin of the source's snapshot
//!   keeps the run, and so what each subvolume needs for its next increment. A subvolume that is gone has no snapshot in the next
//!   run; its snapshots stay as long as their runs.
//! - *What is included.* All subvolumes below the source that are writable and are in no read-only one, up to
//!   [`MOST_NESTED`](super::name::MOST_NESTED), without the folder for snapshots. Read-only ones are taken for the snapshots of
//!   another program, such as those below snapper's `.snapshots` (which is writable, and included). The kernel makes no snapshot of a
//!   subvolume with an active swapfile. What is left out is reported. The newest run on the drive with a subvolume that still exists
//!   is not pruned, because later runs may leave it out. Nothing is included of a read-only source, which is sent as it
//!   is.
//! - *Unchanged.* If no subvolume of the run has changed since the last run, nothing is sent.
//! - *Restore.* A restore of the source's snapshot restores the whole run: see [`restore`](super::restore).

use std::collections::BTreeMap;

use super::owner::{Owner, Side};
use super::snapshot::Snapshot;

/// A run, as far as it is on one side.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SnapshotRun<'s> {
    /// The snapshot of the source, or a snapshot that this backup did not make. `None` if the run is incomplete.
    pub top: Option<&'s Snapshot>,
    /// Those of the subvolumes below the source.
    pub nested: Vec<&'s Snapshot>,
}

impl<'s> SnapshotRun<'s> {
    /// The runs of the named snapshots on one side, in their order.
    pub(super) fn of(side: Side<'_>, snapshots: &'s [Snapshot]) -> Vec<Self> {
        // By the time in the names: a rename of the backup may have reached only some of them.
        let time_of = |run: &[u8]| side.owner().time_in(run);
        let mut nested: BTreeMap<(Option<i64>, bool), Vec<&'s Snapshot>> = BTreeMap::new();
        let mut tops = Vec::new();
        for snapshot in snapshots.iter().filter(|snapshot| snapshot.name.is_some()) {
            match run_of_nested(snapshot, side) {
                Some(run) => nested.entry((time_of(run), snapshot.former)).or_default().push(snapshot),
                None => tops.push(snapshot),
            }
        }
        let mut runs: Vec<Self> = Vec::new();
        for top in tops {
            let time = top.name.as_deref().and_then(time_of);
            let nested = time.and_then(|time| nested.remove(&(Some(time), top.former))).unwrap_or_default();
            runs.push(Self { top: Some(top), nested });
        }
        runs.extend(nested.into_values().map(|nested| Self { top: None, nested }));
        runs
    }

    /// Its snapshots, the source's first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'s Snapshot> {
        self.top.into_iter().chain(self.nested.iter().copied())
    }
}

/// The name of the run that the snapshot of a subvolume below the source belongs to; `None` for all other snapshots.
///
/// A name is no proof: on the drive a record must name this backup. Beside the source it must be in a folder for snapshots, which
/// only root can change, a snapshot of another subvolume than the source, and made at the time in its name.
pub(super) fn run_of_nested<'s>(snapshot: &'s Snapshot, side: Side<'_>) -> Option<&'s [u8]> {
    let owner = side.owner();
    let run = owner.run_in(snapshot.name.as_deref()?)?;
    let is_ours = match side {
        Side::Source(owner) => is_made_in(run, snapshot, owner) && !owner.sources.contains(&snapshot.parent_uuid),
        Side::Drive(owner) => {
            owner.owns(snapshot) && snapshot.origin.as_ref().is_some_and(|origin| origin.nested.is_some())
        }
    };
    is_ours.then_some(run)
}

/// Whether a snapshot of a subvolume was made when the run was.
fn is_made_in(run: &[u8], snapshot: &Snapshot, owner: &Owner) -> bool {
    let time = owner.time_in(run);
    snapshot.parent_uuid.known().is_some() && time.is_some_and(|time| snapshot.made.abs_diff(time) < APART)
}

/// The time in the name of a snapshot and the time at which it was made may differ by less than this, in seconds: the clock may
/// be set while it is made.
pub(super) const APART: u64 = 600;

#[cfg(test)]
mod tests {
    use butterdock_receive::{NestedOrigin, Origin};

    use super::*;
    use crate::backups::name;
    use crate::backups::snapshot::Identity;

    const SOURCE: Identity = Identity([2; 16]);

    fn owner() -> Owner {
        Owner { machine: Identity([1; 16]), backup: b"home".to_vec(), sources: vec![SOURCE], former: Vec::new() }
    }

    fn snapshot(name: Vec<u8>, time: i64, parent: u8) -> Snapshot {
        let origin = Origin {
            machine: [1; 16],
            source: SOURCE.0,
            backup: "home".to_owned(),
            is_source: false,
            members: 0,
            nested: (parent != 2).then(|| NestedOrigin { run: [7; 16], path: b"alice".to_vec() }),
        };
        let parent_uuid = Identity([parent; 16]);
        Snapshot { name: Some(name), made: time, parent_uuid, origin: Some(origin), ..Snapshot::default() }
    }

    #[test]
    fn nested_snapshots_belong_to_their_run() {
        let (one, two, gone) = (name::make(b"home", 1000), name::make(b"home", 2000), name::make(b"home", 3000));
        let all = [
            snapshot(name::make_nested(&one, 1, b"alice"), 1000, 3),
            snapshot(one.clone(), 1000, 2),
            snapshot(two.clone(), 2000, 2),
            snapshot(name::make_nested(&one, 2, b"bob"), 1001, 4),
            snapshot(name::make_nested(&gone, 1, b"alice"), 3000, 3),
            snapshot(b"by-hand".to_vec(), 5, 9),
            Snapshot { name: None, ..snapshot(two.clone(), 2000, 2) },
        ];
        let owner = owner();
        for side in [Side::Source(&owner), Side::Drive(&owner)] {
            let expected = [
                SnapshotRun { top: Some(&all[1]), nested: vec![&all[0], &all[3]] },
                SnapshotRun { top: Some(&all[2]), nested: vec![] },
                SnapshotRun { top: Some(&all[5]), nested: vec![] },
                SnapshotRun { top: None, nested: vec![&all[4]] },
            ];
            assert_eq!(SnapshotRun::of(side, &all), expected);
        }
    }

    #[test]
    fn a_name_alone_makes_no_nested_snapshot() {
        let run = name::make(b"home", 1000);
        let ours = snapshot(name::make_nested(&run, 1, b"alice"), 1000, 3);
        let owner = owner();
        let (source, drive) = (Side::Source(&owner), Side::Drive(&owner));
        assert_eq!((run_of_nested(&ours, source), run_of_nested(&ours, drive)), (Some(&run[..]), Some(&run[..])));
        for other in [
            Snapshot { made: 5000, ..ours.clone() },
            Snapshot { parent_uuid: SOURCE, ..ours.clone() },
            Snapshot { parent_uuid: Identity::NONE, ..ours.clone() },
        ] {
            assert_eq!(run_of_nested(&other, source), None, "{other:?}");
        }
        let of_source = snapshot(run.clone(), 1000, 2).origin;
        for other in [
            Snapshot { origin: None, ..ours.clone() },
            Snapshot { origin: of_source, ..ours.clone() },
            Snapshot { changed: true, ..ours.clone() },
        ] {
            assert_eq!(run_of_nested(&other, drive), None, "{other:?}");
        }
    }
}
