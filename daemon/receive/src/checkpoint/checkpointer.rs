//! The checkpoints of one run, between the reader and the engine.
//!
//! A run claims its transfer with a lock, so that two runs of one transfer do not overwrite each other's checkpoint: the second one
//! makes none. A sweep takes the same lock, so that it deletes nothing that a run is making.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use butterdock_btrfs::file::{self, Mode};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::subvolume::{self, SubvolumeInfo};
use butterdock_btrfs::{Errno, Error as Fault, best_effort};

use super::cadence::Cadence;
use super::files::{DIRECTORY, c_name, claim, destroy, discard, read, snapshot_name, snapshot_text, write};
use super::journal::{self, Journal, PartialSubvolume, RunOptions, Slot, Snapshot};
use super::{Checkpoints, Prefix, Transfer};
use crate::destination::Destination;
use crate::error::{Cause, Error, doing};
use crate::observer::{Observer, Unapplied};
use crate::options::Options;

/// `BTRFS_ROOT_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1;

/// The checkpoints of one run. The reader and the engine use it from their threads.
pub(crate) struct Checkpointer<'d> {
    destination: &'d Destination,
    /// The directory of the journals.
    journals: &'d OwnedFd,
    wanted: &'d Checkpoints,
    asked_by: u32,
    options: RunOptions,
    observer: &'d dyn Observer,
    /// The engine asks the reader for the next boundary.
    due: AtomicBool,
    state: Mutex<State<'d>>,
}

struct State<'d> {
    cadence: Cadence,
    /// The reader was asked for a boundary, which the engine has not got yet.
    is_asked: bool,
    claim: Option<(Transfer, LockDirectory<'d>)>,
    /// The journal that is on the destination.
    current: Option<Journal>,
    /// Its snapshot, open, until the engine continues from it.
    snapshot: Option<OwnedFd>,
}

/// From where a run continues.
pub(crate) struct Resumption {
    /// How many subvolumes of the input were published before.
    pub(crate) published: u64,
    pub(crate) unapplied: Unapplied,
    /// The unfinished subvolume and its checkpoint; none between two subvolumes.
    pub(crate) unfinished: Option<(PartialSubvolume, OwnedFd)>,
}

impl<'d> Checkpointer<'d> {
    /// For a run with these options, which begins `now`.
    pub(crate) fn new(
        destination: &'d Destination,
        journals: &'d OwnedFd,
        wanted: &'d Checkpoints,
        options: &Options,
        observer: &'d dyn Observer,
        now: Duration,
    ) -> Self {
        let cadence = Cadence::new(wanted.every, wanted.bytes, now);
        let state = State { cadence, is_asked: false, claim: None, current: None, snapshot: None };
        let (asked_by, options) = (options.asked_by, RunOptions::from(options));
        let (due, state) = (AtomicBool::new(false), Mutex::new(state));
        Self { destination, journals, wanted, asked_by, options, observer, due, state }
    }

    /// The input is this transfer. Returns the prefix that its checkpoint has; none if the run begins at the start.
    pub(crate) fn open(&self, transfer: Transfer) -> Option<Prefix> {
        self.try_open(transfer).unwrap_or_else(|error| {
            self.observer.warning(&format!("this transfer cannot be resumed after an interruption: {error}"));
            None
        })
    }

    fn try_open(&self, transfer: Transfer) -> Result<Option<Prefix>, Error> {
        let name = transfer.name(&self.wanted.key);
        let Some(claim) = claim(self.journals, &name).map_err(doing("lock a checkpoint"))? else {
            self.observer.warning("another run receives the same stream now; this one makes no checkpoints");
            return Ok(None);
        };
        let found = match read(self.journals, &name)? {
            None => None,
            Some(_) if !self.wanted.resume => None,
            Some(bytes) => match self.examine(&bytes, &transfer) {
                Ok(found) => Some(found),
                Err(Unusable::OtherUser) => {
                    let text =
                        "another user has begun this transfer; this run does not use that checkpoint and makes none";
                    self.observer.warning(text);
                    return Ok(None);
                }
                Err(unusable) => {
                    self.observer.warning(&format!("the transfer starts over, because {}", unusable.reason()));
                    None
                }
            },
        };
        if found.is_none() {
            discard(self.destination, self.journals, &name)?;
        }
        let mut state = self.state();
        state.claim = Some((transfer, claim));
        let Some((journal, snapshot)) = found else { return Ok(None) };
        let prefix = journal.prefix;
        state.cadence.skip(prefix.offset);
        (state.current, state.snapshot) = (Some(journal), snapshot);
        Ok(Some(prefix))
    }

