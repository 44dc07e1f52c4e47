//! One job: an order and its descriptors, and how it is run.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;

use butterdock_btrfs::send;
use butterdock_btrfs::subvolume::is_read_only;
use butterdock_receive::{Candidates, Control, Counts, Observer as _, Options, Publication, receive, sweep};

use super::confine::{Needs, ReadFrom};
use super::descriptors::{DescriptorError, one_directory, stream_and_directory, three_directories, two_directories};
use super::protocol::{Order, Report, WorkerError};
use super::report_writer::ReportWriter;
use crate::backups::{
    self, BackupDirectories, Deletion, ESTIMATE_TIMEOUT, EarlierRuns, Identity, NestedSnapshots, NestedSubvolumes,
    Restore, SharedSnapshot, Task, active_in, prune_source,
};
use crate::files::FilesJob;
use crate::streams::{self, Files, Import};
use crate::verify::Verify;

/// The limit of `butterdockd receive`.
const MOST_WRITER_THREADS: usize = 256;
/// The newest stream version that this program sends.
const NEWEST: u32 = 2;

/// A job with open descriptors.
#[derive(Debug)]
pub(crate) enum Job {
    /// Receive a stream into the destination.
    Receive { input: OwnedFd, destination: OwnedFd, options: Box<Options> },
    /// Run a backup, with streams of this version.
    Backup { directories: BackupDirectories, task: Box<Task>, version: u32 },
    /// Prune the folder for snapshots beside the source.
    Prune { folder: OwnedFd, top: Option<Arc<OwnedFd>>, task: Box<Task> },
    /// Delete snapshots of the filesystem of `place`, or only measure them.
    Delete { place: OwnedFd, top: Option<Arc<OwnedFd>>, snapshots: Vec<Identity>, measure: bool },
    /// Restore a snapshot into the destination, with a stream of this version.
    Restore {
        snapshot: OwnedFd,
        nested: NestedSnapshots,
        destination: OwnedFd,
        options: Box<Options>,
        version: u32,
        shared: Vec<SharedSnapshot>,
    },
    /// Import stream files into the destination.
    Import { files: Files, only: Option<Vec<u8>>, destination: OwnedFd, options: Box<Options> },
    /// List stream files.
    Streams { files: Files },
    /// Verify the drive.
    Verify { destination: OwnedFd },
    /// List, read or restore files in a snapshot.
    Files(FilesJob),
    /// Delete the hidden leftovers of crashed runs in the destination.
    Sweep { destination: OwnedFd },
}

