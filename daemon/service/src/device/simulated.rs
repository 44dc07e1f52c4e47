//! Drives that exist in a test alone: plugged, pulled, copied, locked, failing. A folder stands in for a mounted filesystem, so that
//! what is written to a drive are real files.
//!
//! Every call counts as one step. A test can have something happen before or after the n-th step ([`SimulatedDevices::at_step`]), let
//! a step of a drive fail ([`SimulatedDevices::fail`]), or make it wait ([`SimulatedDevices::block`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::block_device::{BlockDevice, Bus, Content, Mapping};
use super::devices::{DeviceEvents, Devices, Event, MountEvents, Waiting};
use super::error::{Error, Result};
use super::luks::{Secret, mapping_name};
use super::mount::{Filesystem, ReadOnly, Source};
use super::power::Power;
use super::superblock::{CsumType, Superblock};

/// The size of every disk.
pub(crate) const SIZE: u64 = 1 << 30;
/// The passphrase of every container.
pub(crate) const PASSPHRASE: &[u8] = b"correct horse";

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Superblock,
    Format,
    Mount,
    Open,
    WriteOut,
    Unmount,
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

/// A drive: what is on its disks, wherever it is plugged in. Cheap to clone; all clones are the same drive.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedDrive(Arc<Mutex<Medium>>);

#[derive(Debug)]
struct Medium {
    disks: Vec<Disk>,
    label: String,
    filesystem: Option<Uuid>,
    /// What is on the filesystem.
    folder: Arc<TempDir>,
    /// What was written and is not on the drive yet.
    unsaved: BTreeSet<String>,
    saved: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Disk {
    serial: String,
    device: Uuid,
    luks: Option<Uuid>,
}

/// The devices of one simulated machine.
#[derive(Clone)]
pub(crate) struct SimulatedDevices(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    opened: Condvar,
    mounts: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    attached: BTreeMap<u64, Attached>,
    disks: u64,
    mappings: BTreeMap<Uuid, u64>,
    events: Vec<mpsc::UnboundedSender<Event>>,
    steps: Vec<Step>,
    actions: Vec<(usize, Moment, Action)>,
    faults: Vec<Fault>,
    violations: Vec<String>,
}

type Action = Box<dyn FnOnce() + Send>;

/// A drive that is plugged in: its first disk's count is its key.
#[derive(Debug)]
struct Attached {
    drive: SimulatedDrive,
    /// The names and counts of its disks, and whether they are still there: one that was switched off is not.
    slots: Vec<Slot>,
    mounted: Option<PathBuf>,
    /// Pulled out: its mount and its mappings are what is left.
    is_gone: bool,
    is_read_only: bool,
    is_mounted_elsewhere: bool,
    /// How many processes have files of it open.
    users: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    name: String,
    diskseq: u64,
    is_off: bool,
}

/// A step of a drive that fails or waits.
struct Fault {
    drive: Uuid,
    step: Step,
    effect: Effect,
    /// How often it fails still.
    times: usize,
}

#[derive(Clone, Copy)]
enum Effect {
    Fails(Errno),
    Refuses(&'static str),
    Waits,
}

impl SimulatedDrive {
    /// One with a filesystem on so many disks.
    pub(crate) fn new(label: &str, disks: usize, is_encrypted: bool) -> Self {
        let disk = |number| Disk {
            serial: format!("{label}-{number}"),
            device: Uuid::new_v4(),
            luks: is_encrypted.then(Uuid::new_v4),
        };
        Self(Arc::new(Mutex::new(Medium {
            disks: (0..disks).map(disk).collect(),
            label: label.to_owned(),
            filesystem: Some(Uuid::new_v4()),
            folder: Arc::new(folder()),
            unsaved: BTreeSet::new(),
            saved: BTreeSet::new(),
        })))
    }

