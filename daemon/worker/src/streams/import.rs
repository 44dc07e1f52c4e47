//! Receives stream files one after another, each from its first subvolume that the volume does not have. A file that cannot be
//! received does not stop the import: the other files are received, then it is reported.

use std::io::{self, PipeWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;

use butterdock_receive::{Control, Kind, Observer, Options, Phase, Published, Unapplied, is_received, receive};
use butterdock_stream::Identity;

use super::content::Compression;
use super::import_error::{FailedFile, FailedFiles, FileError, ImportError};
use super::order::order;
use super::subvolumes::{HEADER, Part, Walk, first_command, head, unreadable};
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

/// The files, in the order of an import.
pub(crate) fn list(files: &Files) -> Vec<StreamFile> {
    let mut rows: Vec<StreamFile> = found(files, None).into_iter().map(StreamFile::from).collect();
    if files.left_out > 0 {
        let text =
            format!("{} more files are ignored: move the files that were received to another folder", files.left_out);
        rows.push(StreamFile { problem: Some(text), ..StreamFile::default() });
    }
    rows
}

/// Why the work on one file ended.
enum Stop {
    /// The import ends.
    Import(ImportError),
    /// The next file is tried.
    File(FileError),
}

impl Import<'_> {
    /// Receives the files. Subvolumes that were received before an error stay.
    pub(crate) fn run(&self) -> Result<(), ImportError> {
        let ordered = found(self.files, self.only);
        if ordered.is_empty() {
            return Err(ImportError::Nothing(self.only.map(<[u8]>::to_vec)));
        }
        let of = ordered.len() as u64;
        self.report_total();
        let (mut rest, mut known) = (Vec::new(), Vec::new());
        for file in ordered {
            let is_known = match &file.head {
                Ok(head) => self.has(head.identity)?,
                Err(_) => false,
            };
            if is_known { known.push(file) } else { rest.push(file) }
        }
        (self.report)(StreamFileEvent::Planned { files: of, known: known.len() as u64 });
        let (mut failed, mut untried) = (Vec::new(), of);
        // Known files first: an interrupted import may have missed subvolumes in them that are parents of others.
        for file in known.into_iter().chain(rest) {
            untried = untried.saturating_sub(1);
            let name = file.name.clone();
            match self.import(file) {
                Ok(()) => {}
                Err(Stop::Import(error)) => return Err(error),
                Err(Stop::File(why)) => {
                    let is_last = why.is_of_volume();
                    failed.push(FailedFile { name, why });
                    if is_last {
                        break;
                    }
                }
            }
        }
        let counts = FailedFiles { failed: failed.len() as u64, untried, of };
        if failed.is_empty() { Ok(()) } else { Err(ImportError::Files { failed, counts }) }
    }

    /// Only if it is known: the size of a compressed file is not that of its stream.
    fn report_total(&self) {
        let wanted = || self.files.all.iter().filter(|one| is_wanted(self.only, &one.name));
        if wanted().all(|one| one.compression == Compression::None) {
            let bytes = wanted().fold(0, |sum: u64, one| sum.saturating_add(one.size));
            (self.report)(StreamFileEvent::Total { bytes });
        }
    }

    fn import(&self, found: Found) -> Result<(), Stop> {
        // The same subvolume may be in two files.
        let first = found.head.map_err(FileError::Invalid)?;
        let Some(opened) = self.files.all.iter().find(|one| one.name == found.name) else { return Ok(()) };
        if !self.has(first.identity)? {
            return self.receive_from(opened, Part { at: 0, has_header: true });
        }
        match self.first_missing(opened)? {
            Some(part) => self.receive_from(opened, part),
            None => Ok(()),
        }
    }

    /// The first subvolume in a file that the volume does not have.
    fn first_missing(&self, file: &Opened) -> Result<Option<Part>, Stop> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "other errors keep the kernel's text")]
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::Interrupted => Stop::Import(ImportError::Cancelled),
            io::ErrorKind::UnexpectedEof => {
                FileError::Invalid("it is cut short after the subvolumes that the volume has".to_owned()).into()
            }
            io::ErrorKind::InvalidData if error.get_ref().is_none() => {
                FileError::Invalid("it contains data that is not a stream".to_owned()).into()
            }
            _ => FileError::Invalid(unreadable(&error)).into(),
        };
        let mut walk = Walk::new(file).map_err(broken)?;
        let mut passed = 0;
        loop {
            let next = walk.next(|at| {
                self.control.pass(at.saturating_sub(std::mem::replace(&mut passed, at)));
                !self.control.is_cancelled()
            });
            let Some((part, beginning)) = next.map_err(broken)? else { return Ok(None) };
            let head = first_command(&beginning[..]).map_err(FileError::Invalid)?;
            if !self.has(head.identity)? {
                return Ok(Some(part));
            }
        }
    }

    /// Receives a file, starting with this subvolume.
    fn receive_from(&self, file: &Opened, part: Part) -> Result<(), Stop> {
        let observer = Offset { observer: self.observer, before: self.control.progress().bytes };
        let received = feed(file, part, self.control, |input| {
            receive(input, self.destination, self.options, self.control, &observer).map(drop).map_err(Box::new)
        });
        match received.map_err(|error| FileError::Invalid(unreadable(&error)))? {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(why)) => {
                let name = file.name.escape_ascii();
                let text = format!("all subvolumes of the file \"{name}\" were received, but behind them {why}");
                self.observer.warning(&text);
                Ok(())
            }
            (Err(failure), why) => Err(FileError::Receive(failure, why).into()),
        }
    }

    /// Whether the volume has this subvolume unchanged. Only subvolumes with a record count, because any user can set the
    /// `received_uuid` of an own subvolume.
    fn has(&self, identity: Identity) -> Result<bool, ImportError> {
        is_received(self.destination, &identity, self.options).map_err(|error| ImportError::Volume(Box::new(error)))
    }
}

