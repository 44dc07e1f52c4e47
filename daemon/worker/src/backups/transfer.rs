//! Sends a snapshot to the drive: the kernel's send, a pipe, and the receiver. Frees space once if the drive is full, and
//! tries again.

use std::io::{PipeWriter, pipe};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use butterdock_btrfs::send::{Send, send};
use butterdock_btrfs::space::space;
use butterdock_btrfs::{Errno, Error as Fault, best_effort};
use butterdock_receive::{Candidates, Control, ErrorKind, Kind, Observer, Options, Outcome, Phase, Published, receive};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::SigSet;

use super::cause::{BackupCause, Pruning};
use super::error::BackupError;
use super::estimate::Estimate;
use super::owner::Owner;
use super::pending_snapshot::PendingSnapshot;
use super::prune::{Deleted, PrunePlan};
use super::run::{Run, basis};
use super::shared::Mark;
use super::shared_snapshots::{SharedPair, find_shared};
use super::snapshot::{Side, Snapshot};
use super::source::Source;
use super::space_check::{Need, Short, SpaceCheck, Words, estimated_event, fits};

impl Run<'_> {
    /// Sends the new snapshot and answers when it is durable on the drive. `mine` are the older ones.
    pub(crate) fn transfer(
        &self,
        source: &Source<'_>,
        owner: &Owner,
        mine: &[Snapshot],
        pending: &PendingSnapshot<'_>,
    ) -> Result<Outcome, BackupError> {
        let estimated = OnceLock::new();
        let attempt = || {
            // Listed again: a pruned snapshot can be neither a parent nor a clone source.
            let theirs = self.list_drive()?;
            let pairs = find_shared(source.origin, &self.task.shared, mine, &theirs).pairs.unwrap_or_default();
            self.attempt(owner, pending, &pairs, &estimated)
        };
        match attempt() {
            Err(trouble) if trouble.is_no_space() && !self.control.is_cancelled() => {
                if self.make_room(source, owner, mine)? {
                    attempt().map_err(|trouble| self.with_figures(trouble, &estimated))
                } else {
                    Err(self.with_figures(trouble, &estimated))
                }
            }
            result => result,
        }
    }

    /// Reports what would be sent.
    pub(crate) fn estimate_only(
        &self,
        pending: &PendingSnapshot<'_>,
        pairs: &[SharedPair<'_>],
    ) -> Result<(), BackupError> {
        let stream = self.stream(pending, pairs);
        let stopped = AtomicBool::new(false);
        if let Some(estimate) = Estimate::make(&stream, pending.snapshot.id, since(pairs), &stopped)? {
            (self.tell)(estimated_event(&estimate));
            let space_check = self.space_check(&stream, pending, pairs);
            let words = Words { too_small: too_small_as_it_is, ..space_check.words };
            SpaceCheck { words, ..space_check }.look_for(|| Some(Need::of(&estimate)))?;
        }
        Ok(())
    }

    fn attempt(
        &self,
        owner: &Owner,
        pending: &PendingSnapshot<'_>,
        pairs: &[SharedPair<'_>],
        estimated: &OnceLock<Estimate>,
    ) -> Result<Outcome, BackupError> {
        let stream = self.stream(pending, pairs);
        let listed = pairs.iter().map(|pair| pair.drive.state()).collect();
        let options = Options { origin: owner.origin(), candidates: Candidates::Listed(listed), ..Options::default() };
        self.space_check(&stream, pending, pairs).transfer(estimated, || self.send(&stream, options, pending))
    }

    fn space_check<'p>(
        &'p self,
        stream: &'p Stream<'p>,
        pending: &PendingSnapshot<'_>,
        pairs: &[SharedPair<'_>],
    ) -> SpaceCheck<'p> {
        SpaceCheck {
            stream,
            id: pending.snapshot.id,
            since: since(pairs),
            destination: self.destination(),
            patience: self.patience,
            control: self.control,
            tell: self.tell,
            words: Words {
                too_small: self.too_small(),
                unseen: |fault| BackupError::drive("look at the space")(fault),
            },
        }
    }

    fn send(
        &self,
        stream: &Stream<'_>,
        options: Options,
        pending: &PendingSnapshot<'_>,
    ) -> Result<Outcome, BackupError> {
        let writer_threads = self.task.writer_threads.and_then(NonZeroUsize::new);
        let (name, top) = (Some(pending.name().to_vec()), self.ends.top.clone());
        let publication = self.ends.publication;
        let options = Options { writer_threads, publication, name, top, ..options };
        stream.transfer(self.destination(), &options, self.control, &Along { observer: self.observer, pending })
    }

    fn stream<'s>(&self, pending: &'s PendingSnapshot<'_>, pairs: &[SharedPair<'_>]) -> Stream<'s> {
        let (parent, clone_sources) = basis(pairs);
        Stream { snapshot: pending.root(), parent, clone_sources, version: self.version }
    }

    /// What is said where there is too little room.
    fn too_small(&self) -> fn(Short) -> BackupError {
        if self.task.time.stopped { too_small_in_doubt } else { too_small }
    }

    /// Prunes the drive by the rule, which otherwise happens after the backup. Answers whether anything was deleted.
    fn make_room(&self, source: &Source<'_>, owner: &Owner, mine: &[Snapshot]) -> Result<bool, BackupError> {
        let theirs = self.list_drive()?;
        let pairs = find_shared(source.origin, &self.task.shared, mine, &theirs).pairs.unwrap_or_default();
        let mark = |pair: &SharedPair<'_>| Mark { here: pair.source.uuid, there: pair.drive.uuid };
        let needed: Vec<_> = pairs.first().map(mark).into_iter().collect();
        let pruning = PrunePlan::plan(self.task, Side::Drive(owner), &theirs, &needed, self.task.time.now());
        let (deleted, _) = pruning.perform(self.destination(), self.tell);
        let any = !deleted.is_empty();
        let waiting = BackupError::drive("wait for the space of deleted snapshots");
        Deleted::these(self.destination(), deleted).wait(self.control).map_err(waiting)?;
        Ok(any)
    }

    /// A drive that is full in spite of everything: how full it is.
    fn with_figures(&self, trouble: BackupError, estimated: &OnceLock<Estimate>) -> BackupError {
        match (trouble, space(self.destination())) {
            (BackupError::Receive(failure), Ok(space)) if failure.error.kind() == ErrorKind::NoSpace => {
                // The transfer failed, so more was needed than there is, whatever was estimated.
                let need = estimated.get().map(Need::of).unwrap_or_default();
                let needed = need.data.saturating_add(need.metadata);
                self.too_small()(
                    fits(&space, Need { data: u64::MAX >> 8, metadata: 0 })
                        .map_or_else(|Short { free, .. }| Short { needed, free }, |()| Short { needed, free: 0 }),
                )
            }
            (trouble, _) => trouble,
        }
    }
}

