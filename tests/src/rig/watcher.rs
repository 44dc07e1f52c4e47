//! Somebody who looks at a folder all the time, as a script waiting for a snapshot would.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use butterdock_btrfs::subvolume;

/// Lists a folder until it is stopped and looks at each subvolume that shows itself.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Watcher {
    /// Begins to watch; names that are there already are not looked at.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn of(folder: &Path) -> Result<Self> {
        let known = names(folder)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, seen) = (folder.to_path_buf(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || watch(&folder, known, &seen));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends, and tells every sight of something half-made.
    ///
    /// # Errors
    /// When the watching thread died.
    pub fn sights(mut self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_died| anyhow!("the watcher died")),
            None => Ok(Vec::new()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn watch(folder: &Path, mut known: BTreeSet<OsString>, stop: &AtomicBool) -> Vec<String> {
    let mut sights = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for name in names(folder).unwrap_or_default() {
            if name.as_bytes().starts_with(b".butterdock-") || known.contains(&name) {
                continue;
            }
            if let Err(fault) = is_whole(&folder.join(&name)) {
                sights.push(format!("{}: {fault}", name.display()));
            }
            known.insert(name);
        }
        std::thread::yield_now();
    }
    sights
}

/// A subvolume that can be seen must be read-only and marked as received.
fn is_whole(path: &PathBuf) -> Result<()> {
    let open = File::open(path)?;
    if !subvolume::is_read_only(&open)? {
        return Err(anyhow!("visible while it can be written"));
    }
    if subvolume::info(&open)?.received_uuid == [0; 16] {
        return Err(anyhow!("visible before it was marked as received"));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    Ok(fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.file_name()).collect())
}
