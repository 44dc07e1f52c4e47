//! The hidden subvolume that a stream is received into: in the staging directory, or in the destination itself where only
//! root can reach that.
//!
//! It is locked from when it is visible until it has its final name, so that a sweep does not delete it. Before it is
//! locked, other users may be able to open its root: all users if it is new, its parent's owner if it is a snapshot. A user
//! who opens it then could lock it, and read its content later. So it is created in a private directory, and moved out when
//! it is private itself. The destination directory is never locked: any user who may read it could hold that lock.
//!
//! **Durable, then named.** Everything is on disk and checked before the subvolume is marked as received, and it is marked
//! and read-only before it has its name. A crash between any two steps leaves only a hidden name.
//!
//! Its root gets its owner and mode before it is read-only, because afterwards they cannot change. From then on its owner
//! can open files of theirs in it, and write through such a descriptor at any later time, read-only or not. So where another
//! user can reach the destination, all of this happens in the staging directory, and the subvolume is published as a
//! snapshot: that is read-only from its creation, and no descriptor on it exists. The kernel copies the whole mark into it
//! (`create_pending_snapshot` in fs/btrfs/transaction.c: a read-only snapshot keeps `received_uuid`, `stransid`, `rtransid`
//! and their times).
//!
//! A snapshot has none of the subvolumes in its original. So one with others in it is renamed in any case. Between its final
//! mode and read-only, its owner may open a file of theirs in it: what is written through that descriptor later is a change, which
//! its change time shows.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use butterdock_btrfs::file::{Mode, OFlag};
use butterdock_btrfs::lock_directory::LockDirectory;
use butterdock_btrfs::subvolume::{self, Received, Subvolume};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, file, filesystem, flags, inode, names, system};

use super::health::{Health, check_extents};
use super::parents::Parents;
use super::record::{Record, SubvolumeState};
use super::staging::remove_acls;
use super::{Destination, HIDDEN, NestedSubvolume, nested};
use crate::apply::{Finished, REFUSING, set_root_access};
use crate::checkpoint::PartialSubvolume;
use crate::error::{Cause, Error, doing};
use crate::observer::{Observer, Phase};
use crate::options::Publication;
use crate::plan::Begin;
use crate::real::{Directory, RealInode};
use crate::volume::InodeState;

/// The mode of the root while the subvolume is hidden.
const PRIVATE: u32 = 0o700;
/// The limit of attempts to create a private directory: another run's sweep may remove it before it is locked.
const ATTEMPTS: u32 = 100;

/// A subvolume under a hidden name. Dropping it before it is published deletes it.
#[derive(Debug)]
pub(crate) struct HiddenSubvolume<'d> {
    destination: &'d Destination,
    name: CString,
    root: OwnedFd,
    /// The lock that makes sweeps skip this subvolume.
    _lock: OwnedFd,
    /// The owner and mode of its root, unless the stream sets others.
    pub(crate) state: InodeState,
    /// The immutable and append-only flags of its parent; they are set again at the end unless the stream sets others.
    pub(crate) refusing: u32,
    /// The number of its parent differs from the one in the stream.
    pub(crate) parent_number_differs: bool,
    /// Its record; the state in it is set when the subvolume is published.
    pub(crate) record: Record,
    published: bool,
}

