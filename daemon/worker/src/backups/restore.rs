//! Restores: sends a snapshot from a drive into a volume.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use butterdock_btrfs::subvolume::SubvolumeInfo;
use butterdock_btrfs::{Errno, Error as Fault, file, roots, subvolume};
use butterdock_receive::{Candidates, Control, ErrorKind, Observer, Options, SubvolumeState};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::error::BackupError;
use super::run::{basis, received};
use super::shared::SharedSnapshot;
use super::shared_snapshots::{Origin, Why, find_shared};
use super::snapshot::Identity;
use super::snapshot::list;
use super::space_check::Short;
use super::space_check::{SpaceCheck, Words};
use super::task::BackupEvent;
use super::task::TaskTime;
use super::transfer::Stream;
use super::transfer::since;

/// A restore being done. Its parent is looked for as a backup's is, with the sides changed.
#[derive(Clone, Copy)]
pub(crate) struct Restore<'r> {
    /// The root of the snapshot, on the drive.
    pub snapshot: BorrowedFd<'r>,
    /// The directory of the volume.
    pub destination: BorrowedFd<'r>,
    pub options: &'r Options,
    /// What this machine and the drive share, as far as the daemon remembers: nothing else is a parent.
    pub shared: &'r [SharedSnapshot],
    /// The version of streams that this kernel sends: 1 or 2.
    pub version: u32,
    /// An estimate that takes longer is made beside the transfer.
    pub patience: Duration,
    pub control: &'r Control,
    /// Hears of what is received.
    pub observer: &'r dyn Observer,
    /// Hears of everything else.
    pub tell: &'r (dyn Fn(BackupEvent) + Sync),
}

impl Restore<'_> {
    /// Does it, to the end.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let looking = BackupError::drive("look at the snapshot");
        let info = subvolume::info(self.snapshot).map_err(&looking)?;
        let SubvolumeInfo { id, uuid, parent_uuid, .. } = info;
        let origin = Origin { uuid: Identity(uuid), parent_uuid: Identity(parent_uuid) };
        let marks = || self.shared.iter().map(SharedSnapshot::mark);
        let (known_there, known_here): (Vec<_>, Vec<_>) = marks().map(|mark| (mark.there, mark.here)).unzip();
        let on_drive = list(self.snapshot, &known_there).map_err(BackupError::drive("list the snapshots"))?;
        let here = list(self.destination, &known_here).map_err(BackupError::volume("list the snapshots"))?;
        // The drive sends.
        let known: Vec<SharedSnapshot> = self.shared.iter().map(SharedSnapshot::reversed).collect();
        let mut pairs = find_shared(origin, &known, &on_drive, &here).pairs.unwrap_or_default();
        // One that was restored before is no parent of itself.
        pairs.retain(|pair| pair.source.uuid != origin.uuid);
        let parent_uuid = pairs.first().map(|pair| pair.source.uuid);
        let why = parent_uuid.is_none().then_some(Why::NothingThere);
        (self.tell)(BackupEvent::Parent { uuid: parent_uuid, why });
        let (parent, clone_sources) = basis(&pairs);
        let stream = Stream { snapshot: self.snapshot, parent, clone_sources, version: self.version };
        let space_check = SpaceCheck {
            stream: &stream,
            id,
            since: since(&pairs),
            destination: self.destination,
            patience: self.patience,
            control: self.control,
            tell: self.tell,
            words: Words { too_small, unseen: |fault| BackupError::volume("look at the space")(fault) },
        };
        let candidates = Candidates::Listed(pairs.iter().map(|pair| pair.drive.state()).collect());
        let options = Options { candidates, ..self.options.clone() };
        let transfer = || stream.transfer(self.destination, &options, self.control, self.observer);
        let outcome = space_check.transfer(&OnceLock::new(), transfer)?;
        let here = received(self.destination, &outcome).map_err(BackupError::volume("look at the new snapshot"))?;
        let shared = SharedSnapshot { here, there: SubvolumeState::of_info(&info), time: TaskTime::default().now() };
        (self.tell)(BackupEvent::Restored { shared });
        Ok(())
    }
}

fn too_small(short: Short) -> BackupError {
    let Short { needed, free } = short;
    let sentence = format!(
        "the volume has no room for the snapshot: about {} MiB are needed and {} MiB are free; free some space on it, or \
         restore to another volume",
        needed.div_ceil(1 << 20),
        free >> 20
    );
    BackupError::said(ErrorKind::NoSpace, sentence)
}

/// Opens the snapshot with this uuid, wherever it is on the drive whose top is `root`; none where there is no such one. For
/// the daemon: it blocks as long as the drive does.
///
/// # Errors
/// The list of subvolumes cannot be read, or the snapshot cannot be opened.
pub fn find(root: BorrowedFd<'_>, uuid: Identity) -> Result<Option<OwnedFd>, Fault> {
    for id in roots::subvolumes_by_uuid(root, uuid.0)? {
        let Some(path) = roots::path_of(root, id)? else { continue };
        let Ok(path) = CString::new(path) else { continue };
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        match file::open_beneath(root, &path, flags, Mode::empty()) {
            // Something was moved between the two looks.
            Err(Fault { errno: Errno::ENOENT, .. }) => {}
            Err(fault) => return Err(fault),
            Ok(opened) => {
                let there = subvolume::info(opened.as_fd())?;
                if there.uuid == uuid.0 && subvolume::is_read_only(opened.as_fd())? {
                    return Ok(Some(opened));
                }
            }
        }
    }
    Ok(None)
}