    /// A copy, block for block, on other hardware.
    pub(crate) fn copy(&self, serial: &str) -> Self {
        let medium = self.lock();
        let disks = medium.disks.iter().map(|disk| Disk { serial: serial.to_owned(), ..disk.clone() }).collect();
        let folder = folder();
        for entry in fs::read_dir(medium.folder.path()).expect("a folder").flatten() {
            if entry.path().is_file() {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
            }
        }
        Self(Arc::new(Mutex::new(Medium {
            disks,
            label: medium.label.clone(),
            filesystem: medium.filesystem,
            folder: Arc::new(folder),
            unsaved: BTreeSet::new(),
            saved: medium.saved.clone(),
        })))
    }

    /// Writes something, which is lost if the drive is pulled before it is synced.
    pub(crate) fn write(&self, name: &str) {
        self.lock().unsaved.insert(name.to_owned());
    }

    /// Writes everything out.
    fn sync(&self) {
        let mut medium = self.lock();
        let unsaved = std::mem::take(&mut medium.unsaved);
        medium.saved.extend(unsaved);
    }

    /// Whether this is on the drive.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lock().saved.contains(name)
    }

    /// Whether something was written that is not on the drive.
    pub(crate) fn has_unsaved(&self) -> bool {
        !self.lock().unsaved.is_empty()
    }

    /// Where what is on it lies.
    pub(crate) fn folder(&self) -> PathBuf {
        self.lock().folder.path().to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// By what a fault is found: the first disk's own uuid and serial number can be those of a copy, the folder cannot.
    fn key(&self) -> Uuid {
        let address = Arc::as_ptr(&self.0) as usize;
        Uuid::from_u128(address as u128)
    }
}

impl SimulatedDevices {
    /// Without any device.
    pub(crate) fn new() -> Self {
        let (state, opened, mounts) = (Mutex::default(), Condvar::new(), watch::Sender::new(()));
        Self(Arc::new(Shared { state, opened, mounts }))
    }

