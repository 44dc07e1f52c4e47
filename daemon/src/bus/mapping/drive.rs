//! Drives and destinations, the mounts of drives and the stream files on them.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use butterdock_dbus::{self as contract, MountRow, SnapshotOrigin, StreamRow};
use butterdock_service::jobs::StreamFile;
use butterdock_service::{
    DestinationKind, DestinationState, DriveHealth, DriveProperties, DriveState, EnrolOptions, Maker,
    SnapshotsOfMachine,
};
use uuid::Uuid;

use super::problem::problem;

pub(in crate::bus) const fn drive_state(state: DriveState) -> contract::DriveState {
    match state {
        DriveState::Present => contract::DriveState::Present,
        DriveState::Locked => contract::DriveState::Locked,
        DriveState::Unlocked => contract::DriveState::Unlocked,
        DriveState::Mounted => contract::DriveState::Mounted,
        DriveState::Busy => contract::DriveState::Busy,
        DriveState::Safe => contract::DriveState::Safe,
        DriveState::Away => contract::DriveState::Away,
    }
}

pub(in crate::bus) fn drive(drive: DriveProperties) -> contract::DriveProperties {
    let DriveProperties {
        label,
        names,
        model,
        serial,
        bus,
        device,
        disk,
        disk_size,
        devices,
        device_count,
        size,
        filesystem_type,
        filesystem_uuid,
        encrypted,
        state,
        mounted_by_others,
        problems,
        note,
        enrolled,
        last_seen,
        health,
    } = drive;
    let state = drive_state(state);
    contract::DriveProperties {
        label,
        names,
        model,
        serial,
        bus,
        device,
        disk,
        disk_size,
        devices,
        device_count,
        size,
        filesystem_type,
        filesystem_uuid,
        encrypted,
        state,
        mounted_by_others,
        problems: problems.iter().map(problem).collect(),
        note,
        enrolled,
        last_seen,
        health: drive_health(health),
    }
}

pub(in crate::bus) fn drive_health(health: DriveHealth) -> contract::DriveHealth {
    let DriveHealth { verified, verify_errors, device_errors, smart_failing } = health;
    contract::DriveHealth { verified, verify_errors, device_errors, smart_failing }
}

/// `(uid_t) -1`, which no user has.
const NO_USER: u32 = u32::MAX;

pub(in crate::bus) fn enrol_options(options: contract::EnrolOptions) -> EnrolOptions {
    let contract::EnrolOptions { format, whole_disk, size, serial, label, unmount, no_backup } = options;
    // Whose request it is, is known when it is allowed.
    EnrolOptions { format, whole_disk, size, serial, label, unmount, no_backup, keep_key: false, uid: NO_USER }
}

pub(in crate::bus) fn mount_row(place: Option<PathBuf>) -> MountRow {
    MountRow { path: place.map(|place| place.into_os_string().into_vec()) }
}

pub(in crate::bus) fn stream_row(file: StreamFile) -> StreamRow {
    let text = |uuid: [u8; 16]| Uuid::from_bytes(uuid).to_string();
    let StreamFile { name, size, subvolume, uuid, parent, problem } = file;
    let (uuid, parent_uuid) = (uuid.map(text).unwrap_or_default(), parent.map(text));
    StreamRow { name, size, subvolume, uuid, parent_uuid, problem }
}

pub(in crate::bus) const fn destination_kind(kind: DestinationKind) -> contract::DestinationKind {
    match kind {
        DestinationKind::Drive => contract::DestinationKind::Drive,
        DestinationKind::Volume => contract::DestinationKind::Volume,
    }
}

pub(in crate::bus) const fn destination_state(state: DestinationState) -> contract::DestinationState {
    match state {
        DestinationState::Present => contract::DestinationState::Present,
        DestinationState::Locked => contract::DestinationState::Locked,
        DestinationState::Unlocked => contract::DestinationState::Unlocked,
        DestinationState::Mounted => contract::DestinationState::Mounted,
        DestinationState::Busy => contract::DestinationState::Busy,
        DestinationState::Safe => contract::DestinationState::Safe,
        DestinationState::Away => contract::DestinationState::Away,
    }
}

pub(in crate::bus) fn origin(origin: SnapshotsOfMachine) -> contract::SnapshotsOfMachine {
    let SnapshotsOfMachine { machine, snapshots, newest } = origin;
    let (word, machine) = match machine {
        Some(Maker::This) => (Some(SnapshotOrigin::ThisMachine), None),
        Some(Maker::Other(id)) => (Some(SnapshotOrigin::OtherMachine), Some(id)),
        None => (None, None),
    };
    let newest = Some(newest).filter(|newest| *newest != 0);
    contract::SnapshotsOfMachine { origin: word.map(|word| word.to_string()), machine, snapshots, newest }
}
