//! Encodes commands to bytes.

use crate::crc::checksum;
use crate::payload::Payload;
use crate::{Attribute, Command, FRAME, MAGIC, Version};

/// Writes a stream into memory, each command as the kernel would: its attributes in the kernel's order.
///
/// The order of the commands is the caller's affair, the header and END included.
#[derive(Debug, Clone)]
pub struct Encoder {
    version: Version,
    out: Vec<u8>,
}

/// A command that cannot be written in the stream's version, or that no decoder would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum EncodeError {
    /// The command came with a later version.
    #[error("{command} does not exist in version {} of the stream", *version as u32)]
    CommandOfLaterVersion { command: &'static str, version: Version },
    /// The attribute came with a later version (OTIME).
    #[error("the attribute {attribute} does not exist in version {} of the stream", *version as u32)]
    AttributeOfLaterVersion { attribute: Attribute, version: Version },
    /// An attribute's length has 16 bits (DATA from version 2 on excepted).
    #[error("the attribute {attribute} would be {len} bytes long, at most 65535 are possible")]
    AttributeTooLong { attribute: Attribute, len: usize },
    /// A command's length has 32 bits.
    #[error("the command would be {len} bytes long, at most 4294967295 are possible")]
    CommandTooLong { len: usize },
    /// A decoder refuses it, because the kernel would cut it short.
    #[error("the name in the attribute {attribute} contains a NUL byte")]
    NameWithNul { attribute: Attribute },
    /// LZO is numbered by sector size, from 4096 to 65536.
    #[error("LZO with a sector size of {0} has no number in the stream")]
    UnknownSectorSize(u32),
}

impl Encoder {
    /// An encoder with nothing written, for a stream of this version.
    pub fn new(version: Version) -> Self {
        Self { version, out: Vec::new() }
    }

    /// Writes the stream's header.
    pub fn header(&mut self) {
        self.out.extend_from_slice(MAGIC);
        self.out.extend_from_slice(&(self.version as u32).to_le_bytes());
    }

    /// Writes one command; on an error nothing.
    ///
    /// # Errors
    /// When the stream's version has no room for the command, or a decoder would refuse it.
    pub fn command(&mut self, command: &Command<'_>) -> Result<(), EncodeError> {
        if command.since() > self.version {
            return Err(EncodeError::CommandOfLaterVersion { command: command.name(), version: self.version });
        }
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME]);
        let written = Payload::new(self.version, &mut self.out).command(command);
        let sealed = written.and_then(|()| self.seal(start, command.number()));
        if sealed.is_err() {
            self.out.truncate(start);
        }
        sealed
    }

    /// Writes a command with any number and any payload, under its right checksum; for tests of decoders.
    ///
    /// # Errors
    /// When the payload is longer than 32 bits can say.
    pub fn raw(&mut self, command: u16, payload: &[u8]) -> Result<(), EncodeError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; FRAME]);
        self.out.extend_from_slice(payload);
        self.seal(start, command)
    }

    /// What is written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// What is written, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Forgets what is written and keeps the memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Fills in the header of the command that begins at `start`.
    fn seal(&mut self, start: usize, number: u16) -> Result<(), EncodeError> {
        let command = self.out.get_mut(start..).unwrap_or_default();
        let Some((frame, payload)) = command.split_first_chunk_mut::<FRAME>() else { return Ok(()) };
        let Ok(len) = u32::try_from(payload.len()) else {
            return Err(EncodeError::CommandTooLong { len: payload.len() });
        };
        let [a, b, c, d] = len.to_le_bytes();
        let [e, f] = number.to_le_bytes();
        let [g, h, i, j] = checksum(len, number, payload).to_le_bytes();
        *frame = [a, b, c, d, e, f, g, h, i, j];
        Ok(())
    }
}
