//! Folds commands into steps. The window has the changes of one path until a command on another path comes, or until it is
//! full. Each command is checked here for values that no file can have.

use butterdock_stream::{Command, Identity, Position, Shared};

use super::{Action, Begin, Change, Creation, NewInode, Step, Verity, Work};
use crate::error::{Cause, Error};
use crate::name::{NameError, StreamPath};

/// The window is closed when it has this many changes,
pub(crate) const MAX_CHANGES: usize = 64;
/// or this many bytes of the stream.
pub(crate) const MAX_BYTES: usize = 256 << 10;

/// Folds commands into steps.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    /// The open window, and the place of its first command.
    window: Option<(Position, Work)>,
    /// The bytes of the stream that the window keeps in memory.
    weight: usize,
}

impl Planner {
    /// Takes one command. `share` keeps a part of the command's bytes in memory. Adds finished steps to `steps`.
    ///
    /// # Errors
    /// A path or a value of the command is invalid. The window stays open.
    pub(crate) fn push(
        &mut self,
        place: Position,
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

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other commands are not folded")]
    fn take(
        &mut self,
        place: Position,
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

    fn emit(&mut self, place: Position, action: Action, steps: &mut Vec<Step>) {
        self.flush(steps);
        steps.push(Step { place, action });
    }

    fn create(&mut self, place: Position, path: &[u8], new: NewInode, steps: &mut Vec<Step>) -> Result<(), Error> {
        let path = named(path)?;
        self.flush(steps);
        let creation = Creation { temporary: path.clone(), renamed: None, new, mode: None };
        self.window = Some((place, Work { creation: Some(creation), path, changes: Vec::new() }));
        Ok(())
    }

    /// A `RENAME` directly after the creation of an inode becomes part of the creation.
    fn rename(&mut self, place: Position, from: StreamPath, to: StreamPath, steps: &mut Vec<Step>) {
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
        place: Position,
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

    fn change(&mut self, place: Position, path: &[u8], change: Change, steps: &mut Vec<Step>) -> Result<(), Error> {
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

    /// Closes the window if the next change on its path would make it too large.
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

/// Moves the mode into the creation if that is not visible: if the window has one `CHMOD` and no ACL. (The mask of an ACL and
/// the group bits of the mode are the same bits, so the order of the two matters.)
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

/// The mode bits that a stream may set.
const MODE_BITS: u32 = 0o7777;
const FILE_TYPE: u64 = 0o170_000;
const CHAR_DEVICE: u64 = 0o020_000;
const BLOCK_DEVICE: u64 = 0o060_000;
/// `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`, the only mode that the kernel sends.
const PUNCH_HOLE_KEEP_SIZE: u32 = 3;
/// Limits of `setxattr(2)`.
const XATTR_NAME_MAX: usize = 255;
const XATTR_SIZE_MAX: usize = 65_536;
/// Limits of `FS_IOC_ENABLE_VERITY`.
const SALT_MAX: usize = 32;
const SIGNATURE_MAX: usize = 16_128;

/// The changes that are not folded with others.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other commands create, rename or remove names")]
fn change<'a>(command: &Command<'a>, share: impl Fn(&[u8]) -> Shared) -> Result<Option<(&'a [u8], Change)>, Error> {
    let (path, change) = match *command {
        Command::EncodedWrite { path, extent, data } => (path, Change::Encoded { extent, payload: share(data) }),
        Command::Clone { path, offset, len, source, source_path, source_offset } => {
            // The ioctl takes 0 as "up to the end of the source", which the command does not mean.
            if len == 0 {
                return Err(value("a clone has no bytes"));
            }
            let ends = [offset.checked_add(len), source_offset.checked_add(len)];
            if ends.iter().any(|end| end.is_none_or(|end| i64::try_from(end).is_err())) {
                return Err(value("a clone ends beyond the largest file"));
            }
            (path, Change::Clone { offset, len, source, source_path: named(source_path)?, source_offset })
        }
        Command::Truncate { path, size } => {
            i64::try_from(size).map_err(|_error| value("a size is beyond the largest file"))?;
            (path, Change::Truncate { size })
        }
        Command::Chmod { path, mode } => {
            let mode = u32::try_from(mode).map_err(|_error| value("a mode has more than 32 bits"))?;
            (path, Change::Chmod { mode: mode & MODE_BITS })
        }
        Command::Chown { path, uid, gid } => match (owner(uid), owner(gid)) {
            (Some(uid), Some(gid)) => (path, Change::Chown { uid, gid }),
            _ => return Err(value("an owner is no 32-bit id")),
        },
        Command::Utimes { path, atime, mtime, .. } => {
            if atime.nanoseconds >= 1_000_000_000 || mtime.nanoseconds >= 1_000_000_000 {
                return Err(value("a time has a second or more of nanoseconds"));
            }
            (path, Change::Utimes { atime, mtime })
        }
        Command::SetXattr { path, name, data } => {
            xattr_name(name)?;
            if data.len() > XATTR_SIZE_MAX {
                return Err(value("an extended attribute is larger than 64 KiB"));
            }
            (path, Change::SetXattr { name: name.into(), data: share(data) })
        }
        Command::RemoveXattr { path, name } => {
            xattr_name(name)?;
            (path, Change::RemoveXattr { name: name.into() })
        }
        Command::Fallocate { path, mode, offset, len } => {
            if mode != PUNCH_HOLE_KEEP_SIZE {
                return Err(value("a fallocate mode other than punching a hole"));
            }
            if len == 0 || offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(value("a hole is empty or ends beyond the largest file"));
            }
            (path, Change::Punch { offset, len })
        }
        Command::Fileattr { path, attr } => (path, Change::Fileattr { attr }),
        Command::EnableVerity { path, algorithm, block_size, salt, signature } => {
            if salt.len() > SALT_MAX || signature.len() > SIGNATURE_MAX {
                return Err(value("the salt or the signature of fs-verity is too long"));
            }
            let verity = Verity { algorithm, block_size, salt: salt.into(), signature: signature.into() };
            (path, Change::Verity(Box::new(verity)))
        }
        _ => return Ok(None),
    };
    Ok(Some((path, change)))
}

/// `chown(2)` takes -1 as "do not change", and no inode has this id.
fn owner(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|&id| id != u32::MAX)
}

fn xattr_name(name: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX || name.contains(&0) {
        return Err(value("the name of an extended attribute is empty, too long, or has a NUL"));
    }
    Ok(())
}

fn device(mode: u64, rdev: u64) -> Result<NewInode, Error> {
    u32::try_from(rdev).map_err(|_error| value("a device number has more than 32 bits"))?;
    u32::try_from(mode).map_err(|_error| value("a mode has more than 32 bits"))?;
    match mode & FILE_TYPE {
        CHAR_DEVICE => Ok(NewInode::CharDevice { rdev }),
        BLOCK_DEVICE => Ok(NewInode::BlockDevice { rdev }),
        _ => Err(value("MKNOD creates something that is no device")),
    }
}

/// A path that names something below the root.
fn named(path: &[u8]) -> Result<StreamPath, Error> {
    match StreamPath::new(path) {
        Ok(path) if path.is_root() => Err(Error::new(Cause::Name(NameError::Root))),
        Ok(path) => Ok(path),
        Err(error) => Err(Error::new(Cause::Name(error))),
    }
}

fn value(what: &'static str) -> Error {
    Error::new(Cause::Value(what))
}
