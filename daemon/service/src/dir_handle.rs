//! Open directories of volumes and drives.
//!
//! The last descriptor of a filesystem that is no longer mounted keeps it alive: close(2) writes all data and shuts
//! the filesystem down, which takes as long as the drive takes, or for ever. After `umount -l`, or after a drive was
//! unplugged, any descriptor can be the last one. So dedicated threads close all of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::Builder;
use std::time::Duration;

use butterdock_btrfs::best_effort;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// To be closed one has so long before an end is told: it takes no time at all, unless it is the last of a filesystem that
/// was unmounted meanwhile.
const CLOSING: Duration = Duration::from_secs(1);

/// A directory of a volume or drive, open. Dropping it never waits.
#[derive(Debug)]
pub(crate) struct DirHandle(Option<OwnedFd>);

impl DirHandle {
    /// Closes it and waits for that, but not for ever: whoever is told of an end may unmount at once. Answers whether it is
    /// closed.
    pub(crate) async fn close(mut self) -> bool {
        let Some(closed) = self.0.take().and_then(close) else { return true };
        timeout(CLOSING, closed).await.is_ok()
    }

    /// The same directory once more.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(Some(self.as_fd().try_clone_to_owned()?)))
    }
}

impl From<OwnedFd> for DirHandle {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Some(descriptor))
    }
}

impl AsFd for DirHandle {
    #[expect(clippy::expect_used, reason = "only `close` and `drop` take it out, and both consume the value")]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("open").as_fd()
    }
}

impl Drop for DirHandle {
    fn drop(&mut self) {
        drop(self.0.take().and_then(close));
    }
}

/// Has a thread of its own close it, which may never come back; none comes from a kernel that has no thread left, and then
/// it is closed already.
fn close(descriptor: OwnedFd) -> Option<oneshot::Receiver<()>> {
    let (tell, closed) = oneshot::channel();
    let closing = move || {
        drop(descriptor);
        // No caller has to wait.
        best_effort(tell.send(()));
    };
    Builder::new().name("closes".to_owned()).spawn(closing).ok().map(|_thread| closed)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, pipe};

    use super::*;

    #[tokio::test]
    async fn close_is_immediate_and_drop_is_deferred() {
        let (reader, writer) = pipe().expect("a pipe");
        let dir_handle = DirHandle::from(OwnedFd::from(writer));
        let copy = dir_handle.try_clone().expect("a copy");
        assert!(dir_handle.close().await);
        drop(copy);
        assert_eq!(File::from(OwnedFd::from(reader)).read(&mut [0]).expect("the end"), 0);
    }
}
