//! Finds the parent and the clone sources of a stream. This module collects the facts about the subvolumes of the filesystem,
//! and [`candidate`](super::candidate) decides which may be used. At the end of the run it checks the used ones again.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::roots::{self, RootItem};
use butterdock_btrfs::{Error as Fault, contents, filesystem, subvolume};
use butterdock_stream::{Identity, Uuid};

use super::HIDDEN;
use super::access::{c_path, is_hidden, is_only_roots, open_parent};
use super::candidate::{Candidate, Chosen, Trust, choose, needs_number};
use super::record::{Record, SubvolumeState};
use super::staging::STAGING;
use crate::error::{Cause, Error, doing};
use crate::name::StreamPath;
use crate::options::{Candidates, Options};
use crate::real::{CloneSources, Directory, RealInode, open_source};

/// Up to this many clone source files stay open.
const OPEN_FILES: usize = 16;
/// Up to this many found subvolumes are kept.
const SUBVOLUMES: usize = 64;
/// A message has up to this many reasons why subvolumes are not used.
const REASONS: usize = 8;

/// The subvolumes of one filesystem, by their identity at the sender.
#[derive(Debug)]
pub(crate) struct Parents {
    /// A descriptor on the filesystem.
    fd: OwnedFd,
    mount_root: Option<PathBuf>,
    /// The top-level subvolume: from the options, or opened when it was first needed.
    top: Option<Arc<OwnedFd>>,
    candidates: Candidates,
    asked_by: u32,
    strict: bool,
    found: HashMap<Identity, Found>,
    files: Vec<(Identity, StreamPath, RealInode)>,
}

/// A subvolume that is used as a parent or clone source.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its root.
    pub(crate) directory: Arc<Directory>,
    /// Its number differs from the one in the stream.
    pub(crate) number_differs: bool,
    pub(super) id: u64,
    state: SubvolumeState,
}

/// A candidate with its id and path.
struct Located {
    id: u64,
    path: Vec<u8>,
    candidate: Candidate,
}

/// What the records and the directories above say about a subvolume.
struct Provenance {
    trust: Trust,
    /// Its ctransid when it was recorded.
    since: Option<u64>,
    /// Whether it may be used only with exactly the number in the stream.
    exact: bool,
}

impl Provenance {
    /// Without a matching record.
    fn new(trust: Trust) -> Self {
        Self { trust, since: None, exact: false }
    }
}

impl Parents {
    pub(crate) fn new(fd: OwnedFd, options: &Options) -> Self {
        Self {
            fd,
            mount_root: options.mount_root.clone(),
            top: options.top.clone(),
            candidates: options.candidates.clone(),
            asked_by: options.asked_by,
            strict: options.strict_parent,
            found: HashMap::new(),
            files: Vec::new(),
        }
    }

    /// The subvolume with the identity `wanted` at the sender: read-only, trusted, and not changed since it was received or
    /// made. `role` names it in the message.
    pub(crate) fn find(&mut self, role: &'static str, wanted: &Identity) -> Result<Found, Error> {
        if let Some(found) = self.found.get(wanted) {
            return Ok(found.clone());
        }
        let mut found = self.search(role, wanted)?;
        if found.is_none() {
            // Changes of the last seconds are in the trees only after a sync.
            filesystem::sync(&self.fd).map_err(doing("write the filesystem out"))?;
            found = self.search(role, wanted)?;
        }
        match found {
            Some(found) => self.remember(wanted, found),
            None => {
                let there = "it is being changed or replaced".to_owned();
                Err(Error::new(Cause::SubvolumeMissing { role, wanted: *wanted, there }))
            }
        }
    }

    /// Looks at all candidates; none if the chosen one was changed or replaced meanwhile.
    fn search(&mut self, role: &'static str, wanted: &Identity) -> Result<Option<Found>, Error> {
        let (mut all, mut reasons) = (Vec::new(), Vec::new());
        for id in self.candidates(wanted.uuid).map_err(doing("look up a uuid"))? {
            match self.locate(id, wanted) {
                Ok(Some(located)) => all.push(located),
                Ok(None) => {}
                // Another user may have made the subvolume unreadable; the search continues.
                Err(error) => reasons.push(format!("subvolume {id} cannot be examined ({})", error.cause)),
            }
        }
        let facts: Vec<_> = all.iter().map(|located| located.candidate.clone()).collect();
        match choose(wanted, self.strict, &facts) {
            Ok(chosen) => {
                if let Some(located) = all.get(chosen.index) {
                    return self.open(located, chosen);
                }
            }
            Err(refused) => {
                let of = |index: usize| all.get(index).map(|located| quoted(&located.path)).unwrap_or_default();
                reasons.extend(refused.into_iter().map(|(index, why)| format!("{} {why}", of(index))));
            }
        }
        for located in &all {
            let why = located.candidate.rejection(wanted);
            reasons.extend(why.map(|why| format!("{} {why}", quoted(&located.path))));
        }
        Err(Error::new(Cause::SubvolumeMissing { role, wanted: *wanted, there: join_reasons(reasons) }))
    }

