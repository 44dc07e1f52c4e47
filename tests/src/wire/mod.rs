//! A writer of send streams, written from the format alone: it shares no code with the product, so that a
//! misunderstanding in the product's encoder and decoder cannot hide behind the other.
//!
//! It writes whatever it is told, lawful or not.

mod attribute;
mod random;
mod words;

pub use attribute::{Attribute, Attributes};
pub use random::RandomStream;

/// The largest payload of a command that the writer sums up with a right CRC; nothing is refused.
const MAGIC: &[u8] = b"btrfs-stream\0";

/// The uuid that streams of this writer carry unless they say otherwise.
pub const UUID: [u8; 16] = *b"butterdock-tests";

/// Numbers of commands (`enum btrfs_send_cmd`).
#[expect(missing_docs, reason = "the names of the kernel's header")]
pub mod command {
    pub const SUBVOL: u16 = 1;
    pub const SNAPSHOT: u16 = 2;
    pub const MKFILE: u16 = 3;
    pub const MKDIR: u16 = 4;
    pub const MKNOD: u16 = 5;
    pub const MKFIFO: u16 = 6;
    pub const MKSOCK: u16 = 7;
    pub const SYMLINK: u16 = 8;
    pub const RENAME: u16 = 9;
    pub const LINK: u16 = 10;
    pub const UNLINK: u16 = 11;
    pub const RMDIR: u16 = 12;
    pub const SET_XATTR: u16 = 13;
    pub const REMOVE_XATTR: u16 = 14;
    pub const WRITE: u16 = 15;
    pub const CLONE: u16 = 16;
    pub const TRUNCATE: u16 = 17;
    pub const CHMOD: u16 = 18;
    pub const CHOWN: u16 = 19;
    pub const UTIMES: u16 = 20;
    pub const END: u16 = 21;
    pub const UPDATE_EXTENT: u16 = 22;
    pub const FALLOCATE: u16 = 23;
    pub const FILEATTR: u16 = 24;
    pub const ENCODED_WRITE: u16 = 25;
    pub const ENABLE_VERITY: u16 = 26;
}

/// A stream in the making.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    bytes: Vec<u8>,
    version: u32,
}

impl Stream {
    /// A stream with the header of a version, which need not exist.
    #[must_use]
    pub fn new(version: u32) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_le_bytes());
        Self { bytes, version }
    }

    /// Any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A command with a right length and a right CRC.
    #[must_use]
    pub fn payload(mut self, number: u16, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let crc = checksum(length, number, payload);
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(number.to_le_bytes());
        self.bytes.extend(crc.to_le_bytes());
        self.bytes.extend_from_slice(payload);
        self
    }

    /// A command with these attributes; DATA is laid out as the stream's version wants it.
    #[must_use]
    pub fn command(self, number: u16, attributes: &Attributes) -> Self {
        let payload = attributes.bytes(self.version);
        self.payload(number, &payload)
    }

    /// Only the header of a command: what follows is missing, or is what the caller adds.
    #[must_use]
    pub fn command_header(mut self, length: u32, number: u16, crc: u32) -> Self {
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(number.to_le_bytes());
        self.bytes.extend(crc.to_le_bytes());
        self
    }

    /// Changes one byte, counted from the end.
    #[must_use]
    pub fn spoil(mut self, from_end: usize) -> Self {
        let at = self.bytes.len().checked_sub(from_end);
        if let Some(byte) = at.and_then(|at| self.bytes.get_mut(at)) {
            *byte ^= 0x5a;
        }
        self
    }

    /// Cuts bytes off the end.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len().saturating_sub(bytes));
        self
    }

    /// The stream's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// CRC32C with seed 0 and without the final inversion, over the header (its crc field zero) and the payload.
fn checksum(length: u32, number: u16, payload: &[u8]) -> u32 {
    let header = length.to_le_bytes().into_iter().chain(number.to_le_bytes()).chain([0; 4]);
    header.chain(payload.iter().copied()).fold(0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_of_an_empty_end_is_the_kernels() {
        // The last ten bytes of every stream of `btrfs send`.
        assert_eq!(checksum(0, command::END, &[]), 0x9dc9_6c50);
    }
}
