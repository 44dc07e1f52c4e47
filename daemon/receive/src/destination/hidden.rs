//! The hidden subvolume that a stream is received into: in the staging directory, or in the destination itself where only
//! root can reach that.
//!
//! It is locked from when it is visible until it has its final name, so that a sweep leaves it alone. Before it is locked,
//! its root may be open to others: to all users when it is new, to its parent's owner when it is a snapshot. A user who
//! opens it then could lock it, and read its content later. So it is created in a private directory, and moved out when it
//! is private itself. The destination directory is never locked: any user who may read it could hold that lock.

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
use super::{Destination, HIDDEN};
use crate::apply::{Finished, REFUSING, set_root_access};
use crate::error::{Cause, Error, doing};
use crate::observer::{Observer, Phase};
use crate::options::Publication;
use crate::plan::Begin;
use crate::real::{Directory, RealInode};
use crate::volume::InodeState;

/// Only root may look in while it is hidden.
const PRIVATE: u32 = 0o700;
/// Up to this many private directories may be swept between their creation and their lock.
const TRIES: u32 = 100;

/// A subvolume under a hidden name. Dropped before it is published, it is deleted.
#[derive(Debug)]
pub(crate) struct HiddenSubvolume<'d> {
    destination: &'d Destination,
    name: CString,
    root: OwnedFd,
    /// Holds the lock that makes sweeps skip this subvolume.
    _lock: OwnedFd,
    /// The owner and the mode that its root shall have unless the stream gives others.
    pub(crate) state: InodeState,
    /// The flags that its parent handed down and that refuse changes; they come back unless the stream gives others.
    pub(crate) refusing: u32,
    /// The number of its parent is not the one in the stream.
    pub(crate) parent_number_differs: bool,
    /// The record that it will have; until it is published it says nothing of its state.
    pub(crate) record: Record,
    published: bool,
}

impl<'d> HiddenSubvolume<'d> {
    /// Makes the subvolume that a stream begins with: an empty one, or a snapshot of its parent.
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
            // Nothing is in it yet; if this fails too, the next run sweeps it.
            best_effort(subvolume::destroy(&private_dir, &name));
        })?;
        drop(private_dir);
        if parent.is_none() {
            hidden.remove_inherited().map_err(doing("clear what the directory hands down"))?;
        }
        hidden.parent_number_differs = parent.is_some_and(|parent| parent.number_differs);
        Ok(hidden)
    }

    /// Makes it private, locks it and moves it to where it is received.
    fn move_out(destination: &'d Destination, private_dir: &LockDirectory<'_>, name: &CStr) -> Result<Self, Error> {
        let look = |fault| Error::call("open the new subvolume", fault);
        let open = || file::openat_new(private_dir, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty());
        let root = open().map_err(look)?;
        let stat = file::stat(&root).map_err(look)?;
        let refusing = lift(&root).map_err(doing("lift the flags of the new subvolume"))?;
        // A snapshot's root belongs to whom its parent's does, who must not come in, and whose it is when it is swept.
        inode::set_owner(&root, 0, 0).map_err(doing("hide the new subvolume"))?;
        inode::set_mode(&root, PRIVATE).map_err(doing("hide the new subvolume"))?;
        // A lock belongs to an open file description: one that nothing else closes.
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

    /// A new subvolume gets the default ACL of its directory; what is received shall be as it was at the source.
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

    /// Where it is received.
    pub(crate) fn destination(&self) -> &'d Destination {
        self.destination
    }

    /// It has its own name now: it is not deleted any more.
    pub(crate) fn published(&mut self) {
        self.published = true;
    }

    /// A snapshot of it was published: it is deleted. Answers whether that could be done.
    pub(crate) fn delete(&mut self) -> Result<(), Fault> {
        self.published = true;
        subvolume::destroy(self.destination.receiving_dir(), &self.name)
    }
}

impl Drop for HiddenSubvolume<'_> {
    /// After any error nothing unfinished stays. If this fails too, the caller learns it, and the next run sweeps.
    fn drop(&mut self) {
        if !self.published && subvolume::destroy(self.destination.receiving_dir(), &self.name).is_err() {
            self.destination.left.store(true, Ordering::Relaxed);
        }
    }
}

/// A directory that no other user can enter. Nothing is in it yet, so another run's sweep takes it where it is quicker than we
/// are with the lock.
fn private_dir(destination: &Destination) -> Result<LockDirectory<'_>, Error> {
    let making = doing("make a private directory in the destination");
    for _ in 0..TRIES {
        if let Some(held) = LockDirectory::create(destination.receiving_dir(), &hidden_name()?).map_err(&making)? {
            return Ok(held);
        }
    }
    Err(making(Fault { call: "flock", errno: Errno::EAGAIN }))
}

