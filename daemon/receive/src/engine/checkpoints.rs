//! The checkpoints of a run: how one is made, and how the run continues in one.

use std::ffi::CString;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::subvolume;
use butterdock_stream::Position;

use super::run::{Receiving, Run, check_written};
use crate::apply::DeferredRoot;
use crate::checkpoint::{PartialSubvolume, Prefix, Resumption};
use crate::destination::{HiddenSubvolume, Parents};
use crate::error::{Cause, Error};
use crate::plan::Begin;

impl<'scope, 'env: 'scope> Run<'scope, 'env, '_> {
    /// Continues in the checkpoint of an earlier run; `place` is the first command after it. Returns nothing if that run ended between
    /// two subvolumes.
    pub(super) fn resume(&self, place: Position) -> Result<Option<Receiving<'env>>, Error> {
        let resumption = self.checkpointer.and_then(|checkpointer| checkpointer.resume(self.context.control.now()));
        let Some(Resumption { published, unapplied, unfinished }) = resumption else { return Ok(None) };
        self.before.set(published);
        self.context.ineffective.restore(unapplied);
        self.observer.resumed(place.at);
        let Some((partial, checkpoint)) = unfinished else { return Ok(None) };
        let begin = partial.begin();
        let name =
            self.name_of(&begin, published == 0).inspect_err(|error| self.discard_if_published(error, &begin))?;
        let parents = Parents::new(self.destination.duplicate()?, self.options);
        let hidden = HiddenSubvolume::resume(self.destination, &partial, &checkpoint)?;
        let mut receiving = self.receive_into(hidden, begin, name, parents)?;
        let root = DeferredRoot { access: partial.root_access, flags: partial.root_flags };
        receiving.applier.restore(root, place);
        Ok(Some(receiving))
    }

    /// The earlier run may have died after it had published the subvolume: then its checkpoint is not needed.
    fn discard_if_published(&self, error: &Error, begin: &Begin) {
        let Cause::Exists(name) = &error.cause else { return };
        let Ok(name) = CString::new(name.clone()) else { return };
        let root = file::openat_new(self.destination, &name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
        let published = root.and_then(subvolume::info).is_ok_and(|info| info.received_uuid == begin.identity.uuid.0);
        if let Some(checkpointer) = self.checkpointer.filter(|_| published) {
            checkpointer.discard();
        }
    }

    /// Makes a checkpoint after `prefix`. If it cannot be made, the run continues with the older one.
    ///
    /// # Errors
    /// What the run has written so far is in doubt.
    pub(super) fn checkpoint(
        &self,
        prefix: Prefix,
        current: Option<&mut Receiving<'env>>,
        published: usize,
    ) -> Result<(), Error> {
        let Some(checkpointer) = self.checkpointer else { return Ok(()) };
        let control = &self.context.control;
        if current.is_none() && !checkpointer.is_needed_between(control.now(), control.progress().bytes) {
            return Ok(());
        }
        let mut unfinished = None;
        if let Some(receiving) = current {
            let (written, root) = receiving.applier.quiesce()?;
            if self.context.errors.stopped() || self.context.errors.any() {
                return Ok(());
            }
            check_written(receiving.hidden.root(), written)?;
            self.health.check(receiving.hidden.root())?;
            receiving.applier.volume().sources().check()?;
            let Receiving { hidden, begin, .. } = &*receiving;
            let mut partial = PartialSubvolume::new(begin, hidden.state);
            (partial.inherited_flags, partial.parent_number_differs) = (hidden.refusing, hidden.parent_number_differs);
            (partial.root_access, partial.root_flags) = (root.access, root.flags);
            unfinished = Some((partial, hidden.root()));
        }
        let published = self.before.get().saturating_add(published as u64);
        let unapplied = self.context.ineffective.report().unwrap_or_default();
        match checkpointer.make(prefix, published, unapplied, unfinished) {
            Ok(()) => self.observer.checkpoint(prefix.offset),
            Err(error) => self.observer.warning(&format!("no checkpoint could be made: {error}")),
        }
        checkpointer.restart_cadence(control.now(), control.progress().bytes);
        Ok(())
    }
}
