//! Durable, then named.
//!
//! The order is the point: everything is on disk and was looked at before the subvolume is marked as received, and
//! it is marked and read-only before it has its name. A crash between any two steps leaves a hidden name only.

use std::ffi::CStr;
use std::os::fd::AsFd as _;

use butterdock_btrfs::subvolume::{Received, SubvolumeInfo};
use butterdock_btrfs::{Errno, Error as Fault, filesystem, names, subvolume};

use super::extents;
use super::health::Health;
use super::hidden::Hidden;
use crate::apply::{Finished, open_up};
use crate::error::{Cause, Error};
use crate::observer::{Observer, Phase};
use crate::plan::Begin;
use crate::real::{Directory, RealInode};
use crate::record::{Record, SubvolumeState};

/// Publishes `hidden` as `name`, and answers what the subvolume says of itself and the flags that its root did not get. Where it
/// fails, the caller drops `hidden`, and nothing stays.
pub(crate) fn publish(
    hidden: &mut Hidden<'_>,
    name: &CStr,
    begin: &Begin,
    mut finished: Finished,
    health: &Health,
    observer: &dyn Observer,
    cancelled: impl Fn() -> bool,
) -> Result<(SubvolumeInfo, u32), Error> {
    observer.phase(Phase::Syncing);
    filesystem::sync(hidden.root()).map_err(doing("write the filesystem out"))?;

    observer.phase(Phase::Checking);
    extents::check(hidden.root(), std::mem::take(&mut finished.written))?;
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

    observer.phase(Phase::ReadOnly);
    subvolume::set_read_only(hidden.root(), true).map_err(doing("make the subvolume read-only"))?;
    let info = subvolume::info(hidden.root()).map_err(doing("look at the subvolume"))?;

    let destination = hidden.destination();
    // Before it has its name: what has one has a record.
    hidden.record.state = SubvolumeState::of_info(&info);
    hidden.record.write(destination.as_fd())?;

    observer.phase(Phase::Publishing);
    names::rename_noreplace(destination, hidden.name(), destination, name).map_err(|fault| {
        // Where this fails, the next run's sweep removes it.
        Record::remove(destination.as_fd(), info.uuid).unwrap_or_default();
        if fault.errno == Errno::EEXIST {
            return Error::new(Cause::Exists(name.to_bytes().to_vec()));
        }
        Error::call("give the subvolume its name", fault)
    })?;
    hidden.published();

    observer.phase(Phase::Settling);
    filesystem::sync(hidden.root()).map_err(doing("write the new name out"))?;
    Ok((info, refused))
}

fn doing(what: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::call(what, fault)
}