    /// Whether the journal in `bytes` can be used: with its snapshot, open.
    fn examine(&self, bytes: &[u8], transfer: &Transfer) -> Result<(Journal, Option<OwnedFd>), Unusable> {
        let journal = Journal::from_bytes(bytes, &self.wanted.key).ok_or(Unusable::Journal)?;
        if self.asked_by != 0 && journal.asked_by != self.asked_by {
            return Err(Unusable::OtherUser);
        }
        if journal.transfer != *transfer || journal.options != self.options {
            return Err(Unusable::OtherOptions);
        }
        let kernel = journal::kernel_release();
        if journal.kernel != kernel {
            return Err(Unusable::OtherKernel(journal.kernel, kernel));
        }
        let Some((_, Snapshot { slot, uuid, otransid, ctransid })) = journal.unfinished else {
            return Ok((journal, None));
        };
        let root = match self.open_snapshot(&transfer.name(&self.wanted.key), slot) {
            Ok(root) => root,
            Err(Fault { errno: Errno::ENOENT, .. }) => return Err(Unusable::Missing),
            Err(_) => return Err(Unusable::Changed),
        };
        let info = subvolume::info(&root).map_err(|_fault| Unusable::Changed)?;
        let SubvolumeInfo { uuid: is, otransid: made, ctransid: changed, flags, .. } = info;
        if (is, made, changed) != (uuid, otransid, ctransid) || flags & READ_ONLY == 0 {
            return Err(Unusable::Changed);
        }
        Ok((journal, Some(root)))
    }

    /// From where to continue, once the input had the prefix that [`Self::open`] returned.
    pub(crate) fn resume(&self, now: Duration) -> Option<Resumption> {
        let mut state = self.state();
        let snapshot = state.snapshot.take();
        let journal = state.current.clone()?;
        state.cadence.restart(now, journal.prefix.offset);
        let unfinished = journal.unfinished.as_ref().map(|(partial, _)| partial.clone()).zip(snapshot);
        Some(Resumption { published: journal.published, unapplied: journal.unapplied(), unfinished })
    }

    /// Deletes the checkpoint: the input is not the one that was interrupted, or its subvolume is published already.
    pub(crate) fn discard(&self) {
        let mut state = self.state();
        (state.current, state.snapshot) = (None, None);
        if let Some((transfer, _)) = &state.claim {
            best_effort(discard(self.destination, self.journals, &transfer.name(&self.wanted.key)));
        }
    }

    /// Asks the reader for a boundary if a checkpoint is due.
    pub(crate) fn ask_if_due(&self, now: Duration, read: u64) {
        let mut state = self.state();
        if state.claim.is_some() && !state.is_asked && state.cadence.is_due(now, read) {
            state.is_asked = true;
            self.due.store(true, Ordering::Relaxed);
        }
    }

    /// Whether to make a checkpoint between two subvolumes: it replaces an older one, or it is due. Otherwise a short input that fails
    /// would leave a journal.
    pub(crate) fn is_needed_between(&self, now: Duration, read: u64) -> bool {
        let state = self.state();
        state.claim.is_some() && (state.current.is_some() || state.cadence.is_due(now, read))
    }

