//! What is left in the pipe of a file that was read.
//!
//! The content of a pipe is memory of the kernel for as long as the reader keeps the pipe open, also after the job. A job counts as one
//! of the user until the reader has read all; one that ends before leaves nothing in the pipe.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use butterdock_btrfs::best_effort;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::blocking::local;

/// The smallest pipe: one page.
const SMALLEST: i32 = 4096;

/// Discards what is left in a pipe, whose end for writing this is.
pub(super) async fn discard(pipe: OwnedFd) {
    // If this fails, the content stays until the reader closes the pipe.
    if let Ok(Err(error)) = local(move || empty(&pipe)).await {
        tracing::warn!(
            "cannot discard the unread rest of a file in a pipe; it stays until the reader closes the pipe: {error}"
        );
    }
}

fn empty(pipe: &OwnedFd) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // The room for its content is memory too.
    best_effort(fcntl(pipe, FcntlArg::F_SETPIPE_SZ(SMALLEST)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn nothing_stays_in_the_pipe_of_a_job_that_ended() {
        let (mut reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(&[7; 60_000]).expect("written");
        let size = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).expect("its size");
        assert!(size > SMALLEST, "{size}");
        discard(writer.into()).await;
        assert_eq!(fcntl(&reader, FcntlArg::F_GETPIPE_SZ), Ok(SMALLEST));
        assert_eq!(reader.read(&mut [0; 10]).expect("read"), 0, "its end");
    }
}
