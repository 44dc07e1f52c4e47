//! Decodes bytes to commands, without I/O.
//!
//! A stream can begin again in its own middle. A signal to the sending thread restarts the kernel's ioctl, which then writes
//! the whole stream once more. To the receiver this looks like damage, at a place that depends on timing. So before the
//! decoder reports damage, it looks for the header of a new stream there.

use std::sync::Arc;

use crate::attribute::Attributes;
use crate::frame::{FRAME, Frame, HEADER, MAGIC, checksum};
use crate::layout::{assemble, check};
use crate::pool::{Block, Blocks, Shared};
use crate::{Command, Error, ErrorKind, Pool, PoolEmpty, Position, Version};

/// Decodes one input: a stream, or several one after another.
///
/// The crate's example shows the order of the calls.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    blocks: Blocks,
    block: Block,
    /// `block[start..end]` is read and not yet decoded.
    start: usize,
    end: usize,
    /// The offset of `start` in the input.
    at: u64,
    /// The number of commands before `start`.
    commands: u64,
    phase: Phase,
}

/// What the decoder expects next.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A stream header, or the end of the input.
    Header,
    /// A command of a stream of this version.
    Command(Version),
}

impl Decoder {
    /// A decoder at the beginning of its input. It allocates blocks when it needs them.
    pub fn new(limits: Limits, pool: Pool) -> Self {
        let blocks = Blocks::new(pool);
        Self { limits, blocks, block: Block::default(), start: 0, end: 0, at: 0, commands: 0, phase: Phase::Header }
    }