    /// Whether a usable subvolume has exactly the identity `wanted`.
    pub(crate) fn has(&mut self, wanted: &Identity) -> Result<bool, Error> {
        self.strict = true;
        match self.find("subvolume", wanted) {
            Ok(_) => Ok(true),
            Err(Error { cause: Cause::SubvolumeMissing { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Checks all used subvolumes again: an owner may have made one writable and changed it meanwhile. An unchanged ctransid
    /// proves that it was not changed.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (wanted, found) in &self.found {
            let info = subvolume::info(&*found.directory).map_err(doing("examine a subvolume again"))?;
            let now = SubvolumeState::of_info(&info);
            let same = now.is_marked_as(&found.state) && info.flags & READ_ONLY != 0;
            if !same || (now.ctransid != found.state.ctransid && self.was_changed_since(found)?) {
                let there = "it was changed while it was read".to_owned();
                return Err(Error::new(Cause::SubvolumeMissing { role: "source", wanted: *wanted, there }));
            }
        }
        Ok(())
    }

    fn was_changed_since(&self, found: &Found) -> Result<bool, Error> {
        let Some(item) = roots::root_item(&self.fd, found.id).map_err(doing("look up a subvolume"))? else {
            return Ok(true);
        };
        let time = if item.rtransid == 0 { (item.otime, item.otime_nanoseconds) } else { item.rtime };
        let newest =
            contents::newest_ctime(&self.fd, found.id, found.state.ctransid).map_err(doing("look for changes"))?;
        Ok(newest.is_some_and(|ctime| ctime > time))
    }

    fn remember(&mut self, wanted: &Identity, found: Found) -> Result<Found, Error> {
        if self.found.len() >= SUBVOLUMES {
            self.check()?;
            self.found.clear();
        }
        self.found.insert(*wanted, found.clone());
        Ok(found)
    }

    /// The ids of all subvolumes with this uuid; read-only snapshots inherit a `received_uuid`, so there can be several.
    fn candidates(&self, uuid: Uuid) -> Result<Vec<u64>, Fault> {
        let mut ids = roots::subvolumes_by_received_uuid(&self.fd, uuid.0)?;
        ids.extend(roots::subvolumes_by_uuid(&self.fd, uuid.0)?);
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// The facts about subvolume `id`; none if it is deleted, or hidden because it is being received.
    fn locate(&mut self, id: u64, wanted: &Identity) -> Result<Option<Located>, Error> {
        let Some(item) = roots::root_item(&self.fd, id).map_err(doing("look up a subvolume"))? else { return Ok(None) };
        let path = roots::path_of(&self.fd, id).map_err(doing("look up a subvolume's path"))?;
        let Some(path) = path.filter(|path| item.refs != 0 && !is_hidden(path, HIDDEN, STAGING.to_bytes())) else {
            return Ok(None);
        };
        let state = SubvolumeState::of_item(&item);
        let writable = Provenance::new(Trust::Unrecorded);
        let Provenance { trust, since, exact } = if item.read_only { self.trust(&path, &state)? } else { writable };
        let RootItem { parent_uuid, read_only, .. } = item;
        let mut candidate = Candidate { state, parent_uuid, read_only, trust, exact, changed: false };
        // A candidate that is rejected anyway is not searched for changes.
        if candidate.rejection(wanted).is_none() {
            candidate.changed = self.was_changed(id, &item, &candidate, since, wanted)?;
        }
        Ok(Some(Located { id, path, candidate }))
    }

    /// Whether the subvolume at `path` can be trusted.
    fn trust(&mut self, path: &[u8], state: &SubvolumeState) -> Result<Provenance, Error> {
        let as_recorded = |recorded: &SubvolumeState| {
            if state.is_marked_as(recorded) && state.ctransid >= recorded.ctransid {
                Provenance { trust: Trust::Recorded, since: Some(recorded.ctransid), exact: false }
            } else {
                Provenance::new(Trust::RecordedOtherwise)
            }
        };
        let unrecorded_if_roots = match &self.candidates {
            Candidates::Listed(listed) => {
                let listed = listed.iter().find(|listed| listed.uuid == state.uuid);
                return Ok(listed.map_or(Provenance::new(Trust::NotListed), as_recorded));
            }
            Candidates::Recorded { unrecorded_if_roots } => *unrecorded_if_roots,
        };
        let looking = doing("examine the directory of a subvolume");
        let top = self.top()?;
        let Some(parent) = open_parent(top.as_fd(), path).map_err(&looking)? else {
            return Ok(Provenance::new(Trust::Unrecorded));
        };
        match Record::read(parent.as_fd(), state.uuid) {
            Ok(Some(record)) if record.asked_by != 0 && record.asked_by != self.asked_by => {
                Ok(Provenance::new(Trust::RecordedForAnother))
            }
            Ok(Some(record)) => {
                let exact = needs_number(self.asked_by, record.asked_by);
                Ok(Provenance { exact, ..as_recorded(&record.state) })
            }
            Err(Error { cause: Cause::Record(_), .. }) => Ok(Provenance::new(Trust::RecordedOtherwise)),
            Err(error) => Err(error),
            Ok(None)
                if unrecorded_if_roots && is_only_roots(top.as_fd(), path, self.fd.as_fd()).map_err(&looking)? =>
            {
                Ok(Provenance { exact: needs_number(self.asked_by, 0), ..Provenance::new(Trust::Roots) })
            }
            Ok(None) => Ok(Provenance::new(Trust::Unrecorded)),
        }
    }

    /// Whether an inode was changed since the subvolume was recorded, received or made. A receiver that marks before its data
    /// is on disk, and deduplication, leave a later `ctransid` without a change. Then the change times of the inodes decide,
    /// which no user can set.
    fn was_changed(
        &self,
        id: u64,
        item: &RootItem,
        candidate: &Candidate,
        recorded: Option<u64>,
        wanted: &Identity,
    ) -> Result<bool, Error> {
        let received = candidate.is_received(wanted);
        if !received && item.ctransid == wanted.ctransid {
            return Ok(false);
        }
        let (begun, time) =
            if received { (item.rtransid, item.rtime) } else { (item.otransid, (item.otime, item.otime_nanoseconds)) };
        let since = recorded.unwrap_or(begun);
        if item.ctransid <= since {
            return Ok(false);
        }
        let newest = contents::newest_ctime(&self.fd, id, since).map_err(doing("look for changes of a subvolume"))?;
        Ok(newest.is_some_and(|ctime| ctime > time))
    }

    /// Opens it from the top; none if another file has its path meanwhile, or its state has changed.
    fn open(&mut self, located: &Located, chosen: Chosen) -> Result<Option<Found>, Error> {
        let opening = doing("open the subvolume that the stream is based on");
        let (top, Located { id, path, candidate, .. }) = (self.top()?, located);
        let Some(path) = c_path(path) else { return Ok(None) };
        let fd =
            file::open_beneath(&*top, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).map_err(&opening)?;
        let info = subvolume::info(&fd).map_err(&opening)?;
        let state = SubvolumeState::of_info(&info);
        if info.id != *id || info.flags & READ_ONLY == 0 || state != candidate.state {
            return Ok(None);
        }
        let directory = Directory::new(fd).map_err(&opening)?;
        Ok(Some(Found { directory, number_differs: chosen.number_differs, id: *id, state }))
    }

    fn top(&mut self) -> Result<Arc<OwnedFd>, Error> {
        if let Some(top) = &self.top {
            return Ok(Arc::clone(top));
        }
        let top = self.open_top().map_err(doing("open the subvolume that the stream is based on"))?;
        Ok(Arc::clone(self.top.insert(Arc::new(top))))
    }

    /// The parent may lie outside of the visible mount, so the top-level subvolume is mounted privately.
    fn open_top(&self) -> Result<OwnedFd, Fault> {
        let error = match (filesystem::open_top(&self.fd), &self.mount_root) {
            (Ok(top), _) => return Ok(top),
            (Err(fault), None) => return Err(fault),
            (Err(fault), Some(_)) => fault,
        };
        let given = self.mount_root.as_ref().and_then(|root| std::fs::File::open(root).ok()).map(OwnedFd::from);
        match given {
            Some(given) if subvolume::info(&given)?.id == subvolume::TOP_LEVEL_ID => Ok(given),
            _ => Err(error),
        }
    }
}

/// `BTRFS_ROOT_SUBVOL_RDONLY`.
const READ_ONLY: u64 = 1;

impl CloneSources for Parents {
    fn open(&mut self, source: &Identity, path: &StreamPath) -> Result<RealInode, Error> {
        if let Some((_, _, kept)) = self.files.iter().find(|(from, at, _)| from == source && at == path) {
            return Ok(kept.clone());
        }
        let subvolume = self.find("clone source", source)?;
        let opened = open_source(&subvolume.directory, path)?;
        if self.files.len() >= OPEN_FILES {
            self.files.remove(0);
        }
        self.files.push((*source, path.clone(), opened.clone()));
        Ok(opened)
    }
}

/// The reasons in one sentence. Their number is limited, because any user may create many subvolumes with one uuid.
fn join_reasons(mut reasons: Vec<String>) -> String {
    if reasons.is_empty() {
        return "no subvolume here has that uuid".to_owned();
    }
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    let reasons = reasons.join(", ");
    if more == 0 { reasons } else { format!("{reasons}, and {more} more") }
}

fn quoted(path: &[u8]) -> String {
    format!("\"{}\"", path.escape_ascii())
}
