//! Looks for one path in several snapshots.

use std::os::fd::{AsFd as _, OwnedFd};

use butterdock_receive::{Control, StreamPath};

use super::cause::{FileCause, FileError, reading};
use super::tree::Tree;
use super::{FileEvent, FileRow};
use crate::backups::Identity;

/// A path, and the snapshots that may have it.
#[derive(Debug)]
pub(super) struct Versions<'v> {
    pub snapshots: &'v [(Identity, OwnedFd)],
    pub path: &'v StreamPath,
}

impl Versions<'_> {
    /// Reports the snapshots in which the path exists and the user may look at it.
    pub(super) fn run(&self, control: &Control, report: &dyn Fn(FileEvent)) -> Result<(), FileError> {
        let (mut found, mut denied) = (false, None);
        for (snapshot, root) in self.snapshots {
            if control.is_cancelled() {
                return Err(FileError::cancelled());
            }
            match self.look(root) {
                Ok(row) => {
                    found = true;
                    report(FileEvent::Version { snapshot: *snapshot, row });
                }
                Err(error) if error.is_denied() => denied = Some(error),
                // In other snapshots it may be there, or a directory in place of a link.
                Err(FileError { cause: Some(FileCause::NotFound | FileCause::Outside), .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match denied {
            Some(error) if !found => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    fn look(&self, root: &OwnedFd) -> Result<FileRow, FileError> {
        let path = self.path.as_bytes();
        let tree = Tree::new(root.as_fd()).map_err(reading(path))?;
        let (parent, stat) = tree.find(self.path).map_err(reading(path))?;
        FileRow::of(&parent, self.path.name(), &stat).map_err(reading(path))
    }
}
