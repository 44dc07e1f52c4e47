//! The records of the state directory, and the file of the settings: one file each, written atomically.
//!
//! ```text
//! write: folder made (its parent synced) -> temporary file written, synced -> renamed -> folder synced
//! ```
//!
//! After a kill or a power cut between two steps, either the old or the new record exists. A leftover temporary file
//! is overwritten by the next write of that record, or removed by [`sweep`].
//!
//! An unreadable record never counts as a missing one, and is never overwritten. If its name is needed again (the
//! clocks, first sightings, the machine), [`load`] renames it, and reports it until a new record is written. If its
//! name is not needed (an enrolment, a job), or if only an administrator can decide (the source of a backup), it
//! stays, and its module defines the consequences.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A record, as [`load`] found it.
#[derive(Debug)]
pub(crate) enum Loaded<T> {
    /// It was never written.
    Missing,
    /// The record.
    Read(T),
    /// It cannot be parsed, and was moved aside now.
    Unreadable {
        /// Why.
        error: io::Error,
        /// Its new path.
        aside: PathBuf,
    },
    /// It was moved aside earlier, and no new record was written.
    SetAside,
}

/// Replaces a record. Creates its folder if missing.
///
/// # Errors
/// The disk is full, read-only or gone. The old record stays, unless only the last step failed: then the new one exists.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(&Kernel, path, bytes)
}

/// Who may do what with a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    /// User and group, if it is not the process.
    pub(crate) owner: Option<(u32, u32)>,
}

/// The end of [`replace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The file is the new one.
    Done,
    /// Another program has changed it.
    Changed,
}

/// Replaces a file that other programs write, too, if `is_same` says that it is as it was read; asked last before the
/// rename. Creates its folder if missing.
///
/// # Errors
/// As of [`write`].
pub(crate) fn replace(
    path: &Path,
    bytes: &[u8],
    access: Access,
    is_same: &dyn Fn() -> io::Result<bool>,
) -> io::Result<Replaced> {
    let calls = Replacing { access, is_same, is_changed: Cell::new(false) };
    match write_with(&calls, path, bytes) {
        Err(_) if calls.is_changed.get() => Ok(Replaced::Changed),
        written => written.map(|()| Replaced::Done),
    }
}

/// Reads a record of at most `largest` bytes; none if the file does not exist.
///
/// # Errors
/// It is larger, is no regular file, or cannot be read.
pub(crate) fn read(path: &Path, largest: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags.bits()).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= largest) {
        Ok(Some(bytes))
    } else {
        Err(io::Error::other("it is too large"))
    }
}

/// Reads a record of at most `largest` bytes and parses it. One that cannot be read or parsed is moved to
/// `<name>.unreadable`, in place of an earlier one there.
///
/// # Errors
/// It cannot be read, and cannot be moved either.
pub(crate) fn load<T>(path: &Path, largest: u64, parse: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<Loaded<T>> {
    let aside = aside(path);
    let parsed = read(path, largest).and_then(|bytes| bytes.map(|bytes| parse(&bytes)).transpose());
    match parsed {
        Ok(Some(record)) => Ok(Loaded::Read(record)),
        Ok(None) if fs::symlink_metadata(&aside).is_ok() => Ok(Loaded::SetAside),
        Ok(None) => Ok(Loaded::Missing),
        Err(error) => {
            fs::rename(path, &aside)?;
            Ok(Loaded::Unreadable { error, aside })
        }
    }
}

/// Moves a record that cannot be read to `<name>.unreadable`, durably, in place of an earlier one there.
///
/// # Errors
/// It does not exist, or cannot be moved.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, aside(path))?;
    path.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder))
}

fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unreadable");
    aside.into()
}

/// Removes a record, durably.
///
/// # Errors
/// It does not exist, or cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder))
}

/// Gives a record another name, durably, if it exists and the other name is free. An existing record stays in place of it.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(to).is_ok() {
        return match remove(from) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => to.parent().map_or(Ok(()), |folder| Kernel.sync_folder(folder)),
    }
}