    /// Plugs a drive in. Nothing happens where it is plugged in already.
    pub(crate) fn plug(&self, drive: &SimulatedDrive) {
        let mut state = self.state();
        if state.attached.values().any(|attached| attached.drive.is(drive) && !attached.is_gone) {
            return;
        }
        let count = drive.lock().disks.len();
        let first = state.disks + 1;
        let slots: Vec<Slot> = (0..count as u64)
            .map(|number| Slot { name: format!("sd{}", first + number), diskseq: first + number, is_off: false })
            .collect();
        state.disks += count as u64;
        let attached = Attached {
            drive: drive.clone(),
            slots,
            mounted: None,
            is_gone: false,
            is_read_only: false,
            is_mounted_elsewhere: false,
            users: 0,
        };
        let devices = attached.devices();
        state.attached.insert(first, attached);
        devices.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
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
        if let Some((_, attached)) = self.state().of_mut(drive) {
            attached.is_mounted_elsewhere = is_mounted;
        }
        self.0.mounts.send_replace(());
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

    /// An administrator unlocks its containers.
    pub(crate) fn unlock_by_hand(&self, drive: &SimulatedDrive) {
        let mut state = self.state();
        let Some(first) = state.of(drive).and_then(|attached| attached.slots.first()).map(|slot| slot.diskseq) else {
            return;
        };
        let containers: Vec<Uuid> = drive.lock().disks.iter().filter_map(|disk| disk.luks).collect();
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

    /// Has a step of a drive fail so many times.
    pub(crate) fn fail(&self, drive: &SimulatedDrive, step: Step, errno: Errno, times: usize) {
        self.add(drive, step, Effect::Fails(errno), times);
    }

    /// Has a step of a drive be refused so many times, as if a program used the drive.
    pub(crate) fn refuse(&self, drive: &SimulatedDrive, step: Step, text: &'static str, times: usize) {
        self.add(drive, step, Effect::Refuses(text), times);
    }

    /// Has a step of a drive wait until [`Self::unblock`].
    pub(crate) fn block(&self, drive: &SimulatedDrive, step: Step) {
        self.add(drive, step, Effect::Waits, 1);
    }

    /// Lets every step that waits continue, and no more fail.
    pub(crate) fn unblock(&self) {
        self.state().faults.clear();
        self.0.opened.notify_all();
    }

    /// Has something happen at the n-th step from now.
    pub(crate) fn at_step(&self, step: usize, moment: Moment, action: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.steps.len() + step;
        state.actions.push((at, moment, Box::new(action)));
    }

    /// Forgets what was to happen at a later step.
    pub(crate) fn clear_actions(&self) {
        self.state().actions.clear();
    }

    /// The steps that were taken.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
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

    fn add(&self, drive: &SimulatedDrive, step: Step, effect: Effect, times: usize) {
        self.state().faults.push(Fault { drive: drive.key(), step, effect, times });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, at: usize, moment: Moment) {
        let mut state = self.state();
        let (now, later) =
            std::mem::take(&mut state.actions).into_iter().partition(|(of, when, _)| (*of, *when) == (at, moment));
        state.actions = later;
        drop(state);
        let now: Vec<(usize, Moment, Action)> = now;
        now.into_iter().for_each(|(_, _, action)| action());
    }

    /// One step, with what happens before and after it.
    fn step<T>(
        &self,
        step: Step,
        drive: Option<&SimulatedDrive>,
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        let at = {
            let mut state = self.state();
            state.steps.push(step);
            state.steps.len() - 1
        };
        self.run(at, Moment::Before);
        let mut state = self.wait(step, drive);
        let fault = drive.and_then(|drive| state.fault(step, drive));
        let done = match fault {
            Some(Effect::Fails(errno)) => Err(system(step, errno)),
            Some(Effect::Refuses(text)) => Err(Error::refused(text)),
            Some(Effect::Waits) | None => work(&mut state),
        };
        drop(state);
        self.run(at, Moment::After);
        done
    }

    fn wait(&self, step: Step, drive: Option<&SimulatedDrive>) -> MutexGuard<'_, State> {
        let waits = |state: &State| {
            let of_this = |fault: &Fault| drive.is_some_and(|drive| drive.key() == fault.drive) && fault.step == step;
            state.faults.iter().any(|fault| of_this(fault) && matches!(fault.effect, Effect::Waits))
        };
        let mut state = self.state();
        while waits(&state) {
            state = self.0.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

impl State {
    fn of(&self, drive: &SimulatedDrive) -> Option<&Attached> {
        self.attached.values().find(|attached| attached.drive.is(drive) && !attached.is_gone)
    }

    fn of_mut(&mut self, drive: &SimulatedDrive) -> Option<(u64, &mut Attached)> {
        let found = self.attached.iter_mut().find(|(_, attached)| attached.drive.is(drive) && !attached.is_gone);
        found.map(|(first, attached)| (*first, attached))
    }

    /// The drive of a node, and which of its disks.
    fn at(&self, node: &Path) -> Option<(u64, usize)> {
        let name = node.file_name()?.to_str()?;
        let is_mapping =
            |first: u64, luks: Option<Uuid>| luks.is_some_and(|luks| self.mappings.get(&luks) == Some(&first));
        self.attached.iter().find_map(|(first, attached)| {
            let medium = attached.drive.lock();
            let place = attached.slots.iter().zip(&medium.disks).position(|(slot, disk)| {
                let is_disk = slot.name == name && !slot.is_off && !attached.is_gone;
                is_disk || (name == format!("dm-{}", slot.diskseq) && is_mapping(*first, disk.luks))
            });
            Some((*first, place?))
        })
    }

    fn drive_at(&self, node: &Path) -> Option<SimulatedDrive> {
        self.at(node).and_then(|(first, _)| self.attached.get(&first)).map(|attached| attached.drive.clone())
    }

    fn mounted_at(&self, at: &Path) -> Option<u64> {
        let found = self.attached.iter().find(|(_, attached)| attached.mounted.as_deref() == Some(at));
        found.map(|(first, _)| *first)
    }

    fn container(&self, luks: Uuid) -> Option<SimulatedDrive> {
        let first = self.mappings.get(&luks)?;
        self.attached.get(first).map(|attached| attached.drive.clone())
    }

    fn send(&mut self, event: &Event) {
        self.events.retain(|events| events.send(event.clone()).is_ok());
    }

    fn fault(&mut self, step: Step, drive: &SimulatedDrive) -> Option<Effect> {
        let at = self.faults.iter().position(|fault| fault.step == step && fault.drive == drive.key())?;
        let fault = &mut self.faults[at];
        fault.times -= 1;
        let effect = fault.effect;
        if fault.times == 0 {
            self.faults.remove(at);
        }
        Some(effect)
    }

    /// Everything that udev knows.
    fn all(&self) -> Vec<BlockDevice> {
        let disks = self.attached.values().filter(|attached| !attached.is_gone).flat_map(Attached::devices);
        disks.chain(self.mappings.iter().filter_map(|(luks, first)| self.mapping(*luks, *first))).collect()
    }

    fn mapping(&self, luks: Uuid, first: u64) -> Option<BlockDevice> {
        let attached = self.attached.get(&first)?;
        let medium = attached.drive.lock();
        let (slot, disk) = attached.slots.iter().zip(&medium.disks).find(|(_, disk)| disk.luks == Some(luks))?;
        let mapping = Mapping { name: mapping_name(luks), luks: Some(luks), over: Some(slot.name.clone()) };
        Some(BlockDevice {
            bus: Bus::Mapper,
            content: medium.btrfs(disk),
            mapping: Some(mapping),
            serial: String::new(),
            ..device(&format!("dm-{}", slot.diskseq), slot.diskseq)
        })
    }

    fn unlocked(&mut self, luks: Uuid) -> Result<()> {
        let first = self.mappings.get(&luks).copied().ok_or_else(|| system(Step::Lock, Errno::ENXIO))?;
        let attached = self.attached.get(&first);
        if attached.is_some_and(|attached| attached.mounted.is_some()) {
            return Err(Error::refused("the container is in use"));
        }
        let gone = self.mapping(luks, first);
        self.mappings.remove(&luks);
        if let Some(device) = gone {
            self.send(&Event::Gone(device.syspath));
        }
        self.tidy(first);
        Ok(())
    }

    /// Forgets a drive of which nothing is left.
    fn tidy(&mut self, first: u64) {
        let is_over = self.attached.get(&first).is_some_and(|attached| attached.is_gone && attached.mounted.is_none());
        if is_over && !self.mappings.values().any(|over| *over == first) {
            self.attached.remove(&first);
        }
    }
}

impl Attached {
    /// Its disks that are there.
    fn devices(&self) -> Vec<BlockDevice> {
        let medium = self.drive.lock();
        let disks = self.slots.iter().zip(&medium.disks).filter(|(slot, _)| !slot.is_off);
        let content = |disk: &Disk| match disk.luks {
            Some(luks) => Some(Content {
                kind: "crypto_LUKS".to_owned(),
                uuid: luks.to_string(),
                sub_uuid: String::new(),
                label: String::new(),
            }),
            None => medium.btrfs(disk),
        };
        disks
            .map(|(slot, disk)| BlockDevice {
                content: content(disk),
                serial: disk.serial.clone(),
                ..device(&slot.name, slot.diskseq)
            })
            .collect()
    }
}

impl Medium {
    fn btrfs(&self, disk: &Disk) -> Option<Content> {
        Some(Content {
            kind: "btrfs".to_owned(),
            uuid: self.filesystem?.to_string(),
            sub_uuid: disk.device.to_string(),
            label: self.label.clone(),
        })
    }

    fn superblock(&self, place: usize) -> Option<Superblock> {
        let (fsid, disk) = (self.filesystem?, self.disks.get(place)?);
        Some(Superblock {
            fsid,
            metadata_uuid: fsid,
            dev_uuid: disk.device,
            devid: place as u64 + 1,
            num_devices: self.disks.len() as u64,
            total_bytes: SIZE,
            device_bytes: SIZE,
            label: self.label.clone(),
            generation: 1,
            incompat: 0,
            csum: CsumType::Crc32c,
        })
    }
}

impl Devices for SimulatedDevices {
    fn events(&self) -> io::Result<Box<dyn DeviceEvents>> {
        let (events, received) = mpsc::unbounded_channel();
        let mut state = self.state();
        // It is received at once.
        drop(events.send(Event::All(state.all())));
        state.events.push(events);
        Ok(Box::new(Events(received)))
    }

    fn mount_events(&self) -> io::Result<Box<dyn MountEvents>> {
        Ok(Box::new(MountChanges(self.0.mounts.subscribe())))
    }

    fn superblock(&self, node: &Path, _devnum: u64) -> Result<Superblock> {
        let drive = self.state().drive_at(node);
        self.step(Step::Superblock, drive.as_ref(), |state| {
            let (first, place) = state.at(node).ok_or_else(|| system(Step::Superblock, Errno::ENXIO))?;
            let attached = state.attached.get(&first).filter(|attached| !attached.is_gone);
            let attached = attached.ok_or_else(|| system(Step::Superblock, Errno::EIO))?;
            let superblock = attached.drive.lock().superblock(place);
            superblock.ok_or_else(|| Error::refused("there is no btrfs filesystem on it"))
        })
    }

    fn format(&self, device: &BlockDevice, label: &str) -> Result<Superblock> {
        let drive = self.state().drive_at(&device.node);
        self.step(Step::Format, drive.as_ref(), |state| {
            let (first, place) = state.at(&device.node).ok_or_else(|| system(Step::Format, Errno::ENXIO))?;
            let attached = state.attached.get(&first).ok_or_else(|| system(Step::Format, Errno::ENXIO))?;
            if attached.mounted.is_some()
                || attached.is_mounted_elsewhere
                || state.mappings.values().any(|over| *over == first)
            {
                return Err(Error::refused("it is in use"));
            }
            let made = {
                let mut medium = attached.drive.lock();
                medium.filesystem = Some(Uuid::new_v4());
                medium.label = label.to_owned();
                medium.folder = Arc::new(folder());
                medium.saved.clear();
                for disk in &mut medium.disks {
                    (disk.device, disk.luks) = (Uuid::new_v4(), None);
                }
                medium.superblock(place)
            };
            let devices = attached.devices();
            devices.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
            made.ok_or_else(|| system(Step::Format, Errno::EIO))
        })
    }

    fn mount(&self, filesystem: &Filesystem<'_>, sources: &[Source], at: &Path) -> Result<()> {
        let drive = sources.first().and_then(|source| self.state().drive_at(&source.node));
        self.step(Step::Mount, drive.as_ref(), |state| {
            let node = sources.first().map(|source| source.node.as_path()).unwrap_or_else(|| Path::new(""));
            let (first, _) = state.at(node).ok_or_else(|| system(Step::Mount, Errno::ENXIO))?;
            let of_it = |other: &&Attached| other.drive.lock().filesystem == Some(filesystem.uuid);
            let is_mounted = |other: &Attached| other.mounted.is_some() || other.is_mounted_elsewhere;
            if state.attached.values().filter(of_it).any(is_mounted) {
                let ours = state.attached.values().filter(of_it).any(|other| other.mounted.is_some() && !other.is_gone);
                if ours {
                    state.violations.push(format!("{} is mounted twice", filesystem.label));
                }
                return Err(Error::refused("the drive is already mounted by another program"));
            }
            let attached = state.attached.get_mut(&first).ok_or_else(|| system(Step::Mount, Errno::ENXIO))?;
            if attached.is_gone {
                return Err(system(Step::Mount, Errno::EIO));
            }
            (attached.mounted, attached.is_read_only) = (Some(at.to_owned()), false);
            Ok(())
        })?;
        self.0.mounts.send_replace(());
        Ok(())
    }

    fn mount_read_only(&self, _kind: ReadOnly, _device: &BlockDevice) -> Result<File> {
        Err(Error::refused("no simulated drive has such a filesystem"))
    }

    fn open(&self, at: &Path) -> Result<File> {
        let drive = self.mounted(at);
        self.step(Step::Open, drive.as_ref(), |state| {
            let first = state.mounted_at(at).ok_or_else(|| system(Step::Open, Errno::ENOENT))?;
            let attached = state.attached.get(&first).filter(|attached| !attached.is_gone);
            let attached = attached.ok_or_else(|| system(Step::Open, Errno::EIO))?;
            let folder = attached.drive.folder();
            File::open(folder).map_err(Error::system("opening a folder"))
        })
    }

    fn mount_id(&self, _root: &File) -> u64 {
        0
    }

    fn free(&self, _root: &File) -> u64 {
        SIZE / 2
    }

    fn write_out(&self, root: &File) -> Result<bool> {
        let drive = self.of_folder(root);
        self.step(Step::WriteOut, drive.as_ref(), |state| {
            let drive = drive.as_ref().ok_or_else(|| system(Step::WriteOut, Errno::EIO))?;
            let attached = state.of(drive).ok_or_else(|| system(Step::WriteOut, Errno::EIO))?;
            if attached.is_read_only {
                return Ok(false);
            }
            drive.sync();
            Ok(true)
        })
    }

    fn unmount(&self, at: &Path) -> Result<()> {
        let drive = self.mounted(at);
        self.step(Step::Unmount, drive.as_ref(), |state| {
            let first = state.mounted_at(at).ok_or_else(|| system(Step::Unmount, Errno::EINVAL))?;
            let attached = state.attached.get_mut(&first).ok_or_else(|| system(Step::Unmount, Errno::EINVAL))?;
            if attached.users > 0 {
                return Err(Error::refused("its directory is used by sh (7)"));
            }
            attached.mounted = None;
            if !attached.is_gone && !attached.is_read_only {
                attached.drive.sync();
            }
            state.tidy(first);
            remove(at)
        })?;
        self.0.mounts.send_replace(());
        Ok(())
    }

    fn detach(&self, at: &Path) -> Result<()> {
        let drive = self.mounted(at);
        self.step(Step::Detach, drive.as_ref(), |state| {
            let first = state.mounted_at(at).ok_or_else(|| system(Step::Detach, Errno::EINVAL))?;
            if let Some(attached) = state.attached.get_mut(&first) {
                attached.mounted = None;
            }
            state.tidy(first);
            remove(at)
        })?;
        self.0.mounts.send_replace(());
        Ok(())
    }

    fn detach_leftovers(&self, run: &Path) -> Vec<PathBuf> {
        let mut state = self.state();
        let mut left = Vec::new();
        for attached in state.attached.values_mut() {
            left.extend(attached.mounted.take_if(|at| at.starts_with(run)));
        }
        left.iter().for_each(|at| drop(remove(at)));
        left
    }

    fn unlock(&self, node: &Path, _devnum: u64, luks: Uuid, secret: &Secret) -> Result<()> {
        let drive = self.state().drive_at(node);
        self.step(Step::Unlock, drive.as_ref(), |state| {
            let (first, place) = state.at(node).ok_or_else(|| system(Step::Unlock, Errno::ENXIO))?;
            let attached = state.attached.get(&first).ok_or_else(|| system(Step::Unlock, Errno::ENXIO))?;
            let is_it = attached.drive.lock().disks.get(place).is_some_and(|disk| disk.luks == Some(luks));
            if !is_it || attached.is_gone {
                return Err(Error::refused("the drive is detached, or is not a LUKS container"));
            }
            if state.mappings.contains_key(&luks) {
                return Err(Error::refused("it is in use, or open already"));
            }
            if secret.bytes() != PASSPHRASE {
                return Err(Error::refused("the passphrase or key is wrong"));
            }
            state.mappings.insert(luks, first);
            if let Some(device) = state.mapping(luks, first) {
                state.send(&Event::Present(Box::new(device)));
            }
            Ok(())
        })
    }

    fn is_unlocked(&self, luks: Uuid) -> bool {
        self.state().mappings.contains_key(&luks)
    }

    fn unlocked(&self) -> Vec<Uuid> {
        self.state().mappings.keys().copied().collect()
    }

    fn lock(&self, luks: Uuid) -> Result<()> {
        let drive = self.state().container(luks);
        self.step(Step::Lock, drive.as_ref(), |state| state.unlocked(luks))
    }

    fn lock_when_unused(&self, luks: Uuid) -> Result<()> {
        let drive = self.state().container(luks);
        self.step(Step::LockWhenUnused, drive.as_ref(), |state| state.unlocked(luks))
    }

    fn check_unused(&self, node: &Path) -> Result<()> {
        let drive = self.state().drive_at(node);
        self.step(Step::CheckUnused, drive.as_ref(), |state| {
            let Some((first, _)) = state.at(node) else { return Ok(()) };
            let is_used = state.attached.get(&first).is_some_and(Attached::is_used)
                || (!node.to_string_lossy().contains("dm-") && state.mappings.values().any(|over| *over == first));
            if is_used { Err(Error::refused("it is mounted by another program")) } else { Ok(()) }
        })
    }

    fn power_off(&self, disk: &BlockDevice) -> Result<Power> {
        let drive = self.state().drive_at(&disk.node);
        self.step(Step::PowerOff, drive.as_ref(), |state| {
            let (first, place) = state.at(&disk.node).ok_or_else(|| system(Step::PowerOff, Errno::ENXIO))?;
            let is_unlocked = state.mappings.values().any(|over| *over == first);
            let attached = state.attached.get_mut(&first).ok_or_else(|| system(Step::PowerOff, Errno::ENXIO))?;
            if attached.is_mounted_elsewhere {
                return Err(Error::refused("it is mounted by another program"));
            }
            if attached.mounted.is_some() || is_unlocked {
                state.violations.push(format!("{} is switched off while it is in use", disk.name()));
                return Err(Error::refused("it is in use"));
            }
            if let Some(slot) = attached.slots.get_mut(place) {
                slot.is_off = true;
            }
            if attached.slots.iter().all(|slot| slot.is_off) {
                attached.is_gone = true;
                state.tidy(first);
            }
            state.send(&Event::Gone(disk.syspath.clone()));
            Ok(Power::UsbRemoved)
        })
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

/// A process with files open on a drive. Dropped, it has closed them.
#[derive(Debug)]
pub(crate) struct Usage {
    devices: SimulatedDevices,
    drive: SimulatedDrive,
    first: u64,
}

impl Usage {
    /// Whether the drive was not pulled since.
    pub(crate) fn is_attached(&self) -> bool {
        self.devices.state().attached.get(&self.first).is_some_and(|attached| !attached.is_gone)
    }

    /// The drive.
    pub(crate) fn drive(&self) -> SimulatedDrive {
        self.drive.clone()
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        if let Some(attached) = self.devices.state().attached.get_mut(&self.first) {
            attached.users = attached.users.saturating_sub(1);
        }
    }
}

impl Attached {
    fn is_used(&self) -> bool {
        self.mounted.is_some() || self.is_mounted_elsewhere
    }
}

impl fmt::Debug for SimulatedDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDevices").field("attached", &self.state().attached).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Events(mpsc::UnboundedReceiver<Event>);

impl DeviceEvents for Events {
    fn next(&mut self) -> Waiting<'_, io::Result<Event>> {
        Box::pin(async { self.0.recv().await.ok_or_else(|| io::Error::other("udev has ended")) })
    }
}

#[derive(Debug)]
struct MountChanges(watch::Receiver<()>);

impl MountEvents for MountChanges {
    fn changed(&mut self) -> Waiting<'_, io::Result<()>> {
        Box::pin(async { self.0.changed().await.map_err(io::Error::other) })
    }
}

fn device(name: &str, diskseq: u64) -> BlockDevice {
    BlockDevice {
        node: Path::new("/dev").join(name),
        devnum: diskseq,
        syspath: Path::new("/sys/devices/simulated/block").join(name),
        diskseq,
        bus: Bus::Usb,
        removable: false,
        model: "Simulated".to_owned(),
        serial: String::new(),
        id_path: String::new(),
        size: SIZE,
        partition: None,
        content: None,
        mapping: None,
        loop_file: None,
    }
}

fn system(step: Step, errno: Errno) -> Error {
    Error::system(format!("{step:?}"))(errno)
}

fn remove(at: &Path) -> Result<()> {
    fs::remove_dir(at).map_err(Error::system(format!("removing {}", at.display())))
}

/// In memory, where the machine has such a place.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
