//! A local user who opens whatever is hidden in a folder, writes into what is his, and keeps every descriptor.

use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use anyhow::{Context as _, Result, anyhow};
use butterdock_btrfs::file::{self, Mode, OFlag, openat_new, write_at};
use butterdock_btrfs::{directory, subvolume};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use super::Rig;

/// What he writes.
const TAMPERED: &[u8] = b"tampered";
/// So many hidden directories he holds without having opened them, the newest ones.
const PATHS: usize = 64;
const DEEPEST: u32 = 8;

/// He does so over and over, until he is stopped.
#[derive(Debug)]
pub struct Intruder {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    loops: AtomicU64,
    opened: AtomicU64,
}

impl Intruder {
    /// Begins, as this user, in a folder of the rig, which he can reach from now on.
    ///
    /// # Errors
    /// When the rig cannot be opened to him.
    pub fn start(rig: &Rig, folder: &Path, uid: u32) -> Result<Self> {
        fs::set_permissions(rig.path(), fs::Permissions::from_mode(0o711))?;
        let (seen, folder) = (Arc::new(Seen::default()), folder.to_owned());
        let his = Arc::clone(&seen);
        let thread = Some(spawn(move || {
            become_user(uid)?;
            let mut holds = Holds::default();
            while !his.stop.load(Ordering::Acquire) {
                holds.look(&folder);
                his.opened.store(holds.opened, Ordering::Release);
                his.loops.fetch_add(1, Ordering::AcqRel);
            }
            Ok(())
        }));
        Ok(Self { seen, thread })
    }

    /// How often he has looked at everything.
    #[must_use]
    pub fn loops(&self) -> u64 {
        self.seen.loops.load(Ordering::Acquire)
    }

    /// Ends him, and answers how much he has opened that he should not.
    ///
    /// # Errors
    /// When he could not go on.
    pub fn stop(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.seen.opened.load(Ordering::Acquire))
    }

    fn end(&mut self) -> Result<()> {
        self.seen.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_panic| anyhow!("the intruder has fallen over"))?
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.end().ok();
    }
}

/// Looks once, as this user, and answers how much he could open that he should not.
///
/// # Errors
/// When nobody can become that user.
pub fn intrude_once(folder: &Path, uid: u32) -> Result<u64> {
    let folder = folder.to_owned();
    let thread = spawn(move || -> Result<u64> {
        become_user(uid)?;
        let mut holds = Holds::default();
        holds.look(&folder);
        Ok(holds.opened)
    });
    thread.join().map_err(|_panic| anyhow!("the intruder has fallen over"))?
}

/// Of this thread alone; its capabilities go with it.
fn become_user(uid: u32) -> Result<()> {
    let uid = Uid::from_raw(uid);
    set_thread_res_uid(uid, uid, uid).context("becoming another user")
}

/// What he has open.
#[derive(Debug, Default)]
struct Holds {
    /// `O_PATH`: what is behind the name later, too.
    paths: Vec<(PathBuf, OwnedFd)>,
    files: Vec<OwnedFd>,
    opened: u64,
}

impl Holds {
    fn look(&mut self, folder: &Path) {
        let Ok(opened) = File::open(folder) else { return };
        let hidden = directory::entries_where(&opened, |name| name.to_bytes().starts_with(b".butterdock"));
        for name in hidden.unwrap_or_default() {
            let path = folder.join(name.to_string_lossy().into_owned());
            let Ok(held) = openat_new(&opened, &name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()) else {
                continue;
            };
            if self.paths.iter().any(|(known, _)| *known == path) {
                continue;
            }
            if self.paths.len() >= PATHS {
                self.paths.remove(0);
            }
            self.paths.push((path, held));
        }
        let paths: Vec<OwnedFd> = self.paths.iter().filter_map(|(_, held)| held.try_clone().ok()).collect();
        paths.iter().for_each(|held| self.walk(held, DEEPEST));
        for file in &self.files {
            // Also when it has long been published.
            write_at(file, 0, &[IoSlice::new(TAMPERED)]).unwrap_or_default();
        }
    }

    fn walk(&mut self, at: impl AsFd, left: u32) {
        if left == 0 {
            return;
        }
        let Ok(inside) = file::open_beneath(&at, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()) else {
            return;
        };
        // What has been published by now may be read.
        let is_published = file::stat(&inside).is_ok_and(|stat| subvolume::is_root(&stat))
            && subvolume::is_read_only(&inside).unwrap_or(false);
        if is_published {
            return;
        }
        self.opened += 1;
        for name in directory::entries(&inside).unwrap_or_default() {
            if let Ok(file) = openat_new(&inside, &name, OFlag::O_WRONLY | OFlag::O_NONBLOCK, Mode::empty()) {
                self.opened += 1;
                self.files.push(file);
            } else if let Ok(below) = openat_new(&inside, &name, OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()) {
                self.walk(&below, left - 1);
            }
        }
    }
}