/// Calls `work` with the root of a new subvolume that only root can enter, for subvolumes that are needed for a short time: then it is
/// deleted with all that is in it. A killed run leaves it hidden, and the next run in `directory` sweeps it.
///
/// # Errors
/// The subvolume cannot be created.
pub fn with_workspace<T>(
    directory: BorrowedFd<'_>,
    publication: Publication,
    work: impl FnOnce(BorrowedFd<'_>) -> T,
) -> Result<T, Error> {
    let destination = Destination::new(directory, publication)?;
    destination.sweep()?;
    let (private_dir, name) = (private_dir(&destination)?, hidden_name()?);
    subvolume::create(&private_dir, &name).map_err(doing("create a subvolume"))?;
    let workspace = HiddenSubvolume::move_out(&destination, &private_dir, &name).inspect_err(|_| {
        best_effort(subvolume::destroy(&private_dir, &name));
    })?;
    drop(private_dir);
    workspace.remove_inherited().map_err(doing("remove the inherited attributes of the new subvolume"))?;
    Ok(work(workspace.root()))
}

impl<'d> HiddenSubvolume<'d> {
    /// Creates the subvolume for the beginning of a stream: an empty one, or a snapshot of its parent.
    pub(crate) fn create(destination: &'d Destination, begin: &Begin, parents: &mut Parents) -> Result<Self, Error> {
        let parent = match &begin.parent {
            Some(parent) => Some(parents.find("parent", parent)?),
            None => None,
        };
        let (private_dir, name) = (private_dir(destination)?, hidden_name()?);
        match &parent {
            None => subvolume::create(&private_dir, &name).map_err(doing("create a subvolume"))?,
            Some(parent) => subvolume::snapshot(&private_dir, &name, &*parent.directory, false)
                .map_err(doing("snapshot the parent"))?,
        }
        let mut hidden = Self::move_out(destination, &private_dir, &name).inspect_err(|_| {
            // The subvolume is still empty or a snapshot; if this fails too, the next run sweeps it.
            best_effort(subvolume::destroy(&private_dir, &name));
        })?;
        drop(private_dir);
        match &parent {
            None => hidden.remove_inherited().map_err(doing("remove the inherited attributes of the new subvolume"))?,
            Some(parent) => nested::remove_placeholders(hidden.root(), parent.id)
                .map_err(doing("list the subvolumes in the parent"))?,
        }
        hidden.parent_number_differs = parent.is_some_and(|parent| parent.number_differs);
        Ok(hidden)
    }

    /// Creates it as a snapshot of the checkpoint that is open as `checkpoint`.
    pub(crate) fn resume(
        destination: &'d Destination,
        partial: &PartialSubvolume,
        checkpoint: &OwnedFd,
    ) -> Result<Self, Error> {
        let (private_dir, name) = (private_dir(destination)?, hidden_name()?);
        subvolume::snapshot(&private_dir, &name, checkpoint, false).map_err(doing("snapshot the checkpoint"))?;
        let mut hidden = Self::move_out(destination, &private_dir, &name).inspect_err(|_| {
            best_effort(subvolume::destroy(&private_dir, &name));
        })?;
        drop(private_dir);
        (hidden.state, hidden.refusing) = (partial.state(), partial.inherited_flags);
        hidden.parent_number_differs = partial.parent_number_differs;
        Ok(hidden)
    }

    /// Makes it private, locks it and moves it out of the private directory.
    fn move_out(destination: &'d Destination, private_dir: &LockDirectory<'_>, name: &CStr) -> Result<Self, Error> {
        let look = |fault| Error::call("open the new subvolume", fault);
        let open = || file::openat_new(private_dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
        let root = open().map_err(look)?;
        let stat = file::stat(&root).map_err(look)?;
        let refusing = clear_refusing(&root).map_err(doing("clear the flags of the new subvolume"))?;
        // A snapshot's root has its parent's owner, who must not enter it. A sweep deletes only what belongs to root.
        inode::set_owner(&root, 0, 0).map_err(doing("make the new subvolume private"))?;
        inode::set_mode(&root, PRIVATE).map_err(doing("make the new subvolume private"))?;
        // The lock belongs to the open file description, so it needs a descriptor that nothing else closes.
        let lock = open().map_err(look)?;
        let locking = doing("lock the new subvolume");
        if !file::lock_exclusive(&lock).map_err(&locking)? {
            return Err(locking(Fault { call: "flock", errno: Errno::EAGAIN }));
        }
        names::rename_noreplace(private_dir, name, destination.receiving_dir(), name)
            .map_err(doing("move the new subvolume"))?;
        let record = Record { state: SubvolumeState::default(), asked_by: 0, origin: None };
        let state = InodeState { mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
        Ok(Self {
            destination,
            name: name.into(),
            root,
            _lock: lock,
            state,
            refusing,
            parent_number_differs: false,
            record,
            published: false,
        })
    }

    /// Removes the ACL that a new subvolume inherits from its directory: its attributes come from the stream alone.
    fn remove_inherited(&self) -> Result<(), Fault> {
        remove_acls(&self.root)?;
        inode::set_mode(&self.root, PRIVATE)
    }

    /// Its root.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Another descriptor of its root.
    pub(crate) fn reopen(&self) -> Result<OwnedFd, Error> {
        self.destination.open_hidden(&self.name).map_err(|fault| Error::call("open the new subvolume", fault))
    }

    /// Its hidden name.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// The destination of the run.
    pub(crate) fn destination(&self) -> &'d Destination {
        self.destination
    }

    /// It has its final name: dropping it no longer deletes it.
    pub(crate) fn published(&mut self) {
        self.published = true;
    }

    /// Deletes it after a snapshot of it was published.
    pub(crate) fn delete(&mut self) -> Result<(), Fault> {
        self.published = true;
        nested::destroy(self.destination.receiving_dir(), &self.name)
    }
}

impl Drop for HiddenSubvolume<'_> {
    /// Deletes an unfinished subvolume after an error. If that fails, the caller learns it, and the next run sweeps it.
    fn drop(&mut self) {
        if !self.published && nested::destroy(self.destination.receiving_dir(), &self.name).is_err() {
            self.destination.left_hidden.store(true, Ordering::Relaxed);
        }
    }
}

/// A new directory that no other user can enter, locked.
fn private_dir(destination: &Destination) -> Result<LockDirectory<'_>, Error> {
    let making = doing("make a private directory in the destination");
    for _ in 0..ATTEMPTS {
        if let Some(locked) = LockDirectory::create(destination.receiving_dir(), &hidden_name()?).map_err(&making)? {
            return Ok(locked);
        }
    }
    Err(making(Fault { call: "flock", errno: Errno::EAGAIN }))
}

