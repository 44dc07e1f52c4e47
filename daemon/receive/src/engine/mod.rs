//! One run: from the first byte of the input to the last subvolume published.

mod checkpoints;
mod run;

use std::cell::Cell;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::mpsc::sync_channel;
use std::thread::scope;

use butterdock_btrfs::{best_effort, space};
use butterdock_stream::Identity;
use nix::unistd::{Whence, lseek};

use crate::apply::{ApplyOptions, Cloned, Ineffective, RunContext, RunErrors};
use crate::blocks::Blocks;
use crate::checkpoint::Checkpointer;
use crate::control::{Control, Counts};
use crate::destination::{Destination, Health, Parents, Staging};
use crate::error::{Cause, Error, Failure};
use crate::observer::{Observer, Published};
use crate::options::{Options, Publication};
use crate::reader::Reader;
use run::Run;

/// Batches of steps that may wait between the reader and the applier.
const BATCHES: usize = 8;

/// A run that succeeded: everything is durable.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The subvolumes, in the order of the input.
    pub subvolumes: Vec<Published>,
    /// How much was done.
    pub counts: Counts,
}

/// Receives the streams in `input`, one after another, into the directory `destination` of a btrfs filesystem. Returns when
/// everything is durable, or when it has failed and is cleaned up.
///
/// It needs root (`CAP_SYS_ADMIN`, and the capabilities to set any owner and attribute). The process's umask should be 0;
/// with another one each creation needs one more call.
///
/// # Errors
/// The first error in the order of the stream. The subvolumes that were published before it stay and are listed. The one that
/// failed has no name. The exception is [`Cause::Unconfirmed`]: that subvolume has its name, and is not listed, because the
/// filesystem did not confirm that it would survive a power cut.
#[expect(clippy::result_large_err, reason = "a run has up to one failure")]
pub fn receive(
    input: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    control: &Control,
    observer: &dyn Observer,
) -> Result<Outcome, Failure> {
    // A file can be read again from where it was.
    let start = options.checkpoints.as_ref().and_then(|_| lseek(input, 0, Whence::SeekCur).ok());
    let before = control.progress().counts;
    let result = attempt(input, destination, options, control, observer);
    match (result, start) {
        (Err(Failure { error: Error { cause: Cause::CheckpointDiffers, .. }, .. }), Some(start))
            if lseek(input, start, Whence::SeekSet).is_ok() =>
        {
            observer.warning("the transfer starts over, because the stream differs from the one that was interrupted");
            control.tally().set(before);
            attempt(input, destination, options, control, observer)
        }
        (result, _) => result,
    }
}

/// Receives the input from here on, with or without a checkpoint.
#[expect(clippy::result_large_err, reason = "a run has up to one failure")]
fn attempt(
    input: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    control: &Control,
    observer: &dyn Observer,
) -> Result<Outcome, Failure> {
    control.begin();
    let errors = RunErrors::new(options.max_errors, control.clone()).examining(destination);
    let apply_options = ApplyOptions {
        verify: options.verify,
        force_decompress: options.force_decompress,
        no_verity: options.no_verity,
        plain: false,
    };
    let context = RunContext {
        options: apply_options,
        control: control.clone(),
        errors,
        ineffective: Ineffective::default(),
        cloned: Cloned::default(),
    };
    let (mut published, mut left_hidden) = (Vec::new(), false);
    let ends = (&mut published, &mut left_hidden);
    let whole = run(input, destination, options, &context, observer, ends).unwrap_or_else(|error| {
        context.errors.report_fatal(error);
        false
    });
    if let Some(unapplied) = context.ineffective.report() {
        observer.unapplied(&unapplied);
    }
    let counts = control.progress().counts;
    match context.errors.into_error(whole) {
        None => Ok(Outcome { subvolumes: published, counts }),
        Some(error) => Err(Failure { error, published, left_hidden, counts }),
    }
}

/// Deletes the hidden subvolumes that crashed runs left in `directory` and in its staging directory: those with a name of this
/// crate's form, owned by root, whose lock is free. [`receive`] does the same at its beginning.
///
/// # Errors
/// `directory` is not on btrfs, or cannot be listed or locked.
pub fn sweep(directory: BorrowedFd<'_>) -> Result<(), Error> {
    Destination::new(directory, Publication::Rename)?.sweep()
}

/// Whether the filesystem under `directory` has the subvolume `identity` of a sender, with exactly this number, and `options`
/// allow to use it as a parent.
///
/// # Errors
/// The filesystem cannot be searched.
pub fn is_received(directory: BorrowedFd<'_>, identity: &Identity, options: &Options) -> Result<bool, Error> {
    let fd = directory.try_clone_to_owned().map_err(|error| Error::new(Cause::Read(error)))?;
    Parents::new(fd, options).has(identity)
}

/// Returns whether the input ended and everything in it was published. In the last argument it returns which subvolumes were
/// published, and whether a hidden one is left.
fn run(
    input: BorrowedFd<'_>,
    destination: BorrowedFd<'_>,
    options: &Options,
    context: &RunContext,
    observer: &dyn Observer,
    (published, left_hidden): (&mut Vec<Published>, &mut bool),
) -> Result<bool, Error> {
    // A snapshot would not have them.
    let publication = if options.nested.is_empty() { options.publication } else { Publication::Rename };
    let destination = Destination::new(destination, publication)?;
    destination.sweep()?;
    let health = Health::read(&destination)?;
    let journals = match &options.checkpoints {
        Some(wanted) => Some((wanted, Staging::open_or_make(destination.as_fd())?.make_checkpoints()?)),
        None => None,
    };
    let checkpointer = journals.as_ref().map(|(wanted, journals)| {
        Checkpointer::new(&destination, journals, wanted, options, observer, context.control.now())
    });
    let checkpointer = checkpointer.as_ref();
    let blocks = Blocks::default();
    let (to, batches) = sync_channel(BATCHES);
    let reader = Reader::new(
        input,
        options.one_stream,
        options.limits,
        to,
        &blocks,
        &context.control,
        &context.errors,
        observer,
        checkpointer,
    );
    let whole = scope(|threads| {
        threads.spawn(move || reader.run());
        let (destination, health, blocks, before) = (&destination, &health, &blocks, Cell::new(0));
        let run = Run { threads, destination, health, options, context, observer, blocks, checkpointer, before };
        run.follow(batches, published)
    });
    if let Some(checkpointer) = checkpointer.filter(|_| whole) {
        checkpointer.finish();
    }
    *left_hidden = destination.has_left_hidden();
    if destination.publication() == Publication::Snapshot && !published.is_empty() {
        // Now that the originals are closed. Else their deletion begins at the next periodic commit, up to 30 seconds later, and
        // FIEMAP reports all extents as shared until then.
        best_effort(space::wake_cleaner(&destination));
    }
    Ok(whole)
}
