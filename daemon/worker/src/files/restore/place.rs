//! Where restored files go, and what happens to files that have their names.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};

use butterdock_btrfs::file::{self, Stat};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names};
use butterdock_receive::StreamPath;

use super::super::cause::{FileCause, FileError, reading, writing};
use super::super::tree::open_directory;
use super::copy::{Made, Source, TargetDirectory, Ways, levels, make_directory};
use super::work_folder::WorkFolder;
use super::{Conflict, Run, join, target_name};

/// The longest name of a file.
const LONGEST_NAME: usize = 255;
/// This many names are tried.
const MOST_NAMES: u32 = 1000;

/// The final name of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Its own, which was free.
    Free,
    /// Its own, in place of a file.
    Replacing,
    /// Another one, because its own is not free.
    Beside,
}

impl Run<'_> {
    /// Refuses a path that cannot be restored because of what has its name, before anything is restored.
    pub(super) fn check(&self, path: &StreamPath) -> Result<(), FileError> {
        let bytes = path.as_bytes();
        let there = match self.request.target.find(path) {
            Ok((_, there)) => there,
            Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(()),
            Err(fault) => return Err(writing(bytes)(fault)),
        };
        let (_, stat) = self.request.snapshot.find(path).map_err(reading(bytes))?;
        match self.request.selection.conflict {
            Conflict::Fail => Err(FileError::because(FileCause::Occupied, bytes)),
            Conflict::Replace if stat.is_dir() != there.is_dir() => {
                Err(FileError::because(FileCause::OtherType, bytes))
            }
            Conflict::Replace | Conflict::KeepBoth => Ok(()),
        }
    }

    /// Restores one path to its original place.
    pub(super) fn restore_original(&mut self, path: &StreamPath) -> Result<(), FileError> {
        let bytes = path.as_bytes();
        self.selected = levels(bytes);
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
        let prefix = |end: usize| parts.get(..end).unwrap_or_default().join(&b'/');
        let mut directory = self.request.target.directory(b"").map_err(writing(bytes))?;
        let (mut depth, last) = (0, parts.len().saturating_sub(1));
        while depth < last {
            match self.request.target.directory(&prefix(depth.saturating_add(1))) {
                Ok(found) => (directory, depth) = (found, depth.saturating_add(1)),
                Err(Fault { errno: Errno::ENOENT, .. }) => break,
                Err(fault) => return Err(writing(bytes)(fault)),
            }
        }
        let (parent, stat) = self.request.snapshot.find(path).map_err(reading(bytes))?;
        let (from, here) = (Source { directory: parent.as_fd(), name: path.name(), path: bytes }, prefix(depth));
        let to = TargetDirectory { directory: directory.as_fd(), path: &here };
        if depth == last {
            return self.place(from, &stat, to);
        }
        // Directories are missing: they are restored with the file in them, and become visible together.
        let work = self.take_work(to)?;
        let mut ways = Ways::default();
        let way = ways.directory(self, work.as_fd(), path, depth)?;
        let inside = way.ok_or_else(|| FileError::because(FileCause::TargetOutside, bytes))?;
        let between = parts.get(depth..last).unwrap_or_default().join(&b'/');
        let within = join(&join(&here, work.name().to_bytes()), &between);
        let copied = self.copy(from, &stat, TargetDirectory { directory: inside.as_fd(), path: &within })?;
        let Some(copied) = copied else { return Ok(()) };
        copied.finish().map_err(writing(bytes))?;
        let top = prefix(depth.saturating_add(1));
        let name = target_name(parts.get(depth).copied().unwrap_or_default())?;
        if let Some(made) = ways.finish(self, &top)? {
            self.publish(&work, &name, made, to, Naming::Free)?;
        }
        self.work = Some((here.clone(), work));
        Ok(())
    }

    /// Restores the paths into a new folder, which becomes visible when it is complete.
    pub(super) fn restore_folder(&mut self, paths: &[StreamPath], folder: &[u8]) -> Result<(), FileError> {
        let root = self.request.target.directory(b"").map_err(writing(folder))?;
        let to = TargetDirectory { directory: root.as_fd(), path: b"" };
        let name = target_name(folder)?;
        let work = self.take_work(to)?;
        let made = make_directory(work.as_fd(), &name).map_err(writing(folder))?;
        let within = join(work.name().to_bytes(), folder);
        let (mut ways, before) = (Ways::default(), self.restored);
        for path in paths {
            let bytes = path.as_bytes();
            self.selected = levels(bytes);
            let (parent, stat) = self.request.snapshot.find(path).map_err(reading(bytes))?;
            let directory = match ways.directory(self, made.as_fd(), path, 0)? {
                Some(way) => way.as_fd(),
                None => made.as_fd(),
            };
            let from = Source { directory: parent.as_fd(), name: path.name(), path: bytes };
            let place = TargetDirectory { directory, path: &join(&within, path.parent()) };
            if let Some(copied) = self.copy(from, &stat, place)? {
                copied.finish().map_err(writing(bytes))?;
            }
        }
        ways.finish(self, b"")?;
        if self.restored.files == before.files && self.restored.directories == before.directories {
            return Ok(());
        }
        self.publish(&work, &name, Made::folder(made), to, Naming::Free)
    }

    /// Restores a file or directory into an existing directory.
    fn place(&mut self, from: Source<'_>, stat: &Stat, to: TargetDirectory<'_>) -> Result<(), FileError> {
        let there = match file::stat_at(to.directory, from.name) {
            Ok(there) => Some(there),
            Err(Fault { errno: Errno::ENOENT, .. }) => None,
            Err(fault) => return Err(writing(from.path)(fault)),
        };
        let naming = match (there, self.request.selection.conflict) {
            (None, _) => Naming::Free,
            (Some(_), Conflict::Fail) => return Err(FileError::because(FileCause::Occupied, from.path)),
            (Some(_), Conflict::KeepBoth) => Naming::Beside,
            (Some(there), Conflict::Replace) => match (stat.is_dir(), there.is_dir()) {
                (true, true) => return self.merge(from, to),
                (false, false) => Naming::Replacing,
                (true, false) | (false, true) => return Err(FileError::because(FileCause::OtherType, from.path)),
            },
        };
        let work = self.take_work(to)?;
        let within = join(to.path, work.name().to_bytes());
        if let Some(made) = self.copy(from, stat, TargetDirectory { directory: work.as_fd(), path: &within })? {
            self.publish(&work, from.name, made, to, naming)?;
        }
        self.work = Some((to.path.to_vec(), work));
        Ok(())
    }

    /// Restores all that is in a directory into the existing one.
    fn merge(&mut self, from: Source<'_>, to: TargetDirectory<'_>) -> Result<(), FileError> {
        let source = match open_directory(from.directory, from.name).map_err(reading(from.path)) {
            Err(error) if error.is_denied() => {
                self.restored.denied = self.restored.denied.saturating_add(1);
                return Ok(());
            }
            source => source?,
        };
        let path = join(to.path, from.name.to_bytes());
        let directory: OwnedFd = self.request.target.directory(&path).map_err(writing(&path))?;
        let here = TargetDirectory { directory: directory.as_fd(), path: &path };
        let mut directories: Vec<(CString, Stat)> = Vec::new();
        for name in names::entries(&source).map_err(reading(from.path))? {
            let inner = join(from.path, name.to_bytes());
            match self.child(&source, &name, &inner)? {
                // Later, so that the files of one directory use one work folder.
                Some(stat) if stat.is_dir() => directories.push((name, stat)),
                Some(stat) => {
                    self.place(Source { directory: source.as_fd(), name: &name, path: &inner }, &stat, here)?;
                }
                None => {}
            }
        }
        for (name, stat) in directories {
            let inner = join(from.path, name.to_bytes());
            self.place(Source { directory: source.as_fd(), name: &name, path: &inner }, &stat, here)?;
        }
        Ok(())
    }

    /// Gives a complete copy in the work folder its final name.
    fn publish(
        &mut self,
        work: &WorkFolder,
        name: &CStr,
        made: Made,
        to: TargetDirectory<'_>,
        naming: Naming,
    ) -> Result<(), FileError> {
        let path = join(to.path, name.to_bytes());
        self.cancelled()?;
        made.sync().map_err(writing(&path))?;
        let is_folder = made.is_folder;
        let taken = match naming {
            Naming::Free if !is_folder => {
                match names::rename_noreplace(work, name, to.directory, name) {
                    Ok(()) => name.to_owned(),
                    // Another program was quicker.
                    Err(Fault { errno: Errno::EEXIST, .. }) => {
                        return Err(FileError::because(FileCause::Occupied, &path));
                    }
                    Err(fault) => return Err(writing(&path)(fault)),
                }
            }
            Naming::Replacing => {
                names::rename(work, name, to.directory, name).map_err(writing(&path))?;
                // If both are names of one file, the kernel renames nothing.
                best_effort(names::unlink(work, name));
                name.to_owned()
            }
            Naming::Free | Naming::Beside => {
                let day = self.request.selection.day.as_slice();
                let other = |number| {
                    if is_folder { numbered(name.to_bytes(), number) } else { beside(name.to_bytes(), day, number) }
                };
                let taken = free_name(work, name, to, other).map_err(writing(&path))?;
                let (taken, number) = taken.ok_or_else(|| FileError::because(FileCause::Occupied, &path))?;
                match naming {
                    Naming::Beside => self.restored.beside = self.restored.beside.saturating_add(1),
                    Naming::Free | Naming::Replacing => self.restored.folder_number = (number > 1).then_some(number),
                }
                taken
            }
        };
        made.finish().map_err(writing(&path))?;
        let within = join(to.path, work.name().to_bytes());
        self.links.published((&within, name.to_bytes()), (to.path, taken.to_bytes()));
        Ok(())
    }

    /// The work folder of a directory; made if the last one was of another directory.
    fn take_work(&mut self, to: TargetDirectory<'_>) -> Result<WorkFolder, FileError> {
        if let Some((_, work)) = self.work.take_if(|(path, _)| path == to.path) {
            return Ok(work);
        }
        self.end_work();
        WorkFolder::create(to.directory).map_err(writing(to.path))
    }

    /// Removes the work folder.
    pub(super) fn end_work(&mut self) {
        self.work = None;
    }

    /// The bytes of a file, or of all files in a directory that the user may read.
    pub(super) fn size(&self, parent: &OwnedFd, name: &CStr, stat: &Stat, path: &[u8]) -> Result<u64, FileError> {
        self.cancelled()?;
        self.check_depth(path)?;
        if !stat.is_dir() {
            return Ok(if stat.is_file() { stat.size } else { 0 });
        }
        // What cannot be read is an error later, or counted.
        let Ok(directory) = open_directory(parent, name) else { return Ok(0) };
        let mut bytes = 0_u64;
        for name in names::entries(&directory).map_err(reading(path))? {
            let Ok(stat) = file::stat_at(&directory, &name) else { continue };
            if stat.dev == self.request.snapshot.dev() {
                bytes = bytes.saturating_add(self.size(&directory, &name, &stat, &join(path, name.to_bytes()))?);
            }
        }
        Ok(bytes)
    }
}

