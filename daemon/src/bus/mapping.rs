//! Maps the service's types to the API's words. Every match is complete, so that a new word of the service cannot be
//! forgotten here.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use butterdock_dbus::{
    self as contract, BackupRow, HistoryEntry, MountRow, SnapshotOrigin, SnapshotRow, StreamRow, SubvolumeRow,
};
use butterdock_service::jobs::{HistoryQuery, Record, StreamFile};
use butterdock_service::volumes::Subvolume;
use butterdock_service::{
    Attempt, BackupStatus, DestinationKind, DestinationState, DriveHealth, DriveProblem, DriveProblemParams,
    DriveProperties, DriveState, EnrolOptions, Error, ErrorCode, FileKind, FileRow, FileVersion, JobKind, JobResult,
    JobState, MadeBy, Maker, PlacedProblem, Problem, SnapshotOnDrive, SnapshotsOfMachine, TotalSource, Trigger,
    Warning,
};
use uuid::Uuid;

// The limits of the contract are those of the service.
const _: () = assert!(contract::SECRET_MAX == butterdock_service::SECRET_MAX);
const _: () = assert!(contract::SUBVOLUMES_MAX == butterdock_service::SUBVOLUMES_MAX);

/// A result of the service, for a caller on the bus.
pub(super) trait ForCaller<T> {
    /// The same, with the contract's error.
    fn for_caller(self) -> Result<T, contract::Error>;
}

impl<T> ForCaller<T> for Result<T, Error> {
    fn for_caller(self) -> Result<T, contract::Error> {
        self.map_err(|error| match error {
            Error::Named(code, text) => contract::Error::Named(error_name(code), text),
            Error::Drive(code, problem) => contract::Error::Named(error_name(code), problem.english),
            Error::InvalidArgs(text) => contract::Error::InvalidArgs(text),
        })
    }
}

pub(super) const fn error_name(code: ErrorCode) -> contract::ErrorName {
    match code {
        ErrorCode::Busy => contract::ErrorName::Busy,
        ErrorCode::NotFound => contract::ErrorName::NotFound,
        ErrorCode::Exists => contract::ErrorName::Exists,
        ErrorCode::NotAuthorized => contract::ErrorName::NotAuthorized,
        ErrorCode::NoSpace => contract::ErrorName::NoSpace,
        ErrorCode::ReadOnly => contract::ErrorName::ReadOnly,
        ErrorCode::InvalidStream => contract::ErrorName::InvalidStream,
        ErrorCode::TruncatedStream => contract::ErrorName::TruncatedStream,
        ErrorCode::UnsupportedStream => contract::ErrorName::UnsupportedStream,
        ErrorCode::ParentMissing => contract::ErrorName::ParentMissing,
        ErrorCode::TooSlow => contract::ErrorName::TooSlow,
        ErrorCode::WrongPassphrase => contract::ErrorName::WrongPassphrase,
        ErrorCode::DeviceGone => contract::ErrorName::DeviceGone,
        ErrorCode::Cancelled => contract::ErrorName::Cancelled,
        ErrorCode::NotAllowed => contract::ErrorName::NotAllowed,
        ErrorCode::StaleRevision => contract::ErrorName::StaleRevision,
        ErrorCode::Held => contract::ErrorName::Held,
        ErrorCode::Shared => contract::ErrorName::Shared,
        ErrorCode::Failed => contract::ErrorName::Failed,
    }
}

pub(super) const fn job_kind(kind: JobKind) -> contract::JobKind {
    match kind {
        JobKind::Receive => contract::JobKind::Receive,
        JobKind::Backup => contract::JobKind::Backup,
        JobKind::Restore => contract::JobKind::Restore,
        JobKind::Verify => contract::JobKind::Verify,
        JobKind::Remove => contract::JobKind::Remove,
        JobKind::Import => contract::JobKind::Import,
        JobKind::Read => contract::JobKind::Read,
        JobKind::RestoreFiles => contract::JobKind::RestoreFiles,
        JobKind::Delete => contract::JobKind::Delete,
    }
}