/// Removes the temporary files that a killed process left in a folder of records.
///
/// # Errors
/// The folder cannot be listed.
pub(crate) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(TEMPORARY) {
            Kernel.discard(&entry.path());
        }
    }
    Ok(())
}

/// The end of the name of a temporary file, which begins with a dot.
const TEMPORARY: &[u8] = b".tmp";

/// The system calls that write a record; tests record them.
trait Calls {
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    fn discard(&self, temporary: &Path);
}

fn write_with(calls: &impl Calls, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    make_folders(calls, folder)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    let temporary = folder.join(temporary);
    let named = calls.write_synced(&temporary, bytes).and_then(|()| calls.rename(&temporary, path));
    if named.is_err() {
        calls.discard(&temporary);
    }
    named.and_then(|()| calls.sync_folder(folder))
}

/// A new folder is durable after its parent is synced.
fn make_folders(calls: &impl Calls, folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent().filter(|_| !folder.is_dir()) else { return Ok(()) };
    make_folders(calls, above)?;
    calls.make_folder(folder)?;
    calls.sync_folder(above)
}

/// The calls of the kernel.
struct Kernel;

impl Calls for Kernel {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        // Only root may read the state.
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_temporary(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// A file that stays is overwritten by the next write of the record.
    fn discard(&self, temporary: &Path) {
        if let Err(error) = fs::remove_file(temporary)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!("{} cannot be removed: {error}", temporary.display());
        }
    }
}

/// The temporary file, only for its owner.
fn open_temporary(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW;
    File::options().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags.bits()).open(path)
}

/// The calls of the kernel for a file that other programs write, too.
struct Replacing<'r> {
    access: Access,
    is_same: &'r dyn Fn() -> io::Result<bool>,
    is_changed: Cell<bool>,
}

