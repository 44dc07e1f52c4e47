//! The objects of destinations.

use butterdock_dbus::{Problem, SnapshotsOfMachine};
use serde::Serialize;

use super::problem::ProblemObject;
use super::{non_empty, non_zero};
use crate::service::Destination;

/// A destination that is no drive; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct DestinationObject<'a> {
    id: &'a str,
    name: Option<&'a str>,
    kind: &'a str,
    state: &'a str,
    size: Option<u64>,
    free: Option<u64>,
    problem: Option<String>,
    problems: Vec<ProblemObject<'a>>,
    last_backup: Option<u64>,
    last_verify: Option<u64>,
    next_verify: Option<u64>,
    next_run: Option<u64>,
    overdue: bool,
    backups: &'a [String],
    origins: Vec<OriginObject<'a>>,
}

impl<'a> DestinationObject<'a> {
    pub(crate) fn new(destination: &'a Destination) -> Self {
        let now = &destination.now;
        Self {
            id: &destination.id,
            name: non_empty(&now.name),
            kind: now.kind.as_str(),
            state: now.state.as_str(),
            size: non_zero(now.size),
            free: non_zero(now.free),
            problem: (!now.problems.is_empty()).then(|| Problem::sentence(&now.problems)),
            problems: now.problems.iter().map(ProblemObject::new).collect(),
            last_backup: non_zero(now.last_backup),
            last_verify: non_zero(now.last_verify),
            next_verify: non_zero(now.next_verify),
            next_run: non_zero(now.next_run),
            overdue: now.overdue,
            backups: &now.backups,
            origins: now.origins.iter().map(OriginObject::new).collect(),
        }
    }
}

/// Whose snapshots are on a destination.
#[derive(Debug, Serialize)]
pub(super) struct OriginObject<'a> {
    origin: Option<&'a str>,
    machine: Option<&'a str>,
    snapshots: u64,
    newest: Option<u64>,
}

impl<'a> OriginObject<'a> {
    pub(super) fn new(of: &'a SnapshotsOfMachine) -> Self {
        let SnapshotsOfMachine { origin, machine, snapshots, newest } = of;
        Self { origin: origin.as_deref(), machine: machine.as_deref(), snapshots: *snapshots, newest: *newest }
    }
}
