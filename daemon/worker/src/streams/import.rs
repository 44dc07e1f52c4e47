//! Receives stream files one after another, each from its first subvolume that the volume does not have.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::{fmt, thread};

use butterdock_receive::{
    Control, Error, ErrorKind, Failure, Kind, Observer, Options, Phase, Published, is_received, receive,
};
use butterdock_stream::Identity;

use super::order::order;
use super::subvolumes::{HEADER, Part, Walk, first_command, head};
use super::{Files, Found, Opened, StreamFile, StreamFileEvent};

/// An import of stream files into the directory of a volume.
#[derive(Clone, Copy)]
pub(crate) struct Import<'i> {
    pub files: &'i Files,
    /// Import only the file with this name.
    pub only: Option<&'i [u8]>,
    pub destination: BorrowedFd<'i>,
    pub options: &'i Options,
    pub control: &'i Control,
    pub observer: &'i dyn Observer,
    pub report: &'i dyn Fn(StreamFileEvent),
}

/// Why an import failed. The text contains names of files.
#[derive(Debug)]
pub(crate) enum ImportError {
    /// There is no such file, or no file at all.
    Nothing(Option<Vec<u8>>),
    /// The volume's subvolumes cannot be listed.
    Volume(Box<Error>),
    /// This file is not a stream.
    Invalid { file: Vec<u8>, why: String },
    /// The job was cancelled between two subvolumes.
    Cancelled,
    /// This file could not be received.
    Receive { file: Vec<u8>, failure: Box<Failure> },
}

/// The files, in the order of an import.
pub(crate) fn list(files: &Files) -> Vec<StreamFile> {
    let mut rows: Vec<StreamFile> = found(&files.all).into_iter().map(StreamFile::from).collect();
    if files.left_out > 0 {
        let text =
            format!("{} more files are ignored: move the files that were received to another folder", files.left_out);
        rows.push(StreamFile { problem: Some(text), ..StreamFile::default() });
    }
    rows
}

impl Import<'_> {
    /// Receives the files. Subvolumes that were received before an error stay.
    pub(crate) fn run(&self) -> Result<(), ImportError> {
        let wanted = |one: &&Opened| self.only.is_none_or(|only| only == one.name);
        let wanted = self.files.all.iter().filter(wanted);
        let ordered = found(wanted);
        if ordered.is_empty() {
            return Err(ImportError::Nothing(self.only.map(<[u8]>::to_vec)));
        }
        let files = ordered.len() as u64;
        (self.report)(StreamFileEvent::Total {
            bytes: ordered.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size)),
        });
        let (mut rest, mut known) = (Vec::new(), Vec::new());
        for file in ordered {
            let is_known = match &file.head {
                Ok(head) => self.has(head.identity)?,
                Err(_) => false,
            };
            if is_known { known.push(file) } else { rest.push(file) }
        }
        (self.report)(StreamFileEvent::Planned { files, known: known.len() as u64 });
        // Known files first: an interrupted import may have missed subvolumes in them that are parents of others.
        known.into_iter().chain(rest).try_for_each(|file| self.import(file))
    }

    fn import(&self, found: Found) -> Result<(), ImportError> {
        let Some(opened) = self.files.all.iter().find(|one| one.name == found.name) else { return Ok(()) };
        let invalid = |why: String| ImportError::Invalid { file: found.name.clone(), why };
        // The same subvolume may be in two files.
        let first = found.head.map_err(invalid)?;
        if !self.has(first.identity)? {
            return self.receive_from(opened, Part { at: 0, has_header: true });
        }
        match self.first_missing(opened)? {
            Some(part) => self.receive_from(opened, part),
            None => Ok(()),
        }
    }

    /// The first subvolume in a file that the volume does not have.
    fn first_missing(&self, file: &Opened) -> Result<Option<Part>, ImportError> {
        let invalid = |why: String| ImportError::Invalid { file: file.name.clone(), why };
        #[expect(clippy::wildcard_enum_match_arm, reason = "other errors keep the kernel's text")]
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => ImportError::Cancelled,
            io::ErrorKind::UnexpectedEof => {
                invalid("it is cut short after the subvolumes that the volume has".to_owned())
            }
            io::ErrorKind::InvalidData => invalid("it contains data that is not a stream".to_owned()),
            _ => invalid(format!("it cannot be read: {error}")),
        };
        let mut walk = Walk::new(&file.file, file.size).map_err(broken)?;
        let mut passed = 0;
        loop {
            let next = walk.next(|at| {
                self.control.pass(at.saturating_sub(std::mem::replace(&mut passed, at)));
                !self.control.is_cancelled()
            });
            let Some(part) = next.map_err(broken)? else { return Ok(None) };
            let head = first_command(&file.file, part).map_err(invalid)?;
            if !self.has(head.identity)? {
                return Ok(Some(part));
            }
        }
    }

    /// Receives a file, starting with this subvolume.
    fn receive_from(&self, file: &Opened, part: Part) -> Result<(), ImportError> {
        let name = || file.name.clone();
        let observer = Offset { observer: self.observer, before: self.control.progress().bytes };
        let done = feed(&file.file, part, |input| {
            receive(input, self.destination, self.options, self.control, &observer).map(drop).map_err(Box::new)
        });
        let done =
            done.map_err(|error| ImportError::Invalid { file: name(), why: format!("it cannot be read: {error}") })?;
        done.map_err(|failure| ImportError::Receive { file: name(), failure })
    }

    /// Whether the volume has this subvolume unchanged. Only subvolumes with a record count, because any user can set the
    /// `received_uuid` of an own subvolume.
    fn has(&self, identity: Identity) -> Result<bool, ImportError> {
        is_received(self.destination, &identity, self.options).map_err(|error| ImportError::Volume(Box::new(error)))
    }
}

