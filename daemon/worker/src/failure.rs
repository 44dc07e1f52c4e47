//! A failure, as the daemon is told of it: what everybody may know is numbers and a kind, because the daemon takes no
//! sentence for everybody from a worker ([`super::sentence`]).

use std::fmt::Display;

use butterdock_receive::{Error, ErrorKind, Failure};

use super::descriptors::Unfit;
use super::protocol::{LONGEST_REPORT, WorkerError};
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
pub(crate) fn of_backup(trouble: &BackupError) -> WorkerError {
    match trouble {
        BackupError::Receive(failure) => of_run(failure),
        BackupError::Said(said) => WorkerError { kind: said.kind, ..of_sentence(&said.sentence) },
    }
}

/// Stream files that were not all received.
pub(crate) fn of_import(trouble: &streams::ImportError) -> WorkerError {
    let failure = if let streams::ImportError::Receive { failure, .. } = trouble { Some(failure) } else { None };
    let place = failure.and_then(|failure| failure.error.place);
    let hidden = failure.is_some_and(|failure| failure.left_hidden);
    let (command, byte) = place.map(|place| (place.command, place.at)).unzip();
    WorkerError { kind: trouble.kind(), message: short(trouble), command, byte, hidden }
}

/// A drive that was not read to its end.
pub(crate) fn of_verify(trouble: &verify::VerifyError) -> WorkerError {
    WorkerError { kind: trouble.kind(), ..of_sentence(&trouble.to_string()) }
}

/// An order that cannot be carried out with what came with it.
pub(crate) fn of_descriptors(unfit: Unfit) -> WorkerError {
    of_sentence(unfit.0)
}

/// Something that hinders the worker and holds no name.
pub(crate) fn of_sentence(sentence: &str) -> WorkerError {
    WorkerError { kind: ErrorKind::Failed, message: sentence.to_owned(), command: None, byte: None, hidden: false }
}

/// Text for a report, which must fit a line however it is escaped there: a byte takes six at most.
pub(crate) fn short(text: impl Display) -> String {
    const MOST: usize = LONGEST_REPORT / 8;
    let mut text = text.to_string();
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
        text.push('…');
    }
    text
}

fn of(error: &Error, whole: impl Display) -> WorkerError {
    let (command, byte) = error.place.map(|place| (place.command, place.at)).unzip();
    WorkerError { kind: error.kind(), message: short(whole), command, byte, hidden: false }
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
    fn the_place_is_told_in_numbers_and_names_in_the_message_alone() {
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
    fn the_longest_sentence_fits_a_line_when_all_of_it_is_escaped() {
        let told = WorkerError { message: short("\u{1}".repeat(LONGEST_REPORT)), ..of_sentence("") };
        let line = serde_json::to_string(&told).expect("written");
        assert!(line.len() < LONGEST_REPORT, "{}", line.len());
        assert_eq!(short("é".repeat(LONGEST_REPORT)).chars().last(), Some('…'));
    }
}
