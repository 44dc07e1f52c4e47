//! Send: the kernel writes a subvolume as a stream into a descriptor.

#![expect(unsafe_code, reason = "BTRFS_IOC_SEND takes a pointer to its argument, which has a pointer in it")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::Result;
use crate::ioctl::{BTRFS, Direction, GENERIC, Request, ioctl_once};

/// The parameters of a send.
#[derive(Debug, Clone, Copy)]
pub struct Send<'s> {
    /// The output of the stream: a pipe, a file or a socket, open for writing.
    pub to: BorrowedFd<'s>,
    /// The id of the read-only parent subvolume of an incremental stream; none for a full stream.
    pub parent: Option<u64>,
    /// Ids of read-only subvolumes that the stream may clone from; the receiver must have them too.
    pub clone_sources: &'s [u64],
    /// The version of the stream: up to [`version`].
    pub version: u32,
    /// `BTRFS_SEND_FLAG_COMPRESSED` — sends compressed extents as they are stored; from version 2 on.
    pub compressed: bool,
    /// `BTRFS_SEND_FLAG_NO_FILE_DATA` — sends which ranges changed, without their data.
    pub no_file_data: bool,
}

/// `BTRFS_IOC_SEND` (`CAP_SYS_ADMIN`) — writes the read-only subvolume whose root is `fd` as a stream, and returns at its
/// end. While it runs, the subvolume and those in `how` cannot be deleted or made writable.
///
/// **A signal to the calling thread makes the kernel begin again**, and it writes the whole stream a second time: block all
/// signals in that thread. For this reason the call is not made again after `EINTR`. Only a closed pipe or the end of the
/// process ends it early.
///
/// # Errors
/// `EPERM` (not read-only, no capability, or being deleted), `EPIPE` if the reader has closed the pipe, `EINVAL` (the kernel
/// does not support the version or a flag, or a parent or clone source is not read-only), `ENOENT` if the parent is not a
/// subvolume, `EAGAIN` while a balance or a deduplication changes what is sent, `EIO`, `ENOMEM`, `ENOTTY`.
pub fn send(fd: impl AsFd, how: &Send<'_>) -> Result<()> {
    let compressed = if how.compressed { COMPRESSED } else { 0 };
    let no_file_data = if how.no_file_data { NO_FILE_DATA } else { 0 };
    let mut raw = RawSend {
        send_fd: i64::from(how.to.as_raw_fd()),
        clone_sources_count: how.clone_sources.len() as u64,
        clone_sources: how.clone_sources.as_ptr(),
        #[cfg(target_arch = "arm")]
        above: 0,
        parent_root: how.parent.unwrap_or(0),
        flags: VERSION | compressed | no_file_data,
        version: how.version,
        reserved: [0; 28],
    };
    // SAFETY: the kernel reads one RawSend and, through its pointer, as many ids as are counted, which are borrowed for the
    // whole call; the descriptor in it is borrowed as well. It keeps no pointer.
    unsafe { ioctl_once(fd.as_fd(), &SEND, &raw mut raw) }?;
    Ok(())
}

/// `/sys/fs/btrfs/features/send_stream_version` — the highest version of a stream that this kernel writes; 1 if the
/// file does not exist, as before Linux 5.19.
#[must_use]
pub fn version() -> u32 {
    let text = std::fs::read_to_string("/sys/fs/btrfs/features/send_stream_version");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

/// `struct btrfs_ioctl_send_args`.
#[repr(C)]
struct RawSend {
    send_fd: i64,
    clone_sources_count: u64,
    clone_sources: *const u64,
    /// A 64-bit kernel reads this as the pointer's upper half.
    #[cfg(target_arch = "arm")]
    above: u32,
    parent_root: u64,
    flags: u64,
    version: u32,
    reserved: [u8; 28],
}

const _: () = assert!(!GENERIC || size_of::<RawSend>() == 72);

/// `BTRFS_SEND_FLAG_NO_FILE_DATA`.
const NO_FILE_DATA: u64 = 1;
/// `BTRFS_SEND_FLAG_VERSION`.
const VERSION: u64 = 8;
/// `BTRFS_SEND_FLAG_COMPRESSED`.
const COMPRESSED: u64 = 16;
const SEND: Request = Request::new("BTRFS_IOC_SEND", Direction::Write, BTRFS, 38, size_of::<RawSend>(), 0x4048_9426);
