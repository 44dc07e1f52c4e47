//! Copies a tree from a snapshot into a work folder.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::inode::set_mode;
use butterdock_btrfs::{Error as Fault, best_effort, filesystem, names};
use butterdock_receive::StreamPath;

use super::super::FileKind;
use super::super::cause::{FileCause, FileError, reading, writing};
use super::super::tree::{link_target, open_directory, open_file};
use super::links::Link;
use super::work_folder::check_new;
use super::{Run, join, target_name};

const NEW: OFlag = OFlag::O_CREAT.union(OFlag::O_EXCL).union(OFlag::O_RDWR);
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);
const PRIVATE: u32 = 0o700;
/// As in the kernel (`PATH_MAX`, without the NUL).
const LONGEST_PATH: usize = 4095;
/// The deepest directory below a selected one: for each level, two descriptors are open and a call is on the stack.
const DEEPEST: usize = 256;
/// The inode number of the empty directory that a snapshot has in place of a nested subvolume (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
const PLACEHOLDER: u64 = 2;

/// A file in the snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'s> {
    pub directory: BorrowedFd<'s>,
    pub name: &'s CStr,
    /// Its path in the snapshot.
    pub path: &'s [u8],
}

/// A directory at the target, and its path from the target's root.
#[derive(Debug, Clone, Copy)]
pub(super) struct TargetDirectory<'p> {
    pub directory: BorrowedFd<'p>,
    pub path: &'p [u8],
}

/// A copy in the work folder.
#[derive(Debug)]
pub(super) struct Made {
    fd: Option<OwnedFd>,
    /// The mode of a directory, which it gets under its final name.
    mode: Option<u32>,
    /// It is the new folder that files are restored into.
    pub is_folder: bool,
}

impl Made {
    const OTHER: Self = Self { fd: None, mode: None, is_folder: false };

    /// The new folder, which stays private.
    pub(super) fn folder(folder: OwnedFd) -> Self {
        Self { fd: Some(folder), mode: Some(PRIVATE), is_folder: true }
    }

    fn directory(directory: OwnedFd, mode: u32) -> Self {
        Self { fd: Some(directory), mode: Some(mode), is_folder: false }
    }

