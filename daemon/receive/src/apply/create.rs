//! Inodes are made: under their final name where nobody can see the difference.

use super::applier::{Applier, doing};
use crate::control::Tally;
use crate::error::Error;
use crate::name::StreamPath;
use crate::plan::{Creation, NewInode};
use crate::volume::{Inode, InodeKind, InodeState, Volume};

impl<V: Volume> Applier<'_, V> {
    /// Makes an inode under its final name where that cannot be seen, under its first one otherwise. Answers its
    /// state where it is known.
    pub(super) fn create(
        &mut self,
        creation: &Creation,
        path: &StreamPath,
    ) -> Result<(V::Inode, Option<InodeState>), Error> {
        let Creation { temporary, renamed, new, mode } = creation;
        Tally::add(&self.rules.control.tally().files, 1);
        let default = default_mode(new);
        if renamed.is_some() && self.may_fold(temporary, path) {
            let mode = mode.unwrap_or(default);
            self.touch(path)?;
            if let Ok(inode) = self.volume.create(path, new, mode) {
                self.name_appeared(path);
                return Ok((inode, Some(InodeState { mode, uid: 0, gid: 0 })));
            }
            // Whatever was in the way: the plain way replaces it, or says what is wrong.
        }
        self.touch(temporary)?;
        let known = self.volume.hands_down(temporary.parent()).is_ok_and(|given| given.keeps_mode_and_owner());
        let mut inode =
            self.lifting(&[temporary], |volume| volume.create(temporary, new, default)).map_err(doing("create"))?;
        self.name_appeared(temporary);
        if let Some(place) = renamed {
            self.rename(temporary, path).map_err(|error| error.at(*place))?;
            if inode.kind() == InodeKind::Special {
                // What is never opened is reached by its name, and that is another one now.
                inode = self.volume.open(path).map_err(doing("open"))?;
            }
        }
        Ok((inode, known.then_some(InodeState { mode: default, uid: 0, gid: 0 })))
    }

    fn may_fold(&mut self, temporary: &StreamPath, path: &StreamPath) -> bool {
        if self.rules.way.plain || self.temporaries.as_ref().is_none_or(|names| names.contains(temporary.as_bytes())) {
            return false;
        }
        match (self.volume.hands_down(b""), self.volume.hands_down(path.parent())) {
            (Ok(root), Ok(directory)) => root == directory && root.keeps_mode_and_owner(),
            _ => false,
        }
    }
}

/// The mode of a new inode until the stream gives one, as the standard receiver has it.
fn default_mode(new: &NewInode) -> u32 {
    match new {
        NewInode::File | NewInode::Fifo | NewInode::Socket => 0o600,
        NewInode::Directory => 0o700,
        NewInode::Symlink { .. } => 0o777,
        NewInode::CharDevice { .. } | NewInode::BlockDevice { .. } => 0,
    }
}
