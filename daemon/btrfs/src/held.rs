//! Directories that only root can enter, used as locks that only root can take.
//!
//! Any user who may open a directory for reading may lock it with `flock(2)`, and keep the lock for any time. So a lock
//! that must not be blocked is an empty directory of mode 0700 beside the thing that it guards. The process that has locked
//! it, and still finds it under its name, owns what the name stands for. The directory is removed before its lock is
//! released. A killed process leaves its directory behind, and the next process takes it over.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Errno, Error, Result};
use crate::file::{self, Mode, OFlag};
use crate::names;

/// Root alone.
const PRIVATE: u32 = 0o700;
/// What others would need.
const OTHERS: u32 = 0o077;

/// A private directory, locked. Dropped, it is removed unless there is something in it.
#[derive(Debug)]
pub struct Held<'d> {
    dir: BorrowedFd<'d>,
    name: CString,
    fd: OwnedFd,
}

impl<'d> Held<'d> {
    /// Makes and locks `name` in `dir`; none when the name exists, or another process took it before it was locked.
    ///
    /// # Errors
    /// As for [`names::make_dir`] but `EEXIST`; as for [`Held::take`].
    pub fn make(dir: BorrowedFd<'d>, name: &CStr) -> Result<Option<Self>> {
        match names::make_dir(dir, name, PRIVATE) {
            Ok(()) => Self::take(dir, name),
            Err(Error { errno: Errno::EEXIST, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks `name` in `dir`, which another may have left; none when it is not there, is locked, or is open to others.
    ///
    /// # Errors
    /// `ELOOP`, `ENOTDIR`, `EACCES`, `EMFILE`, `ENOLCK`.
    pub fn take(dir: BorrowedFd<'d>, name: &CStr) -> Result<Option<Self>> {
        let fd = match file::openat_new(dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()) {
            Err(Error { errno: Errno::ENOENT, .. }) => return Ok(None),
            opened => opened?,
        };
        let stat = file::stat(&fd)?;
        let ours = stat.uid == 0 && stat.mode & OTHERS == 0;
        if !ours || !file::lock_exclusive(&fd)? || !is_at(dir, name, &fd)? {
            return Ok(None);
        }
        Ok(Some(Self { dir, name: name.into(), fd }))
    }
}

impl AsFd for Held<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Held<'_> {
    /// Where this fails it stays, unlocked, for who takes it next.
    fn drop(&mut self) {
        crate::best_effort(names::remove_dir(self.dir, &self.name));
    }
}

/// Whether `name` in `dir` is what `fd` is open on. Locked first and looked at then, what has its name was deleted by nobody
/// who locks it before.
///
/// # Errors
/// `EACCES`, `EIO`.
pub fn is_at(dir: BorrowedFd<'_>, name: &CStr, fd: impl AsFd) -> Result<bool> {
    let opened = file::stat(fd)?;
    match file::stat_at(dir, name) {
        Ok(there) => Ok((there.dev, there.ino) == (opened.dev, opened.ino)),
        Err(Error { errno: Errno::ENOENT, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::thread::scope;

    use super::*;

    fn folder() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let dir = File::open(folder.path()).unwrap();
        (folder, dir)
    }

    #[test]
    fn privileged_one_process_at_a_time_holds_a_name() {
        let (folder, dir) = folder();
        let held = Held::make(dir.as_fd(), c"one").unwrap().unwrap();
        assert!(Held::make(dir.as_fd(), c"one").unwrap().is_none(), "made twice");
        assert!(Held::take(dir.as_fd(), c"one").unwrap().is_none(), "taken from who holds it");
        drop(held);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Held::take(dir.as_fd(), c"one").unwrap().is_none(), "nothing is there");
    }

    #[test]
    fn privileged_only_private_leftover_directories_are_taken_over() {
        let (folder, dir) = folder();
        names::make_dir(&dir, c"left", PRIVATE).unwrap();
        drop(Held::take(dir.as_fd(), c"left").unwrap().expect("left"));
        assert!(!folder.path().join("left").exists());
        names::make_dir(&dir, c"open", PRIVATE).unwrap();
        fs::set_permissions(folder.path().join("open"), Permissions::from_mode(0o755)).unwrap();
        assert!(Held::take(dir.as_fd(), c"open").unwrap().is_none());
        assert!(folder.path().join("open").exists());
    }

    #[test]
    fn privileged_a_directory_removed_after_opening_is_not_held() {
        let (folder, dir) = folder();
        let held = Held::make(dir.as_fd(), c"one").unwrap().unwrap();
        let opened = File::open(folder.path().join("one")).unwrap();
        drop(held);
        assert!(file::lock_exclusive(&opened).unwrap(), "its lock is free");
        assert!(!is_at(dir.as_fd(), c"one", &opened).unwrap());
        let _next = Held::make(dir.as_fd(), c"one").unwrap().unwrap();
        assert!(!is_at(dir.as_fd(), c"one", &opened).unwrap(), "another one has the name");
    }

    #[test]
    fn privileged_concurrent_makers_and_takers_never_share_a_name() {
        let (folder, dir) = folder();
        let (inside, held, stop) = (Mutex::new(()), AtomicU32::new(0), AtomicBool::new(false));
        let hold = |one: Option<Held<'_>>| {
            let Some(one) = one else { return 0 };
            let alone = inside.try_lock().expect("two hold it");
            assert!(is_at(dir.as_fd(), c"one", &one).unwrap());
            held.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
            drop(alone);
            drop(one);
            1
        };
        scope(|threads| {
            let taker = || {
                while !stop.load(Ordering::Relaxed) {
                    hold(Held::take(dir.as_fd(), c"one").unwrap());
                }
            };
            threads.spawn(taker);
            threads.spawn(taker);
            let maker = || (0..3000).map(|_| hold(Held::make(dir.as_fd(), c"one").unwrap())).sum::<u32>();
            let makers = [threads.spawn(maker), threads.spawn(maker)];
            let made: Vec<_> = makers.into_iter().map(|maker| maker.join()).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(made.into_iter().map(|made| made.unwrap()).sum::<u32>() > 0);
        });
        hold(Held::take(dir.as_fd(), c"one").unwrap());
        assert!(held.load(Ordering::Relaxed) > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
