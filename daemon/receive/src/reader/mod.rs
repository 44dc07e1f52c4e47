//! The reader thread: input → decoder → planner → batches of steps.
//!
//! It accesses only its input, so it reads on while the filesystem commits: the sender may be on the same filesystem, and
//! wait for room in a full pipe. The decoder's pool limits how far it reads ahead.

mod resume;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::SyncSender;

use butterdock_btrfs::best_effort;
use butterdock_btrfs::file;
use butterdock_stream::{Command, Decoder, Event, Limits, Pool, Position};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use crate::apply::RunErrors;
use crate::blocks::Blocks;
use crate::checkpoint::{Checkpointer, Prefix};
use crate::control::{Control, RunCounters};
use crate::error::{Cause, Error};
use crate::observer::Observer;
use crate::plan::{Planner, Step};
use resume::{Resume, Turn};

/// A batch is sent when it has this many steps,
const BATCH: usize = 128;
/// or when this many bytes were read since the last batch.
const UNIT: usize = 512 << 10;
/// One read asks for up to this many bytes: half a block.
const READ: usize = 128 << 10;
/// With this many blocks in use the reader waits until some are free. With fewer, the writer threads would run out of work
/// while it wakes up; with more, a block would no longer be in the processor's cache when it is used again.
const BLOCKS_IN_USE: usize = 24;
/// The bytes that must be free before the reader continues.
const ENOUGH: usize = 8 * (256 << 10);
/// The same for a pipe: a read from it returns less than a block, and a block that is in use is not filled further.
const ENOUGH_OF_A_PIPE: usize = 512 << 10;
/// The size that pipes are set to, if that is allowed (`/proc/sys/fs/pipe-max-size`), so that a read returns more.
const PIPE: i32 = 1 << 20;

/// Reads one input.
pub(crate) struct Reader<'r, 'd> {
    input: BorrowedFd<'r>,
    /// Whether to poll the input: a regular file is always ready.
    polls: bool,
    /// Whether to stop at END and read nothing past it.
    one_stream: bool,
    decoder: Decoder,
    planner: Planner,
    outbox: Outbox,
    resume: Option<Resume<'r, 'd>>,
    blocks: &'r Blocks,
    control: &'r Control,
    errors: &'r RunErrors,
    observer: Option<&'r dyn Observer>,
}

/// Steps in the order of the input. An error comes after the steps before it, so that a complete subvolume is published
/// although a later one is damaged.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: BatchEnd,
}

/// The steps that are not sent yet.
struct Outbox {
    steps: Vec<Step>,
    /// Bytes read since the last batch was sent.
    unread: usize,
    to: SyncSender<Batch>,
}

/// What follows the steps of a batch.
#[derive(Debug)]
pub(crate) enum BatchEnd {
    /// More of the stream.
    More,
    /// The engine asked for a boundary: the batches so far have this part of the input.
    Boundary(Prefix),
    /// The same, before the second subvolume of the input or a later one.
    NextSubvolume(Prefix),
    /// The input has the prefix of the checkpoint: the run continues from there.
    Resumed(Position),
    /// The end of the input, after a complete stream.
    Ended,
    /// A bad command; the reader continues with the next one.
    BadCommand(Error),
    /// An error after which the reader cannot continue.
    BadInput(Error),
}

enum Next {
    Advanced,
    Starved,
    Ended,
}

impl<'r, 'd> Reader<'r, 'd> {
    #[expect(clippy::too_many_arguments, reason = "the one call names them all")]
    pub(crate) fn new(
        input: BorrowedFd<'r>,
        one_stream: bool,
        limits: Limits,
        to: SyncSender<Batch>,
        blocks: &'r Blocks,
        control: &'r Control,
        errors: &'r RunErrors,
        observer: &'r dyn Observer,
        checkpointer: Option<&'r Checkpointer<'d>>,
    ) -> Self {
        let resume = checkpointer.map(Resume::new);
        // It fails if the input is no pipe, and if the user's pipes have reached their limit.
        best_effort(fcntl(input, FcntlArg::F_SETPIPE_SZ(PIPE)));
        let regular = file::stat(input).is_ok_and(|stat| stat.is_file());
        Self {
            input,
            polls: !regular,
            one_stream,
            decoder: Decoder::new(limits, Pool::default()),
            planner: Planner::default(),
            outbox: Outbox { steps: Vec::new(), unread: 0, to },
            resume,
            blocks,
            control,
            errors,
            observer: observer.wants_commands().then_some(observer),
        }
    }

    /// Reads until the input or the run ends.
    pub(crate) fn run(mut self) {
        let last = loop {
            if self.errors.stopped() {
                return;
            }
            let next = match self.next() {
                Ok(Next::Starved) => self.fill(),
                next => next,
            };
            match next {
                Ok(Next::Advanced | Next::Starved) => {}
                Ok(Next::Ended) => break BatchEnd::Ended,
                Err(error) => break BatchEnd::BadInput(error),
            }
        };
        self.planner.flush(&mut self.outbox.steps);
        self.outbox.send(last);
    }

