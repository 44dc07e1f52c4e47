//! A failure, as the daemon is told of it.

use std::fmt::Display;

use butterdock_receive::{Error, ErrorKind, Failure};

use super::descriptors::Unfit;
use super::protocol::{JobError, LONGEST_REPORT};
use crate::backups::Trouble;

/// A run that failed.
pub(crate) fn of_run(failure: &Failure) -> JobError {
    of(&failure.error, failure)
}

/// An error outside a run.
pub(crate) fn of_error(error: &Error) -> JobError {
    of(error, error)
}

/// A backup that failed.
pub(crate) fn of_backup(trouble: &Trouble) -> JobError {
    match trouble {
        Trouble::Receive(failure) => of_run(failure),
        Trouble::Said(said) => JobError { kind: said.kind, ..of_sentence(&said.sentence) },
    }
}

/// An order that cannot be carried out with what came with it.
pub(crate) fn of_descriptors(unfit: Unfit) -> JobError {
    of_sentence(unfit.0)
}

/// Something that hinders the worker and holds no name.
pub(crate) fn of_sentence(sentence: &str) -> JobError {
    let message = sentence.to_owned();
    JobError { kind: ErrorKind::Failed, public: message.clone(), message, command: None, byte: None }
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

fn of(error: &Error, whole: impl Display) -> JobError {
    let kind = error.kind();
    let (what, next) = plain(kind);
    let (at, command, byte) = match error.place {
        Some(place) => {
            let (command, byte) = (place.command, place.at);
            (format!(", at command {command} (byte {byte})"), Some(command), Some(byte))
        }
        None => (String::new(), None, None),
    };
    JobError { kind, message: short(whole), command, byte, public: format!("{what}{at}; {next}") }
}

/// What happened and what to do next, in words that fit every error of the kind and name nothing.
fn plain(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::InvalidStream => {
            ("the stream is damaged, or btrfs send did not make it", "send the subvolume again from a source you trust")
        }
        ErrorKind::TruncatedStream => ("the stream was cut off", "send the subvolume again"),
        ErrorKind::UnsupportedStream => (
            "the stream holds something that cannot be received here",
            "send with an older protocol, or update butterdock",
        ),
        ErrorKind::ParentMissing => (
            "a subvolume that the stream builds on is missing here",
            "send a full stream, or receive the missing one first",
        ),
        ErrorKind::NoSpace => ("the volume, or a quota of it, is full", "make room and send again"),
        ErrorKind::ReadOnly => ("the volume is read-only", "see dmesg, remount it and send again"),
        ErrorKind::Exists => {
            ("a subvolume of that name is there already", "delete or rename it, or choose another name")
        }
        ErrorKind::Busy => ("another run is working in the destination", "wait until it has ended, then send again"),
        ErrorKind::DeviceGone => (
            "a drive of the volume failed or is gone",
            "check it and its cable (btrfs device stats, dmesg), then send again",
        ),
        ErrorKind::Cancelled => ("cancelled", "nothing half-made was left behind"),
        ErrorKind::Failed => ("the stream could not be received", "ask for the job's error details, then send again"),
    }
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
    fn the_public_sentence_says_where_and_names_nothing() {
        let missing = Cause::Exists(MARKER.into());
        let told = of_error(&error(missing, Some(Place { command: 7, at: 99 })));
        assert!(told.message.contains(MARKER), "{}", told.message);
        assert_eq!((told.command, told.byte), (Some(7), Some(99)));
        let public = "a subvolume of that name is there already, at command 7 (byte 99); \
                      delete or rename it, or choose another name";
        assert_eq!(told.public, public);
    }

    #[test]
    fn a_device_is_a_path_too() {
        let device = Cause::Device { device: format!("/dev/{MARKER}"), writes: 1, flushes: 0 };
        let told = of_error(&error(device, None));
        assert!(told.message.contains("/dev/") && !told.public.contains("/dev/"), "{}", told.public);
        assert!(!told.public.contains(MARKER));
    }

    #[test]
    fn what_was_kept_is_in_the_message_alone() {
        let published = butterdock_receive::Published {
            name: MARKER.into(),
            kind: butterdock_receive::Kind::Full,
            id: 256,
            received_uuid: butterdock_stream::Uuid([1; 16]),
            end: 5,
        };
        let error = Error { place: None, name: None, cause: Cause::Cancelled };
        let told = of_run(&Failure { error, published: vec![published], counts: Counts::default() });
        assert!(told.message.contains(MARKER) && !told.public.contains(MARKER));
        assert_eq!(told.kind, ErrorKind::Cancelled);
    }

    #[test]
    fn the_longest_sentence_fits_a_line_when_all_of_it_is_escaped() {
        let told = JobError { message: short("\u{1}".repeat(LONGEST_REPORT)), ..of_sentence("") };
        let line = serde_json::to_string(&told).expect("written");
        assert!(line.len() < LONGEST_REPORT, "{}", line.len());
        assert_eq!(short("é".repeat(LONGEST_REPORT)).chars().last(), Some('…'));
    }
}
