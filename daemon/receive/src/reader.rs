//! The reading thread: input → decoder → planner → batches of steps.
//!
//! It touches nothing but its input, so it goes on while the filesystem commits: the sender may be on the same
//! filesystem and stand still with a full pipe. What it reads ahead is bounded by the decoder's pool.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use butterdock_stream::{Command, Decoder, Event, Limits, Pool};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::read;

use crate::apply::Faults;
use crate::control::{Control, Tally};
use crate::error::{Cause, Error};
use crate::observer::Observer;
use crate::plan::{Planner, Step};

/// A batch is sent on when it has this many steps, or when more input must be read.
const BATCH: usize = 128;
/// How long to wait for a free block before looking again whether the run has ended.
const PATIENCE: Duration = Duration::from_millis(50);

/// Reads one input.
pub(crate) struct Reader<'r> {
    input: BorrowedFd<'r>,
    /// Regular files are always ready.
    polls: bool,
    /// Read nothing past END.
    one_stream: bool,
    decoder: Decoder,
    planner: Planner,
    steps: Vec<Step>,
    to: SyncSender<Batch>,
    blocks: &'r Blocks,
    control: &'r Control,
    faults: &'r Faults,
    observer: Option<&'r dyn Observer>,
}

/// What the reader found, in the order of the input. An error comes behind the steps before it, so that a subvolume
/// which is whole is published although a later one is broken.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    pub(crate) trouble: Option<Trouble>,
}

/// An error of the stream itself.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// One command is bad; the next one can be read.
    Command(Error),
    /// Nothing more can be read.
    Input(Error),
}

/// Tells the reader that blocks may have become free.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    freed: Mutex<bool>,
    changed: Condvar,
}

enum Next {
    Went,
    Starved,
    Ended,
}

impl<'r> Reader<'r> {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another neighbour of the reader; they are named at the one call"
    )]
    pub(crate) fn new(
        input: BorrowedFd<'r>,
        one_stream: bool,
        limits: Limits,
        to: SyncSender<Batch>,
        blocks: &'r Blocks,
        control: &'r Control,
        faults: &'r Faults,
        observer: &'r dyn Observer,
    ) -> Self {
        let regular = fstat(input).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode).contains(SFlag::S_IFREG));
        Self {
            input,
            polls: !regular,
            one_stream,
            decoder: Decoder::new(limits, Pool::default()),
            planner: Planner::default(),
            steps: Vec::new(),
            to,
            blocks,
            control,
            faults,
            observer: observer.wants_commands().then_some(observer),
        }
    }

    /// Reads until the input ends, or the run does.
    pub(crate) fn run(mut self) {
        let trouble = loop {
            if self.faults.stopped() {
                return;
            }
            let next = match self.next() {
                Ok(Next::Starved) => self.fill(),
                next => next,
            };
            match next {
                Ok(Next::Went | Next::Starved) => {}
                Ok(Next::Ended) => break None,
                Err(error) => break Some(Trouble::Input(error)),
            }
        };
        self.planner.flush(&mut self.steps);
        self.send(trouble);
    }

    /// Takes one command from the decoder to the planner.
    fn next(&mut self) -> Result<Next, Error> {
        let framed = match self.decoder.next() {
            Ok(Event::Starved) => return Ok(Next::Starved),
            Ok(Event::Header(..)) => return Ok(Next::Went),
            Ok(Event::Command(framed)) => framed,
            Err(error) if error.kind.is_final() => return Err(stream_error(error)),
            Err(error) => {
                self.send(Some(Trouble::Command(stream_error(error))));
                return Ok(Next::Went);
            }
        };
        Tally::add(&self.control.tally().commands, 1);
        if let Some(observer) = self.observer {
            observer.command(framed.place, &framed.command);
        }
        let ended = self.one_stream && framed.command == Command::End;
        let planned = self.planner.push(framed.place, &framed.command, |part| framed.share(part), &mut self.steps);
        if let Err(error) = planned {
            self.send(Some(Trouble::Command(error)));
        } else if self.steps.len() >= BATCH {
            self.send(None);
        }
        Ok(if ended { Next::Ended } else { Next::Went })
    }

    /// Reads more input.
    fn fill(&mut self) -> Result<Next, Error> {
        self.send(None);
        let most = if self.one_stream { self.decoder.needed() } else { usize::MAX };
        let Ok(space) = self.decoder.space() else {
            self.blocks.wait();
            return Ok(Next::Went);
        };
        let end = most.min(space.len());
        let space = space.get_mut(..end).unwrap_or_default();
        if self.polls && !ready(self.input, self.control.wake_fd())? {
            return Ok(Next::Went);
        }
        match read(self.input, space) {
            Ok(0) => self.decoder.finish().map(|()| Next::Ended).map_err(stream_error),
            Ok(n) => {
                self.decoder.filled(n);
                Tally::add(&self.control.tally().bytes, n as u64);
                Ok(Next::Went)
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Next::Went),
            Err(errno) => Err(read_error(errno)),
        }
    }

    fn send(&mut self, trouble: Option<Trouble>) {
        if !self.steps.is_empty() || trouble.is_some() {
            // Nobody takes it any more only when the run has ended.
            drop(self.to.send(Batch { steps: std::mem::take(&mut self.steps), trouble }));
        }
    }
}

impl Blocks {
    /// Somebody dropped parts of blocks.
    pub(crate) fn freed(&self) {
        *self.freed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        if !*freed {
            freed = self.changed.wait_timeout(freed, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        *freed = false;
    }
}

/// Waits until there is input, or its end; false when the run was woken to end.
fn ready(input: BorrowedFd<'_>, wake: BorrowedFd<'_>) -> Result<bool, Error> {
    let mut both = [PollFd::new(input, PollFlags::POLLIN), PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
    match poll(&mut both, PollTimeout::NONE) {
        Ok(_) => Ok(both.last().and_then(PollFd::any) != Some(true)),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(read_error(errno)),
    }
}

fn stream_error(error: butterdock_stream::Error) -> Error {
    Error::new(Cause::Stream(error)).at(error.place)
}

fn read_error(errno: Errno) -> Error {
    Error::new(Cause::Read(errno.into()))
}
