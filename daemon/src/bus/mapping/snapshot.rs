//! Subvolumes, snapshots and the files in them.

use butterdock_dbus::{self as contract, SnapshotOrigin, SnapshotRow, SubvolumeRow};
use butterdock_service::volumes::Subvolume;
use butterdock_service::{FileKind, FileRow, FileVersion, MadeBy, SnapshotOnDrive};
use uuid::Uuid;

pub(in crate::bus) fn snapshot_row(snapshot: SnapshotOnDrive) -> SnapshotRow {
    let text = |uuid: [u8; 16]| Uuid::from_bytes(uuid).to_string();
    let (origin, machine) = match snapshot.from {
        MadeBy::ThisMachine => (Some(SnapshotOrigin::ThisMachine), None),
        MadeBy::OtherMachine(id) => (Some(SnapshotOrigin::OtherMachine), Some(text(id.0))),
        MadeBy::Unknown => (None, None),
    };
    SnapshotRow {
        name: snapshot.name,
        uuid: text(snapshot.uuid.0),
        created: snapshot.made.and_then(micros),
        backup: snapshot.backup,
        origin: origin.map(|origin| origin.to_string()),
        machine,
        received_uuid: snapshot.received_uuid.map(|uuid| text(uuid.0)),
        parent_uuid: snapshot.parent_uuid.map(|uuid| text(uuid.0)),
        pinned: Some(snapshot.pinned),
        left_over: Some(snapshot.left_over),
        held: Some(snapshot.held.is_some()),
        held_since: snapshot.held.as_ref().map(|hold| hold.since).filter(|since| *since > 0).and_then(micros),
        held_reason: snapshot.held.map(|hold| hold.reason),
        path: Some(snapshot.path),
        run: snapshot.nested.as_ref().and_then(|nested| nested.run).map(|uuid| text(uuid.0)),
        nested_path: snapshot.nested.map(|nested| nested.path),
    }
}

pub(in crate::bus) fn file_row(row: FileRow) -> contract::FileRow {
    let FileRow { name, kind, size, modified, mode, uid, gid, target } = row;
    contract::FileRow { name, kind: file_kind(kind).as_str().to_owned(), size, modified, mode, uid, gid, target }
}

const fn file_kind(kind: FileKind) -> contract::FileKind {
    match kind {
        FileKind::File => contract::FileKind::File,
        FileKind::Directory => contract::FileKind::Directory,
        FileKind::Symlink => contract::FileKind::Symlink,
        FileKind::Fifo => contract::FileKind::Fifo,
        FileKind::Socket => contract::FileKind::Socket,
        FileKind::BlockDevice => contract::FileKind::BlockDevice,
        FileKind::CharacterDevice => contract::FileKind::CharacterDevice,
    }
}

pub(in crate::bus) fn file_version_row(version: FileVersion) -> contract::FileVersionRow {
    let FileVersion { snapshot, row, oldest, snapshots } = version;
    let oldest =
        oldest.and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| seconds.saturating_mul(1_000_000));
    let SnapshotRow { name, uuid, backup, machine, created, .. } = snapshot_row(snapshot);
    let contract::FileRow { kind, size, modified, .. } = file_row(row);
    contract::FileVersionRow {
        snapshot: uuid,
        snapshot_name: name,
        backup,
        machine,
        created,
        oldest,
        snapshots,
        kind,
        size,
        modified,
    }
}

/// Seconds since 1970 as microseconds.
fn micros(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok()?.checked_mul(1_000_000)
}

pub(in crate::bus) fn subvolume_row(found: Subvolume) -> SubvolumeRow {
    let known = |uuid: [u8; 16]| (uuid != [0; 16]).then(|| Uuid::from_bytes(uuid).to_string());
    SubvolumeRow {
        name: found.name,
        id: found.id,
        uuid: Uuid::from_bytes(found.uuid).to_string(),
        received_uuid: known(found.received_uuid),
        parent_uuid: known(found.parent_uuid),
        read_only: found.read_only,
        created: found.created,
    }
}
