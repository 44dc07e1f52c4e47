//! The objects of `--json`. The man page describes every key; a test compares the two.

use butterdock_dbus::{
    BackupRow, DriveHealth, FileRow, FileVersionRow, HistoryEntry, Problem, ProblemParams, SnapshotRow,
    SnapshotsOfMachine, StreamRow, SubvolumeRow, VolumeProperties, path,
};
use serde::Serialize;

use super::progress::JobError;
use crate::service::{Drive, Job};

/// A volume.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeObject<'a> {
    name: &'a str,
    mounted: bool,
    size: Option<u64>,
    free: Option<u64>,
}

impl<'a> VolumeObject<'a> {
    pub(crate) fn new(volume: &'a VolumeProperties) -> Self {
        let known = |bytes| volume.mounted.then_some(bytes);
        Self { name: &volume.name, mounted: volume.mounted, size: known(volume.size), free: known(volume.free) }
    }
}

/// A job; an unknown value is null.
#[derive(Debug, Serialize)]
pub(crate) struct JobObject {
    id: String,
    kind: String,
    volume: Option<String>,
    drive: Option<String>,
    drive_label: Option<String>,
    destination: Option<String>,
    backup: Option<String>,
    trigger: String,
    started_by_uid: u32,
    start_time: u64,
    state: String,
    progress: Option<f64>,
    bytes_received: u64,
    bytes_durable: u64,
    bytes_total: Option<u64>,
    total_source: String,
    rate: u64,
    expected_end_time: Option<u64>,
    encoded_writes: u64,
    fallback_writes: u64,
    incremental: bool,
    note: Option<String>,
    cancelable: bool,
    error_name: Option<String>,
    error_message: Option<String>,
}

impl JobObject {
    pub(crate) fn new(job: &Job) -> Self {
        let now = &job.now;
        let text = |text: &str| non_empty(text).map(str::to_owned);
        Self {
            id: job.id.to_string(),
            kind: now.kind.to_string(),
            volume: job.volume(),
            drive: job.drive(),
            drive_label: text(&now.drive_label),
            destination: path::drive_id(&now.destination),
            backup: text(&now.backup_name),
            trigger: now.trigger.to_string(),
            started_by_uid: now.started_by_uid,
            start_time: now.start_time,
            state: now.state.to_string(),
            progress: now.progress_valid.then_some(now.progress),
            bytes_received: now.bytes_received,
            bytes_durable: now.bytes_durable,
            bytes_total: non_zero(now.bytes_total),
            total_source: now.total_source.to_string(),
            rate: now.rate,
            expected_end_time: non_zero(now.expected_end_time),
            encoded_writes: now.encoded_writes,
            fallback_writes: now.fallback_writes,
            incremental: now.incremental,
            note: text(&now.note),
            cancelable: now.cancelable,
            error_name: text(&now.error_name),
            error_message: text(&now.error_message),
        }
    }
}

/// A line of `--json` while watching.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum WatchEvent {
    /// The job is watched from now on.
    Started { job: JobObject },
    /// Properties of the job changed.
    Progress { job: JobObject },
    /// The job ended.
    Ended(Box<EndedJob>),
    /// The job continues; this program no longer watches it.
    Detached { job: JobObject },
}

/// The end of a job.
#[derive(Debug, Serialize)]
pub(crate) struct EndedJob {
    pub(crate) job: JobObject,
    pub(crate) result: String,
    pub(crate) error: Option<JobError>,
}

/// A job of the history.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryObject<'a> {
    id: &'a str,
    kind: &'a str,
    volume: Option<&'a str>,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    destination: Option<&'a str>,
    backup: Option<&'a str>,
    trigger: Option<&'a str>,
    started_by_uid: u32,
    start_time: u64,
    end_time: u64,
    result: &'a str,
    bytes_received: u64,
    bytes_durable: u64,
    encoded_writes: u64,
    fallback_writes: u64,
    note: Option<&'a str>,
    error_name: Option<&'a str>,
    error_message: Option<&'a str>,
}

