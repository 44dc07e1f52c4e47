//! One run: from the first byte of the input to the last subvolume published.

use std::ffi::CString;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::{Scope, available_parallelism, scope};

use butterdock_btrfs::{best_effort, filesystem, space};
use butterdock_stream::{FRAME, Identity, Position};

use crate::apply::{Applier, ApplyOptions, Cloned, Ineffective, RunContext, RunErrors};
use crate::blocks::Blocks;
use crate::control::{Control, Counts};
use crate::destination::{
    Destination, Health, HiddenSubvolume, Parents, PublishedState, check_extents, publish, subvolume_name,
};
use crate::error::{Cause, Error, Failure};
use crate::observer::{Kind, Observer, Phase, Published};
use crate::options::{Options, Publication};
use crate::plan::{Action, Begin, Step};
use crate::reader::{Batch, BatchEnd, Reader};
use crate::real::RealVolume;

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
    );
    let whole = scope(|threads| {
        threads.spawn(move || reader.run());
        let run =
            Run { threads, destination: &destination, health: &health, options, context, observer, blocks: &blocks };
        run.follow(batches, published)
    });
    *left_hidden = destination.has_left_hidden();
    if destination.publication() == Publication::Snapshot && !published.is_empty() {
        // Now that the originals are closed. Else their deletion begins at the next periodic commit, up to 30 seconds later, and
        // FIEMAP reports all extents as shared until then.
        best_effort(space::wake_cleaner(&destination));
    }
    Ok(whole)
}

/// What is the same for all subvolumes of a run.
struct Run<'scope, 'env> {
    threads: &'scope Scope<'scope, 'env>,
    destination: &'env Destination,
    health: &'env Health,
    options: &'env Options,
    context: &'env RunContext,
    observer: &'env dyn Observer,
    blocks: &'env Blocks,
}

/// A subvolume that is being received. The applier is the first field: it and its writer threads are dropped before the
/// subvolume.
struct Receiving<'env> {
    applier: Applier<'env, RealVolume<Parents>>,
    hidden: HiddenSubvolume<'env>,
    begin: Begin,
    name: CString,
}

