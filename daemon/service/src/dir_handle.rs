//! Open directories of volumes and drives.
//!
//! The last descriptor of a filesystem that is no longer mounted keeps it alive: close(2) writes all data and shuts
//! the filesystem down, which takes as long as the drive takes, or for ever. After `umount -l`, or after a drive was
//! unplugged, any descriptor can be the last one. So dedicated threads close all of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::time::timeout;

use crate::blocking::Closer;

/// Timeout for closing a directory before the end of its job is reported. Closing takes no time, unless it is the last
/// descriptor of a filesystem that was unmounted meanwhile.
const CLOSING: Duration = Duration::from_secs(1);
/// Directories of this many unmounted filesystems that hang can be closed at the same time.
const CLOSERS: usize = 64;

static CLOSER: Closer = Closer::new("closes", CLOSERS);

/// An open directory of a volume or drive. Dropping it never waits.
#[derive(Debug)]
pub(crate) struct DirHandle(Option<OwnedFd>);

impl DirHandle {
    /// Closes it and waits for that up to a second: a user may unmount as soon as the end of a job is reported. Answers
    /// whether it is closed.
    pub(crate) async fn close(mut self) -> bool {
        let Some(descriptor) = self.0.take() else { return true };
        timeout(CLOSING, CLOSER.close_and_report(descriptor)).await.is_ok()
    }

    /// A second handle of the same directory.
    ///
    /// # Errors
    /// The process has no free descriptor.
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
        if let Some(descriptor) = self.0.take() {
            CLOSER.close(descriptor);
        }
    }
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
