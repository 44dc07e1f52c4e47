//! An enrolled drive that is mounted: proved to be the enrolled filesystem before the kernel sees it, at a place that only root may
//! enter. Every call blocks while the drive blocks.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::device::{
    Access, Devices, Error, Filesystem, Log, Part, Readings, Result, Sentence, Source, Superblock, of_device,
    of_devices,
};
use crate::enrolment::token::{self, Unrenewed};
use crate::enrolment::{Enrolment, EnrolmentStore};
use crate::types::{DriveProblemCode, DriveProblemParams, ErrorCode};

use super::problem::Unwritable;

/// A drive that we mounted. Dropping it leaves it mounted.
#[derive(Debug, Clone)]
pub(super) struct Mounted {
    /// Where: `<run>/drives/<id>`, which root alone may enter.
    pub(super) at: PathBuf,
    /// The filesystem's label, as its superblock has it.
    pub(super) label: String,
    access: Access,
    log: Log,
    devices: Arc<dyn Devices>,
}

/// Mounts the enrolled filesystem from `sources` at `<run>/drives/<id>`. These are all its devices, or the attached ones where
/// `access` is degraded.
///
/// # Errors
/// A device is not what it should be; the filesystem is mounted already, or the kernel mounted another one than was meant: then
/// that is unmounted again before another process can see it.
pub(super) fn mount(
    devices: &Arc<dyn Devices>,
    enrolment: &Enrolment,
    sources: &[Source],
    access: Access,
    run: &Path,
) -> Result<Mounted> {
    let mut label = String::new();
    for source in sources {
        label = examine(&**devices, enrolment, (sources.len(), access), source)?.label;
    }
    all_members(&**devices, enrolment, sources)?;
    let at = place(run, enrolment.id)?;
    let filesystem = Filesystem { uuid: enrolment.filesystem, label: enrolment.label() };
    let log = devices.mount(&filesystem, sources, access, &at)?;
    Ok(Mounted { at, label, access, log, devices: Arc::clone(devices) })
}

/// A drive that was mounted and proved.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) mounted: Mounted,
    /// What its filesystem says of itself.
    pub(super) readings: Readings,
    /// Why it takes no writes, where it takes none.
    pub(super) unwritable: Option<Unwritable>,
}

/// Mounts it and proves it by its token; what is not proved is not left mounted. One that takes no writes, for whatever reason,
/// is mounted to be read. `missing` is the sentence about devices that are missing.
///
/// # Errors
/// As for [`mount`]; or it is not the enrolled drive.
pub(super) fn mount_and_prove(
    devices: &Arc<dyn Devices>,
    enrolment: &mut Enrolment,
    sources: &[Source],
    (store, run): (&EnrolmentStore, &Path),
    missing: Option<&Sentence>,
) -> Result<Proved> {
    if let Some(missing) = missing {
        let mounted = mount(devices, enrolment, sources, Access::Degraded, run);
        let mounted = mounted.map_err(|error| unreadable(missing, error))?;
        let unwritable = Unwritable::Degraded { missing: missing.problem(ErrorCode::Failed), is_without_log: false };
        return prove(mounted, enrolment, store, unwritable);
    }
    let (error, unwritable) = match mount(devices, enrolment, sources, Access::Writable, run) {
        Ok(mounted) => {
            let visited = mounted.root().and_then(|root| {
                let unrenewed = token::visit(&root, enrolment, store)?;
                Ok((devices.readings(&root), unrenewed))
            });
            match visited {
                Ok((readings, None)) => return Ok(Proved { mounted, readings, unwritable: None }),
                Ok((readings, Some(Unrenewed::Drive(error)))) if Unwritable::of(&error) == Unwritable::Full => {
                    tracing::warn!("{error}");
                    return Ok(Proved { mounted, readings, unwritable: Some(Unwritable::Full) });
                }
                Ok((_, Some(Unrenewed::Drive(error)))) => {
                    // The kernel allows nothing on a filesystem that failed to write; mounted anew it is read.
                    mounted.undo();
                    let unwritable = Unwritable::of(&error);
                    (error, unwritable)
                }
                Ok((_, Some(Unrenewed::State(error)))) => {
                    mounted.undo();
                    (error, Unwritable::Unrecorded)
                }
                Err(error) => {
                    mounted.undo();
                    return Err(error);
                }
            }
        }
        Err(refused @ (Error::Refused(_) | Error::InUse(_))) => return Err(refused),
        Err(error) => {
            let unwritable = match Unwritable::of(&error) {
                // It is not mounted writable, so that no backup can make room.
                Unwritable::Full => Unwritable::Failed,
                why @ (Unwritable::WriteProtected
                | Unwritable::Failed
                | Unwritable::LogOnWriteProtected
                | Unwritable::LogDamaged
                | Unwritable::Unrecorded
                | Unwritable::Degraded { .. }) => why,
            };
            (error, unwritable)
        }
    };
    // Where it cannot be read either, the first error says more.
    let Ok(mounted) = mount(devices, enrolment, sources, Access::ReadOnly, run) else { return Err(error) };
    tracing::warn!("the drive is mounted read-only: {error}");
    prove(mounted, enrolment, store, unwritable)
}

