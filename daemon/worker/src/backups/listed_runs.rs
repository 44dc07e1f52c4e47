//! The runs in the list of the snapshots on a drive (pure).

use std::collections::HashMap;

use super::drive::SnapshotOnDrive;
use super::snapshot::Identity;

/// A snapshot of a subvolume below the source of a backup, on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NestedOnDrive {
    /// The path of the subvolume from the root of the source, as bytes. It comes from the drive.
    pub path: Vec<u8>,
    /// The uuid of the source's snapshot of the same run. `None` if the run is incomplete.
    pub run: Option<Identity>,
}

/// Adds the snapshot of the source to each snapshot of a subvolume below it. `runs` are the uuids with which their records name the
/// source's snapshot. Both are in the same folder, and a pin includes both.
pub(super) fn add_runs(rows: &mut [SnapshotOnDrive], runs: &[Option<Identity>]) {
    let folder = |path: &[u8]| path.iter().rposition(|&byte| byte == b'/').map(|at| path.split_at(at).0.to_vec());
    let tops = rows.iter().filter(|row| row.nested.is_none());
    let tops: HashMap<_, _> =
        tops.filter_map(|top| Some(((top.received_uuid?, folder(&top.path)), (top.uuid, top.pinned)))).collect();
    for (row, run) in rows.iter_mut().zip(runs) {
        let top = run.and_then(|run| tops.get(&(run, folder(&row.path))));
        if let (Some(nested), Some(&(uuid, pinned))) = (&mut row.nested, top) {
            nested.run = Some(uuid);
            row.pinned |= pinned;
        }
    }
}

/// The same, with the nested ones behind the source's snapshot of their run, by their paths.
pub(super) fn by_run(rows: Vec<SnapshotOnDrive>) -> Vec<SnapshotOnDrive> {
    let mut of: HashMap<Identity, Vec<SnapshotOnDrive>> = HashMap::new();
    let mut first = Vec::new();
    for row in rows {
        match row.nested.as_ref().and_then(|nested| nested.run) {
            Some(run) => of.entry(run).or_default().push(row),
            None => first.push(row),
        }
    }
    let mut ordered = Vec::new();
    for top in first {
        let mut nested = of.remove(&top.uuid).unwrap_or_default();
        nested.sort_by(|one, other| one.nested.as_ref().map(path_of).cmp(&other.nested.as_ref().map(path_of)));
        ordered.push(top);
        ordered.append(&mut nested);
    }
    ordered
}

fn path_of(nested: &NestedOnDrive) -> &[u8] {
    &nested.path
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{NestedOrigin, Origin};

    use super::*;
    use crate::backups::drive::{Backups, describe};
    use crate::backups::name;
    use crate::backups::snapshot::Snapshot;

    #[test]
    fn a_nested_snapshot_is_listed_with_its_run() {
        let id = |number| Identity([number; 16]);
        let (known, pins, former) = (Vec::new(), Vec::new(), Vec::new());
        let backups = Backups { machine: id(5), known, pins, configured: vec!["home".to_owned()], former };
        let run = name::make(b"home", 1_000_000);
        let row = |path: &str, name: Vec<u8>, number, nested| {
            let origin = Origin {
                machine: [5; 16],
                source: [3; 16],
                backup: "home".to_owned(),
                is_source: false,
                members: 0,
                nested,
            };
            let (uuid, received_uuid) = (id(number), id(number + 100));
            let snapshot =
                Snapshot { uuid, received_uuid, name: Some(name), origin: Some(origin), ..Snapshot::default() };
            describe(path.as_bytes(), snapshot, &backups)
        };
        let alice = || Some(NestedOrigin { run: [101; 16], path: b"alice".to_vec() });
        let nested = name::make_nested(&run, 1, b"alice");
        let top = SnapshotOnDrive { pinned: true, ..row("home/top", run.clone(), 1, None) };
        let mut rows = [top, row("home/1", nested.clone(), 2, alice()), row("elsewhere/1", nested, 3, alice())];
        add_runs(&mut rows, &[None, Some(id(101)), Some(id(101))]);
        let [top, with, without] = rows;
        let newest_first = vec![with.clone(), without.clone(), top.clone()];
        assert_eq!(by_run(newest_first), [without.clone(), top.clone(), with.clone()]);
        assert_eq!((top.nested, top.made), (None, Some(1_000_000)));
        assert_eq!(with.nested, Some(NestedOnDrive { path: b"alice".to_vec(), run: Some(id(1)) }));
        assert_eq!((with.made, with.pinned), (Some(1_000_000), true), "a pin keeps the run");
        assert_eq!((without.nested.and_then(|nested| nested.run), without.pinned), (None, false), "it is incomplete");
    }
}
