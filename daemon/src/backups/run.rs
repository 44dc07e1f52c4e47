//! A worker's way through one backup.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_btrfs::{filesystem, roots};
use butterdock_receive::{Control, ErrorKind, Observer, Outcome, Publication, Published};

use super::common::{Pair, Why, common};
use super::fresh::{Fresh, sweep};
use super::identity::Identity;
use super::last::last;
use super::pins::Pin;
use super::snapshot::{Side, Snapshot, list};
use super::source::Source;
use super::task::{Task, Told};
use super::thin::{Thinning, tell_from_future, tell_seen, thin};
use super::trouble::Trouble;

/// What a backup is between.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The root directory of the source.
    pub(crate) source: OwnedFd,
    /// The folder for its snapshots, on the same filesystem.
    pub(crate) folder: OwnedFd,
    /// The destination directory, on the drive.
    pub(crate) destination: OwnedFd,
    /// The root of the drive's filesystem, where parents are found.
    pub(crate) top: Option<Arc<OwnedFd>>,
    /// How a snapshot gets its name in the destination.
    pub(crate) publication: Publication,
}

/// A backup being done.
#[derive(Clone, Copy)]
pub(crate) struct Run<'r> {
    pub(crate) ends: &'r Ends,
    pub(crate) task: &'r Task,
    /// The version of streams that this kernel sends: 1 or 2.
    pub(crate) version: u32,
    /// An estimate that takes longer is made beside the transfer.
    pub(crate) patience: Duration,
    pub(crate) control: &'r Control,
    /// Hears of what is received.
    pub(crate) observer: &'r dyn Observer,
    /// Hears of everything else.
    pub(crate) tell: &'r (dyn Fn(Told) + Sync),
}

impl Run<'_> {
    /// Does it, to the end: what is told as pinned is durable on both sides. Beside the source nothing is thinned yet.
    pub(crate) fn run(&self) -> Result<(), Trouble> {
        let (folder, task) = (self.folder(), self.task);
        let source = Source::check(self.ends.source.as_fd(), task.source)?;
        (self.tell)(Told::Source { uuid: source.origin.uuid });
        self.check_places(&source)?;
        sweep(folder, &source, &task.name)?;
        let (mine, theirs) = (self.list_source()?, self.list_drive()?);
        let beside = Side::Source { uuid: source.origin.uuid };
        if !task.dry_run {
            tell_seen(task, beside, &mine, self.tell);
            tell_seen(task, Side::Drive, &theirs, self.tell);
        }
        let pairs = common(source.origin, &mine, &theirs);
        if task.dry_run {
            self.explain(&source, &mine, &theirs);
        }
        let from_future = || {
            tell_from_future(task, beside, &mine, self.tell);
            tell_from_future(task, Side::Drive, &theirs, self.tell);
        };
        // What another backup sent is a parent and no backup of this one: its rule does not keep it, another may delete it.
        let own = pairs.iter().flatten().find(|pair| pair.drive.name.is_some());
        if let Some(pair) = own
            && source.is_unchanged_since(pair)?
        {
            (self.tell)(Told::Unchanged { pin: self.pin(pair.source, pair.drive.uuid) });
            from_future();
            return Ok(());
        }
        let taken = |name: &[u8]| theirs.iter().any(|snapshot| snapshot.name.as_deref() == Some(name));
        let fresh = Fresh::make(folder, &source, &task.name, task.time.now(), taken)?;
        (self.tell)(Told::Snapshot { name: fresh.name().to_vec(), uuid: fresh.snapshot.uuid });
        let (uuid, why) = match &pairs {
            Ok(pairs) => (pairs.first().map(|pair| pair.source.uuid), None),
            Err(why) => (None, Some(self.reason(*why)?)),
        };
        (self.tell)(Told::Parent { uuid, why });
        from_future();
        if task.dry_run {
            return self.estimate_only(&fresh, pairs.as_deref().unwrap_or_default());
        }
        let outcome = self.deliver(&source, &mine, &fresh)?;
        fresh.keep();
        fresh.show()?;
        let pin = self.pin(&fresh.snapshot, self.twin(&outcome)?);
        (self.tell)(Told::Pinned { pin });
        if let Some(text) = thin(task, Side::Drive, self.destination(), &[pin.mark()], self.tell) {
            self.observer.warning(&text);
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.ends.folder.as_fd()
    }

    pub(super) fn destination(&self) -> BorrowedFd<'_> {
        self.ends.destination.as_fd()
    }

    pub(super) fn list_drive(&self) -> Result<Vec<Snapshot>, Trouble> {
        list(&self.ends.destination).map_err(Trouble::drive("list the snapshots"))
    }

    fn list_source(&self) -> Result<Vec<Snapshot>, Trouble> {
        list(&self.ends.folder).map_err(Trouble::source("list the snapshots"))
    }

    fn check_places(&self, source: &Source<'_>) -> Result<(), Trouble> {
        if !source.is_beside(&self.ends.folder)? {
            let text = "the folder for snapshots is on another filesystem than the source; correct `snapshots` in \
                        butterdock.toml";
            return Err(Trouble::said(ErrorKind::Failed, text));
        }
        let on_drive =
            filesystem::is_btrfs(&self.ends.destination).map_err(Trouble::drive("look at the filesystem"))?;
        if !on_drive {
            let text = "the drive has no btrfs filesystem; enrol it again with --format, or choose another drive";
            return Err(Trouble::said(ErrorKind::Failed, text));
        }
        if source.is_beside(&self.ends.destination)? {
            let text =
                "the drive and the source are one filesystem, so nothing would be safer for it; choose another drive";
            return Err(Trouble::said(ErrorKind::Failed, text));
        }
        Ok(())
    }

    /// Why everything is sent: what is not on the drive now may have been there.
    fn reason(&self, why: Why) -> Result<Why, Trouble> {
        let Some(uuid) = self.task.last else { return Ok(why) };
        let last = last(&self.ends.destination, uuid).map_err(Trouble::drive("look for the last backup"))?;
        Ok(last.explains(why))
    }

    /// The uuid of what was received.
    fn twin(&self, outcome: &Outcome) -> Result<Identity, Trouble> {
        let looking = Trouble::drive("look at the new snapshot");
        let id = outcome.subvolumes.last().map_or(0, |Published { id, .. }| *id);
        let item = roots::root_item(&self.ends.destination, id).map_err(looking)?;
        Ok(item.map_or(Identity::NONE, |item| Identity(item.uuid)))
    }

    fn explain(&self, source: &Source<'_>, mine: &[Snapshot], theirs: &[Snapshot]) {
        let side = Side::Source { uuid: source.origin.uuid };
        let now = self.task.time.now();
        Thinning::plan(self.task, side, mine, &[], now).explain(self.tell);
        Thinning::plan(self.task, Side::Drive, theirs, &[], now).explain(self.tell);
    }

    /// What a pair needs to stay one.
    fn pin(&self, source: &Snapshot, drive: Identity) -> Pin {
        let Snapshot { uuid, ctransid, .. } = *source;
        Pin { sent_as: source.sent_as(), ctransid, source: uuid, drive, time: self.task.time.now() }
    }
}

/// The newest pair's source is the parent; a stream may clone from so many of the newest.
const CLONE_SOURCES: usize = 8;

/// The ids of the parent and of what may be cloned from.
pub(super) fn basis(pairs: &[Pair<'_>]) -> (Option<u64>, Vec<u64>) {
    let ids: Vec<u64> = pairs.iter().take(CLONE_SOURCES).map(|pair| pair.source.id).collect();
    (ids.first().copied(), ids)
}
