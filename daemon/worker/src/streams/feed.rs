//! Gives a receiver a file from one of its subvolumes on.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::thread;

use super::walk::{HEADER, Part};

/// What has no header of its own gets the file's, through a pipe.
///
/// # Errors
/// The file cannot be read where the part begins.
pub(super) fn feed<T>(mut file: &File, part: Part, receive: impl FnOnce(BorrowedFd<'_>) -> T) -> io::Result<T> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0)?;
    file.seek(SeekFrom::Start(part.at))?;
    if part.has_header {
        return Ok(receive(file.as_fd()));
    }
    let (reader, mut writer) = io::pipe()?;
    Ok(thread::scope(|threads| {
        // Where the receiver reads no more, or the file gives no more, the receiver says so.
        threads.spawn(move || writer.write_all(&header).and_then(|()| io::copy(&mut file, &mut writer)).ok());
        let received = receive(reader.as_fd());
        // The thread ends when nobody reads.
        drop(reader);
        received
    }))
}
