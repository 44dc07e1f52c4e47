//! Recognises a stream that began again in its own middle.
//!
//! A signal that reaches the sending thread restarts the kernel's ioctl, which then writes the whole stream once more
//! behind what it had written. To the receiver that looks like damage, at a place that depends on timing; so whoever
//! finds damage looks here for a better explanation.

use crate::MAGIC;

/// How much of the magic must stand at the end of the bytes, where it is cut off, to count.
const ENOUGH: usize = 4;

/// Whether a stream header begins somewhere in these bytes.
#[cold]
pub(crate) fn holds_header(bytes: &[u8]) -> bool {
    bytes.windows(MAGIC.len()).any(|window| window == MAGIC) || ends_with_part(bytes)
}

fn ends_with_part(bytes: &[u8]) -> bool {
    (ENOUGH..MAGIC.len()).any(|length| MAGIC.get(..length).is_some_and(|part| bytes.ends_with(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_anywhere_also_when_cut_off() {
        assert!(holds_header(b"btrfs-stream\0\x01\0\0\0"));
        assert!(holds_header(b"abcbtrfs-stream\0xyz"));
        assert!(holds_header(b"btrfs-stre"));
        assert!(holds_header(b"......btrf"));
        assert!(!holds_header(b".......btr"));
        assert!(!holds_header(b"btrfs-stream?"));
        assert!(!holds_header(b""));
    }
}
