//! The snapshots of a backup beside its source, as a person sees them.

use std::os::fd::{AsFd as _, BorrowedFd};

use butterdock_btrfs::{Error as Fault, filesystem, roots};

use super::drive::{MadeBy, SnapshotOnDrive};
use super::folders::{look_up_former_holds, look_up_holds};
use super::listed_runs::NestedOnDrive;
use super::owner::{Owner, Side, made_by_us};
use super::prune::list_beside_source;
use super::runs::{SnapshotRun, run_of_nested};
use super::snapshot::Snapshot;
use super::task::Task;

/// The snapshots in the folder for snapshots of the task's backup and in its former ones, newest first. Those that another program
/// made there are listed too.
///
/// The service calls this on a thread of its own, because it blocks as long as the source does.
///
/// # Errors
/// The subvolumes cannot be listed, or it is not known which are held.
pub fn list_beside(folder: BorrowedFd<'_>, task: &Task) -> Result<Vec<SnapshotOnDrive>, Fault> {
    let owner = Owner::beside_source(task);
    let mut found = list_beside_source(task, folder, &[], &[])?.snapshots;
    found.retain(|snapshot| snapshot.name.is_some());
    let top = if found.iter().any(|snapshot| snapshot.former) { filesystem::open_top(folder).ok() } else { None };
    look_up_former_holds(top.as_ref().map(|top| top.as_fd()), &mut found);
    look_up_holds(folder, &mut found)?;
    found.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.made, snapshot.id)));
    let side = Side::Source(&owner);
    let mut rows = Vec::new();
    for run in SnapshotRun::of(side, &found) {
        let first = rows.len();
        for snapshot in run.all() {
            if let Some(path) = roots::path_of(folder, snapshot.id)? {
                rows.push(describe(path, snapshot.clone(), task, side));
            }
        }
        // A run is kept and deleted as a whole.
        let listed = rows.get_mut(first..).unwrap_or_default();
        let is_pinned = run.top.is_some() && listed.first().is_some_and(|row| row.pinned);
        for row in listed {
            row.pinned |= is_pinned;
            row.source = run.top.and_then(|top| top.parent_uuid.known());
            if let Some(nested) = &mut row.nested {
                nested.run = run.top.map(|top| top.uuid);
            }
        }
    }
    Ok(rows)
}

fn describe(path: Vec<u8>, snapshot: Snapshot, task: &Task, side: Side<'_>) -> SnapshotOnDrive {
    let run = run_of_nested(&snapshot, side);
    let made = made_by_us(&snapshot, side).or_else(|| side.owner().time_in(run?));
    // The records of what is beside the source have no paths.
    let nested = run.map(|_| NestedOnDrive { path: Vec::new(), run: None });
    let from = if made.is_some() { MadeBy::ThisMachine } else { MadeBy::Unknown };
    SnapshotOnDrive {
        uuid: snapshot.uuid,
        received_uuid: snapshot.received_uuid.known(),
        parent_uuid: snapshot.parent_uuid.known(),
        source: None,
        backup: made.and_then(|_| String::from_utf8(task.name.clone()).ok()),
        made: made.or(Some(snapshot.made)),
        from,
        pinned: task.pins.iter().any(|pin| pin.pins(&snapshot)),
        left_over: false,
        held: snapshot.held,
        name: snapshot.name.unwrap_or_default(),
        path,
        nested,
    }
}
