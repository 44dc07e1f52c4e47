//! Failures, as they are reported to the daemon. All users may see the kind and the numbers; the daemon words the sentence
//! that they see itself, because it trusts no worker's ([`super::sentence`]).

use std::fmt::Display;

use butterdock_receive::{Error, ErrorKind, Failure};

use super::descriptors::Unfit;
use super::packet::MAX_MESSAGE;
use super::protocol::WorkerError;
use crate::backups::BackupError;
use crate::{streams, verify};

/// A run that failed.
pub(crate) fn of_run(failure: &Failure) -> WorkerError {
    WorkerError { hidden: failure.left_hidden, ..of(&failure.error, failure) }
}

/// An error outside a run.
pub(crate) fn of_error(error: &Error) -> WorkerError {
    of(error, error)
}

/// A backup that failed.
pub(crate) fn of_backup(error: &BackupError) -> WorkerError {
    match error {
        BackupError::Receive(failure) => of_run(failure),
        BackupError::Said(said) => WorkerError { kind: said.kind, cause: said.cause, ..of_sentence(&said.sentence) },
    }
}

/// Stream files that were not all received.
pub(crate) fn of_import(error: &streams::ImportError) -> WorkerError {
    let failure = if let streams::ImportError::Receive { failure, .. } = error { Some(failure) } else { None };
    let place = failure.and_then(|failure| failure.error.place);
    let hidden = failure.is_some_and(|failure| failure.left_hidden);
    let (command, byte) = place.map(|place| (place.command, place.at)).unzip();
    let unconfirmed = failure.is_some_and(|failure| failure.error.is_unconfirmed());
    WorkerError { kind: error.kind(), message: short(error), command, byte, hidden, unconfirmed, cause: None }
}

/// A drive that was not read to its end.
pub(crate) fn of_verify(error: &verify::VerifyError) -> WorkerError {
    WorkerError { kind: error.kind(), ..of_sentence(&error.to_string()) }
}

/// An order that cannot be carried out with what came with it.
pub(crate) fn of_descriptors(unfit: Unfit) -> WorkerError {
    of_sentence(unfit.0)
}

/// Something that hinders the worker and holds no name.
pub(crate) fn of_sentence(sentence: &str) -> WorkerError {
    let message = sentence.to_owned();
    WorkerError {
        kind: ErrorKind::Failed,
        message,
        command: None,
        byte: None,
        hidden: false,
        unconfirmed: false,
        cause: None,
    }
}

/// Text for a report, shortened so that it fits a message however JSON escapes it: up to six bytes for one.
pub(crate) fn short(text: impl Display) -> String {
    const MOST: usize = MAX_MESSAGE / 8;
    let mut text = text.to_string();
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

fn of(error: &Error, whole: impl Display) -> WorkerError {
    let (command, byte) = error.place.map(|place| (place.command, place.at)).unzip();
    let unconfirmed = error.is_unconfirmed();
    WorkerError { kind: error.kind(), message: short(whole), command, byte, hidden: false, unconfirmed, cause: None }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{Cause, Counts};
    use butterdock_stream::Place;

    use super::*;

    const MARKER: &str = "secret";

    fn error(cause: Cause, place: Option<Place>) -> Error {
        Error { place, name: Some(MARKER.into()), cause }
    }

    #[test]
    fn names_are_only_in_the_message() {
        let missing = Cause::Exists(MARKER.into());
        let told = of_error(&error(missing, Some(Place { command: 7, at: 99 })));
        assert!(told.message.contains(MARKER), "{}", told.message);
        assert_eq!((told.kind, told.command, told.byte), (ErrorKind::Exists, Some(7), Some(99)));
    }

    #[test]
    fn what_was_kept_is_in_the_message() {
        let published = butterdock_receive::Published {
            name: MARKER.into(),
            kind: butterdock_receive::Kind::Full,
            id: 256,
            received_uuid: butterdock_stream::Uuid([1; 16]),
            state: butterdock_receive::SubvolumeState::default(),
            parent_number_differs: false,
            end: 5,
        };
        let error = Error { place: None, name: None, cause: Cause::Cancelled };
        let told = of_run(&Failure { error, published: vec![published], left_hidden: true, counts: Counts::default() });
        assert!(told.message.contains(MARKER), "{}", told.message);
        assert_eq!((told.kind, told.hidden), (ErrorKind::Cancelled, true));
    }

    #[test]
    fn the_longest_sentence_fits_a_message_when_escaped() {
        let told = WorkerError { message: short("\u{1}".repeat(MAX_MESSAGE)), ..of_sentence("") };
        let line = serde_json::to_string(&told).expect("written");
        assert!(line.len() < MAX_MESSAGE, "{}", line.len());
        assert_eq!(short("é".repeat(MAX_MESSAGE)).chars().last(), Some('…'));
    }
}
