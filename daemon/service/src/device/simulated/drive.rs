//! A simulated drive: what is on its disks, wherever it is plugged in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;
use uuid::Uuid;

use super::{PASSPHRASE, SIZE};
use crate::device::block_device::{BlockDevice, Bus, Content};
use crate::device::superblock::{CsumType, Superblock};

/// A drive: what is on its disks, wherever it is plugged in. Cheap to clone; all clones are the same drive.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedDrive(Arc<Mutex<Medium>>);

#[derive(Debug)]
pub(super) struct Medium {
    pub(super) disks: Vec<Disk>,
    pub(super) label: String,
    pub(super) filesystem: Option<Uuid>,
    /// What is on the filesystem.
    pub(super) folder: Arc<TempDir>,
    /// What was written and is not on the drive yet.
    pub(super) unsaved: BTreeSet<String>,
    pub(super) saved: BTreeSet<String>,
    pub(super) is_write_protected: bool,
    pub(super) has_damaged_log: bool,
    /// It cannot be switched off.
    pub(super) stays_on: bool,
    /// What opens its containers.
    pub(super) secrets: Vec<Vec<u8>>,
    /// Signatures of other formats; with any, udev's prober sees nothing.
    pub(super) beside: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) serial: String,
    pub(super) size: u64,
    pub(super) device: Uuid,
    pub(super) luks: Option<Uuid>,
}

impl SimulatedDrive {
    /// One with a filesystem on so many disks.
    pub(crate) fn new(label: &str, disks: usize, is_encrypted: bool) -> Self {
        let disk = |number| Disk {
            serial: format!("{label}-{number}"),
            size: SIZE,
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
            is_write_protected: false,
            has_damaged_log: false,
            stays_on: false,
            secrets: vec![PASSPHRASE.to_vec()],
            beside: Vec::new(),
        })))
    }

    /// Signatures of these formats are beside its filesystem from the next plug on.
    pub(crate) fn set_beside(&self, kinds: &[&'static str]) {
        self.lock().beside = kinds.to_vec();
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
            is_write_protected: false,
            has_damaged_log: false,
            stays_on: false,
            secrets: medium.secrets.clone(),
            beside: medium.beside.clone(),
        })))
    }

    /// A person gives its filesystem another label.
    pub(crate) fn set_label(&self, label: &str) {
        label.clone_into(&mut self.lock().label);
    }

    /// Puts its disks into another dock, which reports this serial number and this size for each.
    pub(crate) fn set_dock(&self, serial: &str, size: u64) {
        for disk in &mut self.lock().disks {
            (disk.serial, disk.size) = (serial.to_owned(), size);
        }
    }

    /// Writes something, which is lost if the drive is pulled before it is synced.
    pub(crate) fn write(&self, name: &str) {
        self.lock().unsaved.insert(name.to_owned());
    }

    /// Writes everything out.
    pub(super) fn sync(&self) {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// By what a fault is found: the first disk's own uuid and serial number can be those of a copy, the folder cannot.
    pub(super) fn key(&self) -> Uuid {
        let address = Arc::as_ptr(&self.0) as usize;
        Uuid::from_u128(address as u128)
    }
}

impl Medium {
    /// As udev's prober sees it.
    pub(super) fn btrfs(&self, disk: &Disk) -> Option<Content> {
        self.beside.is_empty().then_some(())?;
        Some(Content {
            kind: "btrfs".to_owned(),
            uuid: self.filesystem?.to_string(),
            sub_uuid: disk.device.to_string(),
            label: self.label.clone(),
        })
    }

    pub(super) fn superblock(&self, place: usize) -> Option<Superblock> {
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

/// What udev says of a disk that was plugged in.
pub(super) fn device(name: &str, diskseq: u64) -> BlockDevice {
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
        finding: None,
        filesystem_devices: None,
    }
}

/// In memory, where the machine has such a place.
pub(super) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}
