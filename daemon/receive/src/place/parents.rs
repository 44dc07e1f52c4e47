//! Finds the subvolumes that a stream builds on: its parent, and what it clones from.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::roots::{self, RootItem};
use butterdock_btrfs::{Error as Fault, changes, subvolume, top, uuid_tree};
use butterdock_stream::{Identity, Uuid};

use super::destination::HIDDEN;
use crate::error::{Cause, Error};
use crate::name::StreamPath;
use crate::real::{Directory, RealInode, Sources, open_source};

/// So many files to clone from stay open.
const OPEN_FILES: usize = 16;
/// So many subvolumes are remembered.
const SUBVOLUMES: usize = 64;

/// The subvolumes of one filesystem, by the sender's identity of them.
#[derive(Debug)]
pub(crate) struct Parents {
    /// A descriptor on the filesystem.
    fd: OwnedFd,
    mount_root: Option<PathBuf>,
    /// The top-level subvolume: given, or opened once it was needed.
    top: Option<Arc<OwnedFd>>,
    found: HashMap<Identity, Arc<Directory>>,
    files: Vec<(Identity, StreamPath, RealInode)>,
}

impl Parents {
    pub(crate) fn new(fd: OwnedFd, mount_root: Option<PathBuf>, top: Option<Arc<OwnedFd>>) -> Self {
        Self { fd, mount_root, top, found: HashMap::new(), files: Vec::new() }
    }

    /// The subvolume that the sender calls `wanted`: read-only, and unchanged since it was the same there.
    /// `role` is what the message calls it.
    pub(crate) fn find(&mut self, role: &'static str, wanted: &Identity) -> Result<Arc<Directory>, Error> {
        if let Some(found) = self.found.get(wanted) {
            return Ok(Arc::clone(found));
        }
        let mut reasons = Vec::new();
        for id in self.candidates(wanted.uuid).map_err(doing("look up a uuid"))? {
            let Some(item) = roots::root_item(&self.fd, id).map_err(doing("look up a subvolume"))? else { continue };
            let Some(path) = roots::path_of(&self.fd, id).map_err(doing("look up a subvolume's path"))? else {
                continue;
            };
            if item.refs == 0 || path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(HIDDEN)) {
                continue;
            }
            match self.unfit(id, &item, wanted).map_err(doing("look for changes of a subvolume"))? {
                Some(reason) => reasons.push(format!("\"{}\" {reason}", path.escape_ascii())),
                None => match self.open(id, &path) {
                    Ok(Some(found)) => {
                        if self.found.len() >= SUBVOLUMES {
                            self.found.clear();
                        }
                        self.found.insert(*wanted, Arc::clone(&found));
                        return Ok(found);
                    }
                    Ok(None) => reasons.push(format!("\"{}\" was replaced just now", path.escape_ascii())),
                    Err(fault) => return Err(Error::call("open the subvolume that the stream builds on", fault)),
                },
            }
        }
        let there = if reasons.is_empty() { "no subvolume here has that uuid".to_owned() } else { reasons.join(", ") };
        Err(Error::new(Cause::SubvolumeMissing { role, wanted: *wanted, there }))
    }

    /// All ids that may be meant; read-only snapshots inherit a `received_uuid`, so there can be several.
    fn candidates(&self, uuid: Uuid) -> Result<Vec<u64>, Fault> {
        let mut ids = uuid_tree::subvolumes_by_received_uuid(&self.fd, uuid.0)?;
        ids.extend(uuid_tree::subvolumes_by_uuid(&self.fd, uuid.0)?);
        ids.dedup();
        Ok(ids)
    }

    /// Why a subvolume must not be used, if so.
    fn unfit(&self, id: u64, item: &RootItem, wanted: &Identity) -> Result<Option<String>, Fault> {
        if !item.read_only {
            return Ok(Some("is not read-only".to_owned()));
        }
        if item.received_uuid != wanted.uuid.0 {
            return Ok((item.ctransid != wanted.ctransid)
                .then(|| format!("has changed (ctransid {}, the stream wants {})", item.ctransid, wanted.ctransid)));
        }
        if item.stransid != wanted.ctransid {
            let (there, wanted) = (item.stransid, wanted.ctransid);
            return Ok(Some(format!("was received in another state (stransid {there}, the stream wants {wanted})")));
        }
        // What was received must not have been made writable and changed. A receiver that marks before its data is
        // on disk leaves a ctransid above rtransid without any change, so then the inodes' change times decide.
        if item.ctransid > item.rtransid {
            let newest = changes::newest_ctime(&self.fd, id, item.rtransid)?;
            if newest.is_some_and(|ctime| ctime > item.rtime) {
                return Ok(Some("was changed after it was received".to_owned()));
            }
        }
        Ok(None)
    }

    /// Opens subvolume `id` from the top; none when something else is there by now.
    fn open(&mut self, id: u64, path: &[u8]) -> Result<Option<Arc<Directory>>, Fault> {
        if self.top.is_none() {
            self.top = Some(Arc::new(self.open_top()?));
        }
        let Some(top) = &self.top else { return Ok(None) };
        let path = if path.is_empty() { b"." } else { path };
        let Ok(path) = CString::new(path) else { return Ok(None) };
        let fd = file::open_beneath(top, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        if subvolume::info(&fd)?.id != id {
            return Ok(None);
        }
        Directory::new(fd).map(Some)
    }

    /// The parent may lie outside what is mounted: the top-level subvolume is mounted privately, attached nowhere.
    fn open_top(&self) -> Result<OwnedFd, Fault> {
        let refused = match (top::open_top(&self.fd), &self.mount_root) {
            (Ok(top), _) => return Ok(top),
            (Err(fault), None) => return Err(fault),
            (Err(fault), Some(_)) => fault,
        };
        let given = self.mount_root.as_ref().and_then(|root| std::fs::File::open(root).ok()).map(OwnedFd::from);
        match given {
            Some(given) if subvolume::info(&given)?.id == subvolume::TOP_LEVEL_ID => Ok(given),
            _ => Err(refused),
        }
    }
}

impl Sources for Parents {
    fn open(&mut self, source: &Identity, path: &StreamPath) -> Result<RealInode, Error> {
        if let Some((_, _, kept)) = self.files.iter().find(|(from, at, _)| from == source && at == path) {
            return Ok(kept.clone());
        }
        let subvolume = self.find("clone source", source)?;
        let opened = open_source(&subvolume, path)?;
        if self.files.len() >= OPEN_FILES {
            self.files.remove(0);
        }
        self.files.push((*source, path.clone(), opened.clone()));
        Ok(opened)
    }
}

fn doing(what: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::call(what, fault)
}