/// Clears the immutable and append-only flags of a snapshot's root; returns those that it had.
pub(super) fn clear_refusing(root: &OwnedFd) -> Result<u32, Fault> {
    let flags = flags::flags(root)?.bits() & REFUSING;
    if flags != 0 {
        flags::set_refusing(root, flags::Flags::from_bits(0))?;
    }
    Ok(flags)
}

/// `.butterdock-` and 32 random hexadecimal digits.
fn hidden_name() -> Result<CString, Error> {
    let random = system::random_bytes().map_err(doing("make a random name"))?;
    let mut name = HIDDEN.to_vec();
    for byte in random {
        name.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    CString::new(name).map_err(|_nul| Error::new(Cause::Value("a hidden name")))
}

/// A published subvolume.
#[derive(Debug)]
pub(crate) struct PublishedState {
    pub id: u64,
    pub state: SubvolumeState,
    /// The flags that its root could not get.
    pub refused: u32,
    /// The states of the subvolumes in it; `None` for one that has no place there.
    pub nested: Vec<Option<SubvolumeState>>,
}

/// Publishes `hidden` as `name`, with snapshots of `nested` in their places.
///
/// # Errors
/// [`Cause::Unconfirmed`] if the subvolume has its name and the filesystem failed afterwards. The name stays: a filesystem
/// that cannot write a name out cannot delete it either, and everything else of the subvolume is on the device. After any
/// other error the caller drops `hidden`, which deletes it.
pub(crate) fn publish(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    begin: &Begin,
    mut finished: Finished,
    (health, nested): (&Health, &[NestedSubvolume]),
    observer: &dyn Observer,
    cancelled: impl Fn() -> bool,
) -> Result<PublishedState, Error> {
    let nested = nested::place(hidden.root(), nested)?;
    observer.phase(Phase::Syncing);
    filesystem::sync(hidden.root()).map_err(doing("write the filesystem out"))?;

    observer.phase(Phase::Checking);
    check_extents(hidden.root(), std::mem::take(&mut finished.written))?;
    health.check(hidden.root())?;
    if cancelled() {
        return Err(Error::new(Cause::Cancelled));
    }

    observer.phase(Phase::Marking);
    // Until now only root could enter the subvolume; from here on it has the access of its source.
    finished.root_flags = finished.root_flags.or(Some(hidden.refusing));
    let root = Directory::new(hidden.reopen()?).map_err(doing("open the subvolume"))?;
    let received = Received { uuid: begin.identity.uuid.0, stransid: begin.identity.ctransid };
    let mark = || subvolume::set_received(hidden.root(), &received).map_err(doing("set the received uuid"));
    // Twice: a sweep recognises the subvolume by root's ownership or by this mark, and the mark must be the last change.
    mark()?;
    let refused = set_root_access(&RealInode::of_directory(root), finished, hidden.state)?;
    mark()?;

    let (id, state) = match hidden.destination().publication() {
        Publication::Rename => by_rename(hidden, name, observer)?,
        Publication::Snapshot => by_snapshot(hidden, name, observer)?,
    };
    filesystem::sync(hidden.root()).map_err(unconfirmed("write the new name out"))?;
    Ok(PublishedState { id, state, refused, nested })
}

/// Makes the subvolume read-only and renames it.
fn by_rename(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    observer: &dyn Observer,
) -> Result<(u64, SubvolumeState), Error> {
    observer.phase(Phase::ReadOnly);
    subvolume::set_read_only(hidden.root(), true).map_err(doing("make the subvolume read-only"))?;
    let info = subvolume::info(hidden.root()).map_err(reading_state())?;

    let destination = hidden.destination();
    // The record is written before the rename, so that a subvolume with a name has a record.
    hidden.record.state = SubvolumeState::of_info(&info);
    hidden.record.write(destination.as_fd())?;

    observer.phase(Phase::Publishing);
    names::rename_noreplace(destination, hidden.name(), destination, name).map_err(|fault| {
        // If this fails, the next run's sweep removes the record.
        best_effort(Record::remove(destination.as_fd(), info.uuid));
        not_named(fault, name)
    })?;
    hidden.published();
    observer.phase(Phase::Settling);
    Ok((info.id, hidden.record.state))
}

/// Makes a read-only snapshot of the subvolume under the name, and deletes the subvolume.
fn by_snapshot(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    observer: &dyn Observer,
) -> Result<(u64, SubvolumeState), Error> {
    observer.phase(Phase::ReadOnly);
    let original = subvolume::info(hidden.root()).map_err(reading_state())?.uuid;

    observer.phase(Phase::Publishing);
    let destination = hidden.destination();
    subvolume::snapshot(destination, name, hidden.root(), true).map_err(|fault| not_named(fault, name))?;
    // Not by its name: the owner of the destination may have renamed it meanwhile, or mounted over it. Only this process can
    // make a snapshot of the original.
    let of_original = |found: &Subvolume| found.item.parent_uuid == original && found.item.refs != 0;
    let all = subvolume::all(destination).map_err(unconfirmed("read the state of the subvolume"))?;
    let found = all.into_iter().find(of_original);
    let Subvolume { id, item, .. } = found.ok_or_else(gone)?;
    hidden.record.state = SubvolumeState::of_item(&item);
    if let Err(error) = hidden.record.write(destination.as_fd()) {
        observer.warning(&format!(
            "the subvolume was published, but its record could not be written ({error}): the next transfer may have to be a full \
             one"
        ));
    }

    observer.phase(Phase::Settling);
    if let Err(fault) = hidden.delete() {
        observer.warning(&format!(
            "the subvolume was published, but the copy that was received could not be deleted ({fault}): the next receive \
             into this directory deletes it"
        ));
    }
    Ok((id, hidden.record.state))
}

fn not_named(fault: Fault, name: &CStr) -> Error {
    if fault.errno == Errno::EEXIST {
        return Error::new(Cause::Exists(name.to_bytes().to_vec()));
    }
    Error::call("give the subvolume its name", fault)
}

/// The owner of the destination has deleted the snapshot already.
fn gone() -> Error {
    reading_state()(Fault { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::ENOENT })
}

fn reading_state() -> impl Fn(Fault) -> Error {
    doing("read the state of the subvolume")
}

/// An error after the subvolume has got its name.
fn unconfirmed(doing: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::new(Cause::Unconfirmed { doing, fault })
}
