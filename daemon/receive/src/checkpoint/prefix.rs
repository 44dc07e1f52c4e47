//! The part of an input before a checkpoint: its length and its digest.
//!
//! The digest is that of the frames of all commands: length, kind, and the checksum (CRC-32C) of the whole command, which the decoder
//! has verified. BLAKE3 digests 3.7 GB/s here, so the data of a large file would add a quarter to the processor time of its receive.
//! It would prove no more: the digest
//! checks that the sender repeats itself, which `btrfs send` does for one snapshot on one kernel. A sender that wants another result
//! can send it in the first place. By accident, a command that differs has the same frame once in 2^32 times.

use butterdock_stream::{FRAME, Version};
use serde::{Deserialize, Serialize};

use crate::hex;

/// The part of the input from its beginning to the end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prefix {
    /// Its length in bytes: the offset of the next command.
    pub(crate) offset: u64,
    /// The number of its commands.
    pub(crate) commands: u64,
    /// The BLAKE3 digest of the versions in the headers, and of the frames of the commands.
    #[serde(with = "hex")]
    pub(crate) digest: [u8; 32],
}

/// Computes the digest of an input while it is read.
#[derive(Debug, Default)]
pub(crate) struct PrefixDigest {
    hasher: blake3::Hasher,
    commands: u64,
}

impl PrefixDigest {
    pub(crate) fn header(&mut self, version: Version) {
        let number: u8 = match version {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        };
        self.hasher.update(&[number]);
    }

    /// The next command, with its frame.
    pub(crate) fn command(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes.first_chunk::<FRAME>().map_or(bytes, |frame| frame));
        self.commands = self.commands.saturating_add(1);
    }

    /// The prefix that ends at `offset`, after the last command.
    pub(crate) fn prefix(&self, offset: u64) -> Prefix {
        Prefix { offset, commands: self.commands, digest: *self.hasher.finalize().as_bytes() }
    }
}
