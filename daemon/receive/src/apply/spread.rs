//! A large file whose payloads are decoded keeps every writer thread busy.
//!
//! A file belongs to one writer thread, so without this a stream of few large files would be decoded by one core. Work that
//! does nothing but write payloads, each behind the one before, may be done in any order: it goes to the writer threads in turn.
//! Each decodes and writes at once, while the bytes are in its cache. Other work on the file waits for all of it.

use std::ops::Range;

use super::perform::Task;
use crate::plan::Change;

/// Less than this is not worth waiting for all writer threads at its end.
const LEAST: usize = 128 << 10;

/// The file that is spread over the writer threads.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Its inode.
    pub(crate) number: u64,
    /// Where the last task ended in the file.
    pub(crate) end: u64,
    /// The writer thread that had it.
    pub(crate) turn: usize,
}

impl Spread {
    /// The range of the file that a task writes, if it may go to any writer thread.
    pub(crate) fn range<I>(task: &Task<I>) -> Option<Range<u64>> {
        if task.weight() < LEAST {
            return None;
        }
        let mut whole: Option<Range<u64>> = None;
        for (_, change) in &task.changes {
            let Change::Encoded { extent, .. } = change else { return None };
            let range = extent.file_offset..extent.file_offset.checked_add(extent.file_len)?;
            let start = match &whole {
                Some(before) if range.start < before.end => return None,
                Some(before) => before.start,
                None => range.start,
            };
            whole = Some(start..range.end);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use butterdock_stream::{Compression, Extent, Place};

    use super::*;
    use crate::name::StreamPath;

    const K: u64 = 1024;

    fn encoded(file_offset: u64, payload: usize) -> Change {
        let (file_len, compression) = (128 * K, Compression::Zstd);
        let extent =
            Extent { file_offset, file_len, decoded_len: file_len, decoded_offset: 0, compression, encryption: 0 };
        Change::Encoded { extent, payload: vec![0; payload].into() }
    }

    fn task(changes: Vec<Change>) -> Task<()> {
        let changes = changes.into_iter().map(|change| (Place { command: 1, at: 0 }, change)).collect();
        Task { inode: (), path: StreamPath::new(b"f").unwrap(), fresh: None, changes, sources: Vec::new() }
    }

    #[test]
    fn payloads_behind_one_another_may_go_to_any_lane() {
        let range = Spread::range(&task(vec![encoded(0, 70 << 10), encoded(256 * K, 70 << 10)]));
        assert_eq!(range, Some(0..384 * K));
    }

    #[test]
    fn what_overlaps_or_does_more_or_is_small_stays_in_order() {
        for changes in [
            vec![encoded(128 * K, 70 << 10), encoded(0, 70 << 10)],
            vec![encoded(0, 70 << 10), encoded(64 * K, 70 << 10)],
            vec![encoded(0, 70 << 10), encoded(128 * K, 70 << 10), Change::Truncate { size: 1 }],
            vec![encoded(0, 4 << 10)],
            Vec::new(),
        ] {
            assert_eq!(Spread::range(&task(changes)), None);
        }
    }
}
