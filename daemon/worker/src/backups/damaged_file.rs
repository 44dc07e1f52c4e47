//! Finds the file that a send could not read.
//!
//! The kernel's send ends with `EIO` and names no file. It sends files in the order of their inodes, so the first part that cannot be
//! read, in that order, is the reason.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use butterdock_btrfs::extents::disk_extents;
use butterdock_receive::Control;

use crate::file_parts::FileParts;

/// Data before what was received, less this, is not read again: clones and writer threads make the number inexact.
const SLACK: u64 = 256 << 20;

/// The path of the first file in a snapshot that cannot be read; `None` if all can. With a parent, only extents after transaction
/// `since` are read. `received` is how many bytes of data the receiver got.
pub(super) fn damaged_file(snapshot: BorrowedFd<'_>, since: u64, received: u64, control: &Control) -> Option<Vec<u8>> {
    let mut parts = FileParts::new(snapshot);
    let (mut passed, mut found) = (0_u64, None);
    let searched = disk_extents(snapshot, 0, |extent| {
        if control.is_cancelled() {
            return ControlFlow::Break(());
        }
        if extent.generation <= since {
            return ControlFlow::Continue(());
        }
        passed = passed.saturating_add(extent.len);
        if passed.saturating_add(SLACK) < received {
            return ControlFlow::Continue(());
        }
        match parts.can_read(0, &extent) {
            Ok(true) => ControlFlow::Continue(()),
            Ok(false) => {
                found = Some(parts.path());
                ControlFlow::Break(())
            }
            // Without the file no other can be blamed.
            Err(_) => ControlFlow::Break(()),
        }
    });
    searched.ok()?;
    found
}
