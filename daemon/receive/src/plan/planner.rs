//! The window: it holds the work on one path until a command on another path arrives, or until it is full.

use butterdock_stream::{Command, Identity, Place, Shared};

use super::step::{Action, Begin, Change, Creation, NewInode, Step, Work};
use super::step::{change, device, named, value};
use crate::error::{Cause, Error};
use crate::name::StreamPath;

/// The window is closed when it holds this many changes,
pub(crate) const MAX_CHANGES: usize = 64;
/// or this many bytes of the stream.
pub(crate) const MAX_BYTES: usize = 256 << 10;

/// Folds commands into steps.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// The work, and the place of its first command.
    window: Option<(Place, Work)>,
    weight: usize,
}

impl Planner {
    /// Takes one command. `share` keeps a part of the command's bytes alive. Finished steps go to `steps`.
    ///
    /// # Errors
    /// The command can be in no good stream: its path is not one, or a value does not fit. The window stays.
    pub(crate) fn push(
        &mut self,
        place: Place,
        command: &Command<'_>,
        share: impl Fn(&[u8]) -> Shared,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        self.take(place, command, share, steps).map_err(|error| error.at(place).on(command.path()))
    }

    /// Closes the window.
    pub(crate) fn flush(&mut self, steps: &mut Vec<Step>) {
        if let Some((place, mut work)) = self.window.take() {
            fold_mode(&mut work);
            steps.push(Step { place, action: Action::Work(work) });
        }
        self.weight = 0;
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest folds with nothing")]
    fn take(
        &mut self,
        place: Place,
        command: &Command<'_>,
        share: impl Fn(&[u8]) -> Shared,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        match *command {
            Command::Subvol { path, uuid, ctransid } => {
                let begin = Begin { name: path.into(), identity: Identity { uuid, ctransid }, parent: None };
                self.emit(place, Action::Begin(begin), steps);
            }
            Command::Snapshot { path, uuid, ctransid, parent } => {
                let begin = Begin { name: path.into(), identity: Identity { uuid, ctransid }, parent: Some(parent) };
                self.emit(place, Action::Begin(begin), steps);
            }
            Command::End => self.emit(place, Action::End, steps),
            Command::Mkfile { path, .. } => self.create(place, path, NewInode::File, steps)?,
            Command::Mkdir { path, .. } => self.create(place, path, NewInode::Directory, steps)?,
            Command::Mkfifo { path, .. } => self.create(place, path, NewInode::Fifo, steps)?,
            Command::Mksock { path, .. } => self.create(place, path, NewInode::Socket, steps)?,
            Command::Mknod { path, rdev, mode, .. } => self.create(place, path, device(mode, rdev)?, steps)?,
            Command::Symlink { path, target, .. } => {
                if target.is_empty() || target.len() > 4095 || target.contains(&0) {
                    return Err(value("the target of a symbolic link is empty, too long, or has a NUL"));
                }
                self.create(place, path, NewInode::Symlink { target: target.into() }, steps)?;
            }
            Command::Rename { path, to } => self.rename(place, named(path)?, named(to)?, steps),
            Command::Link { path, existing } => {
                let action = Action::Link { existing: named(existing)?, path: named(path)? };
                self.emit(place, action, steps);
            }
            Command::Unlink { path } => self.emit(place, Action::Unlink(named(path)?), steps),
            Command::Rmdir { path } => self.emit(place, Action::Rmdir(named(path)?), steps),
            Command::UpdateExtent { .. } => return Err(Error::new(Cause::WithoutData)),
            Command::Write { path, offset, data } => self.write(place, path, offset, share(data), steps)?,
            _ => {
                if let Some((path, change)) = change(command, share)? {
                    self.change(place, path, change, steps)?;
                }
            }
        }
        Ok(())
    }

    fn emit(&mut self, place: Place, action: Action, steps: &mut Vec<Step>) {
        self.flush(steps);
        steps.push(Step { place, action });
    }

    fn create(&mut self, place: Place, path: &[u8], new: NewInode, steps: &mut Vec<Step>) -> Result<(), Error> {
        let path = named(path)?;
        self.flush(steps);
        let creation = Creation { temporary: path.clone(), renamed: None, new, mode: None };
        self.window = Some((place, Work { creation: Some(creation), path, changes: Vec::new() }));
        Ok(())
    }

    /// `RENAME` as the very next command after the inode was made is part of its creation.
    fn rename(&mut self, place: Place, from: StreamPath, to: StreamPath, steps: &mut Vec<Step>) {
        if let Some((_, Work { creation: Some(creation), path, changes })) = &mut self.window {
            let folds = changes.is_empty()
                && creation.renamed.is_none()
                && *path == from
                && from.is_temporary()
                && !to.is_within(from.as_bytes());
            if folds {
                creation.renamed = Some(place);
                *path = to;
                return;
            }
        }
        self.emit(place, Action::Rename { from, to }, steps);
    }

    fn write(
        &mut self,
        place: Place,
        path: &[u8],
        offset: u64,
        data: Shared,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let len = data.len() as u64;
        if offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(value("a write ends beyond the largest file"));
        }
        self.make_room(path, data.len(), steps);
        if let Some((_, work)) = self.window.as_mut().filter(|(_, work)| work.path.as_bytes() == path) {
            if let Some((_, last @ Change::Write { .. })) = work.changes.last_mut() {
                let end = last.weight() as u64;
                if let Change::Write { offset: start, parts } = last {
                    if start.checked_add(end) == Some(offset) {
                        self.weight = self.weight.saturating_add(data.len());
                        parts.push(data);
                        return Ok(());
                    }
                }
            }
        }
        self.change(place, path, Change::Write { offset, parts: vec![data] }, steps)
    }

