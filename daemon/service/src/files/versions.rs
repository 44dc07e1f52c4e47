//! The versions of a file.

use butterdock_worker::files::{FileEvent, FilePath, FileRow, FilesOrder, FilesTask, MOST_SNAPSHOTS};

use super::arguments::checked;
use super::released;
use crate::backups::{Identity, MadeBy, SnapshotOnDrive};
use crate::own_files::{Access, Rights};
use crate::service::Service;
use crate::snapshots::SnapshotPlace;
use crate::types::{Error, ErrorCode};

/// The largest number of snapshots in which a path is looked for: the newest.
const MOST_VERSIONS: usize = 4 * MOST_SNAPSHOTS;

/// A file as it is in one snapshot, and in older ones next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// The newest snapshot that has it.
    pub snapshot: SnapshotOnDrive,
    /// The file.
    pub row: FileRow,
    /// When the oldest of these snapshots was made: seconds since 1970.
    pub oldest: Option<i64>,
    /// The number of these snapshots.
    pub snapshots: u64,
}

impl Service {
    /// The versions of a file: the snapshots in which it exists, of one backup or of all, each backup's newest first. Snapshots
    /// next to each other in which it has the same type, size and time are one version.
    ///
    /// # Errors
    /// As for [`Service::list_files`].
    pub async fn file_versions(
        &self,
        at: &SnapshotPlace,
        path: Vec<u8>,
        backup: Option<&str>,
        rights: &Rights,
    ) -> Result<Vec<FileVersion>, Error> {
        let path = checked(path)?;
        self.leave_safe(at, rights)?;
        let reserved = self.reserve_at(at);
        let asked = async {
            let mut snapshots = self.list_snapshots_at(at).await?;
            snapshots.retain(|snapshot| backup.is_none() || snapshot.backup.as_deref() == backup);
            // Beside a source, the records of subvolumes below it have no paths, so it is not known which belong together.
            let has_place =
                |snapshot: &SnapshotOnDrive| snapshot.nested.as_ref().is_none_or(|one| !one.path.is_empty());
            let is_drive = self.is_drive(at);
            snapshots.retain(|snapshot| (is_drive || snapshot.from != MadeBy::Unknown) && has_place(snapshot));
            let access = self.access(&snapshots, rights).await;
            snapshots.retain(|snapshot| access.caller_of(snapshot).is_ok());
            snapshots.truncate(MOST_VERSIONS);
            self.versions(at, &path, snapshots, &access).await
        };
        Box::pin(released(asked, reserved)).await
    }

    /// Looks for a path in these snapshots.
    async fn versions(
        &self,
        at: &SnapshotPlace,
        path: &FilePath,
        snapshots: Vec<SnapshotOnDrive>,
        access: &Access<'_>,
    ) -> Result<Vec<FileVersion>, Error> {
        let mut versions = Vec::new();
        let mut denied = None;
        for group in by_backup(snapshots) {
            let mut found = Vec::new();
            for part in group.chunks(MOST_SNAPSHOTS) {
                let caller = match part.first() {
                    Some(first) => access.caller_of(first)?,
                    None => None,
                };
                let snapshots = part.iter().map(|snapshot| snapshot.uuid).collect();
                let task = FilesTask::Versions { snapshots, path: path.clone() };
                match self.ask_files(at, FilesOrder { caller, task }).await {
                    Ok(events) => found.extend(events),
                    // The source of one backup may be closed to the user, and that of another not.
                    Err(error) if error.code() == ErrorCode::NotAuthorized => denied = Some(error),
                    Err(error) => return Err(error),
                }
            }
            versions.extend(folded(&group, &found));
        }
        match denied {
            Some(error) if versions.is_empty() => Err(error),
            Some(_) | None => Ok(versions),
        }
    }
}

