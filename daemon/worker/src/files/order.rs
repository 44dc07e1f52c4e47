//! The worker's order about files in a snapshot, with its descriptors, and how it is run.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::subvolume::{self, TOP_LEVEL_ID};
use butterdock_btrfs::{Error as Fault, file, filesystem};
use butterdock_receive::{Control, StreamPath};
use serde::{Deserialize, Serialize};

use super::cause::{FileCause, FileError, reading, writing};
use super::list::List;
use super::list::Versions;
use super::read::Read;
use super::restore::{Conflict, RestoreFiles, RestoreTo, Selection, remove_leftovers};
use super::tree::Tree;
use super::{FileEvent, FilePath, MOST_SNAPSHOTS};
use crate::backups::{Identity, open_snapshot};
use crate::caller::Caller;
use crate::descriptors::{DescriptorError, one_directory, pipe_and_directory, two_directories};
use crate::hex;

/// What to do with files in a snapshot, and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesOrder {
    /// The user whose rights decide; `None` for root's.
    pub caller: Option<Caller>,
    /// What to do.
    pub task: FilesTask,
}

/// What to do with files. The snapshots are on the filesystem of a directory, which is a descriptor of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FilesTask {
    /// List a directory. Descriptor: the filesystem.
    List {
        /// The snapshot's own uuid.
        snapshot: Identity,
        /// The directory.
        path: FilePath,
        /// Only names after this one.
        after: Option<FilePath>,
        /// Up to this many names.
        limit: u32,
    },
    /// Look for a path in snapshots. Descriptor: the filesystem.
    Versions {
        /// Their own uuids.
        snapshots: Vec<Identity>,
        /// The path.
        path: FilePath,
    },
    /// Copy a file into a pipe. Descriptors: the pipe, the filesystem.
    Read {
        /// The snapshot's own uuid.
        snapshot: Identity,
        /// The file.
        path: FilePath,
    },
    /// Restore files into a directory. Descriptors: the filesystem, the directory.
    Restore {
        /// The snapshot's own uuid.
        snapshot: Identity,
        /// The files and directories.
        paths: Vec<FilePath>,
        /// Where in the directory.
        to: RestoreTo,
        /// What happens to existing files.
        conflict: Conflict,
        /// The day for new names: `2026-11-28`.
        #[serde(with = "hex")]
        day: Vec<u8>,
    },
    /// Remove what a killed worker left beside these paths. Descriptor: the directory that it restored into.
    Sweep {
        /// The paths that were restored.
        paths: Vec<FilePath>,
    },
}

impl FilesOrder {
    /// Whether it only removes leftovers.
    pub(crate) fn is_sweep(&self) -> bool {
        matches!(self.task, FilesTask::Sweep { .. })
    }
}

/// An order with open descriptors.
#[derive(Debug)]
pub(crate) struct FilesJob {
    caller: Option<Caller>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    List { snapshot: OwnedFd, path: StreamPath, after: Option<FilePath>, limit: u32 },
    Versions { snapshots: Vec<(Identity, OwnedFd)>, path: StreamPath },
    Read { snapshot: OwnedFd, path: StreamPath, pipe: OwnedFd },
    Restore { snapshot: OwnedFd, target: OwnedFd, selection: Selection },
    Sweep { target: OwnedFd, paths: Vec<StreamPath> },
}

impl FilesJob {
    /// Joins an order with its descriptors, and opens the snapshots: a confined worker cannot open them.
    pub(crate) fn new(order: FilesOrder, descriptors: Vec<OwnedFd>) -> Result<Self, FileError> {
        let FilesOrder { caller, task } = order;
        let task = match task {
            FilesTask::List { snapshot, path, after, limit } => {
                let place = Filesystem::of(one_directory(descriptors)?)?;
                let snapshot = place.open(snapshot)?;
                Task::List { snapshot, path: checked(&path)?, after, limit }
            }
            FilesTask::Versions { snapshots, path } => {
                let place = Filesystem::of(one_directory(descriptors)?)?;
                Task::Versions { snapshots: place.open_all(&snapshots)?, path: checked(&path)? }
            }
            FilesTask::Read { snapshot, path } => {
                let (pipe, place) = pipe_and_directory(descriptors)?;
                let snapshot = Filesystem::of(place).and_then(|place| place.open(snapshot))?;
                Task::Read { snapshot, path: checked(&path)?, pipe }
            }
            FilesTask::Restore { snapshot, paths, to, conflict, day } => {
                let [place, target] = two_directories(descriptors)?;
                let snapshot = Filesystem::of(place).and_then(|place| place.open(snapshot))?;
                let paths = paths.iter().map(checked).collect::<Result<_, _>>()?;
                Task::Restore { snapshot, target, selection: Selection { paths, to, conflict, day } }
            }
            FilesTask::Sweep { paths } => {
                let paths = paths.iter().map(checked).collect::<Result<_, _>>()?;
                Task::Sweep { target: one_directory(descriptors)?, paths }
            }
        };
        Ok(Self { caller, task })
    }

