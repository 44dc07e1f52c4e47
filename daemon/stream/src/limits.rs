//! How long a command may say it is.

use crate::Version;

/// Caps in bytes on the payload of one command, checked before room is made for it.
///
/// The cap in force is the smaller one of `wire` and that of the stream's version. The defaults leave room for
/// kernels with 64 KiB pages; a 4 KiB-page kernel emits at most 64 KiB in version 1 and 147 456 bytes from version 2 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whatever the version.
    pub wire: u32,
    /// Version 1.
    pub v1: u32,
    /// Version 2.
    pub v2: u32,
    /// Version 3.
    pub v3: u32,
}

impl Limits {
    /// The cap in force in a stream of this version.
    pub fn cap(&self, version: Version) -> u32 {
        let own = match version {
            Version::V1 => self.v1,
            Version::V2 => self.v2,
            Version::V3 => self.v3,
        };
        own.min(self.wire)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { wire: 16 << 20, v1: 128 << 10, v2: 512 << 10, v3: 512 << 10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_cap_is_in_force() {
        assert_eq!(Limits::default().cap(Version::V1), 128 << 10);
        assert_eq!(Limits { wire: 4096, ..Limits::default() }.cap(Version::V2), 4096);
    }
}
