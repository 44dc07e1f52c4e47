//! Unmounts what a killed service left mounted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{best_effort, filesystem, scrub};
use uuid::Uuid;

use super::{detach, open_folder};

/// Workers of the killed service hold what it had mounted until the kernel lets them go, for so long at most.
const HELD: Duration = Duration::from_secs(4);

/// Takes everything out of sight that an earlier service left mounted, and tells where it was. It waits until the kernel
/// has let it go, because it could not be mounted again before.
pub(crate) fn sweep(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run.join("drives")) else { return Vec::new() };
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Uuid::try_parse(name).is_ok())
    };
    let left: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    let filesystems: Vec<PathBuf> = left.iter().filter_map(|path| filesystem_at(path)).collect();
    let gone = left.into_iter().filter(|path| detach(path).is_ok() || fs::remove_dir(path).is_err()).collect();
    let begun = Instant::now();
    while filesystems.iter().any(|known| known.exists()) && begun.elapsed() < HELD {
        sleep(Duration::from_millis(20));
    }
    gone
}

/// What the kernel tells of the filesystem there as long as it is mounted; none where nothing is mounted. Nothing is
/// scrubbed there afterwards: on older kernels a scrub outlives the worker that began it.
fn filesystem_at(path: &Path) -> Option<PathBuf> {
    let above = fs::metadata(path.parent()?).ok()?;
    let root = open_folder(path).ok()?;
    let here = root.metadata().ok()?.dev();
    if here == above.dev() {
        return None;
    }
    // It fails where none runs.
    best_effort(scrub::cancel(&root));
    let fsid = filesystem::info(&root).ok()?.fsid;
    Some(PathBuf::from(format!("/sys/fs/btrfs/{}", Uuid::from_bytes(fsid))))
}
