//! One job: its order, and the descriptors that the order is about.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;

use butterdock_btrfs::send;
use butterdock_receive::{Candidates, Control, Counts, Observer as _, Options, Publication, receive, sweep};

use super::descriptors::{Unfit, alone, ends, three, two};
use super::failure;
use super::protocol::{Order, Report, WorkerError};
use super::report_writer::ReportWriter;
use crate::backups::{self, Ends, PATIENCE, Restore, SharedSnapshot, Task, prune_source};
use crate::streams::{self, Files, Import};
use crate::verify::Verify;

/// As many as the command line allows.
const MOST_WRITER_THREADS: usize = 256;
/// The newest version of a stream that this program sends.
const NEWEST: u32 = 2;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Job {
    /// A stream, where to, and how.
    Receive {
        input: OwnedFd,
        destination: OwnedFd,
        options: Box<Options>,
    },
    /// A backup, in streams of this version.
    Backup {
        ends: Ends,
        task: Box<Task>,
        version: u32,
    },
    /// A folder for snapshots, and how it is pruned.
    Prune {
        folder: OwnedFd,
        task: Box<Task>,
    },
    /// A snapshot on a drive, where to, and how, in a stream of this version.
    Restore {
        snapshot: OwnedFd,
        destination: OwnedFd,
        options: Box<Options>,
        version: u32,
        shared: Vec<SharedSnapshot>,
    },
    /// Stream files, where to, and how.
    Import {
        files: Files,
        only: Option<Vec<u8>>,
        destination: OwnedFd,
        options: Box<Options>,
    },
    /// Stream files to be listed.
    Streams {
        files: Files,
    },
    /// A drive.
    Verify {
        destination: OwnedFd,
    },
    Sweep {
        destination: OwnedFd,
    },
}

impl Job {
    /// Joins an order with its descriptors. What is asked of the machine is asked here: it cannot be read any more once
    /// the worker is confined. So is who can reach the destination.
    pub(crate) fn new(order: Order, descriptors: Vec<OwnedFd>) -> Result<Self, Unfit> {
        match order {
            Order::Receive {
                name,
                verify,
                force_decompress,
                no_verity,
                writer_threads,
                strict_parent,
                asked_by,
                unrecorded_if_roots,
                quarantined,
            } => {
                let (input, destination) = ends(descriptors, quarantined)?;
                let options = Options {
                    verify,
                    force_decompress,
                    writer_threads: writer_threads_for(writer_threads),
                    publication: Publication::of(destination.as_fd()),
                    name,
                    no_verity,
                    strict_parent,
                    asked_by,
                    candidates: Candidates::Recorded { unrecorded_if_roots },
                    ..Options::default()
                };
                Ok(Self::Receive { input, destination, options: Box::new(options) })
            }
            Order::Backup(task) => {
                let [source, folder, destination] = three(descriptors)?;
                let writer_threads = writer_threads_for(task.writer_threads).map(NonZeroUsize::get);
                let task = Box::new(Task { writer_threads, ..task });
                let publication = Publication::of(destination.as_fd());
                Ok(Self::Backup {
                    ends: Ends { source, folder, destination, top: None, publication },
                    task,
                    version: send::version().min(NEWEST),
                })
            }
            Order::Prune(task) => Ok(Self::Prune { folder: alone(descriptors)?, task: Box::new(task) }),
            Order::Restore { name, writer_threads, shared } => {
                let [snapshot, destination] = two(descriptors)?;
                let publication = Publication::of(destination.as_fd());
                let options = Box::new(Options {
                    writer_threads: writer_threads_for(writer_threads),
                    publication,
                    name,
                    ..Options::default()
                });
                Ok(Self::Restore { snapshot, destination, options, version: send::version().min(NEWEST), shared })
            }
            Order::Import { only, verify, asked_by, writer_threads } => {
                let [folder, destination] = two(descriptors)?;
                let candidates = Candidates::Recorded { unrecorded_if_roots: false };
                let (writer_threads, publication) =
                    (writer_threads_for(writer_threads), Publication::of(destination.as_fd()));
                let options = Box::new(Options {
                    verify,
                    writer_threads,
                    publication,
                    asked_by,
                    candidates,
                    ..Options::default()
                });
                Ok(Self::Import { files: opened(&folder)?, only, destination, options })
            }
            Order::Streams => Ok(Self::Streams { files: opened(&alone(descriptors)?)? }),
            Order::Verify => Ok(Self::Verify { destination: alone(descriptors)? }),
            Order::Sweep => Ok(Self::Sweep { destination: alone(descriptors)? }),
            Order::Cancel => Err(Unfit("the daemon cancelled a job that it had not begun")),
        }
    }

