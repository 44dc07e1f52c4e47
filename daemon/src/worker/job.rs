//! One job: its order, and the descriptors that the order is about.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::available_parallelism;

use butterdock_btrfs::send;
use butterdock_receive::{Control, Counts, Options, receive, sweep};

use super::descriptors::{Unfit, alone, ends, three, two};
use super::failure;
use super::protocol::{JobError, Order, Report};
use super::teller::Teller;
use crate::backups::{self, Ends, Restore, Task};

/// As many as the command line allows.
const MOST_LANES: usize = 256;
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
    /// A snapshot on a drive, where to, and how, in a stream of this version.
    Restore {
        snapshot: OwnedFd,
        destination: OwnedFd,
        options: Box<Options>,
        version: u32,
    },
    Sweep {
        destination: OwnedFd,
    },
}

impl Job {
    /// Joins an order with its descriptors. What is asked of the machine is asked here: it cannot be read any more once
    /// the worker is confined.
    pub(crate) fn new(order: Order, descriptors: Vec<OwnedFd>) -> Result<Self, Unfit> {
        match order {
            Order::Receive { name, verify, force_decompress, no_verity, lanes, parked } => {
                let (input, destination) = ends(descriptors, parked)?;
                let lanes = lanes_for(lanes);
                let options = Options { verify, force_decompress, lanes, name, no_verity, ..Options::default() };
                Ok(Self::Receive { input, destination, options: Box::new(options) })
            }
            Order::Backup(task) => {
                let [source, folder, destination] = three(descriptors)?;
                let lanes = lanes_for(task.lanes).map(NonZeroUsize::get);
                let task = Box::new(Task { lanes, ..task });
                Ok(Self::Backup {
                    ends: Ends { source, folder, destination, top: None },
                    task,
                    version: send::version().min(NEWEST),
                })
            }
            Order::Restore { name, lanes } => {
                let [snapshot, destination] = two(descriptors)?;
                let options = Box::new(Options { lanes: lanes_for(lanes), name, ..Options::default() });
                Ok(Self::Restore { snapshot, destination, options, version: send::version().min(NEWEST) })
            }
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
            Self::Restore { snapshot, options, version, .. } => {
                Self::Restore { snapshot, destination, options: Box::new(Options { top, ..*options }), version }
            }
            Self::Sweep { .. } => Self::Sweep { destination },
        }
    }

    /// The directory in which all of it happens.
    pub(crate) fn destination(&self) -> BorrowedFd<'_> {
        match self {
            Self::Receive { destination, .. } | Self::Restore { destination, .. } | Self::Sweep { destination } => {
                destination.as_fd()
            }
            Self::Backup { ends, .. } => ends.destination.as_fd(),
        }
    }

    /// The folder in which snapshots of the source are made.
    pub(crate) fn folder(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Backup { ends, .. } => Some(ends.folder.as_fd()),
            Self::Receive { .. } | Self::Restore { .. } | Self::Sweep { .. } => None,
        }
    }

    /// Does it, and answers how it ended.
    pub(crate) fn run(&self, control: &Control, teller: &Teller) -> Report {
        match self {
            Self::Receive { input, destination, options } => {
                match receive(input.as_fd(), destination.as_fd(), options, control, teller) {
                    Ok(outcome) => Report::Ended { counts: outcome.counts, error: None },
                    Err(failure) => Report::Ended { counts: failure.counts, error: Some(failure::of_run(&failure)) },
                }
            }
            Self::Backup { ends, task, version } => {
                let error = back_up(ends, task, *version, control, teller);
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Restore { snapshot, destination, options, version } => {
                let tell = |told| teller.leave(Report::Backup(told));
                let (snapshot, destination) = (snapshot.as_fd(), destination.as_fd());
                let (version, observer) = (*version, teller);
                let restore = Restore { snapshot, destination, options, version, control, observer, tell: &tell };
                let error = restore.run().err().map(|trouble| failure::of_backup(&trouble));
                Report::Ended { counts: control.progress().counts, error }
            }
            Self::Sweep { destination } => {
                let error = sweep(destination.as_fd()).err().map(|error| failure::of_error(&error));
                Report::Ended { counts: Counts::default(), error }
            }
        }
    }
}

fn back_up(ends: &Ends, task: &Task, version: u32, control: &Control, teller: &Teller) -> Option<JobError> {
    let tell = |told| teller.leave(Report::Backup(told));
    let run = backups::Run { ends, task, version, control, observer: teller, tell: &tell };
    run.run().err().map(|trouble| failure::of_backup(&trouble))
}

fn lanes_for(asked: Option<usize>) -> Option<NonZeroUsize> {
    let asked = asked.map(|lanes| lanes.min(MOST_LANES)).and_then(NonZeroUsize::new);
    asked.or_else(|| available_parallelism().ok())
}
