//! Destinations.

use butterdock_dbus::{self as contract, SnapshotOrigin};
use butterdock_service::{DestinationKind, DestinationState, Maker, SnapshotsOfMachine};

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
