//! What the decoder tells its caller.

use crate::block::{Block, Shared};
use crate::{Command, Place, Version};

/// The next thing in the stream.
#[derive(Debug)]
pub enum Event<'a> {
    /// Nothing yet: the decoder needs more bytes.
    Starved,
    /// A stream begins.
    Header(Place, Version),
    /// A command, checked.
    Command(Framed<'a>),
}

/// A command and where it stood.
#[derive(Debug)]
pub struct Framed<'a> {
    /// Where it stood.
    pub place: Place,
    /// The version of the stream it stood in.
    pub version: Version,
    /// The command.
    pub command: Command<'a>,
    pub(crate) block: &'a Block,
}

impl Framed<'_> {
    /// Keeps a part of the command (a path, its data) beyond the decoder's next call.
    ///
    /// Nothing is copied if `part` was borrowed from this command; any other bytes are copied.
    #[inline]
    pub fn share(&self, part: &[u8]) -> Shared {
        Shared::of(self.block, part)
    }
}
