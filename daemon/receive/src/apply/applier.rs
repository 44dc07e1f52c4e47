//! Applies steps on the calling thread, in the order of the stream, and passes the changes of files to the writer threads.

use std::thread::Scope;

use butterdock_stream::{Identity, Position};

use super::attributes;
use super::names::Names;
use super::performer::Performer;
use super::writer_threads::WriterThreads;
use super::written::Written;
use super::{RunContext, Task};
use crate::checkpoint::RootAccess;
use crate::error::{Cause, Error, doing};
use crate::name::StreamPath;
use crate::plan::{Action, Change, Verity, Work};
use crate::volume::{Inode, InodeKind, InodeState, Volume};

/// Applies the steps of one subvolume to a volume.
pub(crate) struct Applier<'r, V: Volume> {
    names: Names<'r, V>,
    writer_threads: WriterThreads<'r, V::Inode>,
    /// Changes directories and special files, on this thread.
    own: Performer<'r>,
    context: &'r RunContext,
    /// Changes of the root that would give other users access while the subvolume is hidden.
    access: Vec<(Position, Change)>,
}

/// What is left to do when all other changes are made.
pub(crate) struct Finished {
    /// The encoded extents that must exist after the sync.
    pub(crate) written: Written,
    /// The deferred changes of the root.
    pub(crate) access: Vec<(Position, Change)>,
    /// The flags of the root, to be set after them.
    pub(crate) root_flags: Option<u32>,
}

/// The changes of the root that are made at the end: they would give other users access while the subvolume is hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeferredRoot {
    pub(crate) access: Vec<RootAccess>,
    /// Its immutable and append-only flags.
    pub(crate) flags: Option<u32>,
}

