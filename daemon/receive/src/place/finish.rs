//! Durable, then named.
//!
//! The order is the point: everything is on disk and was looked at before the subvolume is marked as received, and it is
//! marked and read-only before it has its name. A crash between any two steps leaves a hidden name only.
//!
//! Its root gets its owner and mode before it is read-only, because afterwards it could not. From then on its owner could
//! open what is his in it, and write through that descriptor for as long as he likes, read-only or not. So where another
//! user can reach the destination all of this happens in the staging directory, and what is published is a snapshot: it is
//! read-only from its first moment, and nothing of it was ever open. The kernel copies the whole mark into it
//! (`create_pending_snapshot` in fs/btrfs/transaction.c: of a read-only snapshot `received_uuid`, `stransid`, `rtransid`
//! and their times stay).

use std::ffi::CStr;
use std::os::fd::AsFd as _;

use butterdock_btrfs::subvolume::Received;
use butterdock_btrfs::subvolume::{self, Subvolume};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem, names};

use super::health::{Health, check_extents};
use super::hidden::Hidden;
use crate::apply::{Finished, open_up};
use crate::error::{Cause, Error};
use crate::observer::{Observer, Phase};
use crate::options::Publication;
use crate::plan::Begin;
use crate::real::{Directory, RealInode};
use crate::record::{Record, SubvolumeState};

/// Publishes `hidden` as `name`, and answers the id of what was published, what it is, and the flags that its root did not get.
///
/// # Errors
/// [`Cause::Unconfirmed`] where the subvolume has its name and the filesystem failed afterwards. It is not taken back: a
/// filesystem that cannot write the name out cannot delete it either, and all else of the subvolume is on the device. After any
/// other error the caller drops `hidden`, and nothing stays.
pub(crate) fn publish(
    hidden: &mut Hidden<'_>,
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
    let refused = open_up(&RealInode::of_directory(root), finished, hidden.state)?;
    mark()?;

    let (id, state) = match hidden.destination().publication() {
        Publication::Rename => by_rename(hidden, name, observer)?,
        Publication::Snapshot => by_snapshot(hidden, name, observer)?,
    };
    filesystem::sync(hidden.root()).map_err(unconfirmed("write the new name out"))?;
    Ok((id, state, refused))
}

/// Makes it read-only and gives it its name.
fn by_rename(hidden: &mut Hidden<'_>, name: &CStr, observer: &dyn Observer) -> Result<(u64, SubvolumeState), Error> {
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
fn by_snapshot(hidden: &mut Hidden<'_>, name: &CStr, observer: &dyn Observer) -> Result<(u64, SubvolumeState), Error> {
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

fn doing(what: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::call(what, fault)
}
