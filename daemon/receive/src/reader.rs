//! The reader thread: input → decoder → planner → batches of steps.
//!
//! It accesses only its input, so it reads on while the filesystem commits: the sender may be on the same filesystem, and
//! wait for room in a full pipe. The decoder's pool limits how far it reads ahead.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::SyncSender;

use butterdock_btrfs::best_effort;
use butterdock_btrfs::file;
use butterdock_stream::{Command, Decoder, Event, Limits, Pool};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use crate::apply::RunErrors;
use crate::blocks::Blocks;
use crate::control::{Control, RunCounters};
use crate::error::{Cause, Error};
use crate::observer::Observer;
use crate::plan::{Planner, Step};

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
pub(crate) struct Reader<'r> {
    input: BorrowedFd<'r>,
    /// Whether to poll the input: a regular file is always ready.
    polls: bool,
    /// Whether to stop at END and read nothing past it.
    one_stream: bool,
    decoder: Decoder,
    planner: Planner,
    steps: Vec<Step>,
    /// Bytes read since the last batch was sent.
    unsent: usize,
    to: SyncSender<Batch>,
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

/// What follows the steps of a batch.
#[derive(Debug)]
pub(crate) enum BatchEnd {
    /// More of the stream.
    More,
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

impl<'r> Reader<'r> {
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
    ) -> Self {
        // It fails if the input is no pipe, and if the user's pipes have reached their limit.
        best_effort(fcntl(input, FcntlArg::F_SETPIPE_SZ(PIPE)));
        let regular = file::stat(input).is_ok_and(|stat| stat.is_file());
        Self {
            input,
            polls: !regular,
            one_stream,
            decoder: Decoder::new(limits, Pool::default()),
            planner: Planner::default(),
            steps: Vec::new(),
            unsent: 0,
            to,
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
        self.planner.flush(&mut self.steps);
        self.send(last);
    }

    /// Passes one command from the decoder to the planner.
    fn next(&mut self) -> Result<Next, Error> {
        let framed = match self.decoder.next() {
            Ok(Event::Starved) => return Ok(Next::Starved),
            Ok(Event::Header(..)) => return Ok(Next::Advanced),
            Ok(Event::Command(framed)) => framed,
            Err(error) if error.kind.is_final() => return Err(stream_error(error)),
            Err(error) => {
                self.send(BatchEnd::BadCommand(stream_error(error)));
                return Ok(Next::Advanced);
            }
        };
        RunCounters::add(&self.control.tally().commands, 1);
        if let Some(observer) = self.observer {
            observer.command(framed.place, &framed.command);
        }
        let ended = self.one_stream && framed.command == Command::End;
        let planned = self.planner.push(framed.place, &framed.command, |part| framed.share(part), &mut self.steps);
        if let Err(error) = planned {
            self.send(BatchEnd::BadCommand(error));
        } else if self.steps.len() >= BATCH {
            self.send(BatchEnd::More);
        }
        Ok(if ended { Next::Ended } else { Next::Advanced })
    }

    /// Reads more input.
    fn fill(&mut self) -> Result<Next, Error> {
        if self.unsent >= UNIT {
            self.send(BatchEnd::More);
        }
        self.limit_blocks_in_use();
        let throttle = self.control.throttle();
        let delay = throttle.delay();
        if !delay.is_zero() {
            self.send(BatchEnd::More);
            throttle.wait(delay, self.control.wake_fd());
            return Ok(Next::Advanced);
        }
        // Send the steps that are ready before waiting for input.
        if self.polls && !ready(self.input, self.control.wake_fd(), PollTimeout::ZERO)? {
            self.send(BatchEnd::More);
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
            self.planner.flush(&mut self.steps);
            self.send(BatchEnd::More);
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
            Ok(0) => self.decoder.finish().map(|()| Next::Ended).map_err(stream_error),
            Ok(n) => {
                self.decoder.filled(n);
                self.unsent = self.unsent.saturating_add(n);
                RunCounters::add(&self.control.tally().bytes, n as u64);
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
            self.send(BatchEnd::More);
            if !self.blocks.wait(before, if self.polls { ENOUGH_OF_A_PIPE } else { ENOUGH }) {
                return;
            }
        }
    }

    fn send(&mut self, end: BatchEnd) {
        self.unsent = 0;
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::sync::mpsc::sync_channel;
    use std::thread::{scope, sleep};
    use std::time::Duration;

    use butterdock_stream::{Encoder, Version};

    use super::*;
    use crate::observer::Silent;
    use crate::throttle::Time as _;
    use crate::throttle::simulated::Simulated;

    /// Many small writes to one file, one at a time, so that each read brings a few of them.
    fn write_slowly(mut to: File) {
        let mut encoder = Encoder::new(Version::V2);
        encoder.header();
        for n in 0..4500_u64 {
            encoder.command(&Command::Write { path: b"f", offset: n * 10, data: b"0123456789" }).unwrap();
            to.write_all(encoder.bytes()).unwrap();
            encoder.clear();
            sleep(Duration::from_millis(1));
        }
        encoder.command(&Command::End).unwrap();
        to.write_all(encoder.bytes()).unwrap();
    }

    #[test]
    fn a_slow_input_does_not_hang_when_the_window_holds_all_blocks() {
        let control = Control::new().unwrap();
        let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
        let (input, output) = nix::unistd::pipe().unwrap();
        let spare = input.try_clone().unwrap();
        let (to, batches) = sync_channel(8);
        let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent);
        scope(|threads| {
            threads.spawn(|| write_slowly(output.into()));
            threads.spawn(|| reader.run());
            let mut written = 0;
            while let Ok(batch) = batches.recv_timeout(Duration::from_secs(20)) {
                assert!(matches!(batch.end, BatchEnd::More | BatchEnd::Ended), "{:?}", batch.end);
                written += batch.steps.len();
            }
            errors.stop();
            // If the reader has given up, the writer must not wait for it.
            std::io::copy(&mut File::from(spare), &mut std::io::sink()).unwrap();
            assert!(written > 1 && control.progress().counts.commands == 4501, "{written} steps");
        });
    }

    /// A stream of so many writes of 1000 bytes.
    fn stream(writes: u64) -> Vec<u8> {
        let mut encoder = Encoder::new(Version::V2);
        encoder.header();
        for n in 0..writes {
            encoder.command(&Command::Write { path: b"f", offset: n * 1000, data: &[7; 1000] }).unwrap();
        }
        encoder.command(&Command::End).unwrap();
        encoder.bytes().to_vec()
    }

    #[test]
    fn a_limited_reader_has_the_rate_in_bytes() {
        let time = Simulated::default();
        let control = Control::with_time(time.clone()).unwrap();
        control.set_max_rate(Some(1 << 20));
        let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
        let (input, output) = nix::unistd::pipe().unwrap();
        let (to, batches) = sync_channel(8);
        let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent);
        let stream = stream(8000);
        scope(|threads| {
            threads.spawn(|| File::from(output).write_all(&stream).unwrap());
            threads.spawn(|| reader.run());
            while let Ok(batch) = batches.recv() {
                // At each moment the run has read no more than the rate allows, and one read.
                let read = u128::from(control.progress().bytes);
                let allowed = time.now().as_micros() * (1 << 20) / 1_000_000 + 2 * (128 << 10);
                assert!(read <= allowed, "{read} > {allowed}");
                drop(batch);
            }
        });
        let (read, took) = (control.progress().bytes, time.now());
        assert_eq!(read, stream.len() as u64);
        assert!(took >= Duration::from_secs(7) && took <= Duration::from_secs(8), "{read} bytes in {took:?}");
    }

    #[test]
    fn a_limited_reader_ends_at_once_when_it_is_cancelled() {
        let control = Control::new().unwrap();
        // 8 MB at this rate would take more than an hour, and one read half a minute.
        control.set_max_rate(Some(128));
        let (errors, blocks) = (RunErrors::new(1, control.clone()), Blocks::default());
        let (input, output) = nix::unistd::pipe().unwrap();
        let spare = input.try_clone().unwrap();
        let (to, batches) = sync_channel(8);
        let reader = Reader::new(input.as_fd(), false, Limits::default(), to, &blocks, &control, &errors, &Silent);
        let began = std::time::Instant::now();
        scope(|threads| {
            threads.spawn(|| File::from(output).write_all(&stream(8000)).unwrap());
            let reader = threads.spawn(|| reader.run());
            // The first read needs no wait.
            while control.progress().bytes == 0 {
                std::thread::yield_now();
            }
            control.cancel();
            errors.stop();
            reader.join().unwrap();
            drop(batches);
            std::io::copy(&mut File::from(spare), &mut std::io::sink()).unwrap();
        });
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
