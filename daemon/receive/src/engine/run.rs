//! What is done for each subvolume of a run: begin, apply, finish.

use std::cell::Cell;
use std::ffi::CString;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread::{Scope, available_parallelism};

use butterdock_btrfs::filesystem;
use butterdock_stream::{FRAME, Position};

use crate::apply::{Applier, RunContext, Written};
use crate::blocks::Blocks;
use crate::checkpoint::Checkpointer;
use crate::destination::{
    Destination, Health, HiddenSubvolume, Parents, PublishedState, check_extents, publish, subvolume_name,
};
use crate::error::{Cause, Error};
use crate::observer::{Kind, Observer, Phase, Published};
use crate::options::Options;
use crate::plan::{Action, Begin, Step};
use crate::reader::{Batch, BatchEnd};
use crate::real::RealVolume;

/// What is the same for all subvolumes of a run.
pub(super) struct Run<'scope, 'env, 'd> {
    pub(super) threads: &'scope Scope<'scope, 'env>,
    pub(super) destination: &'env Destination,
    pub(super) health: &'env Health,
    pub(super) options: &'env Options,
    pub(super) context: &'env RunContext,
    pub(super) observer: &'env dyn Observer,
    pub(super) blocks: &'env Blocks,
    pub(super) checkpointer: Option<&'env Checkpointer<'d>>,
    /// How many subvolumes of the input an earlier run published.
    pub(super) before: Cell<u64>,
}

/// A subvolume that is being received. The applier is the first field: it and its writer threads are dropped before the
/// subvolume.
pub(super) struct Receiving<'env> {
    pub(super) applier: Applier<'env, RealVolume<Parents>>,
    pub(super) hidden: HiddenSubvolume<'env>,
    pub(super) begin: Begin,
    pub(super) name: CString,
}

impl<'scope, 'env: 'scope> Run<'scope, 'env, '_> {
    /// Performs the steps of the reader's batches, until the input ends or there were enough errors. Returns whether
    /// everything was done; after that, a cancellation has no effect.
    pub(super) fn follow(&self, batches: Receiver<Batch>, published: &mut Vec<Published>) -> bool {
        let mut current = None;
        let mut whole = false;
        while let Some(batch) = self.next_batch(&batches, &mut current) {
            match self.apply(batch, &mut current, published) {
                Ok(ended) => whole = ended,
                Err(error) => {
                    if let (Cause::CheckpointDiffers, Some(checkpointer)) = (&error.cause, self.checkpointer) {
                        checkpointer.discard();
                    }
                    self.context.errors.report_fatal(error);
                }
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
        if let Some(checkpointer) = self.checkpointer {
            checkpointer.ask_if_due(self.context.control.now(), self.context.control.progress().bytes);
        }
        match batch.end {
            BatchEnd::More => Ok(false),
            BatchEnd::Boundary(prefix) => {
                self.checkpoint(prefix, current.as_mut(), published.len())?;
                Ok(false)
            }
            BatchEnd::NextSubvolume(prefix) => {
                if let Some(before) = current.take() {
                    self.finish(before, prefix.offset, published)?;
                }
                self.checkpoint(prefix, None, published.len())?;
                Ok(false)
            }
            BatchEnd::Resumed(place) => {
                *current = self.resume(place)?;
                Ok(false)
            }
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
                let first = published.is_empty() && self.before.get() == 0;
                *current = Some(self.begin(begin, first).map_err(|error| error.at(place).on(&name))?);
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
        let name = self.name_of(&begin, first)?;
        let mut parents = Parents::new(self.destination.duplicate()?, self.options);
        let hidden = HiddenSubvolume::create(self.destination, &begin, &mut parents)?;
        self.receive_into(hidden, begin, name, parents)
    }

    /// The name that the subvolume gets at the end; it must be free.
    pub(super) fn name_of(&self, begin: &Begin, first: bool) -> Result<CString, Error> {
        let name = match &self.options.name {
            Some(_) if !first => return Err(Error::new(Cause::OneName)),
            Some(name) => subvolume_name(name)?,
            None => subvolume_name(&begin.name)?,
        };
        if self.destination.has(&name)? {
            return Err(Error::new(Cause::Exists(name.into_bytes())));
        }
        Ok(name)
    }

    /// Begins to apply steps to a hidden subvolume.
    pub(super) fn receive_into(
        &self,
        mut hidden: HiddenSubvolume<'env>,
        begin: Begin,
        name: CString,
        parents: Parents,
    ) -> Result<Receiving<'env>, Error> {
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
        check_written(receiving.hidden.root(), written)
    }
}

/// Syncs, and checks that all encoded writes so far exist.
pub(super) fn check_written(root: BorrowedFd<'_>, written: Written) -> Result<(), Error> {
    filesystem::sync(root).map_err(|fault| Error::call("write the filesystem out", fault))?;
    check_extents(root, written)
}

fn out_of_order(what: &'static str, place: Position) -> Error {
    Error::new(Cause::Order(what)).at(place)
}
