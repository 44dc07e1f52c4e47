//! What is attached to a simulated machine, and what is to happen to it.

use std::collections::BTreeMap;

use super::*;

#[derive(Default)]
pub(super) struct State {
    pub(super) attached: BTreeMap<u64, Attached>,
    pub(super) disks: u64,
    pub(super) mappings: BTreeMap<Uuid, u64>,
    pub(super) events: Vec<mpsc::UnboundedSender<Event>>,
    pub(super) steps: Vec<Step>,
    pub(super) actions: Vec<(usize, Moment, Action)>,
    pub(super) faults: Vec<Fault>,
    pub(super) violations: Vec<String>,
}

pub(super) type Action = Box<dyn FnOnce() + Send>;

/// A drive that is plugged in: its first disk's count is its key.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) drive: SimulatedDrive,
    /// The names and counts of its disks, and whether they are still there: one that was switched off is not.
    pub(super) slots: Vec<Slot>,
    pub(super) mounted: Option<PathBuf>,
    /// Pulled out: its mount and its mappings are what is left.
    pub(super) is_gone: bool,
    pub(super) is_read_only: bool,
    pub(super) is_mounted_elsewhere: bool,
    /// In a mount namespace that the service does not see.
    pub(super) is_mounted_unseen: bool,
    /// How many processes have files of it open.
    pub(super) users: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) diskseq: u64,
    pub(super) is_off: bool,
}

/// A step of a drive that fails or waits.
pub(super) struct Fault {
    pub(super) drive: Uuid,
    pub(super) step: Step,
    pub(super) effect: Effect,
    /// How often it fails still.
    pub(super) times: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Effect {
    Fails(Errno),
    Refuses(&'static str),
    Waits,
}

impl State {
    pub(super) fn of(&self, drive: &SimulatedDrive) -> Option<&Attached> {
        self.attached.values().find(|attached| attached.drive.is(drive) && !attached.is_gone)
    }

    pub(super) fn of_mut(&mut self, drive: &SimulatedDrive) -> Option<(u64, &mut Attached)> {
        let found = self.attached.iter_mut().find(|(_, attached)| attached.drive.is(drive) && !attached.is_gone);
        found.map(|(first, attached)| (*first, attached))
    }

    /// The drive of a node, and which of its disks.
    pub(super) fn at(&self, node: &Path) -> Option<(u64, usize)> {
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

    pub(super) fn drive_at(&self, node: &Path) -> Option<SimulatedDrive> {
        self.at(node).and_then(|(first, _)| self.attached.get(&first)).map(|attached| attached.drive.clone())
    }

    pub(super) fn mounted_at(&self, at: &Path) -> Option<u64> {
        let found = self.attached.iter().find(|(_, attached)| attached.mounted.as_deref() == Some(at));
        found.map(|(first, _)| *first)
    }

    pub(super) fn container(&self, luks: Uuid) -> Option<SimulatedDrive> {
        let first = self.mappings.get(&luks)?;
        self.attached.get(first).map(|attached| attached.drive.clone())
    }

    pub(super) fn send(&mut self, event: &Event) {
        self.events.retain(|events| events.send(event.clone()).is_ok());
    }

    pub(super) fn fault(&mut self, step: Step, drive: &SimulatedDrive) -> Option<Effect> {
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
    pub(super) fn all(&self) -> Vec<BlockDevice> {
        let disks = self.attached.values().filter(|attached| !attached.is_gone).flat_map(Attached::devices);
        disks.chain(self.mappings.iter().filter_map(|(luks, first)| self.mapping(*luks, *first))).collect()
    }

    pub(super) fn mapping(&self, luks: Uuid, first: u64) -> Option<BlockDevice> {
        let attached = self.attached.get(&first)?;
        let medium = attached.drive.lock();
        let (slot, disk) = attached.slots.iter().zip(&medium.disks).find(|(_, disk)| disk.luks == Some(luks))?;
        let mapping = Mapping { name: mapping_name(luks), luks: Some(luks), over: Some(slot.name.clone()) };
        Some(BlockDevice {
            bus: Bus::Mapper,
            content: medium.btrfs(disk),
            mapping: Some(mapping),
            serial: String::new(),
            size: disk.size,
            ..device(&format!("dm-{}", slot.diskseq), slot.diskseq)
        })
    }

    pub(super) fn unlocked(&mut self, luks: Uuid) -> Result<()> {
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
    pub(super) fn tidy(&mut self, first: u64) {
        let is_over = self.attached.get(&first).is_some_and(|attached| attached.is_gone && attached.mounted.is_none());
        if is_over && !self.mappings.values().any(|over| *over == first) {
            self.attached.remove(&first);
        }
    }
}

impl Attached {
    /// Its disks that are there.
    pub(super) fn devices(&self) -> Vec<BlockDevice> {
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
                size: disk.size,
                ..device(&slot.name, slot.diskseq)
            })
            .collect()
    }
}

impl Attached {
    pub(super) fn is_used(&self) -> bool {
        self.mounted.is_some() || self.is_mounted_elsewhere || self.is_mounted_unseen
    }
}