impl<'a> HistoryObject<'a> {
    pub(crate) fn new(entry: &'a HistoryEntry) -> Self {
        Self {
            id: &entry.id,
            kind: &entry.kind,
            volume: non_empty(&entry.volume),
            drive: entry.drive.as_deref(),
            drive_label: entry.drive_label.as_deref(),
            destination: entry.destination.as_deref(),
            backup: entry.backup.as_deref(),
            trigger: entry.trigger.as_deref(),
            started_by_uid: entry.started_by_uid,
            start_time: entry.start_time,
            end_time: entry.end_time,
            result: &entry.result,
            bytes_received: entry.bytes_received,
            bytes_durable: entry.bytes_durable,
            encoded_writes: entry.encoded_writes,
            fallback_writes: entry.fallback_writes,
            note: entry.note.as_deref(),
            error_name: entry.error_name.as_deref(),
            error_message: entry.error_message.as_deref(),
        }
    }
}

/// A subvolume.
#[derive(Debug, Serialize)]
pub(crate) struct SubvolumeObject<'a> {
    name: String,
    name_hex: String,
    id: u64,
    uuid: &'a str,
    received_uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    read_only: bool,
    created: Option<u64>,
}

impl<'a> SubvolumeObject<'a> {
    pub(crate) fn new(row: &'a SubvolumeRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            id: row.id,
            uuid: &row.uuid,
            received_uuid: row.received_uuid.as_deref(),
            parent_uuid: row.parent_uuid.as_deref(),
            read_only: row.read_only,
            created: row.created,
        }
    }
}

/// The result of a verb on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct DriveResult<'a> {
    pub(crate) id: &'a str,
    pub(crate) result: &'static str,
}

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
}

impl HealthObject {
    fn new(health: &DriveHealth) -> Self {
        let DriveHealth { verified, verify_errors, device_errors } = *health;
        Self { verified, verify_errors, device_errors }
    }
}

/// Whose snapshots are on a destination.
#[derive(Debug, Serialize)]
struct OriginObject<'a> {
    origin: Option<&'a str>,
    machine: Option<&'a str>,
    snapshots: u64,
    newest: Option<u64>,
}

impl<'a> OriginObject<'a> {
    fn new(of: &'a SnapshotsOfMachine) -> Self {
        let SnapshotsOfMachine { origin, machine, snapshots, newest } = of;
        Self { origin: origin.as_deref(), machine: machine.as_deref(), snapshots: *snapshots, newest: *newest }
    }
}

/// A backup and one of its drives.
#[derive(Debug, Serialize)]
pub(crate) struct BackupObject<'a> {
    name: &'a str,
    enabled: bool,
    schedule: &'a [String],
    due: bool,
    next_run: Option<u64>,
    overdue: bool,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    drive_names: Option<&'a [String]>,
    attached: Option<bool>,
    last_good: Option<u64>,
    problem: Option<&'a str>,
    problems: Vec<ProblemObject<'a>>,
    estimate: Option<u64>,
    incremental: Option<bool>,
    note: Option<&'a str>,
    warnings: Vec<WarningObject<'a>>,
    source_snapshots: Option<u64>,
    source_held: Option<u64>,
}

/// What is wrong with a backup, a destination or a drive.
#[derive(Debug, Serialize)]
struct ProblemObject<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    formats: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drives: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<u64>,
    message: &'a str,
}

impl<'a> ProblemObject<'a> {
    fn new(problem: &'a Problem) -> Self {
        let ProblemParams {
            destination,
            label,
            device,
            devices,
            missing,
            count,
            formats,
            drives,
            backup,
            backups,
            error,
            reason,
            time,
            blocks,
            files,
            snapshots,
        } = &problem.params;
        Self {
            code: &problem.code,
            destination: destination.as_deref(),
            label: label.as_deref(),
            device: device.as_deref(),
            devices: devices.as_deref(),
            missing: *missing,
            count: *count,
            formats: formats.as_deref(),
            drives: drives.as_deref(),
            backup: backup.as_deref(),
            backups: backups.as_deref(),
            error: error.as_deref(),
            reason: reason.as_deref(),
            time: *time,
            blocks: *blocks,
            files: *files,
            snapshots: *snapshots,
            message: &problem.english,
        }
    }
}