/// Before pruning.
fn too_small_as_it_is(short: Short) -> BackupError {
    no_room(short, Pruning::NotYet)
}

fn too_small(short: Short) -> BackupError {
    no_room(short, Pruning::Done)
}

/// Nothing was pruned, because of the clock.
fn too_small_in_doubt(short: Short) -> BackupError {
    no_room(short, Pruning::Stopped)
}

fn no_room(Short { needed, free }: Short, pruning: Pruning) -> BackupError {
    BackupError::because(BackupCause::NoRoom { needed, free, pruning })
}

/// The transaction after which everything is new.
pub(super) fn since(pairs: &[SharedPair<'_>]) -> u64 {
    pairs.first().map_or(0, |pair| pair.source.otransid)
}

/// Passes on the receiver's reports, and publishes the snapshot when the drive has all of it.
struct Along<'a> {
    observer: &'a dyn Observer,
    pending: &'a PendingSnapshot<'a>,
}

impl Observer for Along<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.observer.began(name, kind);
    }

    fn phase(&self, phase: Phase) {
        self.observer.phase(phase);
        if phase == Phase::Publishing {
            // Before the drive shows it: a worker that is killed in between leaves a snapshot too many, and none too few.
            // Where it fails, it is tried again at the end.
            best_effort(self.pending.show());
        }
    }

    fn published(&self, subvolume: &Published) {
        self.observer.published(subvolume);
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }
}

