//! The calling thread's part: names, in the order of the stream.

use std::collections::HashSet;
use std::thread::Scope;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Identity, Place};

use super::attributes;
use super::deferred::Deferred;
use super::encoded::Written;
use super::lanes::Lanes;
use super::perform::{Performer, Rules, Task};
use crate::control::Tally;
use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::plan::{Action, Change, Creation, NewInode, Verity, Work};
use crate::volume::{Inode, InodeKind, InodeState, Volume};

/// More temporary names than this at the top, and creations are no longer folded.
const TEMPORARIES: usize = 1 << 16;

/// How steps are applied.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own, see Options")]
pub struct Way {
    /// See [`crate::Options::verify`].
    pub verify: bool,
    /// See [`crate::Options::force_decompress`].
    pub force_decompress: bool,
    /// See [`crate::Options::no_verity`].
    pub no_verity: bool,
    /// Fold nothing; for tests, which compare the two.
    pub plain: bool,
}

/// Applies the steps of one subvolume to a volume.
pub(crate) struct Applier<'r, V: Volume> {
    volume: V,
    lanes: Lanes<V::Inode>,
    /// Does what is not a file's data, on this thread.
    own: Performer<'r>,
    rules: &'r Rules,
    deferred: Deferred,
    /// Temporary names at the top that are in use; none when there are too many to know.
    temporaries: Option<HashSet<Vec<u8>>>,
    /// Changes of the root that would let others in while it is hidden.
    access: Vec<(Place, Change)>,
}

/// What is left to do once every change is on its way to the disk.
pub(crate) struct Finished {
    /// What must be there after the sync.
    pub(crate) written: Written,
    /// The changes of the root that come last.
    pub(crate) access: Vec<(Place, Change)>,
    /// The flags of the root that come after them.
    pub(crate) root_flags: Option<u32>,
}

