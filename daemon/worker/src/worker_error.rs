//! Why a job failed: the error that a worker reports, and the sentence about it that all users may see.
//!
//! A worker reports a kind, numbers, and a message with names. The service trusts only the kind and the numbers, and makes the
//! public sentence from them: a worker that a stream has taken over can lie, but it cannot publish a name.

use std::fmt::Display;

use butterdock_receive::{Error, ErrorKind, Failure, SpaceCause};
use serde::{Deserialize, Serialize};

use super::descriptors::DescriptorError;
use super::packet::MAX_MESSAGE;
use crate::backups::{BackupCause, BackupError};
use crate::files::{FileCause, FileError};
use crate::streams::{FailedFiles, ImportError};
use crate::verify;

/// The error of a job. All users see only the service's own sentence about it ([`public_sentence`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// The kind of the error.
    #[serde(with = "KindName")]
    pub kind: ErrorKind,
    /// The complete message. It contains names of files, so not all users may see it.
    pub message: String,
    /// The number of the stream's command that failed.
    pub command: Option<u64>,
    /// The byte offset of that command in the input.
    pub byte: Option<u64>,
    /// A hidden subvolume could not be deleted.
    #[serde(default)]
    pub hidden: bool,
    /// A subvolume has its name, but the filesystem did not confirm that it is on the device.
    #[serde(default)]
    pub unconfirmed: bool,
    /// The cause of a failed backup, if the service acts on it.
    #[serde(default)]
    pub cause: Option<BackupCause>,
    /// How many files of an import were not received.
    #[serde(default)]
    pub files: Option<FailedFiles>,
    /// Why files in a snapshot could not be listed, read or restored.
    #[serde(default)]
    pub file: Option<FileCause>,
    /// Why the destination refused to write for lack of space.
    #[serde(default)]
    pub space: Option<SpaceCause>,
}

/// [`ErrorKind`] for serde, with the names of the errors on the bus.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorKind")]
enum KindName {
    InvalidStream,
    TruncatedStream,
    UnsupportedStream,
    ParentMissing,
    NoSpace,
    ReadOnly,
    Exists,
    Busy,
    DeviceGone,
    Cancelled,
    Failed,
}

impl WorkerError {
    /// A failed receive.
    pub(crate) fn of_run(failure: &Failure) -> Self {
        Self { hidden: failure.left_hidden, ..Self::of(&failure.error, failure) }
    }

    /// An error outside of a receive.
    pub(crate) fn of_error(error: &Error) -> Self {
        Self::of(error, error)
    }

    /// A failed backup or restore.
    pub(crate) fn of_backup(error: &BackupError) -> Self {
        match error {
            BackupError::Receive(failure) => {
                Self { cause: failure.error.space_cause().map(BackupCause::Destination), ..Self::of_run(failure) }
            }
            BackupError::Other(error) => {
                Self { kind: error.kind, cause: error.cause, ..Self::of_sentence(&error.sentence) }
            }
        }
    }

    /// A failed import.
    pub(crate) fn of_import(error: &ImportError) -> Self {
        let (failed, counts) = match error {
            ImportError::Files { failed, counts } => (failed.as_slice(), Some(*counts)),
            ImportError::Nothing(_) | ImportError::Volume(_) | ImportError::Cancelled => (&[][..], None),
        };
        let failures = || failed.iter().filter_map(|file| file.why.failure());
        // The place of one failure among several would mislead.
        let single = if failed.len() == 1 { failures().next() } else { None };
        let (command, byte) = single.and_then(|one| one.error.place).map(|place| (place.command, place.at)).unzip();
        Self {
            kind: error.kind(),
            command,
            byte,
            hidden: failures().any(|failure| failure.left_hidden),
            unconfirmed: failures().any(|failure| failure.error.is_unconfirmed()),
            files: counts,
            space: single.and_then(|one| one.error.space_cause()),
            ..Self::of_sentence(&short(error))
        }
    }

    /// A failed verification.
    pub(crate) fn of_verify(error: &verify::VerifyError) -> Self {
        Self { kind: error.kind(), ..Self::of_sentence(&error.to_string()) }
    }

    /// Files that could not be listed, read or restored.
    pub(crate) fn of_files(error: &FileError) -> Self {
        Self { kind: error.kind, file: error.cause, ..Self::of_sentence(&short(&error.message)) }
    }

    /// A sentence without names.
    pub(crate) fn of_sentence(sentence: &str) -> Self {
        let message = sentence.to_owned();
        Self {
            kind: ErrorKind::Failed,
            message,
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file: None,
            space: None,
        }
    }

    fn of(error: &Error, message: impl Display) -> Self {
        let (command, byte) = error.place.map(|place| (place.command, place.at)).unzip();
        let (unconfirmed, space) = (error.is_unconfirmed(), error.space_cause());
        Self { kind: error.kind(), command, byte, unconfirmed, space, ..Self::of_sentence(&short(message)) }
    }
}

/// Descriptors that cannot be used.
impl From<DescriptorError> for Box<WorkerError> {
    fn from(error: DescriptorError) -> Self {
        Self::new(WorkerError::of_sentence(error.0))
    }
}

/// Shortens a text so that it fits a packet. JSON escapes a byte with up to six bytes.
pub(crate) fn short(text: impl Display) -> String {
    const MOST: usize = MAX_MESSAGE / 16;
    let mut text = text.to_string();
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{Cause, Counts};
    use butterdock_stream::Position;

    use super::*;

    const MARKER: &str = "secret";

    fn error(cause: Cause, place: Option<Position>) -> Error {
        Error { place, name: Some(MARKER.into()), cause }
    }

    #[test]
    fn names_are_only_in_the_message() {
        let exists = Cause::Exists(MARKER.into());
        let error = WorkerError::of_error(&error(exists, Some(Position { command: 7, at: 99 })));
        assert!(error.message.contains(MARKER), "{}", error.message);
        assert_eq!((error.kind, error.command, error.byte), (ErrorKind::Exists, Some(7), Some(99)));
    }

    #[test]
    fn the_message_names_published_subvolumes() {
        let published = butterdock_receive::Published {
            name: MARKER.into(),
            kind: butterdock_receive::Kind::Full,
            id: 256,
            received_uuid: butterdock_stream::Uuid([1; 16]),
            state: butterdock_receive::SubvolumeState::default(),
            nested: Vec::new(),
            parent_number_differs: false,
            end: 5,
        };
        let error = Error { place: None, name: None, cause: Cause::Cancelled };
        let error = WorkerError::of_run(&Failure {
            error,
            published: vec![published],
            left_hidden: true,
            counts: Counts::default(),
        });
        assert!(error.message.contains(MARKER), "{}", error.message);
        assert_eq!((error.kind, error.hidden), (ErrorKind::Cancelled, true));
    }

    #[test]
    fn the_longest_message_fits_a_packet_when_escaped() {
        let error = WorkerError { message: short("\u{1}".repeat(MAX_MESSAGE)), ..WorkerError::of_sentence("") };
        let line = serde_json::to_string(&error).expect("written");
        assert!(line.len() < MAX_MESSAGE, "{}", line.len());
        assert_eq!(short("é".repeat(MAX_MESSAGE)).chars().last(), Some('…'));
    }
}
