//! An enrolled drive that is mounted: proved to be the enrolled filesystem before the kernel sees it, at a place that only root may
//! enter. Every call blocks while the drive blocks.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::device::{Devices, Error, Filesystem, Part, Result, Sentence, Source};
use crate::enrolment::Enrolment;

/// A drive that we mounted. Dropping it leaves it mounted.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    /// Where: `<run>/drives/<id>`, which root alone may enter.
    pub(super) at: PathBuf,
    devices: Arc<dyn Devices>,
}

/// Mounts the enrolled filesystem from `sources`, which are all its devices, at `<run>/drives/<id>`.
///
/// # Errors
/// A device is not what it should be; the filesystem is mounted already, or the kernel mounted another one than was meant: then
/// that is unmounted again before another process can see it.
pub(super) fn mount(
    devices: &Arc<dyn Devices>,
    enrolment: &Enrolment,
    sources: &[Source],
    run: &Path,
) -> Result<Mounted> {
    for source in sources {
        examine(&**devices, enrolment, sources.len(), source)?;
    }
    all_members(&**devices, enrolment, sources)?;
    let at = place(run, enrolment.id)?;
    devices.mount(&Filesystem { uuid: enrolment.filesystem, label: &enrolment.label }, sources, &at)?;
    Ok(Mounted { at, devices: Arc::clone(devices) })
}

impl Mounted {
    /// Its top, open. It must be closed again before [`Self::unmount`].
    ///
    /// # Errors
    /// The drive does not answer.
    pub(super) fn root(&self) -> Result<File> {
        self.devices.open(&self.at)
    }

    /// Writes everything to the drive. Answers whether it still takes writes.
    ///
    /// # Errors
    /// The drive does not answer, or did not take them.
    pub(super) fn write_out(&self) -> Result<bool> {
        self.devices.write_out(&self.root()?)
    }

    /// Unmounts it; what was written is on the drive afterwards.
    ///
    /// # Errors
    /// It is in use; the message names the program. It stays mounted.
    pub(super) fn unmount(&self) -> Result<()> {
        self.devices.unmount(&self.at)
    }

    /// Detaches the mount of an unplugged drive. The kernel ends it when the last user has closed it.
    ///
    /// # Errors
    /// It is not mounted.
    pub(super) fn detach(&self) -> Result<()> {
        self.devices.detach(&self.at)
    }
}

/// Reads the superblock ourselves: the kernel sees only what is the enrolled filesystem.
fn examine(devices: &dyn Devices, enrolment: &Enrolment, count: usize, source: &Source) -> Result<()> {
    let found = devices.superblock(&source.node, source.devnum)?;
    let label = Part::Name(&enrolment.label);
    let known = enrolment.members.iter().any(|member| member.device == found.dev_uuid);
    if found.fsid != enrolment.filesystem || !known {
        return Err(Error::refused(Sentence::of(&[
            Part::Node(&source.node),
            Part::Text(" is not a device of \""),
            label,
            Part::Text("\": its superblock has changed to that of another filesystem; plug it in again"),
        ])));
    }
    if source.size != 0 && source.size < found.device_bytes {
        return Err(Error::refused(Sentence::of(&[
            Part::Node(&source.node),
            Part::Text(" has "),
            Part::Number(source.size),
            Part::Text(" bytes, and the filesystem of \""),
            label,
            Part::Text("\" has "),
            Part::Number(found.device_bytes),
            Part::Text(
                " on it: its dock or enclosure hides the end of the disk, or it is a copy on a smaller disk; connect the \
                 drive in another way",
            ),
        ])));
    }
    let wanted = enrolment.members.len();
    if found.num_devices != wanted as u64 || count != wanted {
        return Err(Error::refused(Sentence::of(&[
            Part::Text("\""),
            label,
            Part::Text("\" has "),
            Part::Number(found.num_devices),
            Part::Text(" devices according to "),
            Part::Node(&source.node),
            Part::Text(", and "),
            Part::Number(count as u64),
            Part::Text(" of "),
            Part::Number(wanted as u64),
            Part::Text(
                " are attached; plug in all of them; if a device was added or removed after the enrolment, forget the \
                 drive and enrol it again",
            ),
        ])));
    }
    Ok(())
}

/// Each of the devices is there, and so, with their number, each once.
fn all_members(devices: &dyn Devices, enrolment: &Enrolment, sources: &[Source]) -> Result<()> {
    let mut there = BTreeSet::new();
    for source in sources {
        there.insert(devices.superblock(&source.node, source.devnum)?.dev_uuid);
    }
    if there.len() == enrolment.members.len() {
        return Ok(());
    }
    let nodes: Vec<&Path> = sources.iter().map(|source| source.node.as_path()).collect();
    Err(Error::refused(Sentence::of(&[
        Part::Text("one of "),
        Part::Nodes(&nodes),
        Part::Text(" is a copy of another device of \""),
        Part::Name(&enrolment.label),
        Part::Text("\"; unplug the copy"),
    ])))
}

/// Where it is mounted: an empty directory of root's.
fn place(run: &Path, id: Uuid) -> Result<PathBuf> {
    let at = run.join("drives").join(id.to_string());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&at);
    made.map_err(Error::system(format!("making {}", at.display())))?;
    let empty = fs::read_dir(&at).map_err(Error::system(format!("examining {}", at.display())))?.next().is_none();
    if !empty {
        return Err(Error::refused(Sentence::of(&[
            Part::Hidden(&at.display(), "its directory"),
            Part::Text(" is in use: a filesystem is mounted there, or it contains files"),
        ])));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