/// Proves a drive that is only read.
fn prove(mounted: Mounted, enrolment: &Enrolment, store: &EnrolmentStore, unwritable: Unwritable) -> Result<Proved> {
    let unwritable = if mounted.log == Log::Skipped { unwritable.without_log() } else { unwritable };
    let proved = mounted.root().and_then(|root| {
        token::prove(&root, enrolment, store)?;
        Ok(mounted.devices.readings(&root))
    });
    match proved {
        Ok(readings) => Ok(Proved { mounted, readings, unwritable: Some(unwritable) }),
        Err(error) => {
            mounted.undo();
            Err(error)
        }
    }
}

/// The error of a filesystem that the kernel does not mount without its missing devices.
fn unreadable(missing: &Sentence, error: Error) -> Error {
    if !matches!(error, Error::System { .. }) || error.code() != ErrorCode::Failed {
        return error;
    }
    Error::refused(
        Sentence::of(&[
            Part::Text("the drive cannot be read without its missing devices ("),
            Part::Hidden(&error, "the kernel refuses to mount it"),
            Part::Text("): "),
            Part::Sentence(missing),
        ])
        .coded(DriveProblemCode::Unreadable, missing.params()),
    )
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
        // One that was mounted to be read has nothing to be written out, and did not become read-only.
        if self.access != Access::Writable {
            return Ok(true);
        }
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

    /// Unmounts what must not stay.
    pub(super) fn undo(&self) {
        if let Err(error) = self.unmount().or_else(|_| self.detach()) {
            tracing::error!("{error}");
        }
    }
}

/// Reads the superblock ourselves: the kernel sees only what is the enrolled filesystem.
fn examine(
    devices: &dyn Devices,
    enrolment: &Enrolment,
    (count, access): (usize, Access),
    source: &Source,
) -> Result<Superblock> {
    let found = devices.superblock(&source.node, source.devnum)?;
    let label = Part::Name(enrolment.label());
    let known = enrolment.members.iter().any(|member| member.device == found.dev_uuid);
    if found.fsid != enrolment.filesystem || !known {
        return Err(Error::refused(
            Sentence::of(&[
                Part::Node(&source.node),
                Part::Text(" is not a device of \""),
                label,
                Part::Text("\": its superblock has changed to that of another filesystem; plug it in again"),
            ])
            .coded(DriveProblemCode::Changed, of_device(enrolment.label(), &source.node)),
        ));
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
        ])
.coded(DriveProblemCode::Truncated, of_device(enrolment.label(), &source.node))));
    }
    let wanted = enrolment.members.len();
    let is_enough = count == wanted || (access == Access::Degraded && count < wanted);
    if found.num_devices != wanted as u64 || !is_enough {
        return Err(Error::refused(Sentence::of(&[
            Part::Text("\""),
            label,
            Part::Text("\" has "),
            Part::Number(found.num_devices),
            Part::Text(" devices according to "),
            Part::Node(&source.node),
            Part::Text(", and "),
            Part::Number(count as u64),
            Part::Text(
                " are attached and unlocked; plug in all of them; if a device was added or removed after the enrolment, forget the \
                 drive and enrol it again",
            ),
        ])
.coded(DriveProblemCode::DeviceCount, DriveProblemParams { count: Some(found.num_devices), ..of_device(enrolment.label(), &source.node) })));
    }
    Ok(found)
}

/// Each of the sources is another device, and so, with their number, each is attached once.
fn all_members(devices: &dyn Devices, enrolment: &Enrolment, sources: &[Source]) -> Result<()> {
    let mut there = BTreeSet::new();
    for source in sources {
        there.insert(devices.superblock(&source.node, source.devnum)?.dev_uuid);
    }
    if there.len() == sources.len() {
        return Ok(());
    }
    let nodes: Vec<&Path> = sources.iter().map(|source| source.node.as_path()).collect();
    Err(Error::refused(
        Sentence::of(&[
            Part::Text("one of "),
            Part::Nodes(&nodes),
            Part::Text(" is a copy of another device of \""),
            Part::Name(enrolment.label()),
            Part::Text("\"; unplug the copy"),
        ])
        .coded(DriveProblemCode::Cloned, of_devices(enrolment.label(), &nodes)),
    ))
}

/// Where it is mounted: an empty directory of root's.
fn place(run: &Path, id: Uuid) -> Result<PathBuf> {
    let at = run.join("drives").join(id.to_string());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&at);
    made.map_err(Error::system(format!("making {}", at.display())))?;
    let empty = fs::read_dir(&at).map_err(Error::system(format!("examining {}", at.display())))?.next().is_none();
    if !empty {
        return Err(Error::refused(
            Sentence::of(&[
                Part::Hidden(&at.display(), "its directory"),
                Part::Text(" is in use: a filesystem is mounted there, or it contains files"),
            ])
            .coded(DriveProblemCode::MountPointInUse, DriveProblemParams::default()),
        ));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