impl<'scope, 'env: 'scope> Run<'scope, 'env> {
    /// Performs the steps of the reader's batches, until the input ends or there were enough errors. Returns whether
    /// everything was done; after that, a cancellation has no effect.
    fn follow(&self, batches: Receiver<Batch>, published: &mut Vec<Published>) -> bool {
        let mut current = None;
        let mut whole = false;
        while let Some(batch) = self.next_batch(&batches, &mut current) {
            match self.apply(batch, &mut current, published) {
                Ok(ended) => whole = ended,
                Err(error) => self.context.errors.report_fatal(error),
            }
            // Between two subvolumes the input may have ended: the reader was woken, and reports that or ends.
            if self.context.errors.stopped() && current.is_some() {
                break;
            }
            self.blocks.freed(0, false);
        }
        // The reader must not wait for a receiver of its batches any more.
        drop(batches);
        if let Some(mut unfinished) = current {
            drop(unfinished.applier.take_written());
        }
        whole && !self.context.errors.any()
    }

    /// Applies a batch; returns whether it was the last one and everything is published.
    fn apply(
        &self,
        batch: Batch,
        current: &mut Option<Receiving<'env>>,
        published: &mut Vec<Published>,
    ) -> Result<bool, Error> {
        for step in batch.steps {
            if self.context.errors.stopped() {
                return Ok(false);
            }
            self.step(step, current, published)?;
        }
        if let Some(receiving) = current {
            self.check_early(receiving)?;
        }
        match batch.end {
            BatchEnd::More => Ok(false),
            BatchEnd::Ended => Ok(current.is_none()),
            BatchEnd::BadInput(error) => Err(error),
            BatchEnd::BadCommand(error) => {
                self.context.errors.report(error);
                Ok(false)
            }
        }
    }

    /// The next batch. Before it waits for one, it sends all tasks to the writer threads.
    fn next_batch(&self, batches: &Receiver<Batch>, current: &mut Option<Receiving<'env>>) -> Option<Batch> {
        match batches.try_recv() {
            Ok(batch) => Some(batch),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                if let Some(receiving) = current {
                    receiving.applier.flush();
                }
                self.blocks.freed(0, true);
                batches.recv().ok()
            }
        }
    }

    fn step(
        &self,
        step: Step,
        current: &mut Option<Receiving<'env>>,
        published: &mut Vec<Published>,
    ) -> Result<(), Error> {
        let Step { place, action } = step;
        match (action, current.as_mut()) {
            (Action::Begin(begin), _) => {
                // In a stream of `btrfs send -e` the next subvolume ends the previous one.
                if let Some(before) = current.take() {
                    self.finish(before, place.at, published)?;
                }
                let name = begin.name.clone();
                *current = Some(self.begin(begin, published.is_empty()).map_err(|error| error.at(place).on(&name))?);
                Ok(())
            }
            (Action::End, _) => match current.take() {
                Some(before) => self.finish(before, place.at.saturating_add(FRAME as u64), published),
                // `btrfs send -e` writes END once, after the last subvolume.
                None => Err(out_of_order("the stream ends before it names a subvolume", place)),
            },
            (action, Some(receiving)) => {
                receiving.applier.apply(place, action);
                Ok(())
            }
            (_, None) => Err(out_of_order("the stream changes files before it names a subvolume", place)),
        }
    }

    fn begin(&self, begin: Begin, first: bool) -> Result<Receiving<'env>, Error> {
        let name = match &self.options.name {
            Some(_) if !first => return Err(Error::new(Cause::OneName)),
            Some(name) => subvolume_name(name)?,
            None => subvolume_name(&begin.name)?,
        };
        if self.destination.has(&name)? {
            return Err(Error::new(Cause::Exists(name.into_bytes())));
        }
        let mut parents = Parents::new(self.destination.duplicate()?, self.options);
        let mut hidden = HiddenSubvolume::create(self.destination, &begin, &mut parents)?;
        (hidden.record.asked_by, hidden.record.origin) = (self.options.asked_by, self.options.origin.clone());
        let kind = if begin.parent.is_some() { Kind::Incremental } else { Kind::Full };
        self.observer.began(name.to_bytes(), kind);
        self.observer.phase(Phase::Receiving);
        let volume = RealVolume::new(hidden.reopen()?, begin.identity, parents)
            .map_err(|fault| Error::call("open the new subvolume", fault))?;
        let writer_threads =
            self.options.writer_threads.or_else(|| available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let blocks = self.blocks;
        let applier = Applier::new(volume, self.threads, writer_threads, self.context, move |bytes, idle| {
            blocks.freed(bytes, idle)
        })?;
        Ok(Receiving { applier, hidden, begin, name })
    }

    /// Publishes a subvolume whose commands end at the offset `end` of the input.
    fn finish(&self, receiving: Receiving<'env>, end: u64, published: &mut Vec<Published>) -> Result<(), Error> {
        let Receiving { applier, mut hidden, begin, name } = receiving;
        let (finished, volume) = applier.finish();
        let parents = volume.into_sources();
        if self.context.errors.any() {
            return Ok(());
        }
        let cancelled = || self.context.control.is_ending();
        if cancelled() {
            return Err(Error::new(Cause::Cancelled));
        }
        parents.check()?;
        drop(parents);
        let (health, observer) = ((self.health, &self.options.nested[..]), self.observer);
        let PublishedState { id, state, refused, nested } =
            publish(&mut hidden, &name, &begin, finished, health, observer, cancelled)
                .map_err(|error| error.on(&begin.name))?;
        self.context.ineffective.refused(refused);
        let kind = if begin.parent.is_some() { Kind::Incremental } else { Kind::Full };
        let received_uuid = begin.identity.uuid;
        let done = Published {
            name: name.into_bytes(),
            kind,
            id,
            received_uuid,
            state,
            nested,
            parent_number_differs: hidden.parent_number_differs,
            end,
        };
        self.observer.published(&done);
        published.push(done);
        Ok(())
    }

    /// Syncs and checks the encoded writes so far if their record has grown to its limit.
    fn check_early(&self, receiving: &mut Receiving<'env>) -> Result<(), Error> {
        if !receiving.applier.is_full() {
            return Ok(());
        }
        let written = receiving.applier.take_written();
        let root = receiving.hidden.root();
        filesystem::sync(root).map_err(|fault| Error::call("write the filesystem out", fault))?;
        check_extents(root, written)
    }
}

fn out_of_order(what: &'static str, place: Position) -> Error {
    Error::new(Cause::Order(what)).at(place)
}
