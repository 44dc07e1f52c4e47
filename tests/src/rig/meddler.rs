//! A local user who locks what he can.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_btrfs::file::lock_exclusive;
use butterdock_btrfs::held::is_at;
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use super::{PATIENCE, Rig};

/// So many things he holds at once, the newest ones.
const HOLDS: usize = 64;

/// He holds the lock of a folder and, over and over, opens and locks whatever is hidden in it.
#[derive(Debug)]
pub struct Meddler {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// What he has come by.
#[derive(Debug, Default)]
struct Seen {
    folder: AtomicBool,
    stop: AtomicBool,
    locked: AtomicU64,
}

impl Meddler {
    /// Begins, as this user, and returns when the folder is locked.
    ///
    /// # Errors
    /// When he cannot lock the folder.
    pub fn start(rig: &Rig, folder: &Path, uid: u32) -> Result<Self> {
        fs::set_permissions(rig.path(), Permissions::from_mode(0o711))?;
        let (seen, folder) = (Arc::new(Seen::default()), folder.to_owned());
        let his = Arc::clone(&seen);
        let thread = Some(spawn(move || meddle(&folder, uid, &his)));
        let meddler = Self { seen, thread };
        meddler.wait("locked the folder", |seen| seen.folder.load(Ordering::Acquire))?;
        Ok(meddler)
    }

    /// Waits until he holds something hidden.
    ///
    /// # Errors
    /// When he never does.
    pub fn wait_for_one(&self) -> Result<()> {
        self.wait("locked what is hidden", |seen| seen.locked.load(Ordering::Acquire) > 0)
    }

    /// Ends him, so that he lets go of everything, and answers how often he locked something hidden.
    ///
    /// # Errors
    /// When he could not go on.
    pub fn stop(mut self) -> Result<u64> {
        self.end()?;
        Ok(self.seen.locked.load(Ordering::Acquire))
    }

    fn end(&mut self) -> Result<()> {
        self.seen.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_panic| anyhow!("the meddler has fallen over"))?
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Result<()> {
        let began = Instant::now();
        while !is_so(&self.seen) {
            let goes_on = self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
            ensure!(goes_on && began.elapsed() < PATIENCE, "the meddler has not {what}");
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.end().ok();
    }
}

fn meddle(folder: &Path, uid: u32, seen: &Seen) -> Result<()> {
    // Of this thread alone; its capabilities go with it.
    let uid = Uid::from_raw(uid);
    set_thread_res_uid(uid, uid, uid).context("becoming another user")?;
    let directory = File::open(folder)?;
    ensure!(lock_exclusive(&directory)?, "another holds the lock of {}", folder.display());
    seen.folder.store(true, Ordering::Release);
    let mut holds = Vec::new();
    while !seen.stop.load(Ordering::Acquire) {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".butterdock") {
                continue;
            }
            let Ok(opened) = File::open(entry.path()) else { continue };
            if !lock_exclusive(&opened)? {
                continue;
            }
            // What has its own name by now was let go, and is nobody's loss.
            let name = CString::new(entry.file_name().into_encoded_bytes())?;
            if is_at(directory.as_fd(), &name, &opened)? {
                seen.locked.fetch_add(1, Ordering::AcqRel);
            }
            if holds.len() >= HOLDS {
                holds.remove(0);
            }
            holds.push(opened);
        }
    }
    Ok(())
}
