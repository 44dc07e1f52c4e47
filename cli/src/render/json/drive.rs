//! The objects of drives.

use butterdock_dbus::{DriveHealth, Problem};
use serde::Serialize;

use super::destination::OriginObject;
use super::problem::ProblemObject;
use super::{non_empty, non_zero};
use crate::service::Drive;

/// A drive; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct DriveObject<'a> {
    id: &'a str,
    label: Option<&'a str>,
    names: &'a [String],
    model: Option<&'a str>,
    serial: Option<&'a str>,
    bus: Option<&'a str>,
    device: Option<&'a str>,
    disk: Option<&'a str>,
    disk_size: Option<u64>,
    devices: &'a [String],
    device_count: u64,
    size: u64,
    free: Option<u64>,
    filesystem_type: Option<&'a str>,
    filesystem_uuid: Option<&'a str>,
    encrypted: bool,
    state: &'a str,
    mounted_by_others: bool,
    mount_points: Vec<String>,
    problem: Option<String>,
    problems: Vec<ProblemObject<'a>>,
    note: Option<&'a str>,
    enrolled: bool,
    last_seen: Option<u64>,
    health: HealthObject,
    last_backup: Option<u64>,
    next_run: Option<u64>,
    next_verify: Option<u64>,
    overdue: bool,
    backups: &'a [String],
    origins: Vec<OriginObject<'a>>,
}

impl<'a> DriveObject<'a> {
    pub(crate) fn new(drive: &'a Drive) -> Self {
        let (now, destination) = (&drive.now, drive.destination.as_ref());
        let problems = drive.problems();
        Self {
            id: &drive.id,
            label: non_empty(&now.label),
            names: &now.names,
            model: non_empty(&now.model),
            serial: non_empty(&now.serial),
            bus: non_empty(&now.bus),
            device: non_empty(&now.device),
            disk: non_empty(&now.disk),
            disk_size: non_zero(now.disk_size),
            devices: &now.devices,
            device_count: now.device_count,
            size: now.size,
            free: destination.and_then(|destination| non_zero(destination.free)),
            filesystem_type: non_empty(&now.filesystem_type),
            filesystem_uuid: non_empty(&now.filesystem_uuid),
            encrypted: now.encrypted,
            state: now.state.as_str(),
            mounted_by_others: now.mounted_by_others,
            mount_points: drive.mount_points.iter().map(|at| String::from_utf8_lossy(at).into_owned()).collect(),
            problem: (!problems.is_empty()).then(|| Problem::sentence(problems)),
            problems: problems.iter().map(ProblemObject::new).collect(),
            note: non_empty(&now.note),
            enrolled: now.enrolled,
            last_seen: non_zero(now.last_seen),
            health: HealthObject::new(&now.health),
            last_backup: destination.and_then(|destination| non_zero(destination.last_backup)),
            next_run: destination.and_then(|destination| non_zero(destination.next_run)),
            next_verify: destination.and_then(|destination| non_zero(destination.next_verify)),
            overdue: destination.is_some_and(|destination| destination.overdue),
            backups: destination.map(|destination| destination.backups.as_slice()).unwrap_or_default(),
            origins: destination.into_iter().flat_map(|known| &known.origins).map(OriginObject::new).collect(),
        }
    }
}

/// The health of a drive.
#[derive(Debug, Serialize)]
struct HealthObject {
    verified: Option<u64>,
    verify_errors: Option<u64>,
    device_errors: Option<u64>,
    smart_failing: Option<bool>,
}

impl HealthObject {
    fn new(health: &DriveHealth) -> Self {
        let DriveHealth { verified, verify_errors, device_errors, smart_failing } = *health;
        Self { verified, verify_errors, device_errors, smart_failing }
    }
}

/// The result of a verb on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct DriveResult<'a> {
    pub(crate) id: &'a str,
    pub(crate) result: &'static str,
}