    /// The memory into which the caller reads the next bytes; never empty. Call it after [`Event::Starved`].
    ///
    /// # Errors
    /// [`PoolEmpty`] while [`Shared`](crate::Shared)s hold all blocks: drop some and call again.
    pub fn space(&mut self) -> Result<&mut [u8], PoolEmpty> {
        let wanted = self.wanted();
        let have = self.have();
        if wanted <= have && self.end == self.block.len() {
            return Err(PoolEmpty);
        }
        if !self.has_room(wanted) {
            self.make_room(wanted.max(have))?;
        }
        let end = self.end;
        let space = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(end..));
        space.filter(|space| !space.is_empty()).ok_or(PoolEmpty)
    }

    /// The caller has put `n` bytes at the beginning of [`space`](Self::space).
    pub fn filled(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.block.len());
    }

    /// How many more bytes [`next`](Self::next) needs before it can return something new; 0 if it can now.
    ///
    /// A caller that must not read past END (`-e` on a pipe) reads up to this many bytes at a time.
    pub fn needed(&self) -> usize {
        self.wanted().saturating_sub(self.have())
    }

    /// How many blocks [`Shared`](crate::Shared)s hold, the block being filled left out.
    ///
    /// A caller that keeps this number low reads into memory that is still in the processor's cache.
    pub fn held(&self) -> usize {
        self.blocks.held()
    }

    /// How many bytes of the input were decoded.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next header or command, or [`Event::Starved`] if it needs more bytes.
    ///
    /// # Errors
    /// What is wrong with the stream. After an error that [is final](ErrorKind::is_final) the decoder returns the same
    /// error again; after any other it continues after the faulty command.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend its own blocks")]
    #[inline]
    pub fn next(&mut self) -> Result<Event<'_>, Error> {
        match self.phase {
            Phase::Header => self.next_header(),
            Phase::Command(version) => self.next_command(version),
        }
    }

    /// The input ends here. Call it after [`Event::Starved`].
    ///
    /// # Errors
    /// The input has no stream, or the last one does not end with END.
    pub fn finish(&self) -> Result<(), Error> {
        let bytes = self.pending();
        let kind = match self.phase {
            Phase::Header if bytes.is_empty() && self.at > 0 => return Ok(()),
            Phase::Header if bytes.is_empty() => ErrorKind::Empty,
            Phase::Header if !begins_a_header(bytes) => ErrorKind::NotAStream,
            Phase::Command(_) if holds_header(bytes) => ErrorKind::RestartedInside,
            Phase::Header | Phase::Command(_) => ErrorKind::Truncated { have: bytes.len(), need: self.wanted() },
        };
        Err(Error { place: self.place(), kind })
    }

    fn next_header(&mut self) -> Result<Event<'_>, Error> {
        let place = self.place();
        let bytes = self.pending();
        if !begins_a_header(bytes) {
            return Err(Error { place, kind: ErrorKind::NotAStream });
        }
        let Some(version) = bytes.get(MAGIC.len()..).and_then(|rest| rest.first_chunk()) else {
            return Ok(Event::Starved);
        };
        let version = match u32::from_le_bytes(*version) {
            1 => Version::V1,
            2 => Version::V2,
            3 => Version::V3,
            other => return Err(Error { place, kind: ErrorKind::UnsupportedVersion(other) }),
        };
        self.start = self.start.saturating_add(HEADER);
        self.at = self.at.saturating_add(HEADER as u64);
        self.phase = Phase::Command(version);
        Ok(Event::Header(place, version))
    }

    #[inline]
    fn next_command(&mut self, version: Version) -> Result<Event<'_>, Error> {
        let place = self.place();
        let bytes = self.block.get(self.start..self.end).unwrap_or_default();
        let Some((frame, rest)) = Frame::split(bytes) else { return Ok(Event::Starved) };
        let cap = self.limits.cap(version);
        if frame.len > cap {
            let head = bytes.get(..FRAME).unwrap_or_default();
            return Err(damaged(place, head, ErrorKind::TooLong { len: frame.len, cap }));
        }
        let Some(payload) = usize::try_from(frame.len).ok().and_then(|len| rest.get(..len)) else {
            return Ok(Event::Starved);
        };
        let computed = checksum(frame.len, frame.command, payload);
        if computed != frame.crc {
            let whole = bytes.get(..payload.len().saturating_add(FRAME)).unwrap_or_default();
            return Err(damaged(place, whole, ErrorKind::Crc { stored: frame.crc, computed }));
        }
        let bytes = bytes.get(..payload.len().saturating_add(FRAME)).unwrap_or_default();
        self.start = self.start.saturating_add(bytes.len());
        self.at = self.at.saturating_add(FRAME as u64).saturating_add(u64::from(frame.len));
        self.commands = place.command;
        let mut attributes = Attributes::default();
        if let Err(kind) = check(&mut attributes, version, frame.command, payload) {
            return Err(Error { place, kind });
        }
        if frame.command == END {
            self.phase = Phase::Header;
        }
        let command = assemble(frame.command, &attributes);
        Ok(Event::Command(Framed { place, version, command, bytes, block: &self.block }))
    }

    fn place(&self) -> Position {
        Position { command: self.commands.saturating_add(1), at: self.at }
    }

    fn pending(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    fn have(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// How many bytes from `start` on `next` needs.
    fn wanted(&self) -> usize {
        let version = match self.phase {
            Phase::Header => return HEADER,
            Phase::Command(version) => version,
        };
        match Frame::split(self.pending()) {
            Some((frame, _)) if frame.len <= self.limits.cap(version) => {
                usize::try_from(frame.len).map_or(usize::MAX, |len| len.saturating_add(FRAME))
            }
            Some(_) | None => FRAME,
        }
    }

    /// Whether the block has room after its end, and enough of it for a read to be worth its call.
    fn has_room(&mut self, wanted: usize) -> bool {
        let alone = Arc::get_mut(&mut self.block).is_some();
        let room = self.block.len().saturating_sub(self.start);
        let tail = self.block.len().saturating_sub(self.end);
        alone && wanted <= room && (self.start == 0 || tail >= self.blocks.size().div_ceil(4)) && tail > 0
    }

    /// Moves the pending bytes to the beginning of a block of at least `size` bytes: of this one if nothing else holds it.
    fn make_room(&mut self, size: usize) -> Result<(), PoolEmpty> {
        let have = self.have();
        let fits = self.block.len() == self.blocks.size() && size <= self.block.len();
        match Arc::get_mut(&mut self.block) {
            Some(block) if fits => block.copy_within(self.start..self.end, 0),
            Some(_) | None => {
                let mut fresh = self.blocks.take(size)?;
                let space = Arc::get_mut(&mut fresh).and_then(|block| block.get_mut(..have));
                if let Some(space) = space {
                    space.copy_from_slice(self.pending());
                }
                self.blocks.give(std::mem::replace(&mut self.block, fresh));
            }
        }
        self.start = 0;
        self.end = have;
        Ok(())
    }
}

/// The number of the END command.
const END: u16 = 21;

/// Whether a stream can begin with these bytes, which may be only a part of its header.
fn begins_a_header(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic)
}