    /// Waits until it is on the device.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        match &self.fd {
            Some(directory) if self.mode.is_some() => filesystem::sync(directory),
            Some(file) => file::sync(file),
            None => Ok(()),
        }
    }

    /// It has its final name.
    pub(super) fn finish(self) -> Result<(), Fault> {
        match (self.fd, self.mode) {
            (Some(directory), Some(mode)) => set_mode(&directory, mode),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl Run<'_> {
    /// Copies a file, or a directory with all in it. None if the user may not read it: that is counted.
    pub(super) fn copy(
        &mut self,
        from: Source<'_>,
        stat: &Stat,
        to: TargetDirectory<'_>,
    ) -> Result<Option<Made>, FileError> {
        self.cancelled()?;
        self.check_depth(from.path)?;
        let copied = match FileKind::of(stat.mode) {
            FileKind::Directory => self.copy_directory(from, stat, to),
            FileKind::File => self.copy_file(from, stat, to),
            FileKind::Symlink => self.copy_link(from, stat, to),
            FileKind::Fifo | FileKind::Socket | FileKind::BlockDevice | FileKind::CharacterDevice => {
                self.copy_special(from, stat, to)
            }
        };
        match copied {
            Err(error) if error.is_denied() => {
                self.restored.denied = self.restored.denied.saturating_add(1);
                Ok(None)
            }
            copied => copied,
        }
    }

    fn copy_directory(
        &mut self,
        from: Source<'_>,
        stat: &Stat,
        to: TargetDirectory<'_>,
    ) -> Result<Option<Made>, FileError> {
        let source = open_directory(from.directory, from.name).map_err(reading(from.path))?;
        let made = make_directory(to.directory, from.name).map_err(writing(from.path))?;
        self.restored.directories = self.restored.directories.saturating_add(1);
        let inside = join(to.path, from.name.to_bytes());
        for name in names::entries(&source).map_err(reading(from.path))? {
            let path = join(from.path, name.to_bytes());
            let Some(stat) = self.child(&source, &name, &path)? else { continue };
            let child = Source { directory: source.as_fd(), name: &name, path: &path };
            if let Some(copied) = self.copy(child, &stat, TargetDirectory { directory: made.as_fd(), path: &inside })? {
                copied.finish().map_err(writing(&path))?;
            }
        }
        let mode = self.set_attributes(Some(&source), &made, stat, from.path)?;
        Ok(Some(Made::directory(made, mode)))
    }

    /// Refuses a path that is too deep below the selected one.
    pub(super) fn check_depth(&self, path: &[u8]) -> Result<(), FileError> {
        let is_too_deep = path.len() > LONGEST_PATH || levels(path).saturating_sub(self.selected) >= DEEPEST;
        if is_too_deep { Err(FileError::because(FileCause::TooDeep, path)) } else { Ok(()) }
    }

    /// The attributes of a name in a directory of the snapshot. None if it is not restored: a nested subvolume, whose files the
    /// snapshot does not have; or the user may not look at it, which is counted.
    pub(super) fn child(&mut self, directory: &OwnedFd, name: &CStr, path: &[u8]) -> Result<Option<Stat>, FileError> {
        match file::stat_at(directory, name).map_err(reading(path)) {
            Ok(stat) => Ok(self.is_here(&stat).then_some(stat)),
            Err(error) if error.is_denied() => {
                self.restored.denied = self.restored.denied.saturating_add(1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is a file of the snapshot itself.
    fn is_here(&self, stat: &Stat) -> bool {
        stat.dev == self.request.snapshot.dev() && !(stat.is_dir() && stat.ino == PLACEHOLDER)
    }

    fn copy_file(&mut self, from: Source<'_>, stat: &Stat, to: TargetDirectory<'_>) -> Result<Option<Made>, FileError> {
        if stat.nlink > 1 && self.link(stat, from.name, to) {
            self.restored.files = self.restored.files.saturating_add(1);
            self.passed(stat.size);
            return Ok(Some(Made::OTHER));
        }
        let opened = open_file(from.directory, from.name).map_err(reading(from.path))?;
        let (source, stat) = opened.ok_or_else(|| FileError::because(FileCause::Outside, from.path))?;
        let create = || file::openat_new(to.directory, from.name, NEW, Mode::S_IRUSR | Mode::S_IWUSR);
        let made = create().map_err(writing(from.path))?;
        self.fill(&source, &made, &stat, from.path)?;
        self.set_attributes(Some(&source), &made, &stat, from.path)?;
        self.restored.files = self.restored.files.saturating_add(1);
        if stat.nlink > 1 {
            let ino = file::stat(&made).map_err(writing(from.path))?.ino;
            let (directory, name) = (to.path.to_vec(), from.name.to_bytes().to_vec());
            self.links.add(stat.ino, Link { directory, name, ino });
        }
        Ok(Some(Made { fd: Some(made), ..Made::OTHER }))
    }

    /// Makes another name of a file that was restored before. False if that is not possible: then it becomes a file of its own.
    fn link(&self, stat: &Stat, name: &CStr, to: TargetDirectory<'_>) -> bool {
        let Some(link) = self.links.get(stat.ino) else { return false };
        let linked = || -> Result<bool, FileError> {
            let existing = target_name(&link.name)?;
            let directory = self.request.target.directory(&link.directory).map_err(writing(&link.directory))?;
            names::link(&directory, &existing, to.directory, name).map_err(writing(&link.name))?;
            // Another user may have exchanged the name.
            let made = file::stat_at(to.directory, name).map_err(writing(&link.name))?;
            if (made.dev, made.ino) == (self.request.target.dev(), link.ino) {
                return Ok(true);
            }
            names::unlink(to.directory, name).map_err(writing(&link.name))?;
            Ok(false)
        };
        linked().unwrap_or(false)
    }

    fn copy_link(&mut self, from: Source<'_>, stat: &Stat, to: TargetDirectory<'_>) -> Result<Option<Made>, FileError> {
        let target = link_target(from.directory, from.name).map_err(reading(from.path))?;
        names::make_symlink(to.directory, from.name, &target).map_err(writing(from.path))?;
        self.set_attributes_at(to.directory, from.name, stat, from.path)?;
        self.restored.files = self.restored.files.saturating_add(1);
        Ok(Some(Made::OTHER))
    }

    fn copy_special(
        &mut self,
        from: Source<'_>,
        stat: &Stat,
        to: TargetDirectory<'_>,
    ) -> Result<Option<Made>, FileError> {
        if matches!(FileKind::of(stat.mode), FileKind::BlockDevice | FileKind::CharacterDevice) {
            self.restored.devices = self.restored.devices.saturating_add(1);
            return Ok(None);
        }
        names::make_node(to.directory, from.name, stat.mode & 0o170_000 | 0o600, 0).map_err(writing(from.path))?;
        self.set_attributes_at(to.directory, from.name, stat, from.path)?;
        self.restored.files = self.restored.files.saturating_add(1);
        Ok(Some(Made::OTHER))
    }
}

/// Directories of the snapshot that are made on the way to a file. They get their attributes when all files are in them.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// By their paths in the snapshot.
    made: BTreeMap<Vec<u8>, (OwnedFd, Stat)>,
}

impl Ways {
    /// The directory of a file, made in `base`, which stands for the first `skipped` parts of the path.
    pub(super) fn directory(
        &mut self,
        run: &mut Run<'_>,
        base: BorrowedFd<'_>,
        path: &StreamPath,
        skipped: usize,
    ) -> Result<Option<&OwnedFd>, FileError> {
        let parts: Vec<&[u8]> = path.parent().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
        for end in skipped.saturating_add(1)..=parts.len() {
            let way = parts.get(..end).unwrap_or_default().join(&b'/');
            if self.made.contains_key(&way) {
                continue;
            }
            let whole = StreamPath::new(&way).map_err(|_broken| FileError::because(FileCause::Outside, &way))?;
            let (_, stat) = run.request.snapshot.find(&whole).map_err(reading(&way))?;
            let above = self.made.get(whole.parent()).map_or(base, |(directory, _)| directory.as_fd());
            let made = make_directory(above, whole.name()).map_err(writing(&way))?;
            run.restored.directories = run.restored.directories.saturating_add(1);
            self.made.insert(way, (made, stat));
        }
        Ok(self.made.get(path.parent()).map(|(directory, _)| directory))
    }

    /// Sets their attributes, but not the mode of `top`, which is returned for that.
    pub(super) fn finish(self, run: &mut Run<'_>, top: &[u8]) -> Result<Option<Made>, FileError> {
        let mut last = None;
        // The deepest first: a mode may keep the user out.
        for (path, (made, stat)) in self.made.into_iter().rev() {
            let whole = StreamPath::new(&path).map_err(|_broken| FileError::because(FileCause::Outside, &path))?;
            let source = run.request.snapshot.find(&whole).and_then(|(above, _)| open_directory(&above, whole.name()));
            let mode = run.set_attributes(source.ok().as_ref(), &made, &stat, &path)?;
            let made = Made::directory(made, mode);
            if path == top {
                last = Some(made);
            } else {
                made.finish().map_err(writing(&path))?;
            }
        }
        Ok(last)
    }
}

/// The directories above a path.
pub(super) fn levels(path: &[u8]) -> usize {
    path.iter().filter(|byte| **byte == b'/').count()
}

/// Makes a directory that only the worker's user can enter.
pub(super) fn make_directory(above: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    names::make_dir(above, name, PRIVATE)?;
    let made = file::openat_new(above, name, FOLDER, Mode::empty());
    if made.is_err() {
        best_effort(names::remove_dir(above, name));
    }
    let made = made?;
    check_new(&made)?;
    Ok(made)
}