/// The snapshots of each backup, each group as it was sorted.
fn by_backup(snapshots: Vec<SnapshotOnDrive>) -> Vec<Vec<SnapshotOnDrive>> {
    /// The backup's name, another machine, and a subvolume below the source.
    type Key = (Option<String>, Option<Identity>, Option<Vec<u8>>);
    let mut groups: Vec<(Key, Vec<SnapshotOnDrive>)> = Vec::new();
    for snapshot in snapshots {
        let machine = match snapshot.from {
            MadeBy::OtherMachine(machine) => Some(machine),
            MadeBy::ThisMachine | MadeBy::Unknown => None,
        };
        let nested = snapshot.nested.as_ref().map(|nested| nested.path.clone());
        let key = (snapshot.backup.clone(), machine, nested);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(snapshot),
            None => groups.push((key, vec![snapshot])),
        }
    }
    groups.sort_by(|one, other| one.0.cmp(&other.0));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// The versions in the snapshots of one backup, which are sorted from new to old. Equal neighbours are one version.
fn folded(snapshots: &[SnapshotOnDrive], found: &[FileEvent]) -> Vec<FileVersion> {
    let row_of = |snapshot: &SnapshotOnDrive| {
        found.iter().find_map(|event| match event {
            FileEvent::Version { snapshot: uuid, row } if *uuid == snapshot.uuid => Some(row),
            FileEvent::Version { .. }
            | FileEvent::Row(_)
            | FileEvent::Listed { .. }
            | FileEvent::Total { .. }
            | FileEvent::Restored(_) => None,
        })
    };
    let mut versions: Vec<FileVersion> = Vec::new();
    let mut is_next_to = false;
    for snapshot in snapshots {
        let Some(row) = row_of(snapshot) else {
            is_next_to = false;
            continue;
        };
        let is_same = |version: &FileVersion| {
            (version.row.kind, version.row.size, version.row.modified) == (row.kind, row.size, row.modified)
        };
        match versions.last_mut().filter(|last| is_next_to && is_same(last)) {
            Some(last) => {
                last.oldest = snapshot.made;
                last.snapshots = last.snapshots.saturating_add(1);
            }
            None => versions.push(FileVersion {
                snapshot: snapshot.clone(),
                row: row.clone(),
                oldest: snapshot.made,
                snapshots: 1,
            }),
        }
        is_next_to = true;
    }
    versions
}

#[cfg(test)]
mod tests {
    use butterdock_worker::files::FileKind;

    use super::*;

    fn snapshot(number: u8, backup: Option<&str>) -> SnapshotOnDrive {
        SnapshotOnDrive {
            name: vec![number],
            uuid: Identity([number; 16]),
            received_uuid: None,
            parent_uuid: None,
            source: None,
            backup: backup.map(str::to_owned),
            made: Some(i64::from(number)),
            from: MadeBy::ThisMachine,
            pinned: false,
            left_over: false,
            held: None,
            path: Vec::new(),
            nested: None,
        }
    }

    fn version(number: u8, size: u64) -> FileEvent {
        let row = FileRow {
            name: b"a".to_vec(),
            kind: FileKind::File,
            size,
            modified: 7,
            mode: 0o644,
            uid: 0,
            gid: 0,
            target: None,
        };
        FileEvent::Version { snapshot: Identity([number; 16]), row }
    }

    #[test]
    fn equal_neighbours_are_one_version() {
        let snapshots: Vec<_> = [9, 8, 7, 6, 5, 4].map(|number| snapshot(number, Some("home"))).into();
        // It is missing in 6, and has another size in 9.
        let found = [version(9, 2), version(8, 1), version(7, 1), version(5, 1), version(4, 1)];
        let versions = folded(&snapshots, &found);
        let rows: Vec<_> = versions
            .iter()
            .map(|version| (version.snapshot.made, version.oldest, version.row.size, version.snapshots))
            .collect();
        assert_eq!(rows, [(Some(9), Some(9), 2, 1), (Some(8), Some(7), 1, 2), (Some(5), Some(4), 1, 2)]);
    }

    #[test]
    fn versions_of_different_backups_stay_apart() {
        let groups =
            by_backup(vec![snapshot(3, Some("b")), snapshot(2, None), snapshot(1, Some("a")), snapshot(0, Some("b"))]);
        let names: Vec<Vec<u8>> =
            groups.iter().map(|group| group.iter().flat_map(|snapshot| snapshot.name.clone()).collect()).collect();
        assert_eq!(names, [vec![2], vec![1], vec![3, 0]]);
    }
}
