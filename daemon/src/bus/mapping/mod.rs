//! Maps the service's types to the API's words. Every match is complete, so that a new word of the service cannot be
//! forgotten here.

mod backup;
mod drive;
mod job;
mod problem;
mod snapshot;

use butterdock_dbus as contract;
use butterdock_service::{Error, ErrorCode};

pub(super) use backup::backup_row;
pub(super) use drive::{destination_kind, destination_state, origin};
pub(super) use drive::{drive, drive_health, drive_state, enrol_options, mount_row, stream_row};
pub(super) use job::{history_entry, history_query, job_kind, job_result, job_state, total_source, trigger};
pub(super) use problem::{placed_problem, problem};
pub(super) use snapshot::{file_row, file_version_row, snapshot_row, subvolume_row};

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

#[cfg(test)]
mod tests {
    use butterdock_service::{JobKind, JobState, Trigger};

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
}
