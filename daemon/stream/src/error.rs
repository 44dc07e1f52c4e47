//! Why a stream is refused, and where.

use crate::{Attribute, Version};

/// A stream that cannot be decoded, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command {} at byte {}: {kind}", place.command, place.at)]
pub struct Error {
    /// The command (or the stream header) that is wrong.
    pub place: Place,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

/// What is wrong with a stream. Commands and attributes are named as the kernel's `send.h` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum ErrorKind {
    /// Nothing at all was given.
    #[error("the input is empty: no btrfs send stream arrived")]
    Empty,
    /// The magic is missing.
    #[error("this is not a btrfs send stream (the words \"btrfs-stream\" are missing)")]
    NotAStream,
    /// A version that this decoder does not know.
    #[error("the stream has version {0}, known are 1 to 3")]
    UnsupportedVersion(u32),
    /// A command longer than the cap in force.
    #[error("the command says it is {len} bytes long, at most {cap} are allowed")]
    TooLong { len: u32, cap: u32 },
    /// The stored checksum is not that of the bytes.
    #[error("the checksum is wrong (stored {stored:#010x}, computed {computed:#010x}): the stream is damaged")]
    Crc { stored: u32, computed: u32 },
    /// A number that no version gives to a command.
    #[error("unknown command number {0}")]
    UnknownCommand(u16),
    /// A number that no version gives to an attribute.
    #[error("unknown attribute number {0}")]
    UnknownAttribute(u16),
    /// A command that the stream's version does not have.
    #[error("{command} does not exist in version {} of the stream", *version as u32)]
    CommandOfLaterVersion { command: &'static str, version: Version },
    /// An attribute stands twice in one command.
    #[error("{command} has two attributes {attribute}")]
    DuplicateAttribute { command: &'static str, attribute: Attribute },
    /// A command lacks an attribute that it needs.
    #[error("{command} lacks its attribute {attribute}")]
    MissingAttribute { command: &'static str, attribute: Attribute },
    /// An attribute that exists, but in other commands.
    #[error("{command} has an attribute {attribute}, which does not belong to it")]
    UnexpectedAttribute { command: &'static str, attribute: Attribute },
    /// A number, uuid or time of the wrong length.
    #[error("the attribute {attribute} is {found} bytes long instead of {expected}")]
    AttributeLength { attribute: Attribute, expected: usize, found: usize },
    /// An attribute reaches past the end of its command, or its own header does.
    #[error("an attribute of {command} reaches past the end of the command")]
    AttributeOverrun { command: &'static str },
    /// A path or another name with a NUL byte in it.
    #[error("the name in the attribute {attribute} contains a NUL byte")]
    NameWithNul { attribute: Attribute },
    /// A compression that this decoder does not know.
    #[error("unknown compression {0} (known are 0 to 7)")]
    UnknownCompression(u32),
    /// The input ends before END does.
    #[error(
        "the input ends here, before the END command ({have} of the next {need} bytes are there): the stream is cut short"
    )]
    Truncated { have: usize, need: usize },
    /// The sender began again in the middle.
    #[error(
        "a stream header stands inside the command: the sender's ioctl was restarted by a signal and began again; send once more"
    )]
    RestartedInside,
}

impl ErrorKind {
    /// Whether nothing after this place can be decoded.
    ///
    /// After such an error [`Decoder::next`](crate::Decoder::next) answers the same again. After any other error the
    /// command's length and checksum were right, and the decoder stands behind it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Empty
            | Self::NotAStream
            | Self::UnsupportedVersion(_)
            | Self::TooLong { .. }
            | Self::Crc { .. }
            | Self::Truncated { .. }
            | Self::RestartedInside => true,
            Self::UnknownCommand(_)
            | Self::UnknownAttribute(_)
            | Self::CommandOfLaterVersion { .. }
            | Self::DuplicateAttribute { .. }
            | Self::MissingAttribute { .. }
            | Self::UnexpectedAttribute { .. }
            | Self::AttributeLength { .. }
            | Self::AttributeOverrun { .. }
            | Self::NameWithNul { .. }
            | Self::UnknownCompression(_) => false,
        }
    }
}

/// The place of a command or of a stream header within the whole input, over all concatenated streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The command's number, from 1 on. A stream header has the number of the command after it.
    pub command: u64,
    /// Offset in bytes of its first byte.
    pub at: u64,
}
