//! Waits for changes of mounts.

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The mounts of this process, kept open for notifications of changes (`proc_pid_mountinfo(5)`: `POLLPRI`).
#[derive(Debug)]
pub(crate) struct Mounts {
    file: AsyncFd<File>,
}

impl Mounts {
    /// Opens the notification: every change from now on is reported.
    ///
    /// # Errors
    /// /proc is not mounted, or the file cannot be polled.
    pub(crate) fn watch() -> io::Result<Self> {
        let file = File::open(MOUNTS)?;
        #[expect(deprecated, reason = "what takes its place is unsafe; the file is owned here and never replaced")]
        let file = AsyncFd::with_interest(file, Interest::PRIORITY)?;
        Ok(Self { file })
    }

    /// Waits for a mount or unmount. Several changes may cause one notification.
    ///
    /// # Errors
    /// The file cannot be polled.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.file.ready(Interest::PRIORITY).await?;
        ready.clear_ready();
        Ok(())
    }
}

const MOUNTS: &str = "/proc/self/mountinfo";