/// Takes the immutable and append-only flags from a snapshot's root.
pub(super) fn lift(root: &OwnedFd) -> Result<u32, Fault> {
    let flags = flags::flags(root)?.bits() & REFUSING;
    if flags != 0 {
        flags::set_refusing(root, flags::Flags::from_bits(0))?;
    }
    Ok(flags)
}

/// `.butterdock-` and 32 random hexadecimal digits.
fn hidden_name() -> Result<CString, Error> {
    let random = system::random_bytes().map_err(doing("draw a hidden name"))?;
    let mut name = HIDDEN.to_vec();
    for byte in random {
        name.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    CString::new(name).map_err(|_nul| Error::new(Cause::Value("a hidden name")))
}

/// Publishes `hidden` as `name`, and answers the id of what was published, what it is, and the flags that its root did not get.
///
/// # Errors
/// [`Cause::Unconfirmed`] where the subvolume has its name and the filesystem failed afterwards. It is not taken back: a
/// filesystem that cannot write the name out cannot delete it either, and all else of the subvolume is on the device. After any
/// other error the caller drops `hidden`, and nothing stays.
pub(crate) fn publish(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    begin: &Begin,
    mut finished: Finished,
    health: &Health,
    observer: &dyn Observer,
    cancelled: impl Fn() -> bool,
) -> Result<(u64, SubvolumeState, u32), Error> {
    observer.phase(Phase::Syncing);
    filesystem::sync(hidden.root()).map_err(doing("write the filesystem out"))?;

    observer.phase(Phase::Checking);
    check_extents(hidden.root(), std::mem::take(&mut finished.written))?;
    health.check(hidden.root())?;
    if cancelled() {
        return Err(Error::new(Cause::Cancelled));
    }

    observer.phase(Phase::Marking);
    // Until now only root could look in; from here on the subvolume is as its owner had it.
    finished.root_flags = finished.root_flags.or(Some(hidden.refusing));
    let root = Directory::new(hidden.reopen()?).map_err(doing("open the subvolume"))?;
    let received = Received { uuid: begin.identity.uuid.0, stransid: begin.identity.ctransid };
    let mark = || subvolume::set_received(hidden.root(), &received).map_err(doing("set the received uuid"));
    // Twice: a sweep knows ours by root's ownership or by this mark, and the mark's time must be the last of all.
    mark()?;
    let refused = set_root_access(&RealInode::of_directory(root), finished, hidden.state)?;
    mark()?;

    let (id, state) = match hidden.destination().publication() {
        Publication::Rename => by_rename(hidden, name, observer)?,
        Publication::Snapshot => by_snapshot(hidden, name, observer)?,
    };
    filesystem::sync(hidden.root()).map_err(unconfirmed("write the new name out"))?;
    Ok((id, state, refused))
}

/// Makes it read-only and gives it its name.
fn by_rename(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    observer: &dyn Observer,
) -> Result<(u64, SubvolumeState), Error> {
    observer.phase(Phase::ReadOnly);
    subvolume::set_read_only(hidden.root(), true).map_err(doing("make the subvolume read-only"))?;
    let info = subvolume::info(hidden.root()).map_err(looking())?;

    let destination = hidden.destination();
    // Before it has its name: what has one has a record.
    hidden.record.state = SubvolumeState::of_info(&info);
    hidden.record.write(destination.as_fd())?;

    observer.phase(Phase::Publishing);
    names::rename_noreplace(destination, hidden.name(), destination, name).map_err(|fault| {
        // Where this fails, the next run's sweep removes it.
        best_effort(Record::remove(destination.as_fd(), info.uuid));
        not_named(fault, name)
    })?;
    hidden.published();
    observer.phase(Phase::Settling);
    Ok((info.id, hidden.record.state))
}

/// Makes a read-only snapshot of it under the name, and deletes it.
fn by_snapshot(
    hidden: &mut HiddenSubvolume<'_>,
    name: &CStr,
    observer: &dyn Observer,
) -> Result<(u64, SubvolumeState), Error> {
    observer.phase(Phase::ReadOnly);
    let original = subvolume::info(hidden.root()).map_err(looking())?.uuid;

    observer.phase(Phase::Publishing);
    let destination = hidden.destination();
    subvolume::snapshot(destination, name, hidden.root(), true).map_err(|fault| not_named(fault, name))?;
    // Not by its name: the owner of the destination may have renamed it by now, or mounted something over it. Nobody else can
    // make a snapshot of the original.
    let of_original = |found: &Subvolume| found.item.parent_uuid == original && found.item.refs != 0;
    let all = subvolume::all(destination).map_err(unconfirmed("look at the subvolume"))?;
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

/// Its owner was quicker.
fn gone() -> Error {
    looking()(Fault { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::ENOENT })
}

fn looking() -> impl Fn(Fault) -> Error {
    doing("look at the subvolume")
}

/// It has its name already.
fn unconfirmed(doing: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::new(Cause::Unconfirmed { doing, fault })
}
