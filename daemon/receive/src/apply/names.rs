//! Creates, renames, links and removes names in the order of the stream. Clears flags that refuse a change, and counts
//! temporary names.

use std::collections::HashSet;

use butterdock_btrfs::{Errno, Error as Fault};

use super::RunContext;
use super::deferred::Deferred;
use crate::control::RunCounters;
use crate::error::{Error, doing};
use crate::name::StreamPath;
use crate::plan::{Creation, NewInode};
use crate::volume::{Inode, InodeKind, InodeState, Volume};

/// With more temporary names than this at the root, creations are no longer folded.
const TEMPORARIES: usize = 1 << 16;

/// The names of a volume, changed in the order of the stream.
pub(super) struct Names<'r, V> {
    pub(super) volume: V,
    pub(super) deferred: Deferred,
    /// The temporary names at the root that are in use; none if there are too many.
    temporaries: Option<HashSet<Vec<u8>>>,
    context: &'r RunContext,
}

impl<'r, V: Volume> Names<'r, V> {
    /// Reads the temporary names at the root of `volume`.
    ///
    /// # Errors
    /// The names cannot be read.
    pub(super) fn new(mut volume: V, context: &'r RunContext) -> Result<Self, Error> {
        let names = volume.temporaries(TEMPORARIES).map_err(doing("list the subvolume's root"))?;
        let temporaries = (names.len() <= TEMPORARIES).then(|| names.into_iter().collect());
        Ok(Self { volume, deferred: Deferred::default(), temporaries, context })
    }

    pub(super) fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Error> {
        self.touch(from)?;
        self.touch(to)?;
        self.retry_without_flags(&[from, to], |volume| volume.rename(from, to)).map_err(doing("rename"))?;
        self.name_vanished(from);
        self.name_appeared(to);
        Ok(())
    }

    pub(super) fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Error> {
        self.touch(path)?;
        self.retry_without_flags(&[existing, path], |volume| volume.link(existing, path)).map_err(doing("link"))?;
        self.name_appeared(path);
        if existing.is_temporary() || path.is_temporary() {
            // A rename of one name of an inode over another one does nothing, so the set would be wrong. No sender does that.
            self.temporaries = None;
        }
        Ok(())
    }

    pub(super) fn remove(
        &mut self,
        path: &StreamPath,
        what: &'static str,
        remove: impl Fn(&mut V, &StreamPath) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        self.touch(path)?;
        self.retry_without_flags(&[path], |volume| remove(volume, path)).map_err(doing(what))?;
        self.name_vanished(path);
        Ok(())
    }

    /// Makes an attempt. If an immutable or append-only flag refuses it, clears the flags and tries again. The flags come from
    /// the snapshot of the parent: they were cleared at the source too while it changed.
    pub(super) fn retry_without_flags<T>(
        &mut self,
        paths: &[&StreamPath],
        attempt: impl Fn(&mut V) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match attempt(&mut self.volume) {
            Err(fault) if matches!(fault.errno, Errno::EPERM | Errno::EACCES) => {
                match self.clear_refusing_with_parents(paths) {
                    Ok(true) => attempt(&mut self.volume),
                    _ => Err(fault),
                }
            }
            other => other,
        }
    }

    fn clear_refusing_with_parents(&mut self, paths: &[&StreamPath]) -> Result<bool, Error> {
        let mut all: Vec<StreamPath> = Vec::new();
        for path in paths {
            all.push((*path).clone());
            all.extend(StreamPath::new(path.parent()).ok());
        }
        self.clear_refusing(&all.iter().collect::<Vec<_>>())
    }

    pub(super) fn clear_refusing(&mut self, paths: &[&StreamPath]) -> Result<bool, Error> {
        let mut any = false;
        for path in paths {
            if let Some((number, flags)) = self.volume.clear_refusing(path).map_err(doing("clear the flags"))? {
                self.deferred.cleared(number, path, flags);
                any = true;
            }
        }
        Ok(any)
    }

    /// The directory of `path` is about to change. Needed only after times were set early.
    pub(super) fn touch(&mut self, path: &StreamPath) -> Result<(), Error> {
        if self.deferred.wants_touch() {
            if let Ok(parent) = StreamPath::new(path.parent()) {
                if let Ok(directory) = self.volume.open(&parent) {
                    self.deferred.touch(&directory, &parent).map_err(doing("read a directory's times"))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn name_appeared(&mut self, path: &StreamPath) {
        if path.is_temporary() {
            if let Some(names) = &mut self.temporaries {
                names.insert(path.as_bytes().to_vec());
                if names.len() > TEMPORARIES {
                    self.temporaries = None;
                }
            }
        }
    }

    fn name_vanished(&mut self, path: &StreamPath) {
        if path.is_temporary() {
            if let Some(names) = &mut self.temporaries {
                names.remove(path.as_bytes());
            }
        }
    }

    /// Creates an inode under its final name if the fold is not visible, otherwise under its first one. Returns its owner and
    /// mode if they are known.
    pub(super) fn create(
        &mut self,
        creation: &Creation,
        path: &StreamPath,
    ) -> Result<(V::Inode, Option<InodeState>), Error> {
        let Creation { temporary, renamed, new, mode } = creation;
        RunCounters::add(&self.context.control.tally().files, 1);
        let default = default_mode(new);
        if renamed.is_some() && self.may_fold(temporary, path) {
            let mode = mode.unwrap_or(default);
            self.touch(path)?;
            if let Ok(inode) = self.volume.create(path, new, mode) {
                self.name_appeared(path);
                return Ok((inode, Some(InodeState { mode, uid: 0, gid: 0 })));
            }
            // The unfolded commands replace an existing file, or report the error.
        }
        self.touch(temporary)?;
        let known = self.volume.inheritance(temporary.parent()).is_ok_and(|given| given.keeps_mode_and_owner());
        let mut inode = self
            .retry_without_flags(&[temporary], |volume| volume.create(temporary, new, default))
            .map_err(doing("create"))?;
        self.name_appeared(temporary);
        if let Some(place) = renamed {
            self.rename(temporary, path).map_err(|error| error.at(*place))?;
            if inode.kind() == InodeKind::Special {
                // A special file is addressed by its name, which has changed.
                inode = self.volume.open(path).map_err(doing("open"))?;
            }
        }
        Ok((inode, known.then_some(InodeState { mode: default, uid: 0, gid: 0 })))
    }

    fn may_fold(&mut self, temporary: &StreamPath, path: &StreamPath) -> bool {
        if self.context.options.plain
            || self.temporaries.as_ref().is_none_or(|names| names.contains(temporary.as_bytes()))
        {
            return false;
        }
        match (self.volume.inheritance(b""), self.volume.inheritance(path.parent())) {
            (Ok(root), Ok(directory)) => root == directory && root.keeps_mode_and_owner(),
            _ => false,
        }
    }
}

/// The mode of a new inode until the stream sets one, as in the standard receiver.
fn default_mode(new: &NewInode) -> u32 {
    match new {
        NewInode::File | NewInode::Fifo | NewInode::Socket => 0o600,
        NewInode::Directory => 0o700,
        NewInode::Symlink { .. } => 0o777,
        NewInode::CharDevice { .. } | NewInode::BlockDevice { .. } => 0,
    }
}
