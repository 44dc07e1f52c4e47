//! Why files could not be listed, read or restored, for the caller.

use butterdock_worker::files::FileCause;

use crate::jobs::job::JobError;
use crate::types::{Error, ErrorCode};
use crate::worker::{WorkerError, public_of_files};

/// The error of a query about files.
pub(in crate::jobs) fn files_error(error: &WorkerError) -> Error {
    Error::new(code(error), public_of_files(error))
}

pub(super) fn failure(error: &WorkerError) -> JobError {
    JobError { message: error.message.clone(), ..JobError::plain(code(error), public_of_files(error)) }
}

/// The name of the error on the bus.
fn code(error: &WorkerError) -> ErrorCode {
    match error.file {
        Some(FileCause::NoSnapshot | FileCause::NotFound) => ErrorCode::NotFound,
        Some(FileCause::Denied | FileCause::SourceDenied | FileCause::TargetDenied | FileCause::Incomplete { .. }) => {
            ErrorCode::NotAuthorized
        }
        Some(
            FileCause::Outside
            | FileCause::NotAFile
            | FileCause::ReaderGone
            | FileCause::ReaderIdle
            | FileCause::Occupied
            | FileCause::OtherType
            | FileCause::TargetOutside
            | FileCause::TooDeep,
        )
        | None => crate::jobs::outcome::error_name(error.kind),
    }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::ErrorKind;

    use super::*;

    #[test]
    fn what_a_user_may_not_read_is_not_authorized() {
        let error = |file| WorkerError {
            kind: ErrorKind::Failed,
            message: "/home/secret".to_owned(),
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file,
            space: None,
        };
        for (cause, expected) in [
            (Some(FileCause::Denied), ErrorCode::NotAuthorized),
            (Some(FileCause::NotFound), ErrorCode::NotFound),
            (Some(FileCause::Outside), ErrorCode::Failed),
            (None, ErrorCode::Failed),
        ] {
            let Error::Named(code, text) = files_error(&error(cause)) else { panic!("named") };
            assert!(code == expected && !text.contains("secret"), "{cause:?}: {text}");
        }
    }
}