fn found<'f>(files: impl IntoIterator<Item = &'f Opened>) -> Vec<Found> {
    let look = |one: &Opened| Found { name: one.name.clone(), size: one.size, head: head(&one.file) };
    order(files.into_iter().map(look).collect())
}

/// An observer that counts the offsets of all files as of one input.
struct Offset<'b> {
    observer: &'b dyn Observer,
    /// Bytes of the files before this one.
    before: u64,
}

impl Observer for Offset<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.observer.began(name, kind);
    }

    fn phase(&self, phase: Phase) {
        self.observer.phase(phase);
    }

    fn published(&self, subvolume: &Published) {
        let end = subvolume.end.saturating_add(self.before);
        self.observer.published(&Published { end, ..subvolume.clone() });
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }
}

impl ImportError {
    /// The kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Nothing(_) | Self::Volume(_) => ErrorKind::Failed,
            Self::Invalid { .. } => ErrorKind::InvalidStream,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Receive { failure, .. } => failure.error.kind(),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(None) => f.write_str("there is no stream file in the drive's folder; copy some there"),
            Self::Nothing(Some(name)) => {
                write!(f, "there is no stream file \"{}\" in the drive's folder", name.escape_ascii())
            }
            Self::Volume(error) => write!(f, "the subvolumes of the volume cannot be listed: {error}"),
            Self::Invalid { file, why } => {
                write!(f, "the file \"{}\" cannot be received: {why}; send it again", file.escape_ascii())
            }
            Self::Cancelled => f.write_str("cancelled"),
            Self::Receive { file, failure } => write!(f, "the file \"{}\": {failure}", file.escape_ascii()),
        }
    }
}

/// Calls `receive` with the file from this part on. A part without a header gets the file's header, through a pipe.
///
/// # Errors
/// The file cannot be read at the beginning of the part.
fn feed<T>(mut file: &File, part: Part, receive: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    file.seek(SeekFrom::Start(part.at))?;
    if part.has_header {
        return Ok(receive(file.as_fd()));
    }
    let (reader, mut writer) = io::pipe()?;
    Ok(thread::scope(|threads| {
        // Errors are ignored: the receiver reports a stream that ends early.
        threads.spawn(move || writer.write_all(&header).and_then(|()| io::copy(&mut file, &mut writer)).ok());
        let received = receive(reader.as_fd());
        // The thread ends when the reader is closed.
        drop(reader);
        received
    }))
}
