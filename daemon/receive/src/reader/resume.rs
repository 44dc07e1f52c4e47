//! The reader's part of checkpoints: the digest of the input, and the prefix that an earlier run has received.

use butterdock_stream::{Command, Framed, Identity, Position};

use super::{BatchEnd, Outbox};
use crate::checkpoint::{Checkpointer, Prefix, PrefixDigest, Transfer};
use crate::control::{Control, RunCounters};
use crate::error::{Cause, Error};
use crate::plan::Planner;

/// The reader's part of checkpoints: the digest of the input, and what it skips.
pub(super) struct Resume<'r, 'd> {
    checkpointer: &'r Checkpointer<'d>,
    pub(super) digest: PrefixDigest,
    /// The prefix that an earlier run received: it is only compared.
    pub(super) skipped: Option<Prefix>,
    /// The bytes that this run has read, and those that are in the progress: it begins where the earlier run was.
    pub(super) read: u64,
    counted: u64,
}

/// What to do with a command.
pub(super) enum Turn {
    Apply,
    /// An earlier run has received it.
    Skip,
}

impl<'r, 'd> Resume<'r, 'd> {
    pub(super) fn new(checkpointer: &'r Checkpointer<'d>) -> Self {
        Self { checkpointer, digest: PrefixDigest::default(), skipped: None, read: 0, counted: 0 }
    }

    /// The next command: decides at the first one whether this run resumes, and compares the prefix at its end.
    pub(super) fn command(
        &mut self,
        framed: &Framed<'_>,
        planner: &mut Planner,
        outbox: &mut Outbox,
        control: &Control,
    ) -> Result<Turn, Error> {
        if let Some(transfer) = transfer_of(&framed.command) {
            if framed.place.command == 1 {
                self.skipped = self.checkpointer.open(transfer);
                if let Some(prefix) = self.skipped {
                    self.count_to(prefix.offset, control);
                }
            } else if self.skipped.is_none() {
                planner.flush(&mut outbox.steps);
                outbox.send(BatchEnd::NextSubvolume(self.digest.prefix(framed.place.at)));
            }
        }
        self.digest.command(framed.bytes);
        let Some(wanted) = self.skipped else { return Ok(Turn::Apply) };
        let end = framed.place.at.saturating_add(framed.bytes.len() as u64);
        if end < wanted.offset {
            return Ok(Turn::Skip);
        }
        if self.digest.prefix(end) != wanted {
            return Err(Error::new(Cause::CheckpointDiffers));
        }
        self.skipped = None;
        RunCounters::add(&control.tally().commands, wanted.commands);
        outbox.send(BatchEnd::Resumed(Position { command: framed.place.command.saturating_add(1), at: end }));
        Ok(Turn::Skip)
    }

    /// The progress has at least so many bytes of the input.
    pub(super) fn count_to(&mut self, bytes: u64, control: &Control) {
        let new = bytes.saturating_sub(self.counted);
        RunCounters::add(&control.tally().bytes, new);
        self.counted = self.counted.saturating_add(new);
    }

    pub(super) fn is_boundary_wanted(&self) -> bool {
        self.skipped.is_none() && self.checkpointer.is_boundary_wanted()
    }
}

/// The transfer of an input whose first command is this; none if it begins no subvolume.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other command begins a subvolume")]
fn transfer_of(command: &Command<'_>) -> Option<Transfer> {
    match *command {
        Command::Subvol { uuid, ctransid, .. } => Some(Transfer::new(Identity { uuid, ctransid }, None)),
        Command::Snapshot { uuid, ctransid, parent, .. } => {
            Some(Transfer::new(Identity { uuid, ctransid }, Some(parent)))
        }
        _ => None,
    }
}
