//! A filesystem that is no longer mounted, but that the kernel has not yet shut down.
//!
//! At its start the service detaches what a killed service had mounted. The filesystem ends when the last worker that
//! held it has ended and all data is written; until then it cannot be mounted again.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Timeout; a drive may have much data to write.
const ENDING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// Tries as long as `attempt` finds the filesystem busy and nobody who can be seen has mounted it. Answers none where it
/// stays so.
pub(super) fn outlast<T, E>(
    filesystem: Uuid,
    mut attempt: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let begun = Instant::now();
    loop {
        let done = attempt()?;
        if done.is_some() || begun.elapsed() >= ENDING || is_seen(Path::new("/"), filesystem) {
            return Ok(done);
        }
        sleep(LOOK);
    }
}

/// Whether it is in the table of mounts, by any of its devices.
fn is_seen(root: &Path, filesystem: Uuid) -> bool {
    let devices = fs::read_dir(root.join(format!("sys/fs/btrfs/{filesystem}/devices")));
    let devices: Vec<OsString> = devices.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let mounts = fs::read_to_string(root.join("proc/thread-self/mountinfo")).unwrap_or_default();
    let mut sources = mounts.lines().filter_map(|line| line.split_once(" - ")?.1.split(' ').nth(1));
    sources.any(|source| {
        // A mapping goes by a link of its name.
        let node = fs::canonicalize(source).unwrap_or_else(|_| source.into());
        node.file_name().is_some_and(|name| devices.iter().any(|device| device == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILESYSTEM: Uuid = Uuid::from_bytes([7; 16]);

    #[test]
    fn a_visible_mount_differs_from_a_dying_one() {
        let root = tempfile::tempdir().expect("a folder");
        let (devices, proc) =
            (root.path().join(format!("sys/fs/btrfs/{FILESYSTEM}/devices")), root.path().join("proc/thread-self"));
        fs::create_dir_all(devices.join("nosuch1")).expect("made");
        fs::create_dir_all(&proc).expect("made");
        let mounted = |source: &str| {
            let line = format!("30 1 0:27 / /mnt rw,relatime shared:1 - btrfs {source} rw,space_cache=v2\n");
            fs::write(proc.join("mountinfo"), line).expect("written");
            is_seen(root.path(), FILESYSTEM)
        };
        assert!(mounted("/dev/nosuch1"));
        assert!(!mounted("/dev/nosuch2"));
        assert!(!is_seen(root.path(), Uuid::nil()));
    }

    #[test]
    fn retries_end_when_the_filesystem_is_gone() {
        let mut left = 3;
        let done = outlast(FILESYSTEM, || {
            left -= 1;
            Ok::<_, ()>((left == 0).then_some(5))
        });
        assert_eq!((done, left), (Ok(Some(5)), 0));
        assert_eq!(outlast(FILESYSTEM, || Err::<Option<()>, _>(7)), Err(7));
    }
}
