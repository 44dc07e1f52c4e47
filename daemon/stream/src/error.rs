//! Why the decoder refuses a stream, and where.

use crate::{Attribute, Version};

/// An error of a stream, and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("command {} at byte {}: {kind}", place.command, place.at)]
pub struct Error {
    /// The command (or the stream header) that is wrong.
    pub place: Position,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

/// What is wrong with a stream. Commands and attributes are named as the kernel's `send.h` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum ErrorKind {
    /// The input has no bytes.
    #[error("the input is empty: no btrfs send stream arrived")]
    Empty,
    /// The input does not begin with the magic.
    #[error("this is not a btrfs send stream (the words \"btrfs-stream\" are missing)")]
    NotAStream,
    /// This decoder does not know the version.
    #[error("the stream has version {0}, known are 1 to 3")]
    UnsupportedVersion(u32),
    /// The command is longer than the cap.
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
    /// The stream's version does not have the command.
    #[error("{command} does not exist in version {} of the stream", *version as u32)]
    CommandOfLaterVersion { command: &'static str, version: Version },
    /// A command has an attribute twice.
    #[error("{command} has two attributes {attribute}")]
    DuplicateAttribute { command: &'static str, attribute: Attribute },
    /// A command lacks an attribute that it needs.
    #[error("{command} lacks its attribute {attribute}")]
    MissingAttribute { command: &'static str, attribute: Attribute },
    /// Other commands have this attribute.
    #[error("{command} has an attribute {attribute}, which does not belong to it")]
    UnexpectedAttribute { command: &'static str, attribute: Attribute },
    /// A number, uuid or time of the wrong length.
    #[error("the attribute {attribute} is {found} bytes long instead of {expected}")]
    AttributeLength { attribute: Attribute, expected: usize, found: usize },
    /// An attribute or its header ends after the end of its command.
    #[error("an attribute of {command} reaches past the end of the command")]
    AttributeOverrun { command: &'static str },
    /// A path or another name has a NUL byte.
    #[error("the name in the attribute {attribute} contains a NUL byte")]
    NameWithNul { attribute: Attribute },
    /// This decoder does not know the compression.
    #[error("unknown compression {0} (known are 0 to 7)")]
    UnknownCompression(u32),
    /// The input ends before the END command.
    #[error(
        "the input ends here, before the END command ({have} of the next {need} bytes are there): the stream is cut short"
    )]
    Truncated { have: usize, need: usize },
    /// The sender began the stream again in the middle.
    #[error(
        "a stream header stands inside the command: the sender's ioctl was restarted by a signal and began again; send once more"
    )]
    RestartedInside,
}

impl ErrorKind {
    /// Whether the decoder can decode nothing after this place.
    ///
    /// After such an error [`Decoder::next`](crate::Decoder::next) returns the same error again. After any other error the
    /// command's length and checksum were correct, and the decoder continues after the command.
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

/// The place of a command or of a stream header in the whole input, which may have several streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The command's number, from 1 on. A stream header has the number of the command after it.
    pub command: u64,
    /// The offset of its first byte.
    pub at: u64,
}