pub(super) const fn job_state(state: JobState) -> contract::JobState {
    match state {
        JobState::Queued => contract::JobState::Queued,
        JobState::Running => contract::JobState::Running,
        JobState::Flushing => contract::JobState::Flushing,
        JobState::Succeeded => contract::JobState::Succeeded,
        JobState::Failed => contract::JobState::Failed,
        JobState::Cancelled => contract::JobState::Cancelled,
    }
}

pub(super) const fn job_result(result: JobResult) -> contract::JobResult {
    match result {
        JobResult::Succeeded => contract::JobResult::Succeeded,
        JobResult::Failed => contract::JobResult::Failed,
        JobResult::Cancelled => contract::JobResult::Cancelled,
    }
}

pub(super) const fn total_source(source: TotalSource) -> contract::TotalSource {
    match source {
        TotalSource::Unknown => contract::TotalSource::Unknown,
        TotalSource::File => contract::TotalSource::File,
        TotalSource::Client => contract::TotalSource::Client,
        TotalSource::Estimate => contract::TotalSource::Estimate,
    }
}

pub(super) const fn trigger(trigger: Trigger) -> contract::Trigger {
    match trigger {
        Trigger::Plug => contract::Trigger::Plug,
        Trigger::Schedule => contract::Trigger::Schedule,
        Trigger::User(_) => contract::Trigger::User,
    }
}