/// Renames to the first free name, and answers with it and its number; none if none of them is.
fn free_name(
    work: &WorkFolder,
    name: &CStr,
    to: TargetDirectory<'_>,
    other: impl Fn(u32) -> Vec<u8>,
) -> Result<Option<(CString, u32)>, Fault> {
    for number in 1..=MOST_NAMES {
        let taken = CString::new(other(number)).map_err(|_nul| Fault { call: "renameat2", errno: Errno::EINVAL })?;
        match names::rename_noreplace(work, name, to.directory, &taken) {
            Ok(()) => return Ok(Some((taken, number))),
            Err(Fault { errno: Errno::EEXIST, .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(None)
}

/// The name of a restored file beside one that has its name: `NAME.restored-2026-11-28`, then `NAME.restored-2026-11-28-2`. A name
/// that is too long is cut.
fn beside(name: &[u8], day: &[u8], number: u32) -> Vec<u8> {
    let mut suffix = [b".restored-", day].concat();
    if number > 1 {
        suffix.extend(format!("-{number}").into_bytes());
    }
    let length = name.len().min(LONGEST_NAME.saturating_sub(suffix.len()));
    [name.get(..length).unwrap_or_default(), &suffix].concat()
}

/// The name of a new folder: as it is, then with `-2`.
fn numbered(name: &[u8], number: u32) -> Vec<u8> {
    let suffix = if number > 1 { format!("-{number}").into_bytes() } else { Vec::new() };
    let length = name.len().min(LONGEST_NAME.saturating_sub(suffix.len()));
    [name.get(..length).unwrap_or_default(), &suffix].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_file_has_the_day_in_its_name() {
        let name = |name: &[u8], number| beside(name, b"2026-11-28", number);
        assert_eq!(name(b"report.odt", 1), b"report.odt.restored-2026-11-28");
        assert_eq!(name(b"report.odt", 2), b"report.odt.restored-2026-11-28-2");
        assert_eq!(name(b"\xff\n", 1), b"\xff\n.restored-2026-11-28");
        let long = name(&[b'x'; 255], 999);
        assert!(long.len() == 255 && long.ends_with(b"x.restored-2026-11-28-999"));
        assert_eq!(
            [numbered(b"restored", 1), numbered(b"restored", 3)],
            [b"restored".to_vec(), b"restored-3".to_vec()]
        );
    }
}