    /// Whether the engine has asked for a boundary. A call takes the request.
    pub(crate) fn is_boundary_wanted(&self) -> bool {
        self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed)
    }

    /// Makes the checkpoint after `prefix`: `unfinished` is the subvolume and its root, between two subvolumes none. All that the
    /// prefix says must be in the filesystem.
    ///
    /// # Errors
    /// It could not be made; the older one stays.
    pub(crate) fn make(
        &self,
        prefix: Prefix,
        published: u64,
        unapplied: Unapplied,
        unfinished: Option<(PartialSubvolume, BorrowedFd<'_>)>,
    ) -> Result<(), Error> {
        let mut state = self.state();
        let Some((transfer, _)) = &state.claim else { return Ok(()) };
        let name = transfer.name(&self.wanted.key);
        let mut journal = Journal::new(*transfer, prefix, published);
        (journal.asked_by, journal.options) = (self.asked_by, self.options);
        journal.set_unapplied(unapplied);
        let older = state.current.as_ref().and_then(|older| older.unfinished.as_ref()).map(|(_, older)| older.slot);
        let slot = older.map_or(Slot::A, Slot::other);
        let made = unfinished.map(|(partial, root)| {
            let snapshot = self.snapshot(&name, slot, root).map_err(doing("make a snapshot for a checkpoint"))?;
            journal.unfinished = Some((partial, snapshot));
            Ok(())
        });
        let written = made.transpose().and_then(|_| {
            let bytes = journal.to_bytes(&self.wanted.key);
            write(self.journals, &name, &bytes.ok_or_else(|| Error::new(Cause::Value("the journal of a checkpoint")))?)
        });
        if let Err(error) = written {
            // The next sweep deletes it otherwise.
            best_effort(destroy(self.destination.receiving_dir(), &snapshot_name(&name, slot)?));
            return Err(error);
        }
        state.current = Some(journal);
        if let Some(older) = older {
            best_effort(destroy(self.destination.receiving_dir(), &snapshot_name(&name, older)?));
        }
        Ok(())
    }

    /// A checkpoint was tried: the next one is due later.
    pub(crate) fn restart_cadence(&self, now: Duration, read: u64) {
        let mut state = self.state();
        state.cadence.restart(now, read);
        state.is_asked = false;
    }

    /// The input was received: no checkpoint is needed any more.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        if state.current.take().is_some() {
            if let Some((transfer, _)) = &state.claim {
                // The next sweep deletes what stays.
                best_effort(discard(self.destination, self.journals, &transfer.name(&self.wanted.key)));
            }
        }
    }

    fn snapshot(&self, name: &str, slot: Slot, root: BorrowedFd<'_>) -> Result<Snapshot, Fault> {
        let (directory, snapshot) = (self.destination.receiving_dir(), c_name(&snapshot_text(name, slot))?);
        destroy(directory, &snapshot)?;
        subvolume::snapshot(directory, &snapshot, root, true)?;
        let SubvolumeInfo { uuid, otransid, ctransid, .. } = subvolume::info(self.open_snapshot(name, slot)?)?;
        Ok(Snapshot { slot, uuid, otransid, ctransid })
    }

    fn open_snapshot(&self, name: &str, slot: Slot) -> Result<OwnedFd, Fault> {
        let name = c_name(&snapshot_text(name, slot))?;
        file::openat_new(self.destination.receiving_dir(), &name, DIRECTORY, Mode::empty())
    }

    fn state(&self) -> MutexGuard<'_, State<'d>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a checkpoint is not used.
enum Unusable {
    Journal,
    OtherUser,
    OtherOptions,
    OtherKernel(String, String),
    Missing,
    Changed,
}

impl Unusable {
    /// Completes "the transfer starts over, because …".
    fn reason(&self) -> String {
        match self {
            Self::Journal => "the journal of its checkpoint is damaged, or this machine did not write it".to_owned(),
            Self::OtherUser => "another user has begun it".to_owned(),
            Self::OtherOptions => "it was begun with other options".to_owned(),
            Self::OtherKernel(then, now) => format!("it was begun on another kernel ({then}, now {now})"),
            Self::Missing => "its checkpoint is missing".to_owned(),
            Self::Changed => "its checkpoint was changed or replaced".to_owned(),
        }
    }
}
