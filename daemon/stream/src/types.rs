//! The small values that commands are made of.

use std::fmt;

/// A btrfs uuid: 16 bytes as they lie on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    /// The usual form, 8-4-4-4-12 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point in time (`struct btrfs_timespec`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z, negative before it.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1 000 000 000 where the sender is sane.
    pub nanoseconds: u32,
}

/// The version in a stream's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Linux 3.6.
    V1 = 1,
    /// Linux 6.0: encoded writes, larger commands.
    V2 = 2,
    /// Experimental kernels: fs-verity.
    V3 = 3,
}

/// How the payload of an encoded write is compressed (`BTRFS_ENCODED_IO_COMPRESSION_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// 0: the payload is plain.
    None,
    /// 1: one zlib stream.
    Zlib,
    /// 2: one zstd frame with a window of up to 128 KiB.
    Zstd,
    /// 3 to 7: btrfs' LZO segments, made for this sector size in bytes (4096 to 65536).
    Lzo {
        /// Sector size in bytes: 4096, 8192, 16384, 32768 or 65536.
        sector_size: u32,
    },
}