/// A warning about a backup.
#[derive(Debug, Serialize)]
struct WarningObject<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> BackupObject<'a> {
    pub(crate) fn new(row: &'a BackupRow) -> Self {
        Self {
            name: &row.name,
            enabled: row.enabled != Some(false),
            schedule: &row.schedule,
            due: row.due,
            next_run: row.next_run,
            overdue: row.overdue,
            drive: row.drive.as_deref(),
            drive_label: row.drive_label.as_deref(),
            drive_names: row.drive_names.as_deref(),
            attached: row.attached,
            last_good: row.last_good.and_then(non_zero),
            problem: row.problem.as_deref(),
            problems: row.problems.iter().flatten().map(ProblemObject::new).collect(),
            estimate: row.estimate,
            incremental: row.incremental,
            note: row.note.as_deref(),
            warnings: row
                .warnings
                .iter()
                .flatten()
                .map(|warning| WarningObject { code: &warning.code, message: &warning.english })
                .collect(),
            source_snapshots: row.source_snapshots,
            source_held: row.source_held,
        }
    }
}

/// A snapshot on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotObject<'a> {
    name: String,
    name_hex: String,
    uuid: &'a str,
    backup: Option<&'a str>,
    origin: Option<&'a str>,
    machine: Option<&'a str>,
    created: Option<u64>,
    received_uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    pinned: Option<bool>,
    left_over: Option<bool>,
    held: Option<bool>,
    held_reason: Option<&'a str>,
    held_since: Option<u64>,
    path: Option<String>,
    nested_path: Option<String>,
    run: Option<&'a str>,
}

impl<'a> SnapshotObject<'a> {
    pub(crate) fn new(row: &'a SnapshotRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            uuid: &row.uuid,
            backup: row.backup.as_deref(),
            origin: row.origin.as_deref(),
            machine: row.machine.as_deref(),
            created: row.created,
            received_uuid: row.received_uuid.as_deref(),
            parent_uuid: row.parent_uuid.as_deref(),
            pinned: row.pinned,
            left_over: row.left_over,
            held: row.held,
            held_reason: row.held_reason.as_deref(),
            held_since: row.held_since,
            path: row.path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned()),
            nested_path: row.nested_path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned()),
            run: row.run.as_deref(),
        }
    }
}

/// A file in a snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct FileObject<'a> {
    name: String,
    name_hex: String,
    r#type: &'a str,
    size: u64,
    modified: i64,
    mode: u32,
    uid: u32,
    gid: u32,
    target: Option<String>,
    target_hex: Option<String>,
}

impl<'a> FileObject<'a> {
    pub(crate) fn new(row: &'a FileRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            r#type: &row.kind,
            size: row.size,
            modified: row.modified,
            mode: row.mode,
            uid: row.uid,
            gid: row.gid,
            target: row.target.as_deref().map(|target| String::from_utf8_lossy(target).into_owned()),
            target_hex: row.target.as_deref().map(hex),
        }
    }
}

/// A version of a file.
#[derive(Debug, Serialize)]
pub(crate) struct FileVersionObject<'a> {
    snapshot: &'a str,
    snapshot_name: String,
    backup: Option<&'a str>,
    machine: Option<&'a str>,
    created: Option<u64>,
    oldest: Option<u64>,
    snapshots: u64,
    r#type: &'a str,
    size: u64,
    modified: i64,
}

impl<'a> FileVersionObject<'a> {
    pub(crate) fn new(row: &'a FileVersionRow) -> Self {
        Self {
            snapshot: &row.snapshot,
            snapshot_name: String::from_utf8_lossy(&row.snapshot_name).into_owned(),
            backup: row.backup.as_deref(),
            machine: row.machine.as_deref(),
            created: row.created,
            oldest: row.oldest,
            snapshots: row.snapshots,
            r#type: &row.kind,
            size: row.size,
            modified: row.modified,
        }
    }
}

/// A stream file on a drive.
#[derive(Debug, Serialize)]
pub(crate) struct StreamObject<'a> {
    name: String,
    name_hex: String,
    size: u64,
    subvolume: String,
    uuid: Option<&'a str>,
    parent_uuid: Option<&'a str>,
    problem: Option<&'a str>,
}

impl<'a> StreamObject<'a> {
    pub(crate) fn new(row: &'a StreamRow) -> Self {
        Self {
            name: String::from_utf8_lossy(&row.name).into_owned(),
            name_hex: hex(&row.name),
            size: row.size,
            subvolume: String::from_utf8_lossy(&row.subvolume).into_owned(),
            uuid: non_empty(&row.uuid),
            parent_uuid: row.parent_uuid.as_deref(),
            problem: row.problem.as_deref(),
        }
    }
}

/// The bytes of a name, which may not be UTF-8.
fn hex(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn non_zero(count: u64) -> Option<u64> {
    (count != 0).then_some(count)
}
