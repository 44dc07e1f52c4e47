//! The content of restored files.

use std::io::IoSlice;
use std::os::fd::OwnedFd;

use butterdock_btrfs::file::{self, Stat, clone_range, next_data, read_at, sync_data, truncate, write_at};
use butterdock_btrfs::flags::{Flags, flags, set_flags};
use butterdock_btrfs::{Errno, Error as Fault, best_effort};

use super::super::cause::{FileError, reading, writing};
use super::Run;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// After this many bytes the copy waits for the device, so that progress is true and memory is not full of unwritten data.
const UNWRITTEN: u64 = 64 << 20;

impl Run<'_> {
    /// Fills the empty file `made`.
    pub(super) fn fill(&mut self, source: &OwnedFd, made: &OwnedFd, stat: &Stat, path: &[u8]) -> Result<(), FileError> {
        // Only an empty file takes the flag, and extents without checksums can be shared with no other file.
        if flags(source).is_ok_and(|flags| flags.contains(Flags::NO_COW)) {
            best_effort(set_flags(made, Flags::NO_COW));
        }
        if stat.size == 0 {
            return Ok(());
        }
        match clone_range(made, 0, source, 0, 0) {
            Ok(()) => {
                self.restored.shared = self.restored.shared.saturating_add(1);
                self.passed(stat.size);
                Ok(())
            }
            // Another filesystem, another mount before Linux 5.19, or a file that is stored in another way.
            Err(Fault { errno: Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOTTY, .. }) => {
                self.copy_data(source, made, stat.size, path)
            }
            Err(fault) => Err(writing(path)(fault)),
        }
    }

    /// Copies all but the holes.
    fn copy_data(&mut self, source: &OwnedFd, made: &OwnedFd, size: u64, path: &[u8]) -> Result<(), FileError> {
        self.buffer.resize(PIECE, 0);
        let (mut done, mut unwritten) = (0_u64, 0_u64);
        while let Some(data) = next_data(source, done).map_err(reading(path))?.filter(|data| data.start < size) {
            self.passed(data.start.saturating_sub(done));
            done = data.start;
            while done < data.end {
                self.cancelled()?;
                let length = usize::try_from(data.end.saturating_sub(done)).unwrap_or(PIECE).min(PIECE);
                let piece = self.buffer.get_mut(..length).unwrap_or_default();
                let read = read_at(source, done, piece).map_err(reading(path))?;
                if read == 0 {
                    break;
                }
                write_at(made, done, &[IoSlice::new(piece.get(..read).unwrap_or_default())]).map_err(writing(path))?;
                let read = read as u64;
                (done, unwritten) = (done.saturating_add(read), unwritten.saturating_add(read));
                self.passed(read);
                if unwritten >= UNWRITTEN {
                    sync_data(made).map_err(writing(path))?;
                    unwritten = 0;
                }
            }
            done = done.max(data.end);
        }
        self.passed(size.saturating_sub(done));
        if file::stat(made).map_err(writing(path))?.size == size {
            return Ok(());
        }
        truncate(made, size).map_err(writing(path))
    }

    /// Counts bytes of content, with holes.
    pub(super) fn passed(&mut self, bytes: u64) {
        self.request.control.pass(bytes);
        self.restored.bytes = self.restored.bytes.saturating_add(bytes);
    }
}
