//! How much a stream will bring, by a send without the data.

use std::io::{Read as _, pipe};
use std::sync::atomic::{AtomicBool, Ordering};

use butterdock_btrfs::{Error as Fault, changes};
use butterdock_stream::{Command, Decoder, Event, Limits, Pool};

use super::send::{Stream, no_pipe};
use super::trouble::Trouble;

/// What a stream will bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Bytes of everything but data.
    pub(crate) commands: u64,
    /// Bytes of data, as the reader of the files sees them.
    pub(crate) data: u64,
    /// Bytes that the new data takes beside the source, compressed where it is.
    pub(crate) stored: u64,
}

impl Estimate {
    /// Sends `stream` without its data, whose new extents are those after transaction `since`, and adds up; none when it
    /// was `stopped`.
    pub(crate) fn make(
        stream: &Stream<'_>,
        id: u64,
        since: u64,
        stopped: &AtomicBool,
    ) -> Result<Option<Self>, Trouble> {
        let (mut reader, writer) = pipe().map_err(|error| no_pipe(&error))?;
        let (sent, counted) = std::thread::scope(|threads| {
            let sender = stream.sender(threads, writer, true).map_err(|error| no_pipe(&error))?;
            let counted = count(&mut reader, stopped);
            drop(reader);
            Ok((sender.join().unwrap_or(Ok(())), counted))
        })?;
        let estimating = Trouble::source("estimate what is to be sent");
        let Some(counted) = counted else { return sent.map(|()| None).or(Ok(None)) };
        sent.map_err(&estimating)?;
        let stored = changes::stored_since(stream.snapshot, id, since).map_err(|fault: Fault| estimating(fault))?;
        Ok(Some(Self { stored, ..counted }))
    }

    /// Bytes of the stream. What is compressed comes as it is stored; what is stored twice may come once.
    pub(crate) fn bytes(&self) -> u64 {
        self.commands.saturating_add(self.data.min(self.stored))
    }

    /// Whether it is more than a bound: without compression and sharing the stream is what was counted.
    pub(crate) fn is_exact(&self) -> bool {
        self.stored >= self.data
    }
}

/// None where the stream did not come whole.
fn count(reader: &mut std::io::PipeReader, stopped: &AtomicBool) -> Option<Estimate> {
    let mut decoder = Decoder::new(Limits::default(), Pool::default());
    let mut data = 0_u64;
    loop {
        if stopped.load(Ordering::Relaxed) {
            return None;
        }
        match decoder.next() {
            Ok(Event::Command(framed)) => {
                if let Command::UpdateExtent { len, .. } = framed.command {
                    data = data.saturating_add(len);
                }
            }
            Ok(Event::Header(..)) => {}
            Ok(Event::Starved) => match reader.read(decoder.space().ok()?) {
                Ok(0) => {
                    decoder.finish().ok()?;
                    return Some(Estimate { commands: decoder.position(), data, stored: 0 });
                }
                Ok(count) => decoder.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            },
            Err(_) => return None,
        }
    }
}