    /// The same with another descriptor of the directory that it writes to.
    pub(crate) fn with_target(self, target: OwnedFd) -> Self {
        let task = match self.task {
            Task::Restore { snapshot, selection, .. } => Task::Restore { snapshot, target, selection },
            Task::Sweep { paths, .. } => Task::Sweep { target, paths },
            task @ (Task::List { .. } | Task::Versions { .. } | Task::Read { .. }) => task,
        };
        Self { task, ..self }
    }

    /// The snapshots that it reads.
    pub(crate) fn snapshots(&self) -> Vec<BorrowedFd<'_>> {
        match &self.task {
            Task::List { snapshot, .. } | Task::Read { snapshot, .. } | Task::Restore { snapshot, .. } => {
                vec![snapshot.as_fd()]
            }
            Task::Versions { snapshots, .. } => snapshots.iter().map(|(_, root)| root.as_fd()).collect(),
            Task::Sweep { .. } => Vec::new(),
        }
    }

    /// The directory that it writes to; `None` if it writes nothing.
    pub(crate) fn target(&self) -> Option<BorrowedFd<'_>> {
        match &self.task {
            Task::Restore { target, .. } | Task::Sweep { target, .. } => Some(target.as_fd()),
            Task::List { .. } | Task::Versions { .. } | Task::Read { .. } => None,
        }
    }

    /// The user whose identity it takes.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Runs it.
    pub(crate) fn run(&self, control: &Control, report: &dyn Fn(FileEvent)) -> Result<(), FileError> {
        if self.caller.as_ref().is_some_and(|caller| !caller.can_enter_source()) {
            return Err(FileError::of_cause(FileCause::SourceDenied));
        }
        if self.caller.as_ref().is_some_and(|caller| !caller.can_enter_target()) {
            return Err(FileError::of_cause(FileCause::TargetDenied));
        }
        match &self.task {
            Task::List { snapshot, path, after, limit } => {
                let (tree, after) = (tree(snapshot)?, after.as_ref().map(|after| after.0.as_slice()));
                List { tree, path, after, limit: *limit }.run(report)
            }
            Task::Versions { snapshots, path } => Versions { snapshots, path }.run(control, report),
            Task::Read { snapshot, path, pipe } => {
                Read { tree: tree(snapshot)?, path, pipe: pipe.as_fd(), control }.run(report)
            }
            Task::Restore { snapshot, target, selection } => {
                let snapshot = tree(snapshot)?;
                let is_user = self.caller.is_some();
                let target = Tree::new(target.as_fd()).map_err(writing(b""))?;
                RestoreFiles { snapshot, target, selection, is_user, control, report }.run()
            }
            Task::Sweep { target, paths } => {
                remove_leftovers(Tree::new(target.as_fd()).map_err(writing(b""))?, paths);
                Ok(())
            }
        }
    }
}

fn tree(snapshot: &OwnedFd) -> Result<Tree<'_>, FileError> {
    Tree::new(snapshot.as_fd()).map_err(reading(b""))
}

/// The service has checked the path already.
fn checked(path: &FilePath) -> Result<StreamPath, FileError> {
    const WRONG: DescriptorError = DescriptorError("a path in the order is not allowed; start it again");
    StreamPath::new(&path.0).map_err(|_broken| WRONG.into())
}

/// The filesystem that has the snapshots, from its top.
#[derive(Debug)]
struct Filesystem(OwnedFd);

impl Filesystem {
    /// Of any directory on it.
    fn of(directory: OwnedFd) -> Result<Self, FileError> {
        let is_top = |directory: &OwnedFd| -> Result<bool, Fault> {
            let stat = file::stat(directory)?;
            Ok(subvolume::is_root(&stat) && subvolume::info(directory)?.id == TOP_LEVEL_ID)
        };
        let is_top = is_top(&directory).map_err(reading(b""))?;
        let top = if is_top { directory } else { filesystem::open_top(&directory).map_err(reading(b""))? };
        Ok(Self(top))
    }

    fn open(&self, snapshot: Identity) -> Result<OwnedFd, FileError> {
        let found = open_snapshot(self.0.as_fd(), snapshot).map_err(reading(b""))?;
        found.map(|found| found.snapshot).ok_or_else(|| FileError::of_cause(FileCause::NoSnapshot))
    }

    /// Those that exist.
    fn open_all(&self, snapshots: &[Identity]) -> Result<Vec<(Identity, OwnedFd)>, FileError> {
        let mut opened = Vec::new();
        for snapshot in snapshots.iter().take(MOST_SNAPSHOTS) {
            match self.open(*snapshot) {
                Ok(root) => opened.push((*snapshot, root)),
                Err(FileError { cause: Some(FileCause::NoSnapshot), .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }
}
