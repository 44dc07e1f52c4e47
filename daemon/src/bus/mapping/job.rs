//! Jobs and the history.

use butterdock_dbus::{self as contract, HistoryEntry};
use butterdock_service::jobs::{HistoryQuery, Record};
use butterdock_service::{JobKind, JobResult, JobState, TotalSource, Trigger};

pub(in crate::bus) const fn job_kind(kind: JobKind) -> contract::JobKind {
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

pub(in crate::bus) const fn job_state(state: JobState) -> contract::JobState {
    match state {
        JobState::Queued => contract::JobState::Queued,
        JobState::Running => contract::JobState::Running,
        JobState::Flushing => contract::JobState::Flushing,
        JobState::Succeeded => contract::JobState::Succeeded,
        JobState::Failed => contract::JobState::Failed,
        JobState::Cancelled => contract::JobState::Cancelled,
    }
}

pub(in crate::bus) const fn job_result(result: JobResult) -> contract::JobResult {
    match result {
        JobResult::Succeeded => contract::JobResult::Succeeded,
        JobResult::Failed => contract::JobResult::Failed,
        JobResult::Cancelled => contract::JobResult::Cancelled,
    }
}

pub(in crate::bus) const fn total_source(source: TotalSource) -> contract::TotalSource {
    match source {
        TotalSource::Unknown => contract::TotalSource::Unknown,
        TotalSource::File => contract::TotalSource::File,
        TotalSource::Client => contract::TotalSource::Client,
        TotalSource::Estimate => contract::TotalSource::Estimate,
    }
}

pub(in crate::bus) const fn trigger(trigger: Trigger) -> contract::Trigger {
    match trigger {
        Trigger::Plug => contract::Trigger::Plug,
        Trigger::Schedule => contract::Trigger::Schedule,
        Trigger::User(_) => contract::Trigger::User,
    }
}

pub(in crate::bus) fn history_query(options: contract::ListHistoryOptions) -> HistoryQuery {
    let contract::ListHistoryOptions { before, limit, destination, backup } = options;
    let limit = usize::try_from(limit.unwrap_or(contract::HISTORY_PAGE)).unwrap_or(usize::MAX);
    HistoryQuery { before, limit, destination, backup }
}

pub(in crate::bus) fn history_entry(record: Record) -> HistoryEntry {
    HistoryEntry {
        id: record.id.to_string(),
        kind: record.kind,
        volume: record.volume,
        // The history has the id of a volume here too, as the destination; on the bus only a drive is called drive.
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