impl<'r, V: Volume> Applier<'r, V> {
    /// Begins to receive into `volume`, with `writer_threads` threads in `scope`. They report the bytes that they free to
    /// `freed`.
    ///
    /// # Errors
    /// The names at the top cannot be read.
    pub(crate) fn new<'scope>(
        volume: V,
        scope: &'scope Scope<'scope, 'r>,
        writer_threads: usize,
        context: &'r RunContext,
        freed: impl Fn(usize, bool) + Send + Clone + 'r,
    ) -> Result<Self, Error> {
        Ok(Self {
            names: Names::new(volume, context)?,
            writer_threads: WriterThreads::start(scope, writer_threads, context, freed),
            own: Performer::new(context),
            context,
            access: Vec::new(),
        })
    }

    /// Applies one step. Errors are reported to the run.
    pub(crate) fn apply(&mut self, place: Position, action: Action) {
        // Changes of names add directories to the table too.
        if self.names.deferred.is_full() {
            if let Err(error) = self.spill() {
                return self.context.errors.report(error.at(place));
            }
        }
        let (name, result) = match action {
            Action::Work(work) => {
                let name = work.path.clone();
                (name, self.work(place, work))
            }
            Action::Rename { from, to } => (from.clone(), self.names.rename(&from, &to)),
            Action::Link { existing, path } => (path.clone(), self.names.link(&existing, &path)),
            Action::Unlink(path) => (path.clone(), self.names.remove(&path, "unlink", V::unlink)),
            Action::Rmdir(path) => (path.clone(), self.names.remove(&path, "remove the directory", V::rmdir)),
            Action::Begin(_) | Action::End => return,
        };
        if let Err(error) = result {
            self.context.errors.report(error.at(place).on(name.as_bytes()));
        }
    }

    /// Sends the collected tasks to the writer threads.
    pub(crate) fn flush(&mut self) {
        self.writer_threads.flush();
    }

    /// Whether the log of encoded writes is full and must be checked now: [`Applier::take_written`].
    pub(crate) fn is_full(&self) -> bool {
        self.writer_threads.is_full()
    }

    /// Waits for the writer threads, and takes the log of what they wrote encoded.
    pub(crate) fn take_written(&mut self) -> Written {
        self.writer_threads.take_written()
    }

    /// Waits for the writer threads, and makes the deferred changes early, as far as they can be made: then the volume has everything
    /// up to here. Returns the log of encoded writes, and the changes of the root that stay deferred.
    ///
    /// # Errors
    /// A deferred change cannot be made.
    pub(crate) fn quiesce(&mut self) -> Result<(Written, DeferredRoot), Error> {
        let written = self.writer_threads.take_written();
        self.spill()?;
        let access = self.access.iter().filter_map(|(_, change)| RootAccess::of(change)).collect();
        Ok((written, DeferredRoot { access, flags: self.names.deferred.root_flags() }))
    }

    /// Continues after [`Self::quiesce`] in a copy of the volume; `place` is the first command after it.
    pub(crate) fn restore(&mut self, DeferredRoot { access, flags }: DeferredRoot, place: Position) {
        self.access = access.into_iter().map(|change| change.change(place)).collect();
        self.names.deferred.restore(flags);
    }

    /// The volume.
    pub(crate) fn volume(&self) -> &V {
        &self.names.volume
    }

    #[cfg(test)]
    pub(crate) fn volume_mut(&mut self) -> &mut V {
        &mut self.names.volume
    }

    /// Ends without the deferred changes.
    #[cfg(test)]
    pub(crate) fn into_volume(self) -> V {
        self.names.volume
    }

    /// Waits for the writer threads and makes the deferred changes.
    pub(crate) fn finish(mut self) -> (Finished, V) {
        let written = self.writer_threads.take_written();
        self.enable_verity();
        let root_flags = self.names.deferred.finish(&mut self.names.volume).unwrap_or_else(|(path, fault)| {
            self.context.errors.report(Error::call("set times or flags at the end", fault).on(path.as_bytes()));
            None
        });
        (Finished { written, access: self.access, root_flags }, self.names.volume)
    }

    fn work(&mut self, place: Position, work: Work) -> Result<(), Error> {
        let Work { creation, path, mut changes } = work;
        let (inode, known) = match creation {
            Some(creation) => {
                let mode = creation.mode;
                let (inode, known) = self.names.create(&creation, &path)?;
                if let Some(mode) = mode.filter(|&mode| known.is_none_or(|known| known.mode != mode)) {
                    changes.insert(0, (place, Change::Chmod { mode }));
                }
                (inode, known)
            }
            None if changes.is_empty() => return Ok(()),
            None => {
                (self.names.retry_without_flags(&[&path], |volume| volume.open(&path)).map_err(doing("open"))?, None)
            }
        };
        if inode.kind() == InodeKind::File {
            self.file(inode, path, known, changes)
        } else {
            self.other(inode, &path, known, changes)
        }
    }

    /// Passes the changes of a regular file to its writer thread.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other changes are passed on unchanged")]
    fn file(
        &mut self,
        inode: V::Inode,
        path: StreamPath,
        known: Option<InodeState>,
        mut changes: Vec<(Position, Change)>,
    ) -> Result<(), Error> {
        let mut sources = Vec::new();
        let mut failed = None;
        for (at, (place, change)) in changes.iter().enumerate() {
            let result = match change {
                Change::Clone { source, source_path, .. } => {
                    self.source(source, source_path).map(|found| sources.push(found))
                }
                Change::Fileattr { attr } => {
                    self.names.deferred.flags(inode.number(), &path, attributes::refusing(*attr));
                    Ok(())
                }
                Change::Verity(verity) => self.defer_verity(*place, inode.number(), &path, verity),
                _ => Ok(()),
            };
            if let Err(error) = result {
                failed = Some((at, error.at(*place)));
                break;
            }
        }
        // The changes before the error are made: one of them may fail too, and is then the first error.
        let end = failed.as_ref().map_or(changes.len(), |(at, _)| *at);
        changes.truncate(end);
        self.writer_threads.submit(Task { inode, path, known, changes, sources });
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<V::Inode, Error> {
        let found = self.names.volume.source(source, path).and_then(|found| match found.kind() {
            InodeKind::File => Ok(found),
            InodeKind::Directory | InodeKind::Special => {
                Err(Error::new(Cause::Value("the source of a clone is not a regular file")))
            }
        });
        found.map_err(|error| error.on(path.as_bytes()))
    }

    /// Changes directories and special files on this thread, in order with the names.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other changes are passed on unchanged")]
    fn other(
        &mut self,
        inode: V::Inode,
        path: &StreamPath,
        known: Option<InodeState>,
        changes: Vec<(Position, Change)>,
    ) -> Result<(), Error> {
        let directory = inode.kind() == InodeKind::Directory;
        let mut now = Vec::with_capacity(changes.len());
        let (mut failed, mut refusing) = (None, None);
        for (place, change) in changes {
            match change {
                Change::Utimes { atime, mtime } if directory => {
                    self.names.deferred.times(inode.number(), path, atime, mtime);
                }
                Change::Fileattr { attr } => {
                    refusing = Some(attributes::refusing(attr));
                    now.push((place, Change::Fileattr { attr }));
                }
                change if path.is_root() && grants_access(&change) => self.defer_access(place, change),
                Change::Write { .. }
                | Change::Encoded { .. }
                | Change::Clone { .. }
                | Change::Truncate { .. }
                | Change::Punch { .. } => {
                    failed = Some(Error::new(Cause::Value("data for something that is not a regular file")).at(place));
                    break;
                }
                change => now.push((place, change)),
            }
        }
        let done = failed.map_or(Ok(()), Err);
        if now.is_empty() {
            return done;
        }
        if directory {
            if known.is_none() {
                self.names.clear_refusing(&[path])?;
            }
            self.names.volume.changed(path);
        }
        if let Some(flags) = refusing {
            // After `clear_refusing`, whose entry it replaces.
            self.names.deferred.flags(inode.number(), path, flags);
        }
        self.own.perform(Task { inode, path: path.clone(), known, changes: now, sources: Vec::new() });
        done
    }

    /// Defers a change of the root's mode, owner or ACL. Only the last of each kind takes effect.
    fn defer_access(&mut self, place: Position, change: Change) {
        let same = |kept: &Change| match (&change, kept) {
            (
                Change::SetXattr { .. } | Change::RemoveXattr { .. },
                Change::SetXattr { .. } | Change::RemoveXattr { .. },
            ) => true,
            (new, kept) => std::mem::discriminant(new) == std::mem::discriminant(kept),
        };
        self.access.retain(|(_, kept)| !same(kept));
        self.access.push((place, change));
    }

    /// Defers fs-verity: it needs a file that is not open for writing.
    fn defer_verity(&mut self, place: Position, number: u64, path: &StreamPath, verity: &Verity) -> Result<(), Error> {
        if self.context.options.no_verity {
            return Ok(());
        }
        match self.names.volume.verity_missing() {
            Some(fault) => Err(Error::new(Cause::NoVerity(fault)).at(place)),
            None => {
                self.names.deferred.verity(place, number, path, verity);
                Ok(())
            }
        }
    }

    /// Makes the deferred changes early, so that the table stays bounded.
    fn spill(&mut self) -> Result<(), Error> {
        self.writer_threads.drain_all();
        self.enable_verity();
        let spilled = self.names.deferred.spill(&mut self.names.volume);
        spilled.map_err(|(path, fault)| Error::call("set times or flags early", fault).on(path.as_bytes()))
    }

    fn enable_verity(&mut self) {
        for (place, path, fault) in self.names.deferred.enable_verity(&mut self.names.volume) {
            self.context.errors.report(Error::call("enable fs-verity", fault).at(place).on(path.as_bytes()));
        }
    }
}

/// Whether a change of the root could give other users access to a subvolume that is still hidden.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other change affects access")]
fn grants_access(change: &Change) -> bool {
    match change {
        Change::Chmod { .. } | Change::Chown { .. } => true,
        Change::SetXattr { name, .. } | Change::RemoveXattr { name } => &**name == b"system.posix_acl_access",
        _ => false,
    }
}
