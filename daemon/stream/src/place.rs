//! Where in the input something stands.

/// The place of a command or of a stream header within the whole input, over all concatenated streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The command's number, from 1 on. A stream header has the number of the command after it.
    pub command: u64,
    /// Offset in bytes of its first byte.
    pub at: u64,
}