impl<'r, V: Volume> Applier<'r, V> {
    /// Begins to receive into `volume`, with `lanes` threads in `scope`.
    ///
    /// # Errors
    /// The names at the top cannot be read.
    pub(crate) fn new<'scope>(
        mut volume: V,
        scope: &'scope Scope<'scope, 'r>,
        lanes: usize,
        rules: &'r Rules,
        freed: impl Fn(usize, bool) + Send + Clone + 'r,
    ) -> Result<Self, Error> {
        let names = volume.temporaries().map_err(|fault| Error::call("list the subvolume's root", fault))?;
        Ok(Self {
            volume,
            lanes: Lanes::start(scope, lanes, rules, freed),
            own: Performer::new(rules),
            rules,
            deferred: Deferred::default(),
            temporaries: Some(names.into_iter().collect()),
            access: Vec::new(),
        })
    }

    /// Applies one step; errors go to the run's faults.
    pub(crate) fn apply(&mut self, place: Place, action: Action) {
        let (name, result) = match action {
            Action::Work(work) => {
                let name = work.path.clone();
                (name, self.work(place, work))
            }
            Action::Rename { from, to } => (from.clone(), self.rename(&from, &to)),
            Action::Link { existing, path } => (path.clone(), self.link(&existing, &path)),
            Action::Unlink(path) => (path.clone(), self.remove(&path, "unlink", V::unlink)),
            Action::Rmdir(path) => (path.clone(), self.remove(&path, "remove the directory", V::rmdir)),
            Action::Begin(_) | Action::End => return,
        };
        if let Err(error) = result {
            self.rules.faults.report(error.at(place).on(name.as_bytes()));
        }
    }

    /// Sends what is gathered on its way.
    pub(crate) fn flush(&mut self) {
        self.lanes.flush();
    }

    /// Whether the record of encoded writes must be checked now: [`Applier::surrender`].
    pub(crate) fn is_full(&self) -> bool {
        self.lanes.is_full()
    }

    /// Waits for the lanes, and answers what they wrote encoded.
    pub(crate) fn surrender(&mut self) -> Written {
        self.lanes.surrender()
    }

    /// Waits for the lanes and sets what was kept back.
    pub(crate) fn finish(mut self) -> (Finished, V) {
        let written = self.lanes.surrender();
        self.enable_verity();
        let root_flags = self.deferred.finish(&mut self.volume).unwrap_or_else(|(path, fault)| {
            self.rules.faults.report(Error::call("set times or flags at the end", fault).on(path.as_bytes()));
            None
        });
        (Finished { written, access: self.access, root_flags }, self.volume)
    }

    fn work(&mut self, place: Place, work: Work) -> Result<(), Error> {
        let Work { creation, path, mut changes } = work;
        let (inode, fresh) = match creation {
            Some(creation) => {
                let mode = creation.mode;
                let (inode, fresh) = self.create(&creation, &path)?;
                if let Some(mode) = mode.filter(|&mode| fresh.is_none_or(|fresh| fresh.mode != mode)) {
                    changes.insert(0, (place, Change::Chmod { mode }));
                }
                (inode, fresh)
            }
            None if changes.is_empty() => return Ok(()),
            None => (self.lifting(&[&path], |volume| volume.open(&path)).map_err(doing("open"))?, None),
        };
        if inode.kind() == InodeKind::File {
            self.file(inode, path, fresh, changes)
        } else {
            self.other(inode, &path, fresh, changes)
        }
    }

    /// Makes an inode under its final name where that cannot be seen, under its first one otherwise. Answers its
    /// state where it is known.
    fn create(&mut self, creation: &Creation, path: &StreamPath) -> Result<(V::Inode, Option<InodeState>), Error> {
        let Creation { temporary, renamed, new, mode } = creation;
        Tally::add(&self.rules.control.tally().files, 1);
        let default = default_mode(new);
        if renamed.is_some() && self.may_fold(temporary, path) {
            let mode = mode.unwrap_or(default);
            self.touch(path)?;
            if let Ok(inode) = self.volume.create(path, new, mode) {
                self.name_appeared(path);
                return Ok((inode, Some(InodeState { mode, uid: 0, gid: 0 })));
            }
            // Whatever was in the way: the plain way replaces it, or says what is wrong.
        }
        self.touch(temporary)?;
        let known = self.volume.hands_down(temporary.parent()).is_ok_and(|given| given.keeps_mode_and_owner());
        let mut inode =
            self.lifting(&[temporary], |volume| volume.create(temporary, new, default)).map_err(doing("create"))?;
        self.name_appeared(temporary);
        if let Some(place) = renamed {
            self.rename(temporary, path).map_err(|error| error.at(*place))?;
            if inode.kind() == InodeKind::Special {
                // What is never opened is reached by its name, and that is another one now.
                inode = self.volume.open(path).map_err(doing("open"))?;
            }
        }
        Ok((inode, known.then_some(InodeState { mode: default, uid: 0, gid: 0 })))
    }

    fn may_fold(&mut self, temporary: &StreamPath, path: &StreamPath) -> bool {
        if self.rules.way.plain || self.temporaries.as_ref().is_none_or(|names| names.contains(temporary.as_bytes())) {
            return false;
        }
        match (self.volume.hands_down(b""), self.volume.hands_down(path.parent())) {
            (Ok(root), Ok(directory)) => root == directory && root.keeps_mode_and_owner(),
            _ => false,
        }
    }

    /// A regular file goes to its lane.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other change is passed on as it is")]
    fn file(
        &mut self,
        inode: V::Inode,
        path: StreamPath,
        fresh: Option<InodeState>,
        mut changes: Vec<(Place, Change)>,
    ) -> Result<(), Error> {
        let mut sources = Vec::new();
        let mut failed = None;
        for (at, (place, change)) in changes.iter().enumerate() {
            let result = match change {
                Change::Clone { source, source_path, .. } => {
                    self.source(source, source_path).map(|found| sources.push(found))
                }
                Change::Fileattr { attr } => {
                    self.deferred.flags(inode.number(), &path, attributes::refusing(*attr));
                    Ok(())
                }
                Change::Verity(verity) => self.keep_verity(*place, inode.number(), &path, verity),
                _ => Ok(()),
            };
            if let Err(error) = result {
                failed = Some((at, error.at(*place)));
                break;
            }
        }
        // What stands before the error is done, for it may have an error of its own, which is then the first.
        let end = failed.as_ref().map_or(changes.len(), |(at, _)| *at);
        changes.truncate(end);
        self.lanes.give(Task { inode, path, fresh, changes, sources, ahead: None });
        failed.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn source(&mut self, source: &Identity, path: &StreamPath) -> Result<V::Inode, Error> {
        let found = self.volume.source(source, path).and_then(|found| match found.kind() {
            InodeKind::File => Ok(found),
            InodeKind::Directory | InodeKind::Special => {
                Err(Error::new(Cause::Value("the source of a clone is no regular file")))
            }
        });
        found.map_err(|error| error.on(path.as_bytes()))
    }

    /// Directories and what is never opened are done here, in order with the names.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other change is passed on as it is")]
    fn other(
        &mut self,
        inode: V::Inode,
        path: &StreamPath,
        fresh: Option<InodeState>,
        changes: Vec<(Place, Change)>,
    ) -> Result<(), Error> {
        let directory = inode.kind() == InodeKind::Directory;
        let mut now = Vec::with_capacity(changes.len());
        let mut failed = None;
        for (place, change) in changes {
            match change {
                Change::Utimes { atime, mtime } if directory => {
                    self.deferred.times(inode.number(), path, atime, mtime);
                }
                Change::Fileattr { attr } => {
                    self.deferred.flags(inode.number(), path, attributes::refusing(attr));
                    now.push((place, Change::Fileattr { attr }));
                }
                change if path.is_root() && lets_in(&change) => self.keep_access(place, change),
                Change::Write { .. }
                | Change::Encoded { .. }
                | Change::Clone { .. }
                | Change::Truncate { .. }
                | Change::Punch { .. } => {
                    failed = Some(Error::new(Cause::Value("data for something that is no regular file")).at(place));
                    break;
                }
                change => now.push((place, change)),
            }
        }
        if self.deferred.is_full() {
            self.deferred
                .spill(&mut self.volume)
                .map_err(|(_, fault)| Error::call("set a directory's times", fault))?;
        }
        let done = failed.map_or(Ok(()), Err);
        if now.is_empty() {
            return done;
        }
        if directory {
            if fresh.is_none() {
                self.lift(&[path])?;
            }
            self.volume.changed(path);
        }
        self.own.perform(Task { inode, path: path.clone(), fresh, changes: now, sources: Vec::new(), ahead: None });
        done
    }

    /// The root's mode, owner and ACL wait until it is no longer writable: only the last of each counts.
    fn keep_access(&mut self, place: Place, change: Change) {
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

    /// fs-verity wants a file that nobody has open for writing any more.
    fn keep_verity(&mut self, place: Place, number: u64, path: &StreamPath, verity: &Verity) -> Result<(), Error> {
        if self.rules.way.no_verity {
            return Ok(());
        }
        match self.volume.verity_missing() {
            Some(fault) => Err(Error::new(Cause::NoVerity(fault)).at(place)),
            None => {
                self.deferred.verity(place, number, path, verity);
                if self.deferred.is_full() {
                    self.lanes.drain_all();
                    self.enable_verity();
                }
                Ok(())
            }
        }
    }

    fn enable_verity(&mut self) {
        for (place, path, fault) in self.deferred.enable_verity(&mut self.volume) {
            self.rules.faults.report(Error::call("enable fs-verity", fault).at(place).on(path.as_bytes()));
        }
    }

    fn rename(&mut self, from: &StreamPath, to: &StreamPath) -> Result<(), Error> {
        self.touch(from)?;
        self.touch(to)?;
        self.lifting(&[from, to], |volume| volume.rename(from, to)).map_err(doing("rename"))?;
        self.name_vanished(from);
        self.name_appeared(to);
        Ok(())
    }

    fn link(&mut self, existing: &StreamPath, path: &StreamPath) -> Result<(), Error> {
        self.touch(path)?;
        self.lifting(&[existing, path], |volume| volume.link(existing, path)).map_err(doing("link"))?;
        self.name_appeared(path);
        if existing.is_temporary() || path.is_temporary() {
            // Renaming one name of an inode over another leaves both. No sender does that: know less from here on.
            self.temporaries = None;
        }
        Ok(())
    }

    fn remove(
        &mut self,
        path: &StreamPath,
        what: &'static str,
        remove: impl Fn(&mut V, &StreamPath) -> Result<(), Fault>,
    ) -> Result<(), Error> {
        self.touch(path)?;
        self.lifting(&[path], |volume| remove(volume, path)).map_err(doing(what))?;
        self.name_vanished(path);
        Ok(())
    }

    /// Tries, and where something is immutable or append-only lifts those flags and tries once more. The flags
    /// come from the parent's snapshot: the source had them lifted too while it changed.
    fn lifting<T>(&mut self, paths: &[&StreamPath], attempt: impl Fn(&mut V) -> Result<T, Fault>) -> Result<T, Fault> {
        match attempt(&mut self.volume) {
            Err(fault) if matches!(fault.errno, Errno::EPERM | Errno::EACCES) => match self.lift_with_parents(paths) {
                Ok(true) => attempt(&mut self.volume),
                _ => Err(fault),
            },
            other => other,
        }
    }

    fn lift_with_parents(&mut self, paths: &[&StreamPath]) -> Result<bool, Error> {
        let mut all: Vec<StreamPath> = Vec::new();
        for path in paths {
            all.push((*path).clone());
            all.extend(StreamPath::new(path.parent()).ok());
        }
        self.lift(&all.iter().collect::<Vec<_>>())
    }

    fn lift(&mut self, paths: &[&StreamPath]) -> Result<bool, Error> {
        let mut any = false;
        for path in paths {
            if let Some((number, flags)) = self.volume.lift(path).map_err(doing("lift the flags"))? {
                self.deferred.lifted(number, path, flags);
                any = true;
            }
        }
        Ok(any)
    }

    /// The directory of `path` is about to change; matters only once times were set early.
    fn touch(&mut self, path: &StreamPath) -> Result<(), Error> {
        if self.deferred.wants_touch() {
            if let Ok(parent) = StreamPath::new(path.parent()) {
                if let Ok(directory) = self.volume.open(&parent) {
                    self.deferred.touch(&directory, &parent).map_err(doing("read a directory's times"))?;
                }
            }
        }
        Ok(())
    }

    fn name_appeared(&mut self, path: &StreamPath) {
        if path.is_temporary() {
            if let Some(names) = &mut self.temporaries {
                names.insert(path.as_bytes().to_vec());
                if names.len() > TEMPORARIES {
                    self.temporaries = None;
                }
            }
        }
    }

    fn name_vanished(&mut self, path: &StreamPath) {
        if path.is_temporary() {
            if let Some(names) = &mut self.temporaries {
                names.remove(path.as_bytes());
            }
        }
    }
}

/// The mode of a new inode until the stream gives one, as the standard receiver has it.
fn default_mode(new: &NewInode) -> u32 {
    match new {
        NewInode::File | NewInode::Fifo | NewInode::Socket => 0o600,
        NewInode::Directory => 0o700,
        NewInode::Symlink { .. } => 0o777,
        NewInode::CharDevice { .. } | NewInode::BlockDevice { .. } => 0,
    }
}

/// Whether a change of the root could let others into a subvolume that is still hidden.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other change leaves the access alone")]
fn lets_in(change: &Change) -> bool {
    match change {
        Change::Chmod { .. } | Change::Chown { .. } => true,
        Change::SetXattr { name, .. } | Change::RemoveXattr { name } => &**name == b"system.posix_acl_access",
        _ => false,
    }
}

fn doing(what: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::call(what, fault)
}
