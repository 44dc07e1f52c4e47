//! Drives that exist in a test alone: plugged, pulled, copied, locked, failing. A folder stands in for a mounted filesystem, so that
//! what is written to a drive are real files.
//!
//! Every call counts as one step. A test can have something happen before or after the n-th step ([`SimulatedDevices::at_step`]), let
//! a step of a drive fail ([`SimulatedDevices::fail`]), or make it wait ([`SimulatedDevices::block`]).

mod calls;
mod drive;
mod state;
mod steps;
mod usage;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub(crate) use drive::SimulatedDrive;
use drive::{Disk, device, folder};
use state::{Action, Attached, Effect, Fault, Slot, State};
use steps::system;
pub(crate) use usage::Usage;

use super::block_device::{BlockDevice, Bus, Content, Mapping};
use super::devices::{DeviceEvents, Devices, Event, MountEvents, Readings, Waiting};
use super::error::{Error, Result};
use super::import_mount::ReadOnly;
use super::luks::{Secret, mapping_name};
use super::mount::{Access, Filesystem, Log, Source};
use super::other_mounts::OtherMount;
use super::power::Power;
use super::probe::Probed;
use super::superblock::Superblock;

/// The size of every disk.
pub(crate) const SIZE: u64 = 1 << 30;
/// The passphrase of every container.
pub(crate) const PASSPHRASE: &[u8] = b"correct horse";

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Superblock,
    Probe,
    Format,
    Encrypt,
    AddKey,
    Mount,
    Open,
    WriteOut,
    Unmount,
    UnmountOther,
    Detach,
    Unlock,
    Lock,
    LockWhenUnused,
    CheckUnused,
    PowerOff,
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// The devices of one simulated machine.
#[derive(Clone)]
pub(crate) struct SimulatedDevices(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    opened: Condvar,
    mounts: watch::Sender<()>,
    /// The last step that was begun.
    last: watch::Sender<Option<Step>>,
}

impl SimulatedDevices {
    /// Without any device.
    pub(crate) fn new() -> Self {
        let (state, opened, mounts) = (Mutex::default(), Condvar::new(), watch::Sender::new(()));
        Self(Arc::new(Shared { state, opened, mounts, last: watch::Sender::new(None) }))
    }

    /// Plugs a drive in. Nothing happens where it is plugged in already.
    pub(crate) fn plug(&self, drive: &SimulatedDrive) {
        self.plug_disks(drive, u64::MAX);
    }

    /// Plugs only so many of its disks in.
    pub(crate) fn plug_disks(&self, drive: &SimulatedDrive, attached: u64) {
        let mut state = self.state();
        if state.attached.values().any(|attached| attached.drive.is(drive) && !attached.is_gone) {
            return;
        }
        let count = drive.lock().disks.len();
        let first = state.disks + 1;
        let slots: Vec<Slot> = (0..count as u64)
            .map(|number| Slot {
                name: format!("sd{}", first + number),
                diskseq: first + number,
                is_off: number >= attached,
            })
            .collect();
        state.disks += count as u64;
        let attached = Attached {
            drive: drive.clone(),
            slots,
            mounted: None,
            is_gone: false,
            is_read_only: false,
            is_mounted_elsewhere: false,
            is_mounted_unseen: false,
            users: 0,
        };
        let devices = attached.devices();
        state.attached.insert(first, attached);
        devices.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
    }

    /// Plugs the disks in that were left out.
    pub(crate) fn plug_rest(&self, drive: &SimulatedDrive) {
        let mut state = self.state();
        let Some((_, attached)) = state.of_mut(drive) else { return };
        let before = attached.devices();
        attached.slots.iter_mut().for_each(|slot| slot.is_off = false);
        let new = attached.devices().into_iter().filter(|device| !before.contains(device)).collect::<Vec<_>>();
        new.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
    }

    /// Sets or ends its write protection, for the next plug.
    pub(crate) fn set_write_protected(&self, drive: &SimulatedDrive, is_write_protected: bool) {
        drive.lock().is_write_protected = is_write_protected;
    }

    /// It has a log that cannot be replayed, or that was removed, for the next plug.
    pub(crate) fn set_damaged_log(&self, drive: &SimulatedDrive, has_damaged_log: bool) {
        drive.lock().has_damaged_log = has_damaged_log;
    }

    /// Its hardware cannot be switched off.
    pub(crate) fn set_stays_on(&self, drive: &SimulatedDrive) {
        drive.lock().stays_on = true;
    }

    /// Pulls a drive out: what was not saved is lost.
    pub(crate) fn pull(&self, drive: &SimulatedDrive) {
        let mut state = self.state();
        let Some((first, attached)) = state.of_mut(drive) else { return };
        attached.is_gone = true;
        let is_mounted = attached.mounted.is_some();
        let devices = attached.devices();
        if !is_mounted && !state.mappings.values().any(|over| *over == first) {
            state.attached.remove(&first);
        }
        drive.lock().unsaved.clear();
        devices.into_iter().for_each(|device| state.send(&Event::Gone(device.syspath)));
        self.0.opened.notify_all();
    }

    /// Whether it is plugged in, and not switched off.
    pub(crate) fn is_plugged(&self, drive: &SimulatedDrive) -> bool {
        self.state().of(drive).is_some_and(|attached| attached.slots.iter().any(|slot| !slot.is_off))
    }

    /// Whether the service has mounted it.
    pub(crate) fn is_mounted(&self, drive: &SimulatedDrive) -> bool {
        self.state().of(drive).is_some_and(|attached| attached.mounted.is_some())
    }

