//! Waits for mounts to change.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The mounts that this process sees, kept open to be told of changes (`proc_pid_mountinfo(5)`: `POLLPRI`).
#[derive(Debug)]
pub(crate) struct Mounts {
    file: AsyncFd<File>,
}

impl Mounts {
    /// Begins to listen: every change after this is told.
    ///
    /// # Errors
    /// /proc is not mounted, or the file cannot be polled.
    pub(crate) fn watch() -> io::Result<Self> {
        let file = File::open(MOUNTS)?;
        #[expect(deprecated, reason = "what takes its place is unsafe; the file is owned here and never replaced")]
        let file = AsyncFd::with_interest(file, Interest::PRIORITY)?;
        Ok(Self { file })
    }

    /// Waits until something was mounted or unmounted. May be told once for several changes.
    ///
    /// # Errors
    /// The file cannot be polled.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.file.ready(Interest::PRIORITY).await?;
        ready.clear_ready();
        Ok(())
    }
}

/// The ids of all mounts that this process sees now.
///
/// # Errors
/// /proc is not mounted.
pub(crate) fn ids() -> io::Result<HashSet<u64>> {
    // Bytes: a mount point's name need not be UTF-8.
    Ok(parse(&std::fs::read(MOUNTS)?))
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// The first field of each line.
fn parse(text: &[u8]) -> HashSet<u64> {
    let first = |line: &[u8]| std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?.parse().ok();
    text.split(|&byte| byte == b'\n').filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_also_beside_names_that_are_no_text() {
        let text =
            b"22 28 0:21 / /proc rw - proc proc rw\n96 28 0:40 / /mnt/\xff\\040x rw shared:1 - btrfs /dev/loop0 rw\n";
        assert_eq!(parse(text), HashSet::from([22, 96]));
    }

    #[test]
    fn this_machine_has_mounts() {
        assert!(!ids().expect("mountinfo").is_empty());
    }
}