    /// The same job, through another descriptor of its directory, and with one of its filesystem's root. The one that came
    /// with the order is closed.
    pub(crate) fn through(self, destination: OwnedFd, top: Option<OwnedFd>) -> Self {
        let top = top.map(Arc::new);
        match self {
            Self::Receive { input, options, .. } => {
                Self::Receive { input, destination, options: Box::new(Options { top, ..*options }) }
            }
            Self::Backup { ends, task, version } => {
                Self::Backup { ends: Ends { destination, top, ..ends }, task, version }
            }
            Self::Prune { task, .. } => Self::Prune { folder: destination, task },
            Self::Restore { snapshot, options, version, shared, .. } => {
                Self::Restore { snapshot, destination, options: Box::new(Options { top, ..*options }), version, shared }
            }
            Self::Import { files, only, options, .. } => {
                Self::Import { files, only, destination, options: Box::new(Options { top, ..*options }) }
            }
            Self::Streams { .. } => self,
            Self::Verify { .. } => Self::Verify { destination },
            Self::Sweep { .. } => Self::Sweep { destination },
        }
    }

    /// The directory in which all of it happens; none where nothing is written.
    pub(crate) fn destination(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Receive { destination, .. }
            | Self::Restore { destination, .. }
            | Self::Import { destination, .. }
            | Self::Verify { destination }
            | Self::Sweep { destination } => Some(destination.as_fd()),
            Self::Backup { ends, .. } => Some(ends.destination.as_fd()),
            Self::Prune { folder, .. } => Some(folder.as_fd()),
            Self::Streams { .. } => None,
        }
    }

    /// The folder in which snapshots of the source are made.
    pub(crate) fn folder(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Backup { ends, .. } => Some(ends.folder.as_fd()),
            Self::Receive { .. }
            | Self::Prune { .. }
            | Self::Restore { .. }
            | Self::Import { .. }
            | Self::Streams { .. }
            | Self::Verify { .. }
            | Self::Sweep { .. } => None,
        }
    }

    /// Does it, and answers how it ended.
    pub(crate) fn run(&self, control: &Control, reports: &ReportWriter) -> Report {
        match self {
            Self::Receive { input, destination, options } => {
                match receive(input.as_fd(), destination.as_fd(), options, control, reports) {
                    Ok(outcome) => Report::Ended { counts: outcome.counts, error: None },
                    Err(failure) => Report::Ended { counts: failure.counts, error: Some(failure::of_run(&failure)) },
                }
            }
            Self::Backup { ends, task, version } => {
                let error = back_up(ends, task, *version, control, reports);
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Prune { folder, task } => {
                let tell = |told| reports.queue(Report::Backup(told));
                if let Some(text) = prune_source(task, folder.as_fd(), &tell) {
                    reports.warning(&text);
                }
                Report::Ended { counts: Counts::default(), error: None }
            }
            Self::Restore { snapshot, destination, options, version, shared } => {
                let tell = |told| reports.queue(Report::Backup(told));
                let (snapshot, destination) = (snapshot.as_fd(), destination.as_fd());
                let (version, observer) = (*version, reports);
                let (patience, tell) = (PATIENCE, &tell);
                let restore =
                    Restore { snapshot, destination, options, shared, version, patience, control, observer, tell };
                let error = restore.run().err().map(|trouble| failure::of_backup(&trouble));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Import { files, only, destination, options } => {
                let (only, destination, observer) = (only.as_deref(), destination.as_fd(), reports);
                let tell = |told| reports.queue(Report::Streams(told));
                let import = Import { files, only, destination, options, control, observer, tell: &tell };
                let error = import.run().err().map(|trouble| failure::of_import(&trouble));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Streams { files } => {
                let rows = streams::list(files);
                rows.into_iter().for_each(|row| reports.queue(Report::Streams(streams::StreamFileEvent::File(row))));
                Report::Ended { counts: Counts::default(), error: None }
            }
            Self::Verify { destination } => {
                let tell = |told| reports.queue(Report::Verify(told));
                let verify = Verify { root: destination.as_fd(), control, tell: &tell };
                let error = verify.run().err().map(|trouble| failure::of_verify(&trouble));
                Report::Ended { counts: Counts::default(), error }
            }
            Self::Sweep { destination } => {
                let error = sweep(destination.as_fd()).err().map(|error| failure::of_error(&error));
                Report::Ended { counts: Counts::default(), error }
            }
        }
    }
}

fn back_up(ends: &Ends, task: &Task, version: u32, control: &Control, reports: &ReportWriter) -> Option<WorkerError> {
    let tell = |told| reports.queue(Report::Backup(told));
    let run = backups::Run { ends, task, version, patience: PATIENCE, control, observer: reports, tell: &tell };
    run.run().err().map(|trouble| failure::of_backup(&trouble))
}

/// What cannot be opened any more once the worker is confined.
fn opened(folder: &OwnedFd) -> Result<Files, Unfit> {
    streams::open(folder)
        .map_err(|_fault| Unfit("the folder on the drive cannot be read; check the drive and its cable"))
}

fn writer_threads_for(asked: Option<usize>) -> Option<NonZeroUsize> {
    let asked = asked.map(|writer_threads| writer_threads.min(MOST_WRITER_THREADS)).and_then(NonZeroUsize::new);
    asked.or_else(|| available_parallelism().ok())
}
