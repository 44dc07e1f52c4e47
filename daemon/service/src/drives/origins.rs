//! Which machines made the snapshots on a drive: counted when it is released and when it is listed, and recorded with the drive, so
//! that it is known while the drive is away.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use super::DriveId;
use super::drive_lock::blocking;
use super::entry::Mount;
use super::manager::DriveManager;
use crate::backups::{MadeBy, SnapshotOnDrive, list_snapshots};
use crate::types::{Maker, SnapshotsOfMachine};

impl DriveManager {
    /// Notes which machines made these snapshots, which are all on the drive. The next record of the drive includes it.
    pub(crate) fn note_origins(&self, id: &DriveId, snapshots: &[SnapshotOnDrive]) {
        let Some(enrolled) = id.enrolment() else { return };
        self.lock().origins.insert(enrolled, counted(snapshots));
        self.review();
    }

    /// Counts the snapshots on a mounted drive. What cannot be read leaves the count as it was.
    pub(super) async fn count_snapshots(&self, id: &DriveId, mount: &Arc<Mount>) {
        // The end of the service does not wait for this.
        if id.enrolment().is_none() || self.0.ending.load(Ordering::Acquire) {
            return;
        }
        let (mount, remembered) = (Arc::clone(mount), self.remembered(id));
        let listed = blocking(&self.0.operations, id, move || {
            Ok(list_snapshots(mount.mounted.root()?.as_fd(), &remembered).ok())
        });
        if let Ok(Some(snapshots)) = listed.await {
            self.note_origins(id, &snapshots);
        }
    }
}

/// This machine first, then the others, then what has no record. Snapshots of subvolumes below a source are part of its snapshot.
fn counted(snapshots: &[SnapshotOnDrive]) -> Vec<SnapshotsOfMachine> {
    let mut of: BTreeMap<(bool, Option<Maker>), (u64, u64)> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.nested.is_none()) {
        let machine = match snapshot.from {
            MadeBy::ThisMachine => Some(Maker::This),
            MadeBy::OtherMachine(id) => Some(Maker::Other(Uuid::from_bytes(id.0).to_string())),
            MadeBy::Unknown => None,
        };
        let (count, newest) = of.entry((machine.is_none(), machine)).or_default();
        let made = snapshot.made.and_then(|seconds| u64::try_from(seconds).ok()?.checked_mul(1_000_000));
        *count = count.saturating_add(1);
        *newest = (*newest).max(made.unwrap_or_default());
    }
    // A hostile drive may name any number of machines.
    let of = of.into_iter().take(MOST_MACHINES);
    of.map(|((_, machine), (snapshots, newest))| SnapshotsOfMachine { machine, snapshots, newest }).collect()
}

/// More machines of one drive are not recorded.
const MOST_MACHINES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backups::Identity;

    fn snapshot(from: MadeBy, made: Option<i64>) -> SnapshotOnDrive {
        let (name, path) = (b"home".to_vec(), b"home".to_vec());
        let (received_uuid, parent_uuid, backup) = (None, None, None);
        let uuid = Identity([1; 16]);
        SnapshotOnDrive {
            name,
            uuid,
            received_uuid,
            parent_uuid,
            source: None,
            backup,
            made,
            from,
            pinned: false,
            left_over: false,
            held: None,
            path,
            nested: None,
        }
    }

    #[test]
    fn snapshots_are_counted_by_machine() {
        let other = MadeBy::OtherMachine(Identity([9; 16]));
        let all = [
            snapshot(MadeBy::Unknown, None),
            snapshot(other, Some(5)),
            snapshot(MadeBy::ThisMachine, Some(3)),
            snapshot(other, Some(4)),
            snapshot(MadeBy::ThisMachine, Some(-1)),
        ];
        let of = |machine, snapshots, newest| SnapshotsOfMachine { machine, snapshots, newest };
        let id = Uuid::from_bytes([9; 16]).to_string();
        let expected = [of(Some(Maker::This), 2, 3_000_000), of(Some(Maker::Other(id)), 2, 5_000_000), of(None, 1, 0)];
        assert_eq!(counted(&all), expected);
        assert_eq!(counted(&[]), []);
    }

    #[test]
    fn a_drive_that_names_many_machines_is_bounded() {
        let machine = |number: u16| MadeBy::OtherMachine(Identity(Uuid::from_u128(number.into()).into_bytes()));
        let many: Vec<SnapshotOnDrive> = (0..1000).map(|number| snapshot(machine(number), None)).collect();
        assert_eq!(counted(&many).len(), MOST_MACHINES);
    }
}
