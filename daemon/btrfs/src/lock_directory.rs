//! Directories that only root can enter, used as locks that only root can take.
//!
//! Any user who may open a directory for reading may lock it with `flock(2)`, and keep the lock for any time. So a lock
//! that other users must not block is an empty directory of mode 0700 beside the thing that it guards. A process holds the
//! lock once it has locked the directory and then still finds it under its name. It removes the directory before it
//! releases the lock. A killed process leaves its directory behind, and the next process takes it over.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Errno, Error, Result};
use crate::file::{self, Mode, OFlag};
use crate::names;

/// Permissions for root alone.
const PRIVATE: u32 = 0o700;
/// The permissions of the group and of others.
const OTHERS: u32 = 0o077;

/// A private directory, locked. Dropping it removes the directory if that is empty.
#[derive(Debug)]
pub struct LockDirectory<'d> {
    dir: BorrowedFd<'d>,
    name: CString,
    fd: OwnedFd,
}

impl<'d> LockDirectory<'d> {
    /// Creates and locks `name` in `dir`; none when the name exists, or another process locked the directory first.
    ///
    /// # Errors
    /// As for [`names::make_dir`] without `EEXIST`; as for [`LockDirectory::take`].
    pub fn create(dir: BorrowedFd<'d>, name: &CStr) -> Result<Option<Self>> {
        match names::make_dir(dir, name, PRIVATE) {
            Ok(()) => Self::take(dir, name),
            Err(Error { errno: Errno::EEXIST, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks `name` in `dir`, which a killed process may have left; none when it does not exist, is locked, or is open to
    /// other users.
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

impl AsFd for LockDirectory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for LockDirectory<'_> {
    /// If the removal fails, the directory stays, unlocked, and the next process can take it.
    fn drop(&mut self) {
        crate::best_effort(names::remove_dir(self.dir, &self.name));
    }
}

/// Whether `name` in `dir` is the file that `fd` is open on. A process that locks first and then asks knows that no other
/// process which locks before it deletes has deleted the file.
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
        let held = LockDirectory::create(dir.as_fd(), c"one").unwrap().unwrap();
        assert!(LockDirectory::create(dir.as_fd(), c"one").unwrap().is_none(), "created twice");
        assert!(LockDirectory::take(dir.as_fd(), c"one").unwrap().is_none(), "taken while another holds it");
        drop(held);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(LockDirectory::take(dir.as_fd(), c"one").unwrap().is_none(), "the name does not exist");
    }

    #[test]
    fn privileged_only_private_leftover_directories_are_taken_over() {
        let (folder, dir) = folder();
        names::make_dir(&dir, c"left", PRIVATE).unwrap();
        drop(LockDirectory::take(dir.as_fd(), c"left").unwrap().expect("taken"));
        assert!(!folder.path().join("left").exists());
        names::make_dir(&dir, c"open", PRIVATE).unwrap();
        fs::set_permissions(folder.path().join("open"), Permissions::from_mode(0o755)).unwrap();
        assert!(LockDirectory::take(dir.as_fd(), c"open").unwrap().is_none());
        assert!(folder.path().join("open").exists());
    }

    #[test]
    fn privileged_a_directory_removed_after_opening_is_not_held() {
        let (folder, dir) = folder();
        let held = LockDirectory::create(dir.as_fd(), c"one").unwrap().unwrap();
        let opened = File::open(folder.path().join("one")).unwrap();
        drop(held);
        assert!(file::lock_exclusive(&opened).unwrap(), "its lock is free");
        assert!(!is_at(dir.as_fd(), c"one", &opened).unwrap());
        let _next = LockDirectory::create(dir.as_fd(), c"one").unwrap().unwrap();
        assert!(!is_at(dir.as_fd(), c"one", &opened).unwrap(), "another directory has the name");
    }

    #[test]
    fn privileged_concurrent_processes_never_hold_one_name() {
        let (folder, dir) = folder();
        let (inside, held, stop) = (Mutex::new(()), AtomicU32::new(0), AtomicBool::new(false));
        let hold = |one: Option<LockDirectory<'_>>| {
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
                    hold(LockDirectory::take(dir.as_fd(), c"one").unwrap());
                }
            };
            threads.spawn(taker);
            threads.spawn(taker);
            let maker = || (0..3000).map(|_| hold(LockDirectory::create(dir.as_fd(), c"one").unwrap())).sum::<u32>();
            let makers = [threads.spawn(maker), threads.spawn(maker)];
            let made: Vec<_> = makers.into_iter().map(|maker| maker.join()).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(made.into_iter().map(|made| made.unwrap()).sum::<u32>() > 0);
        });
        hold(LockDirectory::take(dir.as_fd(), c"one").unwrap());
        assert!(held.load(Ordering::Relaxed) > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// All orders of the calls of several processes on one name, each of which may be killed at any call.
#[cfg(test)]
mod model {
    use std::collections::HashSet;

    type Inode = usize;

    /// The call that comes next.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    enum Next {
        Make,
        Open,
        Lock,
        Look,
        /// The process holds the lock; its next call removes the directory.
        Remove,
        Close,
        Nothing,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    struct Process {
        next: Next,
        open: Option<Inode>,
    }

    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    struct State {
        /// The directory that has the name.
        at: Option<Inode>,
        /// The process that has locked each directory, deleted ones too.
        locks: Vec<Option<usize>>,
        processes: Vec<Process>,
    }

    impl State {
        fn new(processes: &[Next]) -> Self {
            let processes = processes.iter().map(|&next| Process { next, open: None }).collect();
            Self { at: None, locks: Vec::new(), processes }
        }

        fn close(&mut self, who: usize) {
            self.locks.iter_mut().filter(|lock| **lock == Some(who)).for_each(|lock| *lock = None);
            self.processes[who] = Process { next: Next::Nothing, open: None };
        }

        /// One process makes its next call. `looks`: whether it looks at the name after it has locked.
        fn step(&mut self, who: usize, looks: bool) {
            let Process { next, open } = self.processes[who];
            let after = match next {
                Next::Make if self.at.is_none() => {
                    self.at = Some(self.locks.len());
                    self.locks.push(None);
                    Next::Open
                }
                Next::Open if self.at.is_some() => {
                    self.processes[who].open = self.at;
                    Next::Lock
                }
                Next::Lock if open.is_some_and(|inode| self.locks[inode].is_none()) => {
                    self.locks[open.unwrap()] = Some(who);
                    Next::Look
                }
                Next::Look if !looks || self.at == open => Next::Remove,
                Next::Remove => {
                    self.at = None;
                    Next::Close
                }
                Next::Make | Next::Open | Next::Lock | Next::Look | Next::Close | Next::Nothing => Next::Nothing,
            };
            if after == Next::Nothing {
                self.close(who);
            } else {
                self.processes[who].next = after;
            }
        }

        /// Whether at most one process holds the lock, on the directory that has the name.
        fn is_exclusive(&self) -> bool {
            let mut holders = self.processes.iter().filter(|process| process.next == Next::Remove);
            let at_the_name = holders.next().is_none_or(|holder| holder.open == self.at);
            at_the_name && holders.next().is_none()
        }

        fn is_over(&self) -> bool {
            self.processes.iter().all(|process| process.next == Next::Nothing)
        }
    }

    /// How many states can follow from this one, and how many of them are not exclusive.
    fn explore(first: State, looks: bool) -> (usize, usize) {
        let (mut seen, mut to_see, mut bad) = (HashSet::new(), vec![first], 0);
        while let Some(state) = to_see.pop() {
            if !seen.insert(state.clone()) {
                continue;
            }
            bad += usize::from(!state.is_exclusive());
            if state.is_over() {
                // The next process takes what the killed ones left.
                let mut last = State { processes: vec![Process { next: Next::Open, open: None }], ..state };
                while !last.is_over() {
                    last.step(0, looks);
                }
                bad += usize::from(last.at.is_some());
                continue;
            }
            for who in 0..state.processes.len() {
                let (mut stepped, mut killed) = (state.clone(), state.clone());
                stepped.step(who, looks);
                killed.close(who);
                to_see.extend([stepped, killed]);
            }
        }
        (seen.len(), bad)
    }

    const ALL: [Next; 4] = [Next::Make, Next::Make, Next::Open, Next::Open];

    #[test]
    fn in_any_order_of_calls_one_process_holds_a_name() {
        let (states, bad) = explore(State::new(&ALL), true);
        assert!(states > 1000 && bad == 0, "{bad} of {states}");
    }

    #[test]
    fn without_the_look_after_locking_a_deleted_directory_is_held() {
        assert!(explore(State::new(&ALL), false).1 > 0);
    }
}