pub(super) const fn drive_state(state: DriveState) -> contract::DriveState {
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

pub(super) fn drive(drive: DriveProperties) -> contract::DriveProperties {
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

pub(super) fn drive_health(health: DriveHealth) -> contract::DriveHealth {
    let DriveHealth { verified, verify_errors, device_errors } = health;
    contract::DriveHealth { verified, verify_errors, device_errors }
}

pub(super) const fn destination_kind(kind: DestinationKind) -> contract::DestinationKind {
    match kind {
        DestinationKind::Drive => contract::DestinationKind::Drive,
        DestinationKind::Volume => contract::DestinationKind::Volume,
    }
}

pub(super) const fn destination_state(state: DestinationState) -> contract::DestinationState {
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

pub(super) fn origin(origin: SnapshotsOfMachine) -> contract::SnapshotsOfMachine {
    let SnapshotsOfMachine { machine, snapshots, newest } = origin;
    let (word, machine) = match machine {
        Some(Maker::This) => (Some(SnapshotOrigin::ThisMachine), None),
        Some(Maker::Other(id)) => (Some(SnapshotOrigin::OtherMachine), Some(id)),
        None => (None, None),
    };
    let newest = Some(newest).filter(|newest| *newest != 0);
    contract::SnapshotsOfMachine { origin: word.map(|word| word.to_string()), machine, snapshots, newest }
}

/// `(uid_t) -1`, which no user has.
const NO_USER: u32 = u32::MAX;

pub(super) fn enrol_options(options: contract::EnrolOptions) -> EnrolOptions {
    let contract::EnrolOptions { format, whole_disk, size, serial, label, unmount, no_backup } = options;
    // Whose request it is, is known when it is allowed.
    EnrolOptions { format, whole_disk, size, serial, label, unmount, no_backup, keep_key: false, uid: NO_USER }
}

pub(super) fn backup_row(backup: BackupStatus) -> BackupRow {
    let BackupStatus {
        name,
        disabled,
        schedule,
        due,
        next_run,
        overdue,
        kind: _,
        drive,
        drive_label,
        drive_names,
        attached,
        last_good,
        problems,
        estimate,
        incremental,
        note,
        warnings,
        source_snapshots,
        left_out: _,
        source_held,
    } = backup;
    let warnings: Vec<contract::Warning> = warnings.into_iter().map(warning).collect();
    let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    let problem = Some(Problem::sentence(&problems)).filter(|sentence| !sentence.is_empty());
    let problems: Vec<contract::Problem> = problems.iter().map(self::problem).collect();
    let problems = Some(problems).filter(|problems| !problems.is_empty());
    BackupRow {
        name,
        enabled: disabled.then_some(false),
        schedule,
        due,
        next_run,
        overdue,
        drive,
        drive_label,
        drive_names,
        attached,
        last_good,
        problem,
        problems,
        estimate,
        incremental,
        note,
        warnings,
        source_snapshots,
        source_held,
    }
}

pub(super) fn problem(problem: &Problem) -> contract::Problem {
    let params = match problem.clone() {
        Problem::NotDone { backup, attempt } => {
            let Attempt { end: _, error, reason, time } = attempt;
            contract::ProblemParams {
                backup: Some(backup),
                error: Some(error_name(error).to_string()),
                reason: Some(reason),
                time: Some(time),
                ..contract::ProblemParams::default()
            }
        }
        Problem::SnapshotsReplaced { backups } => {
            contract::ProblemParams { backups: Some(backups), ..contract::ProblemParams::default() }
        }
        Problem::Damaged { blocks, files, snapshots, time } => contract::ProblemParams {
            blocks: Some(blocks),
            files: Some(files),
            snapshots: Some(snapshots),
            time: Some(time),
            ..contract::ProblemParams::default()
        },
        Problem::Drive(DriveProblem { code: _, params, english: _ }) => {
            let DriveProblemParams { label, device, devices, missing, count, formats, error, reason } = params;
            contract::ProblemParams {
                label,
                device,
                devices,
                missing,
                count,
                formats,
                error: error.map(|error| error_name(error).to_string()),
                reason,
                ..contract::ProblemParams::default()
            }
        }
        // No row has it: it is a warning of all rows.
        Problem::EnrolmentUnreadable { drives } => contract::ProblemParams {
            drives: Some(drives.iter().map(ToString::to_string).collect()),
            ..contract::ProblemParams::default()
        },
        Problem::RecordUnreadable { sentence }
        | Problem::RecordUnwritable { sentence }
        | Problem::SourceLowSpace { sentence }
        | Problem::WouldFail { sentence } => {
            contract::ProblemParams { reason: Some(sentence), ..contract::ProblemParams::default() }
        }
        Problem::Unsound(_) | Problem::NoDrive => contract::ProblemParams::default(),
    };
    contract::Problem { code: problem.code().to_owned(), params, english: problem.to_string() }
}

/// A problem of a backup. The sentence about one of its destinations begins with the label of that.
pub(super) fn placed_problem(placed: &PlacedProblem) -> contract::Problem {
    let PlacedProblem { destination, problem } = placed;
    let mut problem = self::problem(problem);
    if let Some((id, label)) = destination {
        problem.english = format!("the drive \"{}\": {}", label.escape_debug(), problem.english);
        problem.params.destination = Some(id.to_string());
        problem.params.label = Some(label.clone());
    }
    problem
}

fn warning(warning: Warning) -> contract::Warning {
    let Warning { code, english } = warning;
    contract::Warning { code: code.to_owned(), english }
}

pub(super) fn snapshot_row(snapshot: SnapshotOnDrive) -> SnapshotRow {
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

pub(super) fn file_row(row: FileRow) -> contract::FileRow {
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

pub(super) fn file_version_row(version: FileVersion) -> contract::FileVersionRow {
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

pub(super) fn mount_row(place: Option<PathBuf>) -> MountRow {
    MountRow { path: place.map(|place| place.into_os_string().into_vec()) }
}

pub(super) fn stream_row(file: StreamFile) -> StreamRow {
    let text = |uuid: [u8; 16]| Uuid::from_bytes(uuid).to_string();
    let StreamFile { name, size, subvolume, uuid, parent, problem } = file;
    let (uuid, parent_uuid) = (uuid.map(text).unwrap_or_default(), parent.map(text));
    StreamRow { name, size, subvolume, uuid, parent_uuid, problem }
}

pub(super) fn subvolume_row(found: Subvolume) -> SubvolumeRow {
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

pub(super) fn history_query(options: contract::ListHistoryOptions) -> HistoryQuery {
    let contract::ListHistoryOptions { before, limit, destination, backup } = options;
    let limit = usize::try_from(limit.unwrap_or(contract::HISTORY_PAGE)).unwrap_or(usize::MAX);
    HistoryQuery { before, limit, destination, backup }
}

pub(super) fn history_entry(record: Record) -> HistoryEntry {
    HistoryEntry {
        id: record.id.to_string(),
        kind: record.kind,
        volume: record.volume,
        // A volume is no drive.
        drive: record.drive.filter(|drive| record.destination.as_ref().is_none_or(|destination| destination == drive)),
        drive_label: record.drive_label,
        destination: record.destination,
        backup: record.backup,
        note: record.note,
        trigger: record.trigger,
        started_by_uid: record.started_by_uid,
        start_time: record.start_time,
        end_time: record.end_time,
        result: record.state.to_string(),
        bytes_received: record.bytes_received,
        bytes_durable: record.bytes_durable,
        encoded_writes: record.encoded_writes,
        fallback_writes: record.fallback_writes,
        error_name: record.error_name,
        error_message: record.error_message,
    }
}

#[cfg(test)]
mod tests {
    use butterdock_service::{AttemptEnd, Condition, DriveProblemCode};

    use super::*;

    const KINDS: [JobKind; 9] = [
        JobKind::Receive,
        JobKind::Backup,
        JobKind::Restore,
        JobKind::Verify,
        JobKind::Remove,
        JobKind::Import,
        JobKind::Read,
        JobKind::RestoreFiles,
        JobKind::Delete,
    ];
    const STATES: [JobState; 6] = [
        JobState::Queued,
        JobState::Running,
        JobState::Flushing,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Cancelled,
    ];

    #[test]
    fn history_and_hook_use_the_words_of_the_api() {
        for code in ErrorCode::ALL {
            assert_eq!(error_name(code).short(), code.word());
        }
        for why in [Trigger::Plug, Trigger::Schedule, Trigger::User(7)] {
            assert_eq!(trigger(why).as_str(), why.word());
        }
        for kind in KINDS {
            assert_eq!(job_kind(kind).as_str(), kind.word());
        }
        for state in STATES {
            assert_eq!(job_state(state).as_str(), state.word());
            assert_eq!(job_state(state).result(), state.result().map(job_result));
        }
    }

    fn not_done(end: AttemptEnd) -> Problem {
        let attempt = Attempt { end, error: ErrorCode::Failed, reason: "it failed".to_owned(), time: 1 };
        Problem::NotDone { backup: "home".to_owned(), attempt }
    }

    #[test]
    fn every_problem_is_in_the_table_of_the_contract() {
        let params = DriveProblemParams { label: Some("Blue".to_owned()), ..DriveProblemParams::default() };
        let sentence = "a sentence".to_owned();
        let drives = DriveProblemCode::ALL.iter().map(|&code| {
            Problem::Drive(DriveProblem { code, params: DriveProblemParams::default(), english: sentence.clone() })
        });
        let unsound = [Condition::ReadOnly, Condition::Unplugged, Condition::Unsaved].map(Problem::Unsound);
        let others = [
            not_done(AttemptEnd::Failed),
            not_done(AttemptEnd::NotBegun),
            not_done(AttemptEnd::Interrupted),
            Problem::SnapshotsReplaced { backups: vec!["home".to_owned()] },
            Problem::Damaged { blocks: 1, files: 2, snapshots: 3, time: 4 },
            Problem::RecordUnreadable { sentence: sentence.clone() },
            Problem::RecordUnwritable { sentence: sentence.clone() },
            Problem::NoDrive,
            Problem::EnrolmentUnreadable { drives: vec!["id".to_owned()] },
            Problem::SourceLowSpace { sentence: sentence.clone() },
            Problem::WouldFail { sentence: sentence.clone() },
        ];
        let mut codes = Vec::new();
        for given in drives.chain(unsound).chain(others) {
            let contract::Problem { code, params, english } = problem(&given);
            let row = contract::PROBLEMS.iter().find(|row| row.code == code).unwrap_or_else(|| panic!("no {code}"));
            let unlisted = params.names().into_iter().find(|name| row.params.iter().all(|(listed, _)| listed != name));
            assert_eq!((unlisted, english), (None, given.to_string()), "{code}");
            codes.push(code);
        }
        codes.sort();
        assert_eq!(codes, contract::PROBLEMS.iter().map(|row| row.code).collect::<Vec<_>>());

        let cloned = DriveProblem { code: DriveProblemCode::Cloned, params, english: sentence };
        assert_eq!(problem(&Problem::Drive(cloned)).params.label.as_deref(), Some("Blue"));
    }
}