    /// Whether one of its containers is unlocked.
    pub(crate) fn is_unlocked(&self, drive: &SimulatedDrive) -> bool {
        let state = self.state();
        let disks = drive.lock().disks.clone();
        let Some(first) = state.of(drive).and_then(|attached| attached.slots.first()).map(|slot| slot.diskseq) else {
            return false;
        };
        disks.iter().filter_map(|disk| disk.luks).any(|luks| state.mappings.get(&luks) == Some(&first))
    }

    /// Another program mounts it, or unmounts it.
    pub(crate) fn set_mounted_elsewhere(&self, drive: &SimulatedDrive, is_mounted: bool) {
        self.set_mounted_elsewhere_unnoticed(drive, is_mounted);
        self.0.mounts.send_replace(());
    }

    /// The same, before the kernel reports that mounts changed.
    pub(crate) fn set_mounted_elsewhere_unnoticed(&self, drive: &SimulatedDrive, is_mounted: bool) {
        if let Some((_, attached)) = self.state().of_mut(drive) {
            attached.is_mounted_elsewhere = is_mounted;
        }
    }

    /// It is mounted, or unmounted, in a mount namespace that the service does not see. The kernel reports neither.
    pub(crate) fn set_mounted_unseen(&self, drive: &SimulatedDrive, is_mounted: bool) {
        if let Some((_, attached)) = self.state().of_mut(drive) {
            attached.is_mounted_unseen = is_mounted;
        }
    }

    /// It fails a write, and its filesystem becomes read-only: what was not saved is lost.
    pub(crate) fn become_read_only(&self, drive: &SimulatedDrive) {
        if let Some((_, attached)) = self.state().of_mut(drive) {
            attached.is_read_only = attached.mounted.is_some();
        }
    }

    /// A process opens files on the drive that this directory is on, which cannot be unmounted until that ends.
    pub(crate) fn begin_use(&self, directory: BorrowedFd<'_>) -> Option<Usage> {
        let drive = self.of_folder(&File::from(directory.try_clone_to_owned().ok()?))?;
        self.begin_use_of(&drive)
    }

    /// The same, on this drive.
    pub(crate) fn begin_use_of(&self, drive: &SimulatedDrive) -> Option<Usage> {
        let mut state = self.state();
        let (first, attached) = state.of_mut(drive)?;
        attached.users += 1;
        Some(Usage { devices: self.clone(), drive: drive.clone(), first })
    }

    /// Writes something and syncs, as a worker does; false where the drive is not there any more, or takes no writes.
    pub(crate) fn save(&self, drive: &SimulatedDrive, name: &str) -> bool {
        let state = self.state();
        let is_sound = state.of(drive).is_some_and(|attached| attached.mounted.is_some() && !attached.is_read_only);
        if is_sound {
            drive.write(name);
            drive.sync();
        }
        is_sound
    }

    /// Writes something where it is mounted. No thread unmounts it in between.
    pub(crate) fn write_if_mounted(&self, drive: &SimulatedDrive, name: &str) {
        let state = self.state();
        if state.of(drive).is_some_and(|attached| attached.mounted.is_some()) {
            drive.write(name);
        }
    }

    /// An administrator unlocks its containers.
    pub(crate) fn unlock_by_hand(&self, drive: &SimulatedDrive) {
        let mut state = self.state();
        let Some(slots) = state.of(drive).map(|attached| attached.slots.clone()) else { return };
        let Some(first) = slots.first().map(|slot| slot.diskseq) else { return };
        let medium = drive.lock();
        let attached = slots.iter().zip(&medium.disks).filter(|(slot, _)| !slot.is_off);
        let containers: Vec<Uuid> = attached.filter_map(|(_, disk)| disk.luks).collect();
        drop(medium);
        for luks in containers {
            state.mappings.entry(luks).or_insert(first);
            if let Some(device) = state.mapping(luks, first) {
                state.send(&Event::Present(Box::new(device)));
            }
        }
    }

    /// The names of its devices while it is plugged in.
    pub(crate) fn names(&self, drive: &SimulatedDrive) -> Vec<String> {
        let state = self.state();
        let slots = state.of(drive).map(|attached| attached.slots.clone()).unwrap_or_default();
        slots.into_iter().flat_map(|slot| [format!("dm-{}", slot.diskseq), slot.name]).collect()
    }

    /// The number of its plug.
    pub(crate) fn plug_number(&self, drive: &SimulatedDrive) -> Option<u64> {
        self.state().of(drive).and_then(|attached| attached.slots.first()).map(|slot| slot.diskseq)
    }

    /// What is left of drives that are not plugged in any more.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let state = self.state();
        state.attached.values().filter(|attached| attached.is_gone).map(|attached| format!("{attached:?}")).collect()
    }

    /// What the service did that no correct service does.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Mounts changed somewhere.
    pub(crate) fn change_mounts(&self) {
        self.0.mounts.send_replace(());
    }

    /// udev ends, and no event is reported any more.
    pub(crate) fn end_events(&self) {
        self.state().events.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatedDevices {
    fn mounted(&self, at: &Path) -> Option<SimulatedDrive> {
        let state = self.state();
        state.mounted_at(at).and_then(|first| state.attached.get(&first)).map(|attached| attached.drive.clone())
    }

    fn of_folder(&self, root: &File) -> Option<SimulatedDrive> {
        use std::os::unix::fs::MetadataExt as _;
        let place = |facts: fs::Metadata| (facts.dev(), facts.ino());
        let wanted = root.metadata().ok().map(place)?;
        let drives: Vec<SimulatedDrive> =
            self.state().attached.values().map(|attached| attached.drive.clone()).collect();
        drives.into_iter().find(|drive| fs::metadata(drive.folder()).ok().map(place) == Some(wanted))
    }
}

impl fmt::Debug for SimulatedDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDevices").field("attached", &self.state().attached).finish_non_exhaustive()
    }
}