/// The error for a damaged command: a restart of the sender if its bytes show one.
///
/// It looks only at the command's own bytes: the error must not depend on how much was read.
#[cold]
fn damaged(place: Position, bytes: &[u8], kind: ErrorKind) -> Error {
    Error { place, kind: if holds_header(bytes) { ErrorKind::RestartedInside } else { kind } }
}

/// The next thing in the stream.
#[derive(Debug)]
pub enum Event<'a> {
    /// The decoder needs more bytes.
    Starved,
    /// The header of a stream.
    Header(Position, Version),
    /// A command; its length, checksum and attributes are correct.
    Command(Framed<'a>),
}

/// A command and its place.
#[derive(Debug)]
pub struct Framed<'a> {
    /// Its place in the input.
    pub place: Position,
    /// The version of its stream.
    pub version: Version,
    /// The command.
    pub command: Command<'a>,
    /// Its bytes in the input, with its frame.
    pub bytes: &'a [u8],
    pub(crate) block: &'a Block,
}

impl Framed<'_> {
    /// Keeps a part of the command (a path, its data) beyond the decoder's next call.
    ///
    /// It copies only bytes that were not borrowed from this command.
    #[inline]
    pub fn share(&self, part: &[u8]) -> Shared {
        Shared::of(self.block, part)
    }
}

/// How many bytes of a magic that is cut off at the end of the bytes count as a header.
const ENOUGH: usize = 4;

/// Whether a stream header begins somewhere in these bytes.
#[cold]
pub(crate) fn holds_header(bytes: &[u8]) -> bool {
    bytes.windows(MAGIC.len()).any(|window| window == MAGIC) || ends_with_part(bytes)
}

fn ends_with_part(bytes: &[u8]) -> bool {
    (ENOUGH..MAGIC.len()).any(|length| MAGIC.get(..length).is_some_and(|part| bytes.ends_with(part)))
}

/// Caps in bytes on the payload of one command. The decoder checks them before it allocates memory for a command.
///
/// The cap of a stream is the smaller one of `wire` and that of its version. The defaults have room for kernels with
/// 64 KiB pages; a kernel with 4 KiB pages sends up to 64 KiB in version 1 and 147 456 bytes from version 2 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For all versions.
    pub wire: u32,
    /// Version 1.
    pub v1: u32,
    /// Version 2.
    pub v2: u32,
    /// Version 3.
    pub v3: u32,
}

impl Limits {
    /// The cap of a stream of this version.
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
    fn a_header_is_found_anywhere_and_when_cut_off() {
        assert!(holds_header(b"btrfs-stream\0\x01\0\0\0"));
        assert!(holds_header(b"abcbtrfs-stream\0xyz"));
        assert!(holds_header(b"btrfs-stre"));
        assert!(holds_header(b"......btrf"));
        assert!(!holds_header(b".......btr"));
        assert!(!holds_header(b"btrfs-stream?"));
        assert!(!holds_header(b""));
    }

    #[test]
    fn the_smaller_cap_applies() {
        assert_eq!(Limits::default().cap(Version::V1), 128 << 10);
        assert_eq!(Limits { wire: 4096, ..Limits::default() }.cap(Version::V2), 4096);
    }
}