impl From<ImportError> for Stop {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// The wanted files, in the order of an import.
fn found(files: &Files, only: Option<&[u8]>) -> Vec<Found> {
    let look = |one: &Opened| Found { name: one.name.clone(), size: one.size, head: head(one) };
    let opened = files.all.iter().filter(|one| is_wanted(only, &one.name)).map(look);
    let refused = files.unreadable.iter().filter(|(name, _)| is_wanted(only, name));
    let refused = refused.map(|(name, why)| Found { name: name.clone(), size: 0, head: Err(why.clone()) });
    order(opened.chain(refused).collect())
}

fn is_wanted(only: Option<&[u8]>, name: &[u8]) -> bool {
    only.is_none_or(|only| only == name)
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

    fn unapplied(&self, unapplied: &Unapplied) {
        self.observer.unapplied(unapplied);
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }
}

/// Calls `receive` with the decompressed bytes of the file from this part on. A part without a header gets the header at the
/// file's beginning. Returns also why the file could not be read to its end.
///
/// # Errors
/// The file cannot be read at its beginning.
fn feed<T>(
    file: &Opened,
    part: Part,
    control: &Control,
    receive: impl FnOnce(BorrowedFd<'_>) -> T,
) -> io::Result<(T, Option<String>)> {
    if part.has_header && file.compression == Compression::None {
        let mut from = &file.file;
        from.seek(SeekFrom::Start(part.at))?;
        return Ok((receive(from.as_fd()), None));
    }
    let (reader, writer) = io::pipe()?;
    Ok(thread::scope(|threads| {
        let writing = threads.spawn(move || write(file, part, control, writer));
        let received = receive(reader.as_fd());
        // The thread ends when the reader is closed.
        drop(reader);
        // A panic would have ended the process.
        let error = writing.join().unwrap_or(Ok(())).err();
        // The receiver reports that it ended before the file did.
        let error = error.filter(|error| error.kind() != io::ErrorKind::BrokenPipe && !control.is_cancelled());
        (received, error.map(|error| unreadable(&error)))
    }))
}

/// The thread that writes into the pipe.
fn write(file: &Opened, part: Part, control: &Control, mut to: PipeWriter) -> io::Result<()> {
    let mut content = file.content()?;
    let mut rest = part.at;
    if !part.has_header {
        let mut header = [0; HEADER];
        content.read_exact(&mut header)?;
        to.write_all(&header)?;
        rest = rest.saturating_sub(HEADER as u64);
    }
    while rest > 0 {
        let skipped = rest.min(SKIP);
        content.skip(skipped)?;
        rest = rest.saturating_sub(skipped);
        if control.is_cancelled() {
            return Ok(());
        }
    }
    io::copy(&mut content, &mut to).map(drop)
}

/// A cancel is noticed after this many skipped bytes.
const SKIP: u64 = 16 << 20;
