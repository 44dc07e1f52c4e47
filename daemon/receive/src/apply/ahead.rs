//! Decoding ahead: where payloads must be decoded, a lane without work decodes for the lane that writes.
//!
//! A file belongs to one lane, so without this a stream of few large files would be decoded by one core. Each payload
//! is a [`Piece`]: whoever takes it first decodes it, the helper or, if none came so far, the owner itself. Nobody
//! waits for a piece that nobody works on, so no order of the queues can lock the lanes up.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use butterdock_stream::{Compression, Extent, Place, Shared};

use crate::payload::{Decoder, Problem};
use crate::plan::Change;

/// Buffers that wait to be used again, at most.
const BUFFERS: usize = 32;

/// The payloads of one task, in its order.
#[derive(Debug)]
pub(crate) struct Ahead {
    pieces: Vec<Piece>,
}

/// One payload on its way to being decoded.
#[derive(Debug)]
pub(crate) struct Piece {
    extent: Extent,
    payload: Shared,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Untouched,
    Taken,
    Decoded(Result<Vec<u8>, Problem>),
}

/// Buffers of decoded bytes, used again: fresh ones of this size would be mapped and cleared by the kernel each time.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Ahead {
    /// What there is to decode in a task; none if nothing.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only encoded writes are decoded")]
    pub(crate) fn of(changes: &[(Place, Change)]) -> Option<Self> {
        let pieces = changes.iter().filter_map(|(_, change)| match change {
            Change::Encoded { extent, payload } if extent.compression != Compression::None => Some(Piece {
                extent: *extent,
                payload: payload.clone(),
                state: Mutex::new(State::Untouched),
                changed: Condvar::new(),
            }),
            _ => None,
        });
        let pieces: Vec<Piece> = pieces.collect();
        (!pieces.is_empty()).then_some(Self { pieces })
    }

    /// The pieces in the order of their changes.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter()
    }

    /// Decodes what nobody has taken yet.
    pub(crate) fn help(&self, decoder: &mut Decoder, buffers: &Buffers) {
        for piece in &self.pieces {
            piece.help(decoder, buffers);
        }
    }
}

impl Piece {
    fn help(&self, decoder: &mut Decoder, buffers: &Buffers) {
        if !self.take() {
            return;
        }
        let decoded = decoder.decode(&self.extent, &self.payload).map(<[u8]>::len);
        let decoded = decoded.map(|len| {
            let mut bytes = decoder.exchange(buffers.take());
            bytes.truncate(len);
            bytes
        });
        *self.lock() = State::Decoded(decoded);
        self.changed.notify_one();
    }

    /// What a helper decoded, waiting for one at work; none when nobody has taken it: the caller decodes then.
    pub(crate) fn decoded(&self) -> Option<Result<Vec<u8>, Problem>> {
        if self.take() {
            return None;
        }
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Decoded(decoded) => return Some(decoded),
                State::Untouched | State::Taken => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Takes the piece; false when somebody else has.
    fn take(&self) -> bool {
        let mut state = self.lock();
        let untouched = matches!(*state, State::Untouched);
        if untouched {
            *state = State::Taken;
        }
        untouched
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer for the next time.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < BUFFERS {
            free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<(Place, Change)> {
        let plain = b"butterdock".repeat(500);
        let payload = zstd::bulk::compress(&plain, 3).unwrap();
        let len = plain.len() as u64;
        let extent = Extent {
            file_offset: 0,
            file_len: len,
            decoded_len: len,
            decoded_offset: 0,
            compression: Compression::Zstd,
            encryption: 0,
        };
        let change = |payload: &[u8]| {
            (Place { command: 1, at: 0 }, Change::Encoded { extent, payload: payload.to_vec().into() })
        };
        vec![change(&payload), change(b"garbage")]
    }

    #[test]
    fn what_a_helper_decoded_is_taken_over() {
        let ahead = Ahead::of(&changes()).unwrap();
        ahead.help(&mut Decoder::new(), &Buffers::default());
        let decoded: Vec<_> = ahead.pieces().map(|piece| piece.decoded().unwrap()).collect();
        assert_eq!(decoded[0].as_ref().unwrap(), &b"butterdock".repeat(500));
        assert!(decoded[1].is_err());
    }

    #[test]
    fn a_piece_that_nobody_took_is_left_to_its_owner() {
        let ahead = Ahead::of(&changes()).unwrap();
        assert!(ahead.pieces().all(|piece| piece.decoded().is_none()));
        ahead.help(&mut Decoder::new(), &Buffers::default());
    }

    #[test]
    fn a_task_without_compressed_payloads_needs_no_help() {
        assert!(Ahead::of(&[(Place { command: 1, at: 0 }, Change::Truncate { size: 0 })]).is_none());
    }
}