    fn change(&mut self, place: Place, path: &[u8], change: Change, steps: &mut Vec<Step>) -> Result<(), Error> {
        let weight = change.weight();
        self.make_room(path, weight, steps);
        self.weight = self.weight.saturating_add(weight);
        match &mut self.window {
            Some((_, work)) if work.path.as_bytes() == path => work.changes.push((place, change)),
            _ => {
                let path = StreamPath::new(path).map_err(|error| Error::new(Cause::Name(error)))?;
                self.flush(steps);
                self.weight = weight;
                self.window = Some((place, Work { creation: None, path, changes: vec![(place, change)] }));
            }
        }
        Ok(())
    }

    /// Closes the window when the next change on its path would make it too large.
    fn make_room(&mut self, path: &[u8], weight: usize, steps: &mut Vec<Step>) {
        let full = self.window.as_ref().is_some_and(|(_, work)| {
            work.path.as_bytes() == path
                && (work.changes.len() >= MAX_CHANGES || self.weight.saturating_add(weight) > MAX_BYTES)
        });
        if full {
            self.flush(steps);
        }
    }
}

/// Hoists the mode into the creation where that cannot be seen: the one `CHMOD` of the window, with no ACL
/// beside it (an ACL's mask and the mode's group bits are one thing, so their order counts).
fn fold_mode(work: &mut Work) {
    let Some(creation) = &mut work.creation else { return };
    if matches!(creation.new, NewInode::Symlink { .. }) {
        return;
    }
    let mut chmods = work
        .changes
        .iter()
        .enumerate()
        .filter_map(|(at, (_, change))| if let Change::Chmod { mode } = change { Some((at, *mode)) } else { None });
    let (Some((at, mode)), None) = (chmods.next(), chmods.next()) else { return };
    let acl = work.changes.iter().any(|(_, change)| {
        matches!(change, Change::SetXattr { name, .. } | Change::RemoveXattr { name } if name.starts_with(b"system."))
    });
    if !acl {
        creation.mode = Some(mode);
        work.changes.remove(at);
    }
}