impl Calls for Replacing<'_> {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = open_temporary(path)?;
        file.write_all(bytes)?;
        if let Some((user, group)) = self.access.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        file.set_permissions(Permissions::from_mode(self.access.mode))?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !(self.is_same)()? {
            self.is_changed.set(true);
            return Err(io::Error::other("another program has changed it"));
        }
        Kernel.rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Kernel.sync_folder(folder)
    }

    fn discard(&self, temporary: &Path) {
        Kernel.discard(temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// The calls of the kernel, recorded; from one of them on all fail, as after a kill.
    struct Recorded {
        calls: RefCell<Vec<String>>,
        killed_at: usize,
    }

    impl Recorded {
        fn killed_at(killed_at: usize) -> Self {
            Self { calls: RefCell::default(), killed_at }
        }

        /// Records a call on this path.
        fn call(&self, what: &str, path: &Path) -> io::Result<()> {
            let mut calls = self.calls.borrow_mut();
            let name = path.file_name().expect("a name").to_str().expect("text");
            calls.push(format!("{what} {name}"));
            if calls.len() > self.killed_at { Err(io::Error::other("killed")) } else { Ok(()) }
        }
    }

    impl Calls for Recorded {
        fn make_folder(&self, folder: &Path) -> io::Result<()> {
            self.call("make", folder).and_then(|()| Kernel.make_folder(folder))
        }

        fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.call("write", path).and_then(|()| Kernel.write_synced(path, bytes))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.call("rename", from).and_then(|()| Kernel.rename(from, to))
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.call("sync", folder).and_then(|()| Kernel.sync_folder(folder))
        }

        fn discard(&self, temporary: &Path) {
            if self.call("discard", temporary).is_ok() {
                Kernel.discard(temporary);
            }
        }
    }

    fn text(bytes: &[u8]) -> io::Result<String> {
        String::from_utf8(bytes.to_vec()).map_err(io::Error::other)
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("text");
        let mut names: Vec<String> = fs::read_dir(folder).expect("listed").map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_record_is_synced_before_and_after_it_has_its_name() {
        let state = tempfile::tempdir().expect("a folder");
        let calls = Recorded::killed_at(usize::MAX);
        let folder = state.path().join("a/b");
        write_with(&calls, &folder.join("record"), b"new").expect("written");
        let above = state.path().file_name().expect("a name").to_str().expect("text");
        let made = ["make a", &format!("sync {above}"), "make b", "sync a"].map(str::to_owned);
        let written = ["write .record.tmp", "rename .record.tmp", "sync b"].map(str::to_owned);
        assert_eq!(calls.calls.take(), [made.as_slice(), written.as_slice()].concat());
        write_with(&calls, &folder.join("record"), b"newer").expect("written");
        assert_eq!(calls.calls.take(), written);
    }

    #[test]
    fn a_kill_between_two_steps_leaves_one_record_whole() {
        for killed_at in 0..3 {
            let state = tempfile::tempdir().expect("a folder");
            let path = state.path().join("record");
            write(&path, b"old").expect("written");
            write_with(&Recorded::killed_at(killed_at), &path, b"new").expect_err("killed");
            let expected = if killed_at < 2 { "old" } else { "new" };
            assert_eq!(read(&path, 10).expect("read").as_deref(), Some(expected.as_bytes()), "after {killed_at} steps");
        }
    }

    #[test]
    fn a_temporary_file_is_overwritten_or_swept_and_never_read() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("record");
        fs::write(state.path().join(".record.tmp"), "a half-written record").expect("written");
        assert_eq!(read(&path, 30).expect("read"), None);
        write(&path, b"new").expect("written");
        assert_eq!(names(state.path()), ["record"]);
        for name in [".record.tmp", ".hidden", "notes.tmp"] {
            fs::write(state.path().join(name), "half").expect("written");
        }
        sweep(state.path()).expect("swept");
        assert_eq!(names(state.path()), [".hidden", "notes.tmp", "record"]);
    }

    #[test]
    fn an_unreadable_record_is_set_aside_until_one_is_written() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("record");
        assert!(matches!(load(&path, 10, text), Ok(Loaded::Missing)));
        fs::write(&path, [0xff]).expect("written");
        let loaded = load(&path, 10, text).expect("set aside");
        assert!(matches!(loaded, Loaded::Unreadable { aside, .. } if fs::read(&aside).expect("kept") == [0xff]));
        // A restart before a new record is written does not make it a missing one.
        assert!(matches!(load(&path, 10, text), Ok(Loaded::SetAside)));
        write(&path, b"new").expect("written");
        assert!(matches!(load(&path, 10, text), Ok(Loaded::Read(record)) if record == "new"));
        assert_eq!(names(state.path()), ["record", "record.unreadable"]);
    }

    #[test]
    fn a_large_or_special_record_is_an_error() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("record");
        write(&path, b"two").expect("written");
        assert!(read(&path, 3).is_ok() && read(&path, 2).is_err());
        std::os::unix::fs::symlink("/dev/zero", state.path().join("link")).expect("linked");
        assert!(read(&state.path().join("link"), 10).is_err());
        assert!(read(state.path(), 10).is_err());
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_unless_it_was_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/file");
        let access = Access { mode: 0o640, owner: None };
        let same = |is: bool| replace(&path, b"new", access, &move || Ok(is)).expect("written");
        assert_eq!(same(false), Replaced::Changed);
        assert_eq!(names(&folder.path().join("new")), [""; 0]);
        assert_eq!(same(true), Replaced::Done);
        let mode = fs::metadata(&path).expect("facts").permissions().mode();
        assert_eq!((mode & 0o7777, fs::read(&path).expect("read")), (0o640, b"new".to_vec()));
        assert!(replace(&path, b"newer", access, &|| Err(io::Error::other("gone"))).is_err());
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }

    #[test]
    fn removing_a_missing_record_is_an_error() {
        let state = tempfile::tempdir().expect("a folder");
        let path = state.path().join("record");
        write(&path, b"one").expect("written");
        remove(&path).expect("removed");
        assert_eq!(read(&path, 10).expect("read"), None);
        assert_eq!(remove(&path).expect_err("missing").kind(), ErrorKind::NotFound);
    }
}