/// As large as a pipe may be without privileges.
const PIPE: i32 = 1 << 20;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Stream<'s> {
    /// The root of the snapshot.
    pub snapshot: BorrowedFd<'s>,
    /// The id of the parent snapshot.
    pub parent: Option<u64>,
    /// Ids of snapshots that the stream may clone from.
    pub clone_sources: Vec<u64>,
    /// The version of the stream: 1 or 2.
    pub version: u32,
}

impl Stream<'_> {
    /// Sends it into `to` from a thread of its own, and closes that at the end.
    pub(super) fn sender<'scope, 'env: 'scope>(
        &'env self,
        threads: &'scope Scope<'scope, 'env>,
        to: PipeWriter,
        no_file_data: bool,
    ) -> std::io::Result<ScopedJoinHandle<'scope, Result<(), Fault>>> {
        // Where a user's pipes take up too much already, the pipe stays as it is.
        best_effort(fcntl(&to, FcntlArg::F_SETPIPE_SZ(PIPE)));
        Builder::new().name("sender".to_owned()).spawn_scoped(threads, move || {
            // A signal that this thread takes would make the kernel begin the stream again in the middle of the pipe.
            SigSet::all().thread_block().map_err(|errno| Fault { call: "pthread_sigmask", errno })?;
            let how = Send {
                to: to.as_fd(),
                parent: self.parent,
                clone_sources: &self.clone_sources,
                version: self.version,
                compressed: self.version >= 2,
                no_file_data,
            };
            send(self.snapshot, &how)
        })
    }

    /// Sends it to the directory `destination` on the drive; everything is durable there afterwards.
    pub(super) fn transfer(
        &self,
        destination: BorrowedFd<'_>,
        options: &Options,
        control: &Control,
        observer: &dyn Observer,
    ) -> Result<Outcome, BackupError> {
        let (reader, writer) = pipe().map_err(|error| no_pipe(&error))?;
        let (sent, received) = std::thread::scope(|threads| {
            let sender = self.sender(threads, writer, false).map_err(|error| no_pipe(&error))?;
            let received = receive(reader.as_fd(), destination, options, control, observer);
            // A receiver that gave up reads no more: the sender sees that with its next byte.
            drop(reader);
            // A thread that panicked has ended the process.
            Ok((sender.join().unwrap_or(Ok(())), received))
        })?;
        match (sent, received) {
            (Ok(()) | Err(Fault { errno: Errno::EPIPE, .. }), received) => {
                received.map_err(|failure| BackupError::Receive(Box::new(failure)))
            }
            // Durable is durable: a whole stream was there before the sender failed.
            (Err(_), Ok(outcome)) => Ok(outcome),
            // What the receiver says is that the stream ended early; the sender knows why.
            (Err(fault), Err(failure)) if failure.error.kind() == ErrorKind::TruncatedStream => {
                Err(BackupError::source("send the snapshot")(fault))
            }
            (Err(_), Err(failure)) => Err(BackupError::Receive(Box::new(failure))),
        }
    }
}

/// A pipe or a thread could not be made.
pub(super) fn no_pipe(error: &std::io::Error) -> BackupError {
    BackupError::said(
        ErrorKind::Failed,
        format!("the worker cannot begin to send: {error}; free some memory and try again"),
    )
}