impl Job {
    /// Joins an order with its descriptors. Everything that the job must know of the machine is read here, such as the number
    /// of processors, because a confined worker cannot read it; also which users can reach the destination.
    pub(crate) fn new(order: Order, descriptors: Vec<OwnedFd>) -> Result<Self, Box<WorkerError>> {
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
                let (input, destination) = stream_and_directory(descriptors, quarantined)?;
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
                let [source, folder, destination] = three_directories(descriptors)?;
                let writer_threads = writer_threads_for(task.writer_threads).map(NonZeroUsize::get);
                let publication = Publication::of(destination.as_fd());
                let swapfiles = active_in(&source);
                // A read-only source is sent as it is.
                let include = task.nested && !is_read_only(&source).unwrap_or_default();
                let known: Vec<Identity> = task.shared.iter().map(|shared| shared.uuids().here).collect();
                let earlier = EarlierRuns { backup: &task.name, known: &known };
                let nested = NestedSubvolumes::find(source.as_fd(), Some(folder.as_fd()), include, earlier);
                let existing = nested.as_ref().map(|found| found.existing.clone()).unwrap_or_default();
                let task = Box::new(Task { writer_threads, existing, ..task });
                Ok(Self::Backup {
                    directories: BackupDirectories {
                        source,
                        folder,
                        destination,
                        top: None,
                        publication,
                        swapfiles,
                        nested,
                    },
                    task,
                    version: send::version().min(NEWEST),
                })
            }
            Order::Prune(task) => {
                Ok(Self::Prune { folder: one_directory(descriptors)?, top: None, task: Box::new(task) })
            }
            Order::Delete { snapshots, measure } => {
                Ok(Self::Delete { place: one_directory(descriptors)?, top: None, snapshots, measure })
            }
            Order::Restore { name, writer_threads, shared } => {
                let [snapshot, folder, destination] = three_directories(descriptors)?;
                // A confined worker cannot open them.
                let nested = NestedSnapshots::of_run(folder.as_fd(), snapshot.as_fd()).map_err(|_fault| {
                    DescriptorError(
                        "the snapshots on the drive cannot be listed; check the drive and its cable (dmesg)",
                    )
                })?;
                let publication = Publication::of(destination.as_fd());
                let options = Box::new(Options {
                    writer_threads: writer_threads_for(writer_threads),
                    publication,
                    name,
                    ..Options::default()
                });
                let version = send::version().min(NEWEST);
                Ok(Self::Restore { snapshot, nested, destination, options, version, shared })
            }
            Order::Import { only, verify, asked_by, writer_threads } => {
                let [folder, destination] = two_directories(descriptors)?;
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
                Ok(Self::Import { files: open_files(&folder)?, only, destination, options })
            }
            Order::Streams => Ok(Self::Streams { files: open_files(&one_directory(descriptors)?)? }),
            Order::Verify => Ok(Self::Verify { destination: one_directory(descriptors)? }),
            Order::Files(order) => {
                let job = FilesJob::new(order, descriptors).map_err(|error| Box::new(WorkerError::of_files(&error)))?;
                Ok(Self::Files(job))
            }
            Order::Sweep => Ok(Self::Sweep { destination: one_directory(descriptors)? }),
            Order::Cancel | Order::MaxRate(_) => Err(DescriptorError("the job was changed before its start").into()),
        }
    }

    /// The same job, with another descriptor of its directory and a descriptor of its filesystem's root. The directory's
    /// first descriptor, from the order, is closed.
    pub(crate) fn with_directories(self, destination: OwnedFd, top: Option<OwnedFd>) -> Self {
        let top = top.map(Arc::new);
        match self {
            Self::Receive { input, options, .. } => {
                Self::Receive { input, destination, options: Box::new(Options { top, ..*options }) }
            }
            Self::Backup { directories, task, version } => {
                Self::Backup { directories: BackupDirectories { destination, top, ..directories }, task, version }
            }
            Self::Prune { task, .. } => Self::Prune { folder: destination, top, task },
            Self::Delete { snapshots, measure, .. } => Self::Delete { place: destination, top, snapshots, measure },
            Self::Restore { snapshot, nested, options, version, shared, .. } => {
                let options = Box::new(Options { top, ..*options });
                Self::Restore { snapshot, nested, destination, options, version, shared }
            }
            Self::Import { files, only, options, .. } => {
                Self::Import { files, only, destination, options: Box::new(Options { top, ..*options }) }
            }
            Self::Streams { .. } => self,
            Self::Verify { .. } => Self::Verify { destination },
            Self::Files(job) => Self::Files(job.with_target(destination)),
            Self::Sweep { .. } => Self::Sweep { destination },
        }
    }

    /// The rate limit that it begins with, in bytes per second.
    pub(crate) fn max_rate(&self) -> Option<u64> {
        match self {
            Self::Backup { task, .. } => task.max_rate,
            Self::Receive { .. }
            | Self::Prune { .. }
            | Self::Delete { .. }
            | Self::Restore { .. }
            | Self::Import { .. }
            | Self::Streams { .. }
            | Self::Verify { .. }
            | Self::Files(_)
            | Self::Sweep { .. } => None,
        }
    }

    /// What it needs of the machine.
    pub(crate) fn needs(&self) -> Needs<'_> {
        let writes = |destination| Needs { destination: Some(destination), filesystem: true, ..Needs::default() };
        match self {
            Self::Receive { destination, .. }
            | Self::Import { destination, .. }
            | Self::Verify { destination }
            | Self::Sweep { destination } => writes(destination.as_fd()),
            Self::Backup { directories, .. } => {
                let from = vec![ReadFrom::Folder(directories.folder.as_fd())];
                Needs { from, ..writes(directories.destination.as_fd()) }
            }
            Self::Restore { snapshot, nested, destination, .. } => {
                let nested = nested.found.iter().map(|nested| nested.root.as_fd());
                let from = nested.chain([snapshot.as_fd()]).map(ReadFrom::Snapshot).collect();
                Needs { from, ..writes(destination.as_fd()) }
            }
            Self::Prune { folder, .. } => writes(folder.as_fd()),
            Self::Delete { place, .. } => writes(place.as_fd()),
            Self::Files(job) => {
                let from = job.snapshots().into_iter().map(ReadFrom::Snapshot).collect();
                Needs { destination: job.target(), filesystem: false, from, caller: job.caller() }
            }
            Self::Streams { .. } => Needs::default(),
        }
    }

    /// Runs the job and returns its last report.
    pub(crate) fn run(&self, control: &Control, reports: &ReportWriter) -> Report {
        match self {
            Self::Receive { input, destination, options } => {
                match receive(input.as_fd(), destination.as_fd(), options, control, reports) {
                    Ok(outcome) => Report::Ended { counts: outcome.counts, error: None },
                    Err(failure) => {
                        Report::Ended { counts: failure.counts, error: Some(WorkerError::of_run(&failure)) }
                    }
                }
            }
            Self::Backup { directories, task, version } => {
                let error = back_up(directories, task, *version, control, reports);
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Prune { folder, top, task } => {
                let top = top.as_deref().map(std::os::fd::AsFd::as_fd);
                let report = |event| reports.queue(Report::Backup(event));
                if let Some(text) = prune_source(task, folder.as_fd(), top, &report) {
                    reports.warning(&text);
                }
                Report::Ended { counts: Counts::default(), error: None }
            }
            Self::Delete { place, top, snapshots, measure } => {
                let report = |event| reports.queue(Report::Deletion(event));
                // Without the top each snapshot counts as held, unless its folder is this one.
                let top = top.as_deref().unwrap_or(place).as_fd();
                let deletion = Deletion { place: place.as_fd(), top, snapshots, control, report: &report };
                let done = if *measure { deletion.measure() } else { deletion.run() };
                let error = done.err().map(|error| WorkerError::of_backup(&error));
                Report::Ended { counts: Counts::default(), error }
            }
            Self::Restore { snapshot, nested, destination, options, version, shared } => {
                let report = |event| reports.queue(Report::Backup(event));
                let (snapshot, destination) = (snapshot.as_fd(), destination.as_fd());
                let (version, observer) = (*version, reports);
                let (estimate_timeout, report) = (ESTIMATE_TIMEOUT, &report);
                let restore = Restore {
                    snapshot,
                    nested,
                    destination,
                    options,
                    shared,
                    version,
                    estimate_timeout,
                    control,
                    observer,
                    report,
                };
                let error = restore.run().err().map(|error| WorkerError::of_backup(&error));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Import { files, only, destination, options } => {
                let (only, destination, observer) = (only.as_deref(), destination.as_fd(), reports);
                let report = |event| reports.queue(Report::Streams(event));
                let import = Import { files, only, destination, options, control, observer, report: &report };
                let error = import.run().err().map(|error| WorkerError::of_import(&error));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Streams { files } => {
                let rows = streams::list(files);
                rows.into_iter().for_each(|row| reports.queue(Report::Streams(streams::StreamFileEvent::File(row))));
                Report::Ended { counts: Counts::default(), error: None }
            }
            Self::Verify { destination } => {
                let report = |event| reports.queue(Report::Verify(event));
                let verify = Verify { root: destination.as_fd(), control, report: &report };
                let error = verify.run().err().map(|error| WorkerError::of_verify(&error));
                Report::Ended { counts: Counts::default(), error }
            }
            Self::Files(job) => {
                let report = |event| reports.queue(Report::Files(event));
                let error = job.run(control, &report).err().map(|error| WorkerError::of_files(&error));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Sweep { destination } => {
                let error = sweep(destination.as_fd()).err().map(|error| WorkerError::of_error(&error));
                Report::Ended { counts: Counts::default(), error }
            }
        }
    }
}

fn back_up(
    directories: &BackupDirectories,
    task: &Task,
    version: u32,
    control: &Control,
    reports: &ReportWriter,
) -> Option<WorkerError> {
    let report = |event| reports.queue(Report::Backup(event));
    let run = backups::Run {
        directories,
        task,
        version,
        estimate_timeout: ESTIMATE_TIMEOUT,
        control,
        observer: reports,
        report: &report,
    };
    run.run().err().map(|error| WorkerError::of_backup(&error))
}

/// Opens the stream files, because a confined worker cannot open them.
fn open_files(folder: &OwnedFd) -> Result<Files, DescriptorError> {
    streams::open(folder)
        .map_err(|_fault| DescriptorError("the folder on the drive cannot be read; check the drive and its cable"))
}

fn writer_threads_for(wanted: Option<usize>) -> Option<NonZeroUsize> {
    let wanted = wanted.map(|writer_threads| writer_threads.min(MOST_WRITER_THREADS)).and_then(NonZeroUsize::new);
    wanted.or_else(|| available_parallelism().ok())
}
