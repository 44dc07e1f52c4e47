//! What the service asks of simulated devices.

use super::*;

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

    fn probe(&self, device: &BlockDevice) -> Result<Probed> {
        let drive = self.state().drive_at(&device.node);
        self.step(Step::Probe, drive.as_ref(), |state| {
            let (first, place) = state.at(&device.node).ok_or_else(|| system(Step::Probe, Errno::ENXIO))?;
            let attached = state.attached.get(&first).filter(|attached| !attached.is_gone);
            let attached = attached.ok_or_else(|| system(Step::Probe, Errno::EIO))?;
            let medium = attached.drive.lock();
            let superblock = medium.superblock(place);
            Ok(superblock.map_or(Probed::Nothing, |found| Probed::Btrfs(Box::new(found), medium.beside.clone())))
        })
    }

    fn format(&self, device: &BlockDevice, label: &str) -> Result<Superblock> {
        let drive = self.state().drive_at(&device.node);
        self.step(Step::Format, drive.as_ref(), |state| {
            let (first, place) = state.at(&device.node).ok_or_else(|| system(Step::Format, Errno::ENXIO))?;
            let attached = state.attached.get(&first).ok_or_else(|| system(Step::Format, Errno::ENXIO))?;
            let is_inside = device.bus == Bus::Mapper;
            let is_open = !is_inside && state.mappings.values().any(|over| *over == first);
            if attached.is_used() || is_open {
                return Err(Error::refused("it is in use"));
            }
            if attached.drive.lock().is_write_protected {
                return Err(Error::WriteProtected { doing: "formatting".to_owned() });
            }
            let made = {
                let mut medium = attached.drive.lock();
                medium.filesystem = Some(Uuid::new_v4());
                medium.label = label.to_owned();
                medium.folder = Arc::new(folder());
                medium.saved.clear();
                medium.beside.clear();
                for disk in &mut medium.disks {
                    disk.device = Uuid::new_v4();
                    disk.luks = disk.luks.filter(|_| is_inside);
                }
                medium.superblock(place)
            };
            let mappings: Vec<(Uuid, u64)> = state.mappings.iter().map(|(luks, over)| (*luks, *over)).collect();
            let inside = mappings.into_iter().filter(|(_, over)| *over == first);
            let inside = inside.filter_map(|(luks, over)| state.mapping(luks, over));
            let devices: Vec<BlockDevice> = attached.devices().into_iter().chain(inside).collect();
            devices.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
            made.ok_or_else(|| system(Step::Format, Errno::EIO))
        })
    }

    fn encrypt(&self, device: &BlockDevice, luks: Uuid, secret: &Secret) -> Result<()> {
        let drive = self.state().drive_at(&device.node);
        self.step(Step::Encrypt, drive.as_ref(), |state| {
            let (first, place) = state.at(&device.node).ok_or_else(|| system(Step::Encrypt, Errno::ENXIO))?;
            let attached = state.attached.get(&first).ok_or_else(|| system(Step::Encrypt, Errno::ENXIO))?;
            if attached.is_used() || state.mappings.values().any(|over| *over == first) {
                return Err(Error::refused("it is in use"));
            }
            let mut medium = attached.drive.lock();
            (medium.filesystem, medium.secrets) = (None, vec![secret.bytes().to_vec()]);
            medium.saved.clear();
            medium.beside.clear();
            if let Some(disk) = medium.disks.get_mut(place) {
                disk.luks = Some(luks);
            }
            drop(medium);
            let devices = attached.devices();
            devices.into_iter().for_each(|device| state.send(&Event::Present(Box::new(device))));
            Ok(())
        })
    }

    fn add_key(&self, node: &Path, _devnum: u64, secret: &Secret, file: &Path) -> Result<()> {
        let drive = self.state().drive_at(node);
        self.step(Step::AddKey, drive.as_ref(), |_state| {
            let drive = drive.as_ref().ok_or_else(|| system(Step::AddKey, Errno::ENXIO))?;
            let mut medium = drive.lock();
            if !medium.secrets.iter().any(|known| known == secret.bytes()) {
                return Err(Error::WrongSecret("the passphrase or key is wrong".into()));
            }
            let key = fs::read(file).map_err(Error::system("reading a key"))?;
            medium.secrets.push(key);
            Ok(())
        })
    }

    fn mount(&self, filesystem: &Filesystem<'_>, sources: &[Source], access: Access, at: &Path) -> Result<Log> {
        let drive = sources.first().and_then(|source| self.state().drive_at(&source.node));
        let log = self.step(Step::Mount, drive.as_ref(), |state| {
            let node = sources.first().map(|source| source.node.as_path()).unwrap_or_else(|| Path::new(""));
            let (first, _) = state.at(node).ok_or_else(|| system(Step::Mount, Errno::ENXIO))?;
            let of_it = |other: &&Attached| other.drive.lock().filesystem == Some(filesystem.uuid);
            if state.attached.values().filter(of_it).any(Attached::is_used) {
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
            if attached.drive.lock().is_write_protected && access == Access::Writable {
                return Err(Error::WriteProtected { doing: "mounting".to_owned() });
            }
            if attached.slots.iter().any(|slot| slot.is_off) && access != Access::Degraded {
                return Err(system(Step::Mount, Errno::EINVAL));
            }
            let has_log = attached.drive.lock().has_damaged_log;
            if has_log && access == Access::Writable {
                return Err(system(Step::Mount, Errno::EIO));
            }
            (attached.mounted, attached.is_read_only) = (Some(at.to_owned()), access != Access::Writable);
            Ok(if has_log { Log::Skipped } else { Log::Replayed })
        })?;
        self.0.mounts.send_replace(());
        Ok(log)
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

    fn readings(&self, _root: &File) -> Readings {
        Readings { free: SIZE / 2, device_errors: Some(3) }
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

    fn other_mounts(&self, _run: &Path) -> io::Result<Vec<OtherMount>> {
        let state = self.state();
        let mounted = state.attached.values().filter(|attached| attached.is_mounted_elsewhere && !attached.is_gone);
        let mount = |attached: &Attached| {
            let medium = attached.drive.lock();
            let name = |(slot, disk): (&Slot, &Disk)| match disk.luks {
                Some(_) => format!("/dev/dm-{}", slot.diskseq),
                None => format!("/dev/{}", slot.name),
            };
            let nodes = attached.slots.iter().zip(&medium.disks).map(name).map(PathBuf::from).collect();
            OtherMount { id: 36, at: Path::new("/media/anna").join(&medium.label), nodes }
        };
        Ok(mounted.map(mount).collect())
    }

    fn is_mounted(&self, filesystem: Uuid) -> bool {
        let state = self.state();
        let mut of_it = state.attached.values().filter(|other| other.drive.lock().filesystem == Some(filesystem));
        of_it.any(|attached| !attached.is_gone && attached.is_used())
    }

    fn unmount_other(&self, mount: &OtherMount) -> Result<()> {
        let drive = mount.nodes.first().and_then(|node| self.state().drive_at(node));
        self.step(Step::UnmountOther, drive.as_ref(), |state| {
            let drive = drive.as_ref().ok_or_else(|| system(Step::UnmountOther, Errno::EINVAL))?;
            let (_, attached) = state.of_mut(drive).ok_or_else(|| system(Step::UnmountOther, Errno::EINVAL))?;
            if attached.users > 0 {
                return Err(Error::InUse("the drive is used by sh (7)".into()));
            }
            attached.is_mounted_elsewhere = false;
            Ok(())
        })?;
        self.0.mounts.send_replace(());
        Ok(())
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        (uid == 1000).then(|| "anna".to_owned())
    }

    fn unmount(&self, at: &Path) -> Result<()> {
        let drive = self.mounted(at);
        self.step(Step::Unmount, drive.as_ref(), |state| {
            let first = state.mounted_at(at).ok_or_else(|| system(Step::Unmount, Errno::EINVAL))?;
            let attached = state.attached.get_mut(&first).ok_or_else(|| system(Step::Unmount, Errno::EINVAL))?;
            if attached.users > 0 {
                return Err(Error::refused("the drive is used by sh (7)"));
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
            let is_right = attached.drive.lock().secrets.iter().any(|known| known == secret.bytes());
            if !is_it || attached.is_gone {
                return Err(Error::refused("the drive is detached, or is not a LUKS container"));
            }
            if state.mappings.contains_key(&luks) {
                return Err(Error::refused("it is in use, or open already"));
            }
            if !is_right {
                return Err(Error::WrongSecret("the passphrase or key is wrong".into()));
            }
            state.mappings.insert(luks, first);
            if let Some(device) = state.mapping(luks, first) {
                state.send(&Event::Present(Box::new(device)));
            }
            Ok(())
        })
    }

    fn check_secret(&self, node: &Path, _devnum: u64, secret: &Secret) -> Result<()> {
        let drive = self.state().drive_at(node).ok_or_else(|| system(Step::Unlock, Errno::ENXIO))?;
        if drive.lock().secrets.iter().any(|known| known == secret.bytes()) {
            return Ok(());
        }
        Err(Error::WrongSecret("the passphrase or key is wrong".into()))
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
            if attached.drive.lock().stays_on {
                return Ok(Power::LeftOn);
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

fn remove(at: &Path) -> Result<()> {
    fs::remove_dir(at).map_err(Error::system(format!("removing {}", at.display())))
}
