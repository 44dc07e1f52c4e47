//! The bytes of a payload that are still to be read.

use super::{MAX_PADDING, Problem};

/// The rest of a payload. Every read is bounded; one that is not possible says what was cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `len` bytes; `what` names them in the error.
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Problem> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Problem::CutOff { what })?;
        self.0 = rest;
        Ok(head)
    }

    /// The next byte.
    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, Problem> {
        let (&byte, rest) = self.0.split_first().ok_or(Problem::CutOff { what })?;
        self.0 = rest;
        Ok(byte)
    }

    /// The next `len` bytes, at most eight, as a little-endian number.
    pub(super) fn number(&mut self, len: usize, what: &'static str) -> Result<u64, Problem> {
        let bytes = self.take(len, what)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }
}

/// What follows the compressed data is padding: zeros, and fewer than the largest sector holds.
pub(super) fn check_padding(rest: &[u8], format: &'static str) -> Result<(), Problem> {
    if rest.len() > MAX_PADDING {
        return Err(Problem::PaddingLen { format, len: rest.len() });
    }
    // Blocks without an early end inside, so that the compiler can use wide registers.
    let zero = rest.chunks(64).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0);
    if zero { Ok(()) } else { Err(Problem::Padding { format }) }
}
