//! What is recorded of an enrolled drive.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::device::{BlockDevice, Readings};
use crate::types::{Attempt, Condition, LastRun, SnapshotsOfMachine};

/// The version of what is written. Another one is refused, not guessed at: it decides what is mounted. Version 1 is read: for
/// each backup it remembers the newest shared snapshot alone.
pub(super) const VERSION: u32 = 2;
pub(super) const OLDER: u32 = 1;

/// A filesystem that an administrator has said belongs to this machine. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Enrolment {
    pub(super) version: u32,
    /// Never used again.
    pub id: Uuid,
    /// The filesystem's label then.
    #[serde(rename = "label")]
    first_label: String,
    /// Its label at the last mount, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_label: Option<String>,
    /// The filesystem's uuid.
    pub filesystem: Uuid,
    /// Its devices, all of them; none of a volume.
    pub members: Vec<Member>,
    /// It is a volume of this machine, which only the configuration names: it has no token, and is not mounted by the service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_volume: bool,
    /// The nonce last written to the drive.
    pub nonce: Uuid,
    /// The nonce that is being written to the drive; valid too, because the power can fail in between.
    #[serde(default)]
    pub next_nonce: Option<Uuid>,
    /// When it was enrolled.
    pub enrolled: u64,
    /// When the last good backup ended; 0 before the first.
    #[serde(default)]
    pub last_backup: u64,
    /// What version 1 remembered of each backup; gone when the backup was made once more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, serde_json::Value>,
    /// For each backup what the drive and this machine share; the backups write it and read it.
    #[serde(default)]
    pub shared: BTreeMap<String, serde_json::Value>,
    /// The same of what was restored from it.
    #[serde(default)]
    pub restored: serde_json::Value,
    /// The backups whose snapshots on the drive were replaced elsewhere, until one of them is an increment again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replaced: BTreeSet<String>,
    /// The backups whose last attempt on it did not succeed, until they have run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_done: BTreeMap<String, Attempt>,
    /// How many subvolumes below the source the last run of each backup left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// The last good run of each backup; none in older records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_runs: BTreeMap<String, LastRun>,
    /// What the last complete verify found, until one of all devices finds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// How its last use ended, until it is mounted and takes writes.
    #[serde(default, skip_serializing_if = "Condition::is_sound")]
    pub condition: Condition,
    /// The service has a key file of its own for its container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_key: bool,
    /// When it was last seen attached: when it was unplugged, and every hour; 0 in older records.
    #[serde(default)]
    pub last_seen: u64,
    /// What its filesystem said of itself when it was used last.
    #[serde(default)]
    pub readings: Readings,
    /// Which machines made the snapshots on it when it was used last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<SnapshotsOfMachine>,
    /// When the last verify of all its devices ended; 0 never, and in older records.
    #[serde(default)]
    pub verified: u64,
    /// The backups whose shared snapshot beside the source was unpinned, until the next one; true by a command.
    #[serde(default, alias = "given_up", skip_serializing_if = "BTreeMap::is_empty")]
    pub unpinned: BTreeMap<String, bool>,
}

/// Data on a drive that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damage {
    /// When it was found.
    pub found: u64,
    /// The number of blocks.
    pub blocks: u64,
    /// The number of files.
    pub files: u64,
    /// The subvolumes on the drive that may have it: they are no parents.
    pub subvolumes: BTreeSet<Uuid>,
}

/// One device of an enrolled filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The device's own uuid (`UUID_SUB`).
    pub device: Uuid,
    /// The container around it, where it is encrypted.
    #[serde(default)]
    pub luks: Option<Uuid>,
    /// Of the container where there is one; empty where the maker gave none.
    pub serial: String,
    /// Bytes; of the container where there is one.
    pub size: u64,
}

impl Member {
    /// The device as it is now, with its container where it is encrypted; none of what is no btrfs.
    pub(crate) fn of(device: &BlockDevice, container: Option<&BlockDevice>) -> Option<Self> {
        let outer = container.unwrap_or(device);
        Some(Self {
            device: device.btrfs()?.1,
            luks: container.and_then(BlockDevice::luks),
            serial: outer.serial.clone(),
            size: outer.size,
        })
    }
}

impl Enrolment {
    /// When it was last attached, as far as that is recorded.
    pub(crate) fn attached_last(&self) -> u64 {
        self.last_seen.max(self.last_backup).max(self.enrolled)
    }

    /// A new one. The token is written afterwards, and only then has it begun.
    pub(crate) fn new(filesystem: Uuid, label: String, members: Vec<Member>, now: u64) -> Self {
        Self {
            version: VERSION,
            id: Uuid::new_v4(),
            first_label: label,
            new_label: None,
            filesystem,
            members,
            is_volume: false,
            nonce: Uuid::new_v4(),
            next_nonce: None,
            enrolled: now,
            last_backup: 0,
            pins: BTreeMap::new(),
            shared: BTreeMap::new(),
            restored: serde_json::Value::Null,
            replaced: BTreeSet::new(),
            not_done: BTreeMap::new(),
            left_out: BTreeMap::new(),
            last_runs: BTreeMap::new(),
            damage: None,
            condition: Condition::Sound,
            own_key: false,
            last_seen: now,
            readings: Readings::default(),
            origins: Vec::new(),
            verified: 0,
            unpinned: BTreeMap::new(),
        }
    }

    /// That of a volume, with its configured name: it is known by its filesystem.
    pub(crate) fn of_volume(filesystem: Uuid, name: &str, now: u64) -> Self {
        Self { id: filesystem, is_volume: true, ..Self::new(filesystem, name.to_owned(), Vec::new(), now) }
    }

    /// The volume has this name now.
    pub(crate) fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.first_label);
    }

    /// The filesystem's label, as it was at the last mount.
    pub(crate) fn label(&self) -> &str {
        self.new_label.as_ref().unwrap_or(&self.first_label)
    }

    /// The filesystem has this label now.
    pub(crate) fn set_label(&mut self, now: &str) {
        self.new_label = (now != self.first_label).then(|| now.to_owned());
    }

    /// What the configuration and commands call the drive: its id, its label, and its label at the enrolment.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = vec![self.id.to_string()];
        for label in [self.label(), &self.first_label] {
            if !label.is_empty() && !names.iter().any(|name| name == label) {
                names.push(label.to_owned());
            }
        }
        names
    }

    /// Whether the configuration or a command calls the drive so.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.names().iter().any(|known| known == name)
    }
}