    /// Passes one command from the decoder to the planner.
    fn next(&mut self) -> Result<Next, Error> {
        let framed = match self.decoder.next() {
            Ok(Event::Starved) => return Ok(Next::Starved),
            Ok(Event::Header(_, version)) => {
                if let Some(resume) = &mut self.resume {
                    resume.digest.header(version);
                }
                return Ok(Next::Advanced);
            }
            Ok(Event::Command(framed)) => framed,
            Err(error) if error.kind.is_final() => return Err(stream_error(error)),
            Err(error) => {
                self.outbox.send(BatchEnd::BadCommand(stream_error(error)));
                return Ok(Next::Advanced);
            }
        };
        let ended = self.one_stream && framed.command == Command::End;
        if let Some(resume) = &mut self.resume {
            match resume.command(&framed, &mut self.planner, &mut self.outbox, self.control)? {
                Turn::Apply => {}
                Turn::Skip if ended => return Err(Error::new(Cause::CheckpointDiffers)),
                Turn::Skip => return Ok(Next::Advanced),
            }
        }
        RunCounters::add(&self.control.tally().commands, 1);
        if let Some(observer) = self.observer {
            observer.command(framed.place, &framed.command);
        }
        let planned =
            self.planner.push(framed.place, &framed.command, |part| framed.share(part), &mut self.outbox.steps);
        if let Err(error) = planned {
            self.outbox.send(BatchEnd::BadCommand(error));
        } else if self.outbox.steps.len() >= BATCH {
            self.outbox.send(BatchEnd::More);
        }
        Ok(if ended { Next::Ended } else { Next::Advanced })
    }

    /// Reads more input.
    fn fill(&mut self) -> Result<Next, Error> {
        if let Some(resume) = self.resume.as_ref().filter(|resume| resume.is_boundary_wanted()) {
            self.planner.flush(&mut self.outbox.steps);
            self.outbox.send(BatchEnd::Boundary(resume.digest.prefix(self.decoder.position())));
        }
        if self.outbox.unread >= UNIT {
            self.outbox.send(BatchEnd::More);
        }
        self.limit_blocks_in_use();
        let throttle = self.control.throttle();
        let delay = throttle.delay();
        if !delay.is_zero() {
            self.outbox.send(BatchEnd::More);
            throttle.wait(delay, self.control.wake_fd());
            return Ok(Next::Advanced);
        }
        // Send the steps that are ready before waiting for input.
        if self.polls && !ready(self.input, self.control.wake_fd(), PollTimeout::ZERO)? {
            self.outbox.send(BatchEnd::More);
            let wait = self.control.wait_for_input();
            let is_ready = ready(self.input, self.control.wake_fd(), PollTimeout::NONE)?;
            drop(wait);
            if !is_ready {
                return Ok(Next::Advanced);
            }
        }
        let most = throttle.read_len(if self.one_stream { self.decoder.needed() } else { READ });
        let Ok(space) = self.decoder.space() else {
            // The window itself may hold every block: a slow input uses one block for each read.
            self.planner.flush(&mut self.outbox.steps);
            self.outbox.send(BatchEnd::More);
            self.blocks.wait_any();
            return Ok(Next::Advanced);
        };
        let end = most.min(space.len());
        let space = space.get_mut(..end).unwrap_or_default();
        // Another reader of the same pipe may take the bytes: the read may wait too.
        let wait = self.control.wait_for_input();
        let count = read(self.input, space);
        drop(wait);
        match count {
            Ok(0) => {
                self.decoder.finish().map_err(stream_error)?;
                match &self.resume {
                    // A whole stream, which is shorter than the prefix.
                    Some(resume) if resume.skipped.is_some() => Err(Error::new(Cause::CheckpointDiffers)),
                    Some(_) | None => Ok(Next::Ended),
                }
            }
            Ok(n) => {
                self.decoder.filled(n);
                self.outbox.unread = self.outbox.unread.saturating_add(n);
                match &mut self.resume {
                    Some(resume) => {
                        resume.read = resume.read.saturating_add(n as u64);
                        resume.count_to(resume.read, self.control);
                    }
                    None => RunCounters::add(&self.control.tally().bytes, n as u64),
                }
                throttle.pass(n as u64);
                Ok(Next::Advanced)
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Next::Advanced),
            Err(errno) => Err(read_error(errno)),
        }
    }

    /// Waits while many blocks are in use, unless the writer threads make no progress.
    fn limit_blocks_in_use(&mut self) {
        loop {
            let before = self.blocks.counters();
            if self.decoder.held() < BLOCKS_IN_USE || self.errors.stopped() {
                return;
            }
            self.outbox.send(BatchEnd::More);
            if !self.blocks.wait(before, if self.polls { ENOUGH_OF_A_PIPE } else { ENOUGH }) {
                return;
            }
        }
    }
}

impl Outbox {
    fn send(&mut self, end: BatchEnd) {
        self.unread = 0;
        if !self.steps.is_empty() || !matches!(end, BatchEnd::More) {
            // The receiver of this channel is dropped only when the run has ended.
            drop(self.to.send(Batch { steps: std::mem::take(&mut self.steps), end }));
        }
    }
}

/// Waits for input or its end; false if there is none within `limit`, or if the run is to end.
fn ready(input: BorrowedFd<'_>, wake: BorrowedFd<'_>, limit: PollTimeout) -> Result<bool, Error> {
    let mut both = [PollFd::new(input, PollFlags::POLLIN), PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
    match poll(&mut both, limit) {
        Ok(0) | Err(Errno::EINTR) => Ok(false),
        Ok(_) => Ok(both.last().and_then(PollFd::any) != Some(true)),
        Err(errno) => Err(read_error(errno)),
    }
}

fn stream_error(error: butterdock_stream::Error) -> Error {
    Error::new(Cause::Stream(error)).at(error.place)
}

fn read_error(errno: Errno) -> Error {
    Error::new(Cause::Read(errno.into()))
}
